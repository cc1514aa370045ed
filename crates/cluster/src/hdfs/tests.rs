//! The rules of the store over HDFS in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::testing::MemoryHdfs;
use super::{HdfsSettings, HdfsStore, OwnedStore, OwnerFile};
use crate::owner::{Installation, Place};
use lakechat_core::domain::FileId;
use lakechat_core::ports::FileStore;

const NOW_MS: u64 = 10_000_000;
const IDLE: Duration = Duration::from_secs(3600);

fn store() -> (HdfsStore, MemoryHdfs) {
    let hdfs = MemoryHdfs::default();
    hdfs.state().now_ms = NOW_MS;
    let settings = HdfsSettings::at("hdfs://memory", "/lake", "a");
    (HdfsStore::over(Arc::new(hdfs.clone()), settings), hdfs)
}

/// The paths of all files but heartbeats.
fn files(hdfs: &MemoryHdfs) -> Vec<String> {
    let files = hdfs.files().into_iter();
    files.filter(|path| !path.ends_with("/alive")).collect()
}

#[tokio::test]
async fn committed_file_is_read_listed_and_removed() {
    let (store, hdfs) = store();
    let id = FileId::random();
    let mut writer = store.create(id.into()).await.expect("a draft");
    for chunk in ["0123456", "789"] {
        writer.write(Bytes::from(chunk)).await.expect("written");
    }
    let path = writer.commit().await.expect("committed");
    assert_eq!(files(&hdfs), [format!("/lake/files/{path}")]);
    let read = store.read(&path, 3, 6).await.expect("open");
    let read: Vec<Bytes> = read.try_collect().await.expect("read");
    assert_eq!(read.concat(), b"345678");
    assert!(store.read(&path, 3, 8).await.is_err());
    for (age, count) in [(Duration::ZERO..IDLE, 1), (IDLE..2 * IDLE, 0)] {
        let listed = store.list(age).await.expect("a list");
        let listed: Vec<_> = listed.try_collect().await.expect("listed");
        assert_eq!(listed.len(), count);
    }
    store.remove(&path).await.expect("removed");
    store.close().await.expect("closed");
    assert_eq!(hdfs.files(), [""; 0]);
}

#[tokio::test]
async fn heartbeat_that_panics_is_a_failed_one_and_the_next_one_counts() {
    let (store, hdfs) = store();
    hdfs.state().panics_at_touch = true;
    // It begins after the store was made, and a failed one is made again for whoever asks.
    store.check().await.expect("the second heartbeat");
    assert!(!hdfs.state().panics_at_touch);
    store.close().await.expect("closed");
}

#[tokio::test]
async fn rename_whose_answer_got_lost_is_a_commit() {
    let (store, hdfs) = store();
    // The folder exists, so that the first rename is the one that succeeds.
    let id = FileId::random();
    let folder = format!("/lake/files/{}", &id.to_string()[..2]);
    hdfs.put(&folder, None, NOW_MS);
    hdfs.state().loses_answer_to_rename = true;
    let writer = store.create(id.into()).await.expect("a draft");
    let path = writer.commit().await.expect("committed");
    assert_eq!(files(&hdfs), [format!("/lake/files/{path}")]);
}

#[tokio::test]
async fn upload_that_is_given_up_leaves_neither_draft_nor_pipeline() {
    let (store, hdfs) = store();
    for commits in [false, true] {
        let mut writer = store
            .create(FileId::random().into())
            .await
            .expect("a draft");
        writer.write(Bytes::from("x")).await.expect("written");
        if commits {
            // Polled once, so that the commit is on its way, and then dropped.
            let commit = tokio::time::timeout(Duration::ZERO, writer.commit());
            if let Ok(committed) = commit.await {
                store
                    .remove(&committed.expect("committed"))
                    .await
                    .expect("removed");
                hdfs.state().ended_pipelines += 1;
            }
        }
    }
    store.close().await.expect("closed");
    assert_eq!(hdfs.files(), [""; 0]);
    assert_eq!(hdfs.state().ended_pipelines, 2);
}

