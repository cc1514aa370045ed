//! Several servers of one cluster: nobody notices which one they are on.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use integration_tests::bytes::sha256;
use integration_tests::cluster::Cluster;
use integration_tests::conversation::Run;
use integration_tests::traffic::Traffic;
use integration_tests::tus::{Tus, content};
use integration_tests::ws::send_frame;
use integration_tests::{Person, Server, Ws, eventually, on_kafka, within};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

const ROUNDS: usize = 1_000;

/// Longer than a record may have been on its way, which is 60 s.
const STANDSTILL: Duration = Duration::from_secs(90);

/// Sends that a server is given before it stands still, and while it does: what comes of them fits the
/// queue of a session that does not read.
const UNDER_WAY: usize = 400;
const UNREAD: usize = 50;

async fn two() -> (Arc<Cluster>, Server, Server) {
    let cluster = Cluster::fresh().await.expect("a part of the stack");
    let a = Server::of(&cluster, &[("LAKECHAT_SERVER__ID", "a")]).await;
    let b = Server::of(&cluster, &[("LAKECHAT_SERVER__ID", "b")]).await;
    (cluster, a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_two_servers_end_with_the_state_of_history() {
    let (_cluster, a, b) = two().await;
    let mut run = Run::new(&a).await;
    run.act(&[&a, &b]).await;
    run.agrees(&[&a, &b]).await;
}

fn texts(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|m| m["text"].as_str().expect("a text"))
        .collect()
}

#[tokio::test]
async fn people_on_different_servers_talk_and_see_who_is_there() {
    let (_cluster, a, b) = two().await;
    let ann = Person::register(&a, "ann").await;
    let bob = Person::register(&b, "bob").await;
    let mut at_a = ann.joined(&a, "general").await;
    let mut at_b = bob.joined(&b, "general").await;
    let first = at_a.say("general", "a-1", "hi bob").await;
    let seen = at_b.of_type("message").await;
    assert_eq!(
        (&seen["id"], &seen["text"]),
        (&first["id"], &json!("hi bob"))
    );
    let second = at_b.say("general", "b-1", "hi ann").await;
    assert!(second["id"].as_str() > first["id"].as_str());

    for server in [&a, &b] {
        eventually("both are seen, each with their server", async || {
            let path = "/channels/general/presence";
            let answer = server
                .http()
                .get(path, ann.token())
                .await
                .expect(200)
                .json();
            let of = |n: usize| {
                let member = &answer["members"][n];
                (
                    member["user"].clone(),
                    member["sessions"][0]["server"].clone(),
                )
            };
            let both = [(json!("ann"), json!("a")), (json!("bob"), json!("b"))];
            ([of(0), of(1)] == both && answer["degraded"] == false).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_on_one_server_has_what_the_other_has_just_acked() {
    let (_cluster, a, b) = two().await;
    let ann = Person::register(&a, "ann").await;
    let mut ws = ann.joined(&a, "general").await;
    for n in 0..ROUNDS {
        let ack = ws.say("general", &format!("a-{n}"), &n.to_string()).await;
        let newest = "/channels/general/messages?limit=1";
        let page = b.http().get(newest, ann.token()).await.expect(200).json();
        assert_eq!(page["messages"][0]["id"], ack["id"], "round {n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_msg_id_sent_to_both_servers_at_once_is_one_message() {
    let (_cluster, a, b) = two().await;
    let ann = Person::register(&a, "ann").await;
    let mut sessions = [
        ann.joined(&a, "general").await,
        ann.joined(&b, "general").await,
    ];
    for n in 0..ROUNDS {
        let frame = send_frame("general", &format!("a-{n}"), &n.to_string());
        let [at_a, at_b] = &mut sessions;
        let (first, second) = tokio::join!(at_a.ask(frame.clone()), at_b.ask(frame));
        assert_eq!(
            (&first["type"], &second["type"]),
            (&json!("ack"), &json!("ack")),
            "round {n}"
        );
        assert_eq!(first["id"], second["id"], "round {n}: {first} {second}");
    }
    let said = ann.history(&b, "general").await;
    let expected: Vec<_> = (0..ROUNDS).map(|n| n.to_string()).collect();
    assert_eq!(texts(&said), expected);
}

#[tokio::test]
async fn resume_on_the_other_server_brings_exactly_what_was_missed() {
    let (_cluster, a, b) = two().await;
    let ann = Person::register(&a, "ann").await;
    let bob = Person::register(&a, "bob").await;
    let mut at_a = bob.joined(&a, "general").await;
    let mut speaker = ann.joined(&b, "general").await;
    speaker.say("general", "a-0", "0").await;
    let seen = at_a.of_type("message").await;
    drop(at_a);
    for n in 1..500 {
        speaker
            .say("general", &format!("a-{n}"), &n.to_string())
            .await;
    }
    let mut at_b = Ws::connect(b.address(), bob.token()).await;
    let joined = at_b.join("general", seen["id"].as_str()).await;
    assert_eq!(joined["resumed"], true);
    speaker.say("general", "a-500", "500").await;
    let missed = at_b.messages(500).await;
    let expected: Vec<_> = (1..=500).map(|n| n.to_string()).collect();
    assert_eq!(texts(&missed), expected);
}

#[tokio::test]
async fn sessions_of_a_killed_server_leave_presence_by_their_deadline() {
    let cluster = Cluster::fresh().await.expect("a part of the stack");
    let deadline = ("LAKECHAT_REDIS__PRESENCE_DEADLINE_MS", "3000");
    let mut a = Server::of(&cluster, &[deadline]).await;
    let b = Server::of(&cluster, &[deadline]).await;
    let ann = Person::register(&a, "ann").await;
    let _at_a = ann.joined(&a, "general").await;
    let present = async || {
        let path = "/channels/general/presence";
        let answer = b.http().get(path, ann.token()).await.expect(200).json();
        answer["members"].as_array().expect("members").len()
    };
    eventually("b sees her", async || (present().await == 1).then_some(())).await;
    a.kill_9().await;
    let killed = Instant::now();
    eventually("she is gone", async || (present().await == 0).then_some(())).await;
    let after = killed.elapsed();
    assert!(
        after < Duration::from_millis(3_000 + 5_000),
        "after {after:?}"
    );
}

#[tokio::test]
async fn a_clean_stop_leaves_only_the_installation_in_redis() {
    let (cluster, mut a, mut b) = two().await;
    let ann = Person::register(&a, "ann").await;
    let _at_a = ann.joined(&a, "general").await;
    let _at_b = ann.joined(&b, "general").await;
    let keys = async || {
        let pattern = format!("{}*", cluster.redis_prefix);
        let listed = tokio::process::Command::new("redis-cli")
            .args(["keys", &pattern])
            .output();
        String::from_utf8(listed.await.expect("redis-cli").stdout).expect("text")
    };
    eventually("both sessions are known", async || {
        (keys().await.matches("session:").count() == 2).then_some(())
    })
    .await;
    for server in [&mut a, &mut b] {
        assert_eq!(server.stop().await.code(), Some(0));
    }
    assert_eq!(keys().await.trim(), cluster.owner_key());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_stood_still_in_mid_send_loses_doubles_and_reorders_nothing() {
    let (cluster, a, b) = two().await;
    let ann = Person::register(&a, "ann").await;
    ann.create_channel(&a, "ops").await;
    let traffic = Traffic::begin(&[&a, &b], 4, Duration::from_millis(50)).await;
    let mut at_a = ann.joined(&a, "ops").await;
    say_without_waiting(&mut at_a, 0..UNDER_WAY).await;
    at_a.of_type("ack").await;
    a.pause().await;
    say_without_waiting(&mut at_a, UNDER_WAY..UNDER_WAY + UNREAD).await;

    let mut at_b = ann.joined(&b, "ops").await;
    let mut acked = Vec::new();
    let mut known = 0;
    for n in 0..UNDER_WAY + UNREAD {
        let ack = at_b.say("ops", &format!("a-{n}"), &n.to_string()).await;
        known += usize::from(ack["duplicate"] == true);
        acked.push(ack["id"].clone());
    }
    assert!(known > 0, "what was acked before is known");
    // A standstill is what this test is about; nothing tells its end.
    tokio::time::sleep(STANDSTILL).await;
    write_late(&cluster).await;
    let went_on = Instant::now();
    a.signal(Signal::CONT);
    assert_eq!(at_a.closed().await.code, Some(4002), "closed unread");
    a.ready().await;
    let mut again = ann.joined(&a, "ops").await;
    let last = again.say("ops", "a-last", "last").await;
    println!("acks again {:.1?} after it went on", went_on.elapsed());
    acked.push(last["id"].clone());
    for server in [&a, &b] {
        let said = ann.history(server, "ops").await;
        let ids: Vec<_> = said.iter().map(|m| m["id"].clone()).collect();
        assert_eq!(ids, acked, "each once, in the order of the first tries");
    }
    let messages = within(traffic.settle(&[&a, &b])).await;
    let late = r#"lakechat_records_total{verdict="late"}"#;
    let late = b.http().metric(late).await.expect("the one at least");
    println!("{known} of {UNDER_WAY} sends had got through, {late} came late and are void");
    println!("{messages} messages of others, each once");
}

/// A send that its server took before it stood still and that reaches the log only after. Whether one of the
/// server's own does is chance.
async fn write_late(cluster: &Cluster) {
    let now_ms = UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let record = json!({
        "v": 1, "kind": "message", "channel": "ops", "private": false, "sender": "ann",
        "client_msg_id": "a-late", "digest": "0123456789abcdef", "text": "too late",
        "received_at": u64::try_from(now_ms - STANDSTILL.as_millis()).expect("a time"),
    });
    let topic = cluster.topics.messages();
    let written = on_kafka::write(&topic, "ops", &record.to_string()).await;
    written.expect("Kafka takes it");
}

async fn say_without_waiting(ws: &mut Ws, texts: std::ops::Range<usize>) {
    for n in texts {
        let frame = send_frame("ops", &format!("a-{n}"), &n.to_string());
        ws.feed(frame).await;
    }
    ws.flush().await;
}

#[tokio::test]
async fn upload_goes_on_at_another_server_when_the_first_is_killed_half_way() {
    const MIB: usize = 1 << 20;
    let cluster = Cluster::fresh().await.expect("a part of the stack");
    let one_mib = [("LAKECHAT_FILES__PART_BYTES", "1048576")];
    let mut a = Server::of(&cluster, &one_mib).await;
    let b = Server::of(&cluster, &one_mib).await;
    let ann = Person::register(&a, "ann").await;
    let (at_a, at_b) = (Tus::new(&a, &ann), Tus::new(&b, &ann));
    let bytes = content(4 * MIB);
    let path = at_a.create("f", bytes.len() as u64).await;
    let half = 2 * MIB + MIB / 2;
    let _open = at_a.begin(&path, 0, bytes.len(), &bytes[..half]).await;
    eventually("two parts are stored", async || {
        (at_b.offset(&path).await >= 2 * MIB as u64).then_some(())
    })
    .await;
    a.kill_9().await;
    let offset = Tus::new(&b, &ann).offset(&path).await as usize;
    assert!((2 * MIB..half).contains(&offset), "{offset}");
    let rest = at_b
        .append(&path, offset as u64, bytes[offset..].to_vec())
        .await;
    rest.expect(204);
    assert_eq!(
        sha256(&at_b.download(&path).await.expect(200).body),
        sha256(&bytes)
    );
}
