//! `lakechat simulate` passes at a server that keeps what it promises, also if it is killed.

use integration_tests::simulation::{Simulation, simulate};
use integration_tests::{Server, within};

use crate::MODE;

#[tokio::test]
async fn ten_seconds_of_people_who_come_and_go_pass() {
    let server = Server::start(MODE).await;
    let people = [
        "--users=12",
        "--rate=40",
        "--duration=10s",
        "--ramp=1s",
        "--stay=3s",
        "--away=1s",
    ];
    let ended = within(simulate(&[&server.url()], &people)).await;
    let report = ended.passed();
    assert!(report["messages"]["sent"].as_u64() > Some(100), "{report}");
    assert!(
        report["messages"]["came_back"].as_u64() > Some(5),
        "{report}"
    );
    assert_eq!(report["messages"]["sent"], report["messages"]["acked"]);
    assert!(
        report["latency_ms"]["ack"]["p99"].as_f64() > Some(0.0),
        "{report}"
    );
}

#[tokio::test]
async fn server_that_is_killed_in_the_middle_loses_nothing_and_people_are_back_in_time() {
    let mut server = Server::start(MODE).await;
    let kill = format!("--kill=kill -9 {}", server.id());
    let people = [
        "--users=12",
        "--rate=40",
        "--duration=8s",
        "--ramp=1s",
        "--stay=0s",
        "--kill-at=3s",
        &kill,
    ];
    let url = server.url();
    let simulation = Simulation::begin(&[&url], &people);
    server.ended().await;
    server.restart().await;
    let ended = within(simulation.ended()).await;
    let report = ended.passed();
    assert_eq!(
        report["kills"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
    let kill = &report["kills"][0];
    let cut = &kill["cut"];
    assert!(cut.as_u64() > Some(0), "{report}");
    assert_eq!(report["latency_ms"]["reconnect"]["count"], *cut, "{report}");
    assert!(kill["all_back_after"].as_f64() > Some(0.0), "{report}");
    let printed = &ended.printed;
    assert!(
        printed.contains(" people cut, all back after "),
        "{printed}"
    );
}