#[tokio::test]
async fn sweep_removes_drafts_of_dead_runs_and_own_ones_without_a_writer() {
    let (store, hdfs) = store();
    let _writer = store
        .create(FileId::random().into())
        .await
        .expect("a draft");
    store.check().await.expect("HDFS accepts writes");
    let open = files(&hdfs);
    let own = open[0].rsplit_once('/').expect("a folder").0.to_owned();
    let old_ms = NOW_MS - IDLE.as_millis() as u64;
    let draft = |run: &str| format!("{run}/{}", FileId::random());
    hdfs.put(&draft(&own), Some(b"left"), old_ms);
    // Its drafts are old, and it has shown that it is alive.
    let (alive, dead) = ("/lake/tmp/b.1", "/lake/tmp/c.1");
    for (run, heartbeat_ms) in [(alive, NOW_MS - 1_000), (dead, old_ms)] {
        hdfs.put(run, None, old_ms);
        hdfs.put(&format!("{run}/alive"), Some(b""), heartbeat_ms);
        hdfs.put(&draft(run), Some(b"x"), old_ms);
        hdfs.put(&draft(run), Some(b"y"), old_ms);
    }
    assert_eq!(store.sweep_drafts(IDLE).await.expect("swept"), 3);
    assert_eq!(store.sweep_drafts(IDLE).await.expect("swept"), 0);
    let left = files(&hdfs);
    assert!(left.contains(&open[0]) && left.len() == 3, "{left:?}");
    assert!(left.iter().filter(|path| path.starts_with(alive)).count() == 2);
}

fn installation(id: u128) -> Installation {
    Installation {
        id: uuid::Uuid::from_u128(id),
        meta_table: "lakechat:meta".to_owned(),
    }
}

#[tokio::test]
async fn store_claims_its_folder_with_the_first_upload() {
    let (store, hdfs) = store();
    let file = OwnerFile::over(Arc::new(hdfs), "/lake");
    let store = OwnedStore::new(store, file.clone(), installation(1));
    assert_eq!(file.owner().await.expect("read"), None);
    let writer = store
        .create(FileId::random().into())
        .await
        .expect("a draft");
    writer.commit().await.expect("committed");
    let owner = file.owner().await.expect("read");
    assert_eq!(owner, Some(installation(1)));
}

#[tokio::test]
async fn store_writes_and_removes_nothing_in_a_folder_of_another_installation() {
    let (store, hdfs) = store();
    let file = OwnerFile::over(Arc::new(hdfs.clone()), "/lake");
    file.claim(&installation(2)).await.expect("claimed");
    store.check().await.expect("the heartbeat is written");
    let id = FileId::random();
    let path = format!("{}/{id}", &id.to_string()[..2]);
    hdfs.put(&format!("/lake/files/{path}"), Some(b"theirs"), NOW_MS);
    let before = hdfs.files();
    let store = OwnedStore::new(store, file.clone(), installation(1));
    for refused in [
        store.create(FileId::random().into()).await.map(drop),
        store.check().await,
        store.sweep_drafts(IDLE).await.map(drop),
        store.remove(&path).await,
    ] {
        let reason = refused.expect_err("another's").to_string();
        for words in [
            "the folder /lake in HDFS",
            "correct hdfs.root",
            "lakechat:meta",
        ] {
            assert!(reason.contains(words), "{reason}");
        }
    }
    assert_eq!(hdfs.files(), before);
}

#[tokio::test]
async fn store_removes_nothing_once_its_folder_was_given_away() {
    let (store, hdfs) = store();
    let file = OwnerFile::over(Arc::new(hdfs.clone()), "/lake");
    let store = OwnedStore::new(store, file.clone(), installation(1));
    store.sweep_drafts(IDLE).await.expect("ours");
    file.reassign(&installation(2)).await.expect("given away");
    store.sweep_drafts(IDLE).await.expect_err("another's");
    hdfs.state().nodes.remove("/lake/installation");
    store.sweep_drafts(IDLE).await.expect_err("nobody's");
}

#[tokio::test]
async fn sweep_stamp_only_rises() {
    let file = OwnerFile::over(Arc::new(MemoryHdfs::default()), "/lake");
    assert_eq!(file.sweep_stamp().await.expect("read"), None);
    for (stamp, latest) in [(7, 7), (90, 90), (8, 90)] {
        file.raise_sweep_stamp(stamp).await.expect("raised");
        assert_eq!(file.sweep_stamp().await.expect("read"), Some(latest));
    }
}
