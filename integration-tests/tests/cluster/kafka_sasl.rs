//! A Kafka that asks who one is: a broker of the test's own, beside the stack's, with a name and a
//! password in `[kafka.options]`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use integration_tests::on_kafka::Topics;
use integration_tests::{eventually, stack};
use lakechat_cluster::kafka::{KafkaBroker, KafkaSettings};
use lakechat_core::ports::Broker;
use tempfile::TempDir;

const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

/// A broker that lets in `lakechat` with `right` by PLAIN, which librdkafka always has. It creates topics
/// by itself, as Kafka does by default and the stack does not.
struct Asking {
    address: String,
    process: Child,
    _home: TempDir,
}

impl Asking {
    fn start() -> Result<Asking> {
        let home = tempfile::tempdir()?;
        let (port, controller) = (free_port()?, free_port()?);
        let file = home.path().join("server.properties");
        let file = file.to_str().context("UTF-8")?;
        let data = home.path().join("data");
        std::fs::write(
            file,
            format!(
                "process.roles=broker,controller\n\
                 node.id=1\n\
                 controller.quorum.voters=1@127.0.0.1:{controller}\n\
                 controller.listener.names=CONTROLLER\n\
                 listeners=ASKS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                 listener.security.protocol.map=ASKS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                 inter.broker.listener.name=ASKS\n\
                 sasl.enabled.mechanisms=PLAIN\n\
                 sasl.mechanism.inter.broker.protocol=PLAIN\n\
                 listener.name.asks.plain.sasl.jaas.config=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"broker\" password=\"own\" user_broker=\"own\" user_lakechat=\"right\";\n\
                 auto.create.topics.enable=true\n\
                 log.dirs={}\n\
                 offsets.topic.replication.factor=1\n\
                 transaction.state.log.replication.factor=1\n\
                 transaction.state.log.min.isr=1\n",
                data.display()
            ),
        )?;
        let format = ["java", "kafka", "kafka.tools.StorageTool", "format"];
        stack::run(&[&format[..], &["-t", CLUSTER_ID, "-c", file]].concat())?;
        let process = Command::new(stack::script())
            .args(["java", "kafka", "kafka.Kafka", file])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Asking {
            address: format!("127.0.0.1:{port}"),
            process,
            _home: home,
        })
    }

    fn settings(&self, password: &str) -> KafkaSettings {
        let options = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", "lakechat"),
            ("sasl.password", password),
        ];
        KafkaSettings {
            brokers: self.address.clone(),
            options: options.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            ..Topics::new().settings()
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // It has nothing that anybody wants to keep; the script has become the JVM.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_password_of_the_options_let_in_and_wrong_ones_are_told() -> Result<()> {
    let asking = tokio::task::block_in_place(Asking::start)?;
    let broker = eventually("the broker lets in who it knows", async || {
        KafkaBroker::connect(asking.settings("right")).await.ok()
    })
    .await;
    let ends = broker.end_offsets().await?.all()?;
    ensure!(ends.iter().all(|end| *end == 0), "{ends:?}");

    let refused = KafkaBroker::connect(asking.settings("wrong")).await;
    let error = refused.err().context("it let in anybody")?.to_string();
    ensure!(error.contains("Authentication failed"), "{error}");
    ensure!(!error.contains("wrong"), "{error}");
    Ok(())
}
