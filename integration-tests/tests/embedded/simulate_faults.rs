//! `lakechat simulate` finds a server that does something wrong with a single message, and names it; and
//! what else its report tells.

use integration_tests::fault_proxy::{FaultProxy, Wrong};
use integration_tests::simulation::{Simulation, simulate};
use integration_tests::{Server, eventually, within};

use crate::MODE;

/// Runs people behind a proxy that spoils one message; what the report says first.
async fn found(wrong: Wrong) -> (String, serde_json::Value) {
    let server = Server::start(MODE).await;
    let proxy = FaultProxy::start(server.address(), wrong, 100).await;
    let people = [
        "--users=5",
        "--channels=1",
        "--rate=50",
        "--duration=4s",
        "--ramp=500ms",
        "--stay=0s",
        "--settle=2s",
    ];
    let ended = within(simulate(&[&proxy.url()], &people)).await;
    let report = ended.failed();
    let kinds = report["faults"].as_object().expect("an object").len();
    assert_eq!(
        (kinds, report["failures_count"].as_u64()),
        (1, Some(0)),
        "{report}"
    );
    let first = report["first"].as_str().expect("a text");
    (first.to_owned(), proxy.spoiled())
}

async fn is_found_and_named(wrong: Wrong, kind: &str) {
    let (first, spoiled) = found(wrong).await;
    assert!(first.starts_with(kind), "{first}");
    for key in ["client_msg_id", "sender", "channel", "id"] {
        let value = spoiled[key].as_str().expect("a text");
        assert!(first.contains(value), "{key} {value}: {first}");
    }
}

#[tokio::test]
async fn lost_message_is_found() {
    is_found_and_named(Wrong::Lose, "lost: ").await;
}

#[tokio::test]
async fn doubled_message_is_found() {
    is_found_and_named(Wrong::Double, "doubled: ").await;
}

#[tokio::test]
async fn altered_message_is_found() {
    is_found_and_named(Wrong::Alter, "altered: ").await;
}

#[tokio::test]
async fn swapped_messages_are_found() {
    let (first, _) = found(Wrong::Swap).await;
    assert!(first.starts_with("out of order: "), "{first}");
}

#[tokio::test]
async fn limit_that_slows_a_run_down_is_named() {
    let server = Server::with(MODE, &[("LAKECHAT_LIMITS__SENDS_PER_USER", "2")]).await;
    // 25 messages of one person in a second, where 12 are allowed; the seed makes them so many each time.
    let people = [
        "--users=1",
        "--rate=25",
        "--duration=1s",
        "--ramp=0s",
        "--stay=0s",
        "--seed=1",
    ];
    let ended = within(simulate(&[&server.url()], &people)).await;
    let report = ended.passed();
    assert_eq!(
        report["delays"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
    let printed = &ended.printed;
    assert!(
        printed.contains("raise limits.sends_per_user on the server"),
        "{printed}"
    );
    // A message that waits for the limit is as late as it is.
    assert!(
        report["latency_ms"]["ack"]["max"].as_f64() > Some(500.0),
        "{report}"
    );
}

#[tokio::test]
async fn interrupted_run_reports_what_it_has_seen() {
    let server = Server::start(MODE).await;
    let people = ["--users=3", "--rate=50", "--duration=1h", "--ramp=0s"];
    let simulation = Simulation::begin(&[&server.url()], &people);
    eventually("people talk", async || {
        let metric = server.http().metric("lakechat_deliveries_total").await;
        metric.filter(|deliveries| *deliveries > 10)
    })
    .await;
    simulation.interrupt();
    let ended = within(simulation.ended()).await;
    let report = ended.passed();
    assert_eq!(report["interrupted"], true, "{report}");
    assert!(
        report["messages"]["received"].as_u64() > Some(10),
        "{report}"
    );
}

#[tokio::test]
async fn people_of_an_earlier_run_log_in_again() {
    let server = Server::start(MODE).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("password");
    std::fs::write(&path, "correct horse\n").expect("ours");
    let password = format!("--password-file={}", path.display());
    let people = [
        "--users=3",
        "--duration=1s",
        "--ramp=0s",
        "--prefix=crowd",
        &password,
    ];
    for _ in 0..2 {
        within(simulate(&[&server.url()], &people)).await.passed();
    }
    let mut again = integration_tests::server::command(&["simulate", &server.url()]);
    let output = within(again.args(["--users=3", "--prefix=crowd"]).output()).await;
    let output = output.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("crowd-1 exists already"), "{told}");
}
