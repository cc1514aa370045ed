//! The archive of very many messages.

use anyhow::Result;
use integration_tests::cluster::Cluster;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, archive};

/// Messages that are sent, by so many people.
const MESSAGES: usize = 100_000;
const PEOPLE: usize = 10;
/// Frames that one of them has on the way.
const WINDOW: usize = 50;

async fn talk(server: &Server) {
    let mut talking = Vec::new();
    for person in 0..PEOPLE {
        let name = format!("p{person}");
        let person = Person::register(server, &name).await;
        let channel = format!("c{}", name.len() + name.as_bytes()[1] as usize % 3);
        let created = serde_json::json!({"name": channel, "kind": "public"});
        // Whoever is first makes it.
        let _ = server
            .http()
            .post("/channels", person.token(), created)
            .await;
        let mut ws = person.joined(server, &channel).await;
        talking.push(tokio::spawn(async move {
            let (mut sent, mut acked) = (0, 0);
            while acked < MESSAGES / PEOPLE {
                while sent < MESSAGES / PEOPLE && sent - acked < WINDOW {
                    let text = format!("{name} says {sent}: é “quoted” \\ and\ttab");
                    let mut frame = send_frame(&channel, &format!("{name}-{sent}"), &text);
                    frame["ref"] = (sent as u64 + 1_000_000).into();
                    ws.feed(frame).await;
                    sent += 1;
                }
                ws.flush().await;
                ws.until(|frame| frame["type"] == "ack").await;
                acked += 1;
            }
        }));
    }
    for talk in talking {
        talk.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_the_log_message_by_message() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let server = Server::of(&cluster, &[]).await;
    talk(&server).await;
    archive::is_complete(&server).await;
    assert_eq!(archive::rows_are_the_log(&cluster)?, MESSAGES);
    Ok(())
}
