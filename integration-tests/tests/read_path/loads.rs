//! What callers want at the same time is loaded once, and one list doesn't load everything at a time.

use futures_util::future::join_all;
use futures_util::poll;
use integration_tests::{eventually, within};
use lakechat_core::chat::log::record::Body;
use lakechat_core::domain::{ChannelName, Code, Role, UserName};
use tempfile::TempDir;

use crate::server::Server;
use crate::stage::Stage;

/// Channels at a time that a list of a user's channels may load.
const LOADS_AT_ONCE: usize = 8;

struct Loads {
    server: Server,
    ann: UserName,
    _folder: TempDir,
}

impl Loads {
    /// A server with Ann's channels, none of them loaded.
    async fn of(channels: &[ChannelName]) -> Loads {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &Stage::shape(1 << 20)).await;
        let ann = UserName::parse("ann").expect("a plain name");
        for channel in channels {
            server.make_channel(channel).await;
            let member = Body::Member {
                user: ann.clone(),
                role: Role::Member,
            };
            server.publish(channel, &ann, None, member, 0);
        }
        server.settle().await;
        Loads {
            server,
            ann,
            _folder: folder,
        }
    }

    async fn wait_for_lookups(&self, count: usize) {
        let channels = &self.server.channels;
        let waiting = async || (channels.waiting() == count).then_some(());
        eventually("the look-ups wait", waiting).await;
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).expect("a plain name")
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_that_many_open_at_the_same_time_is_loaded_once() {
    let loads = Loads::of(&[name("ops")]).await;
    let server = &loads.server;
    server.channels.set_open(false);
    let (found_before, reads_before) = (server.channels.found(), server.history.reads());
    let mut finding = Box::pin(join_all((0..200).map(|_| server.chat.find("ops"))));
    assert!(poll!(&mut finding).is_pending());
    loads.wait_for_lookups(1).await;
    server.channels.set_open(true);
    for found in within(finding).await {
        let found = found.expect("it exists");
        assert!(found.read(|roster| roster.is_member(&loads.ann)));
    }
    assert_eq!(server.channels.found() - found_before, 1);
    // Its state, and one page of members.
    assert_eq!(server.history.reads() - reads_before, 2);
    loads.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_that_was_just_created_is_found_while_an_older_load_is_under_way() {
    let loads = Loads::of(&[]).await;
    let server = &loads.server;
    server.channels.set_open(false);
    let mut early = Box::pin(server.chat.find("fresh"));
    assert!(poll!(&mut early).is_pending());
    loads.wait_for_lookups(1).await;
    server.make_channel(&name("fresh")).await;
    let mut late = Box::pin(server.chat.find("fresh"));
    assert!(poll!(&mut late).is_pending());
    assert_eq!(server.channels.waiting(), 1, "it joins the load");
    server.channels.set_open(true);
    let missing = within(early).await.err();
    assert_eq!(missing.map(|p| p.code), Some(Code::ChannelNotFound));
    within(late).await.expect("it exists");
    loads.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_a_users_channels_loads_a_few_at_a_time_and_shares_them_with_other_lists() {
    let names: Vec<_> = (0..30).map(|n| name(&format!("c{n:02}"))).collect();
    let loads = Loads::of(&names).await;
    let server = &loads.server;
    server.channels.set_open(false);
    let before = server.channels.found();
    let list = || {
        let (chat, ann) = (server.chat.clone(), loads.ann.clone());
        tokio::spawn(async move { chat.channels_of(&ann, None, 100).await })
    };
    let lists: Vec<_> = (0..20).map(|_| list()).collect();
    loads.wait_for_lookups(LOADS_AT_ONCE).await;
    server.channels.set_open(true);
    for listed in within(join_all(lists)).await {
        let listed = listed.expect("no panic").expect("listed").channels;
        let listed: Vec<_> = listed.into_iter().map(|channel| channel.name).collect();
        assert_eq!(listed, names, "all, in order");
    }
    assert_eq!(server.channels.found() - before, names.len());
    loads.server.stop().await;
}
