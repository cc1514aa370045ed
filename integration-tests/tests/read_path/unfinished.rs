//! A channel whose creation has not ended: its row is there, the record of its owner isn't.

use integration_tests::{eventually, within};
use lakechat_core::domain::{Channel, ChannelKind, Code, Role, UserName};
use serde_json::Value;

use crate::client::Client;
use crate::fickle::Publishing;
use crate::stage::Stage;

/// Joins a channel; the answer.
async fn join(client: &mut Client, channel: &str) -> Value {
    assert!(client.join(channel, None).await);
    within(client.next()).await.expect("it lives")
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_channel_is_found_by_nobody_and_finished_by_its_creator_alone() {
    let mut stage = Stage::set().await;
    let server = &stage.server;
    let bob = UserName::parse("bob").expect("a plain name");
    let token = server.register(&bob).await.expose().clone();
    let mut bobs = Client::connect(server, &token, 1 << 16).await;
    // As after a kill between the row and the record.
    let name = lakechat_core::domain::ChannelName::parse("team").expect("a plain name");
    let row = Channel {
        name: name.clone(),
        kind: ChannelKind::Public,
        creator: Some(stage.ann.clone()),
        created_at_ms: server.broker.now_ms(),
        topic: None,
        archived: None,
    };
    server.directory.channels.create(&row).await.expect("made");

    for client in [&mut bobs, &mut stage.client] {
        let refused = join(client, "team").await;
        assert_eq!(refused["error"]["code"], "channel_not_found", "{refused}");
    }
    let chat = &stage.server.chat;
    let rival = chat.create_channel(&bob, "team", None).await;
    assert_eq!(rival.expect_err("it is ann's").code, Code::ChannelExists);
    let finished = chat.create_channel(&stage.ann, "team", None).await;
    assert_eq!(finished.expect("finished").role, Some("owner"));
    assert_eq!(join(&mut bobs, "team").await["type"], "joined");
    let channel = chat.find("team").await.expect("it is there");
    assert_eq!(channel.read(|r| r.role(&bob)), Role::Member);
    stage.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_who_joins_while_the_channel_is_being_created_stays_its_owner() {
    let mut stage = Stage::set().await;
    stage.server.fickle.set_publishing(Publishing::IsHeld);
    let (chat, ann) = (stage.server.chat.clone(), stage.ann.clone());
    let creating =
        tokio::spawn(async move { chat.create_channel(&ann, "team", None).await.map(drop) });
    eventually("the owner's record is on its way", async || {
        (stage.server.fickle.held() == 1).then_some(())
    })
    .await;
    let early = join(&mut stage.client, "team").await;
    assert_eq!(early["error"]["code"], "channel_not_found", "{early}");
    stage.server.fickle.release();
    let created = within(creating).await.expect("no panic");
    created.expect("created");
    assert_eq!(join(&mut stage.client, "team").await["type"], "joined");
    let channel = stage.server.chat.find("team").await.expect("it is there");
    assert_eq!(channel.read(|r| r.role(&stage.ann)), Role::Owner);
    stage.server.stop().await;
}
