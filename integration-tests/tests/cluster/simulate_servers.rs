//! `lakechat simulate` at two servers, of which one is killed for good.

use integration_tests::cluster::Cluster;
use integration_tests::simulation::simulate;
use integration_tests::{Server, within};

#[tokio::test]
async fn people_of_a_server_that_is_killed_go_on_at_the_other_and_miss_nothing() {
    let cluster = Cluster::fresh().await.expect("a part of the services");
    let a = Server::of(&cluster, &[]).await;
    let b = Server::of(&cluster, &[]).await;
    let kill = format!("--kill=kill -9 {}", a.id());
    let people = [
        "--users=12",
        "--rate=30",
        "--duration=8s",
        "--ramp=1s",
        "--stay=5s",
        "--kill-at=4s",
        &kill,
    ];
    let ended = within(simulate(&[&a.url(), &b.url()], &people)).await;
    let report = ended.passed();
    let cut = report["kills"][0]["cut"].as_u64();
    assert!(
        (1..=6).contains(&cut.expect("a number")),
        "only those at a: {report}"
    );
    assert!(
        report["kills"][0]["all_back_after"].as_f64() > Some(0.0),
        "{report}"
    );
}
