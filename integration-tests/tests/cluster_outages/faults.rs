//! What happens to servers and services in the midst of traffic: each process is killed, stands still, or is cut
//! off, and clocks are wrong.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::alone::Alone;
use integration_tests::links::Way;
use integration_tests::shifted_clock::ShiftedClock;
use integration_tests::stack;
use rand::RngExt;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::scene::{HBASE, KAFKA, REDIS, Scene, seconds};

/// Something that goes wrong, once.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// SIGKILL, and a start.
    ServerKilled,
    ServerStands(Duration),
    /// SIGTERM, and a start.
    ServerDrains,
    /// Its clock is ahead by so many milliseconds, or back, for some time.
    ServersClock(i64, Duration),
    /// The same with the clock of Kafka, which was started for it.
    KafkasClock(i64, Duration),
    /// SIGKILL of a process of the services, and a start.
    Killed(&'static str),
    Stands(&'static str, Duration),
    /// One of three brokers is killed, and starts only when all has recovered.
    BrokerLost,
    NginxRestarts,
    /// A server has no connection to the service at this port.
    CutOff(u16, Duration),
    /// SIGKILL while a request to the service at this port is on its way, which arrives all the same, or while
    /// the answer is; and a start.
    KilledWaiting(u16, Way),
}

/// Shorter than in the soak.
const CUT: Duration = Duration::from_secs(6);
const WRONG: Duration = Duration::from_secs(3);

const ONCE: [Fault; 19] = [
    Fault::Killed("redis"),
    Fault::Killed("thrift"),
    Fault::Killed("kafka"),
    Fault::Killed("datanode1"),
    Fault::Killed("namenode"),
    Fault::Killed("zookeeper"),
    Fault::Killed("master"),
    Fault::Killed("regionserver"),
    Fault::Killed("datanode2"),
    Fault::ServerKilled,
    Fault::ServerDrains,
    Fault::NginxRestarts,
    Fault::CutOff(KAFKA, CUT),
    Fault::CutOff(REDIS, CUT),
    Fault::CutOff(HBASE, CUT),
    Fault::KilledWaiting(KAFKA, Way::Answers),
    Fault::KilledWaiting(HBASE, Way::Answers),
    Fault::ServersClock(-3_000, WRONG),
    Fault::ServersClock(1_200_000, WRONG),
];

impl Fault {
    pub fn name(self) -> String {
        match self {
            Fault::ServerKilled => "lakechat: SIGKILL, restart".to_owned(),
            Fault::ServerStands(time) => format!("lakechat: SIGSTOP for {time:?}, SIGCONT"),
            Fault::ServerDrains => "lakechat: SIGTERM, restart".to_owned(),
            Fault::ServersClock(ms, time) => format!("lakechat: {}", clock(ms, time)),
            Fault::KafkasClock(ms, time) => format!("Kafka: {}", clock(ms, time)),
            Fault::Killed(process) => format!("{process}: SIGKILL, restart"),
            Fault::Stands(process, time) => format!("{process}: SIGSTOP for {time:?}, SIGCONT"),
            Fault::BrokerLost => "one of three Kafka brokers: SIGKILL, for good".to_owned(),
            Fault::NginxRestarts => "nginx: SIGKILL, restart".to_owned(),
            Fault::CutOff(port, time) => {
                format!("lakechat: cut off from {} for {time:?}", service(port))
            }
            Fault::KilledWaiting(port, Way::Requests) => {
                format!(
                    "lakechat: SIGKILL with a request to {} on its way, restart",
                    service(port)
                )
            }
            Fault::KilledWaiting(port, Way::Answers) => {
                format!(
                    "lakechat: SIGKILL with an answer of {} on its way, restart",
                    service(port)
                )
            }
        }
    }

    /// Lets it happen; the moment at which it was over: of what is killed, that of the kill, since its start
    /// belongs to the recovery.
    pub async fn strike(self, scene: &mut Scene, kafkas: &ShiftedClock) -> Result<Instant> {
        let now = Instant::now();
        match self {
            Fault::ServerKilled => {
                let server = scene.next_server();
                server.kill_9().await;
                server.start_again().await;
                Ok(now)
            }
            Fault::ServerStands(time) => {
                let server = scene.next_server();
                server.pause().await;
                sleep(time).await;
                server.signal(Signal::CONT);
                Ok(Instant::now())
            }
            Fault::ServerDrains => {
                let server = scene.next_server();
                let ended = server.stop().await;
                ensure!(ended.success(), "{ended}");
                server.start_again().await;
                Ok(now)
            }
            Fault::ServersClock(ahead_ms, time) => {
                scene.clock.set_ms(ahead_ms)?;
                sleep(time).await;
                scene.clock.set_ms(0)?;
                Ok(Instant::now())
            }
            Fault::KafkasClock(ahead_ms, time) => {
                kafkas.set_ms(ahead_ms)?;
                sleep(time).await;
                kafkas.set_ms(0)?;
                Ok(Instant::now())
            }
            Fault::Killed(process) => {
                if process.starts_with("datanode") {
                    both_copies(scene).await?;
                }
                let now = Instant::now();
                stack::verb(&["kill", process]).await?;
                stack::verb(&["start", process]).await?;
                Ok(now)
            }
            Fault::Stands(process, time) => {
                stack::verb(&["pause", process]).await?;
                sleep(time).await;
                stack::verb(&["resume", process]).await?;
                Ok(Instant::now())
            }
            Fault::BrokerLost => {
                stack::verb(&["kill", "kafka1"]).await?;
                Ok(now)
            }
            Fault::NginxRestarts => {
                scene.nginx.restart().await?;
                Ok(now)
            }
            Fault::CutOff(port, time) => {
                scene.links.cut(port);
                sleep(time).await;
                scene.links.mend(port);
                Ok(Instant::now())
            }
            Fault::KilledWaiting(port, way) => {
                scene.links.catch(port, way).await;
                let now = Instant::now();
                scene.servers[0].kill_9().await;
                scene.links.mend(port);
                scene.servers[0].start_again().await;
                Ok(now)
            }
        }
    }
}

/// With two copies nobody survives the loss of both. A file that is being written may have one.
async fn both_copies(scene: &Scene) -> Result<()> {
    let held = scene.files.hold().await;
    stack::verb(&["copies"]).await?;
    drop(held);
    // At any moment of the uploads that go on.
    sleep(rand::rng().random_range(Duration::ZERO..Duration::from_secs(1))).await;
    Ok(())
}

fn service(port: u16) -> &'static str {
    match port {
        KAFKA => "Kafka",
        HBASE => "HBase",
        REDIS => "Redis",
        other => panic!("no service at {other}"),
    }
}

fn clock(ms: i64, time: Duration) -> String {
    let side = if ms < 0 { "back" } else { "ahead" };
    let off = Duration::from_millis(ms.unsigned_abs());
    format!("clock {off:?} {side} for {time:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_in_the_midst_of_traffic_loses_doubles_and_reorders_nothing() -> Result<()> {
    let mut scene = Scene::set(Alone::fresh().await?).await?;
    let kafkas = ShiftedClock::new()?;
    for fault in ONCE {
        let over = fault.strike(&mut scene, &kafkas).await?;
        scene.recovered().await?;
        println!("{}: recovered after {:.1} s", fault.name(), seconds(over));
    }
    let account = scene.end().await?;
    println!("{}", account.report["messages"]);
    account.holds()
}
