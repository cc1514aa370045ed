//! Who archives a partition: the server that claims it, or another one if that leaves it alone.

use integration_tests::eventually;
use lakechat_core::domain::{ChannelName, Partition};
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::history::Mark;
use serde_json::json;
use tempfile::TempDir;

use crate::marks::{SHAPE, channels, publish_ten};
use crate::server::Server;
use crate::stage::Stage;

const HERE: Partition = Partition(0);

/// Fewer readings of the marks than it takes until a server stands in, and more than that.
const TOO_FEW: u32 = 14;
const ENOUGH: u32 = 21;

/// A server whose partition 0 another one claims.
struct Scene {
    server: Server,
    channel: ChannelName,
    _folder: TempDir,
}

impl Scene {
    async fn set() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path(), &SHAPE).await;
        server.fickle.set_claims(&[Partition(1)]);
        server.settle().await;
        let [channel, _] = channels(&server);
        Scene {
            server,
            channel,
            _folder: folder,
        }
    }

    async fn ten_more(&self) {
        publish_ten(&self.server, &self.channel);
        self.server.settle().await;
    }

    /// What upkeep does once a second.
    async fn read_marks(&self, times: u32) {
        for _ in 0..times {
            let read = self.server.chat.check_history().await;
            read.expect("readable");
        }
        self.server.settle().await;
    }

    fn archived(&self) -> Offset {
        self.server.log.mark(HERE).offset
    }

    async fn is_stored(&self) {
        let end = self.server.ends().await[0];
        // Upkeep goes on reading meanwhile.
        let stored = async || {
            self.read_marks(1).await;
            (self.archived() == end).then_some(())
        };
        eventually("everything is stored", stored).await;
    }
}

/// With one thread, so that every task that can go on has done so whenever the test goes on.
#[tokio::test]
async fn server_stands_in_for_one_that_does_not_store_what_it_claims() {
    let scene = Scene::set().await;
    scene.ten_more().await;
    scene.read_marks(TOO_FEW).await;
    assert_eq!(scene.archived(), 0);
    scene.read_marks(ENOUGH - TOO_FEW).await;
    scene.is_stored().await;
    // From here on it is as fast as the one that claims it.
    scene.ten_more().await;
    scene.is_stored().await;
    scene.server.stop().await;
}

#[tokio::test]
async fn server_stops_standing_in_once_somebody_else_stores() {
    let scene = Scene::set().await;
    scene.ten_more().await;
    scene.read_marks(ENOUGH).await;
    scene.is_stored().await;

    scene.server.history.set_open(false);
    scene.ten_more().await;
    let end = scene.server.ends().await[0];
    let last = scene.server.log.lock(HERE).tail.last_below(end).cloned();
    let last = last.expect("ten are there");
    let elsewhere = Mark {
        offset: end,
        id: last.id,
        time_ms: last.append_ms,
    };
    let written = scene.server.history.inner.advance_mark(HERE, elsewhere);
    written.await.expect("written");
    scene.read_marks(1).await;
    scene.server.history.set_open(true);
    scene.ten_more().await;
    scene.read_marks(TOO_FEW).await;
    assert_eq!(scene.archived(), end);
    scene.read_marks(ENOUGH - TOO_FEW).await;
    scene.is_stored().await;
    scene.server.stop().await;
}

#[tokio::test]
async fn nobody_stands_in_while_history_is_unavailable() {
    let scene = Scene::set().await;
    scene.ten_more().await;
    for _ in 0..3 {
        scene.read_marks(TOO_FEW).await;
        let away = crate::gate::away("history");
        let told = scene.server.log.learn_marks(Err(away));
        told.expect_err("it is passed on");
        scene.server.settle().await;
    }
    assert_eq!(scene.archived(), 0);
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panic_of_an_archiver_is_reported_until_its_partition_moves() {
    let mut stage = Stage::set().await;
    stage.server.history.panic_at_writes();
    stage.send(1, "x", json!({})).await;
    let log = stage.server.log.clone();
    let reason = eventually("it is reported", async || log.archive_stopped()).await;
    assert!(reason.contains("panicked"), "{reason}");
    stage.server.fickle.set_claims(&[]);
    let is_well = async || log.archive_stopped().is_none().then_some(());
    eventually("it is another server's", is_well).await;
    stage.server.stop().await;
}
