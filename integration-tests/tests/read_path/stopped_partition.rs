//! A partition that stops on this server takes its own sessions along, and nothing else.

use integration_tests::{eventually, within};
use lakechat_core::chat::PartHealth;
use lakechat_core::domain::{ChannelName, Partition, UserName};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::marks::{SHAPE, channels, publish_ten};
use crate::server::Server;
use crate::stage::Stage;

/// A server with a channel in each of its two partitions, and Ann's token.
struct Scene {
    server: Server,
    channels: [ChannelName; 2],
    ann: UserName,
    token: String,
    _folder: TempDir,
}

impl Scene {
    async fn set() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &SHAPE).await;
        let channels = channels(&server);
        for channel in &channels {
            server.make_channel(channel).await;
        }
        let ann = UserName::parse("ann").expect("a plain name");
        let token = server.register(&ann).await.expose().clone();
        Scene {
            server,
            channels,
            ann,
            token,
            _folder: folder,
        }
    }

    async fn connect(&self) -> Client {
        Client::connect(&self.server, &self.token, 1 << 16).await
    }

    async fn joined(&self, channel: &ChannelName) -> Client {
        let mut client = self.connect().await;
        client.join(channel.as_str(), None).await;
        let joined = within(client.next()).await.expect("it lives");
        assert_eq!(joined["type"], "joined", "{joined}");
        client
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_stopped_partition_are_closed_and_the_others_go_on() {
    let scene = Scene::set().await;
    let [stops, goes_on] = &scene.channels;
    let mut closed = scene.joined(stops).await;
    let mut open = scene.joined(goes_on).await;
    scene.server.fickle.stop_reading(Partition(0));
    let closing = within(closed.next()).await.expect("it is told");
    assert_eq!(
        closing,
        json!({"type": "closing", "code": 4000, "reason": "internal_error"})
    );
    assert_eq!(within(closed.next()).await, None);
    publish_ten(&scene.server, goes_on);
    for n in 0..10 {
        let message = within(open.next()).await.expect("it lives");
        assert_eq!(message["text"], n.to_string(), "{message}");
    }
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_stay_whole_and_say_that_a_part_stands_still() {
    let scene = Scene::set().await;
    let [stops, goes_on] = &scene.channels;
    drop(scene.joined(stops).await);
    drop(scene.joined(goes_on).await);
    let chat = &scene.server.chat;
    let own = chat
        .channels_of(&scene.ann, None, 10)
        .await
        .expect("readable");
    assert!(!own.degraded && chat.health().broker == PartHealth::Up);

    scene.server.fickle.stop_reading(Partition(0));
    let degraded = async || match chat.health().broker {
        PartHealth::Degraded(reason) => Some(reason),
        _ => None,
    };
    let reason = eventually("it is degraded", degraded).await;
    assert_eq!(reason, "partition 0: log failed: its offset is gone");
    let own = chat
        .channels_of(&scene.ann, None, 10)
        .await
        .expect("readable");
    assert!(own.degraded);
    let listed = chat.list_channels(&scene.ann, None, 10).await;
    let listed = listed.expect("readable");
    assert!(listed.degraded);
    let names = |all: &[lakechat_core::chat::ChannelObject]| -> Vec<ChannelName> {
        all.iter().map(|channel| channel.name.clone()).collect()
    };
    let mut both = scene.channels.to_vec();
    both.sort();
    assert_eq!(names(&own.channels), both);
    assert_eq!(names(&listed.channels), both);
    assert!(listed.channels.iter().all(|channel| channel.role.is_some()));

    let mut client = scene.connect().await;
    let welcome = within(client.welcome()).await;
    assert_eq!(welcome["degraded"], json!(["broker"]), "{welcome}");
    assert_eq!(welcome["channels"].as_array().map(Vec::len), Some(2));
    client.join(stops.as_str(), None).await;
    let refused = within(client.next()).await.expect("it lives");
    assert_eq!(refused["error"]["code"], "history_unavailable", "{refused}");
    let text = refused["error"]["message"].as_str().expect("a text");
    assert!(
        text.contains("stopped reading this channel's part"),
        "{text}"
    );
    client.join(goes_on.as_str(), Some("0".into())).await;
    let joined = within(client.next()).await.expect("it lives");
    assert_eq!(joined["type"], "joined", "{joined}");
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_down_when_all_of_its_partitions_are_stopped() {
    let scene = Scene::set().await;
    let log = &scene.server.log;
    log.stop(Partition(0), "for a test".into());
    let health = || scene.server.chat.health().broker;
    assert!(matches!(health(), PartHealth::Degraded(_)));
    log.stop(Partition(1), "for a test".into());
    let PartHealth::Down(reason) = health() else {
        panic!("{:?}", health());
    };
    assert_eq!(
        reason,
        "partition 0: for a test (2 of 2 partitions are stopped)"
    );
    scene.server.stop().await;
}

/// The part that `welcome` blames for missing channels.
async fn blamed(stage: &Stage) -> Value {
    let mut client = Client::connect(&stage.server, &stage.token, 1 << 16).await;
    let welcome = within(client.welcome()).await;
    assert_eq!(welcome.get("channels"), None, "{welcome}");
    welcome["degraded"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn welcome_names_the_part_that_its_channels_are_missing_for() {
    let stage = Stage::set().await;
    stage.server.fickle.set_telling_ends(false);
    assert_eq!(blamed(&stage).await, json!(["broker"]));
    stage.server.fickle.set_telling_ends(true);
    stage.server.history.set_readable(false);
    assert_eq!(blamed(&stage).await, json!(["history"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_that_is_off_is_reported_with_its_skew() {
    let mut stage = Stage::set().await;
    let mut health = Vec::new();
    for (n, ahead_ms) in [(1, 0), (2, 20_000), (3, 70_000), (4, 0)] {
        stage.server.fickle.set_skew_ms(ahead_ms);
        stage.send(n, &format!("k-{n}"), json!({})).await;
        stage.answer().await;
        health.push(stage.server.chat.health().broker);
    }
    let [
        PartHealth::Up,
        PartHealth::Degraded(warned),
        PartHealth::Down(down),
        PartHealth::Up,
    ] = health.as_slice()
    else {
        panic!("{health:?}");
    };
    for (text, figures) in [(warned, ["19.", "20."]), (down, ["69.", "70."])] {
        let has_figure = figures.iter().any(|figure| text.contains(figure));
        assert!(has_figure && text.contains("s behind the log's"), "{text}");
    }
}
