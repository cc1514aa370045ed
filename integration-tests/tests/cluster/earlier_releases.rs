//! A topic into which an earlier release has written.

use std::collections::HashMap;

use anyhow::{Context, Result};
use integration_tests::cluster::Cluster;
use integration_tests::earlier_release::{messages, records};
use integration_tests::{Person, Server, audit, contract, on_kafka};
use serde_json::{Map, Value, json};

const CHANNEL: &str = "ops";

/// What doesn't depend on when the log took a message.
fn lasting(message: &Value) -> Map<String, Value> {
    let mut fields = message.as_object().expect("an object").clone();
    for field in [
        "id",
        "sent_at",
        "edited_at",
        "deleted_at",
        "changed",
        "reply_to",
    ] {
        if let Some(value) = fields.get_mut(field) {
            *value = json!("then");
        }
    }
    fields
}

/// The record as if it came at this moment, with the ids that the log has given here.
fn come_now(record: &str, ids: &HashMap<String, String>) -> Result<String> {
    let mut fields: Value = serde_json::from_str(record)?;
    fields["received_at"] = json!(std::time::UNIX_EPOCH.elapsed()?.as_millis() as u64);
    for field in ["target", "reply_to"] {
        if let Some(then) = fields[field].as_str() {
            fields[field] = json!(ids.get(then).context("it was said before")?);
        }
    }
    Ok(fields.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_of_0_1_gives_the_same_messages() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    ann.create_channel(&server, CHANNEL).await;
    let expected = messages("0.1")?;
    let mut ids = HashMap::new();
    for record in records("0.1")? {
        let value = come_now(&record, &ids)?;
        on_kafka::write(&cluster.topics.messages(), CHANNEL, &value).await?;
        if record.contains(r#""kind":"message""#) {
            let said = expected[ids.len()]["id"].as_str().context("an id")?;
            let id = last_of(&server, &ann, ids.len() + 1).await?;
            ids.insert(said.to_owned(), id);
        }
    }
    let lasting_of = |messages: &[Value]| messages.iter().map(lasting).collect::<Vec<_>>();
    let lasting_then = lasting_of(&expected);
    contract::eventually("the last change is folded", async || {
        let ops = server.http().get("/channels/ops", ann.token()).await;
        Ok(ops.expect(200).json()["topic"] == "another topic")
    })
    .await?;
    assert_eq!(
        lasting_of(&ann.history(&server, CHANNEL).await),
        lasting_then
    );

    // Again, by a server that reads all of it at its start.
    assert!(server.stop().await.success());
    server.restart().await;
    let said = ann.history(&server, CHANNEL).await;
    assert_eq!(lasting_of(&said), lasting_then);
    assert_eq!(said[3]["reply_to"], said[0]["id"]);
    let ops = server.http().get("/channels/ops", ann.token()).await;
    assert_eq!(ops.expect(200).json()["members"], 2);
    audit::cluster(&cluster, &["--only", "messages"])
        .await?
        .is_clean(6)
}

/// The id of the last of so many messages, once they are there.
async fn last_of(server: &Server, who: &Person, count: usize) -> Result<String> {
    contract::eventually("the record is folded", async || {
        Ok(who.history(server, CHANNEL).await.len() == count)
    })
    .await?;
    let said = who.history(server, CHANNEL).await;
    let last = said.last().context("a message")?;
    Ok(last["id"].as_str().context("an id")?.to_owned())
}
