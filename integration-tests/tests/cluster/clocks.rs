//! Servers whose clocks are off.

use anyhow::{Context, Result, ensure};
use integration_tests::cluster::Cluster;
use integration_tests::shifted_clock::ShiftedClock;
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_whose_clock_is_off_says_so_and_is_not_ready_from_a_minute_on() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let clock = ShiftedClock::new()?;
    let env = clock.env();
    let env: Vec<_> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let server = Server::of(&cluster, &env).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    server.part_is("broker", "up").await;

    for (ahead_ms, words) in [
        (20_000, "s ahead of the log's"),
        (-20_000, "s behind the log's"),
    ] {
        clock.set_ms(ahead_ms)?;
        ws.say("general", &ahead_ms.to_string(), "hi").await;
        let reason = server.part_says("broker", words).await;
        let (_, seconds) = reason.split_once("clock is ").context("the skew")?;
        let (seconds, _) = seconds.split_once(" s ").context("in seconds")?;
        let seconds: f64 = seconds.parse()?;
        // At least: less by what the record took.
        ensure!((15.0..=20.0).contains(&seconds), "{reason}");
        let (part, ready) = server.part_is("broker", "degraded").await;
        ensure!(ready, "{part}");
    }

    clock.set_ms(70_000)?;
    let refused = ws.refused(send_frame("general", "late", "hi")).await;
    assert_eq!(refused, "clock_skew");
    let (part, ready) = server.part_is("broker", "down").await;
    ensure!(!ready, "{part}");
    server.http().get("/readyz", "").await.expect(503);

    // Setting it right shows without a message.
    clock.set_ms(0)?;
    let (part, ready) = server.part_is("broker", "up").await;
    ensure!(ready, "{part}");
    ws.say("general", "late", "hi").await;
    Ok(())
}
