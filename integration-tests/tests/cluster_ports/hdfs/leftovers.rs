//! What servers leave that end without notice.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use integration_tests::contract::eventually;
use integration_tests::on_hdfs::{OnHdfs, Root, fresh};
use lakechat_cluster::hdfs::{HdfsSettings, HdfsStore};
use lakechat_core::domain::FileId;
use lakechat_core::ports::{FileStore, PortError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Servers that beat quickly, so that their death shows soon.
fn quick(root: &Root) -> HdfsSettings {
    HdfsSettings {
        heartbeat_interval: Duration::from_millis(200),
        dead_after: Duration::from_secs(2),
        ..root.settings()
    }
}

/// In a process of its own: begins an upload in this root, says so, and waits to be killed.
const ROOT: &str = "TEST_HDFS_WRITER_ROOT";

#[tokio::test(flavor = "multi_thread")]
async fn writer_process() -> Result<()> {
    let Ok(root) = std::env::var(ROOT) else {
        return Ok(());
    };
    let store = HdfsStore::open(quick(&Root::kept(root)))?;
    let mut writer = store.create(FileId::random().into()).await?;
    writer.write(vec![1; 3 << 20].into()).await?;
    println!("\nwriting");
    std::future::pending().await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_draft_is_swept_by_another_and_not_before_it_is_dead() -> Result<()> {
    let backend = fresh().await?;
    let mut killed = Command::new(std::env::current_exe()?)
        .args(["--exact", "hdfs::leftovers::writer_process", "--nocapture"])
        .env(ROOT, &backend.root.0)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(killed.stdout.take().context("its output")?).lines();
    while lines.next_line().await?.context("it writes")? != "writing" {}

    let sweeper = HdfsStore::open(quick(&backend.root))?;
    assert_eq!(sweeper.sweep_drafts(Duration::ZERO).await?, 0, "it lives");
    assert_eq!(backend.draft_names().await?.len(), 1);
    killed.kill().await?;
    assert_eq!(
        sweeper.sweep_drafts(Duration::ZERO).await?,
        0,
        "it may live"
    );

    eventually("the sweep to find it", async || {
        Ok(sweeper.sweep_drafts(Duration::ZERO).await? == 1)
    })
    .await?;
    assert_eq!(backend.draft_names().await?, Vec::<String>::new());
    assert_eq!(sweeper.sweep_drafts(Duration::ZERO).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_live_spare_each_other() -> Result<()> {
    let backend = fresh().await?;
    let [one, other] = [quick(&backend.root), quick(&backend.root)].map(HdfsStore::open);
    let (one, other) = (one?, other?);
    let mut writer = one.create(FileId::random().into()).await?;
    writer.write(Bytes::from_static(b"first ")).await?;
    // Longer than the dead are waited for: the folder's own stamp is old by then.
    let long_after = tokio::time::Instant::now() + Duration::from_secs(3);
    while tokio::time::Instant::now() < long_after {
        assert_eq!(other.sweep_drafts(Duration::ZERO).await?, 0);
        assert_eq!(one.sweep_drafts(Duration::ZERO).await?, 0);
    }
    writer.write(Bytes::from_static(b"second")).await?;
    let path = writer.commit().await?;
    let read: Vec<Bytes> = other.read(&path, 0, 12).await?.try_collect().await?;
    assert_eq!(read.concat(), b"first second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_was_swept_gets_an_error_and_no_file() -> Result<()> {
    let backend = fresh().await?;
    let silent = HdfsSettings {
        heartbeat_interval: Duration::from_secs(3600),
        ..backend.root.settings()
    };
    let silent = HdfsStore::open(silent)?;
    let mut writer = silent.create(FileId::random().into()).await?;
    writer.write(vec![1; 1 << 20].into()).await?;
    let sweeper = HdfsStore::open(quick(&backend.root))?;
    eventually("the sweep to take it for dead", async || {
        Ok(sweeper.sweep_drafts(Duration::ZERO).await? == 1)
    })
    .await?;
    let committed = writer.commit().await;
    assert!(
        matches!(committed, Err(PortError::Unavailable { .. })),
        "{committed:?}"
    );
    assert_eq!(committed_files(&backend).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_takes_the_run_down_and_what_was_open_with_it() -> Result<()> {
    let backend = fresh().await?;
    let mut writer = backend.store.create(FileId::random().into()).await?;
    writer.write(vec![1; 1 << 20].into()).await?;
    drop(writer);
    backend.store.close().await?;
    assert_eq!(backend.draft_names().await?, Vec::<String>::new());
    let error = backend.store.check().await.err();
    assert!(
        matches!(error, Some(PortError::Unavailable { .. })),
        "{error:?}"
    );
    Ok(())
}

async fn committed_files(backend: &OnHdfs) -> Result<usize> {
    let listing = backend.store.list(Duration::ZERO..Duration::MAX).await?;
    let files: Vec<_> = listing.try_collect().await?;
    Ok(files.len())
}
