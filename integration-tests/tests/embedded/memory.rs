//! Clients that ask for much and take nothing don't fill the server's memory.

use integration_tests::{Person, Server, Ws, ws::send_frame};
use serde_json::json;

const SETTINGS: [(&str, &str); 2] = [
    ("LAKECHAT_CHAT__TAIL_BYTES", "1048576"),
    ("LAKECHAT_CHAT__READ_BYTES", "16777216"),
];

const CHANNELS: usize = 16;
const MESSAGES: usize = 100;
const TEXT_BYTES: usize = 16_000;
const SESSIONS: usize = 24;

/// 16 MiB of `chat.read_bytes`, what is queued and buffered for 24 sessions, and room to spare.
/// Without a limit the sessions would hold 600 MB.
const MOST_KIB: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumes_and_pages_that_nobody_takes_stay_within_their_memory() {
    let server = Server::with(crate::MODE, &SETTINGS).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let eve = Person::register(&server, "eve").await;
    let text = "x".repeat(TEXT_BYTES);
    for c in 0..CHANNELS {
        let name = format!("c-{c}");
        ann.create_channel(&server, &name).await;
        let mut ws = ann.joined(&server, &name).await;
        for n in 0..MESSAGES {
            ws.feed(send_frame(&name, &format!("a-{n}"), &text)).await;
        }
        ws.flush().await;
        ws.messages(MESSAGES).await;
        // The tail is too small for what history doesn't have.
        let mut last = send_frame(&name, "last", "stored");
        last["ack"] = json!("persisted");
        ws.ask(last).await;
        ws.close().await;
    }
    let before = server.rss_kib();
    let mut hostile = Vec::new();
    for n in 0..SESSIONS {
        let person = [&ann, &bob][n % 2];
        let mut ws = Ws::connect_narrow(server.address(), person.token()).await;
        for c in 0..CHANNELS {
            let channel = format!("c-{c}");
            ws.send(json!({"type": "join", "channel": channel, "after": "0"}))
                .await;
        }
        for _ in 0..4 {
            let ask = json!({"type": "history", "channel": "c-0", "after": "0", "limit": 200});
            ws.send(ask).await;
        }
        hostile.push(ws);
    }
    // Others get their memory all the same.
    let mut ws = eve.connect(&server).await;
    ws.join("c-1", Some("0")).await;
    ws.messages(MESSAGES).await;
    let mut most = 0;
    integration_tests::eventually("the first one is given up", async || {
        most = most.max(server.rss_kib().saturating_sub(before));
        server.http().metric("lakechat_slow_consumers_total").await
    })
    .await;
    assert!(most < MOST_KIB, "{most} KiB");
    drop(hostile);
}
