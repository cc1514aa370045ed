//! HDFS that is not there, or does not want us.

use std::time::{Duration, Instant};

use anyhow::Result;
use integration_tests::on_hdfs::{dfs_admin, fresh};
use lakechat_cluster::hdfs::{HdfsSettings, HdfsStore};
use lakechat_core::domain::FileId;
use lakechat_core::ports::{FileStore, PortError};
use tokio::net::TcpListener;

/// Beyond what any answer may take by these settings.
const SOON: Duration = Duration::from_secs(20);

fn unavailable<T>(result: Result<T, PortError>) -> String {
    match result {
        Err(PortError::Unavailable { part, reason }) => format!("{part}: {reason}"),
        Err(error) => panic!("broken: {error}"),
        Ok(_) => panic!("it went well"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connection_is_unavailable_and_says_where() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let url = format!("hdfs://{free}");
    let store = HdfsStore::open(HdfsSettings::at(&url, "/lakechat", "test"))?;
    let begun = Instant::now();
    for reason in [
        unavailable(store.create(FileId::random().into()).await),
        unavailable(store.check().await),
        unavailable(store.sweep_drafts(Duration::ZERO).await),
    ] {
        assert!(reason.contains(&url), "{reason}");
        assert!(reason.contains("refused"), "{reason}");
    }
    assert!(begun.elapsed() < 2 * SOON, "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_host_is_unavailable_and_says_which() -> Result<()> {
    let url = "hdfs://no-such-host.invalid:9000";
    let store = HdfsStore::open(HdfsSettings::at(url, "/lakechat", "test"))?;
    let reason = unavailable(store.create(FileId::random().into()).await);
    assert!(reason.contains("no-such-host.invalid"), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_name_node_is_unavailable_in_time() -> Result<()> {
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let settings = HdfsSettings {
        call_timeout: Duration::from_secs(1),
        ..HdfsSettings::at(
            &format!("hdfs://{}", silent.local_addr()?),
            "/lakechat",
            "test",
        )
    };
    let store = HdfsStore::open(settings)?;
    let begun = Instant::now();
    let reason = unavailable(store.create(FileId::random().into()).await);
    assert!(
        reason.contains("did not answer create within 1 s"),
        "{reason}"
    );
    let id = FileId::random().to_string();
    let read = store.read(&format!("{}/{id}", &id[..2]), 0, 1).await;
    assert!(unavailable(read).contains("did not answer open"));
    unavailable(store.check().await);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn url_of_a_service_that_nobody_describes_is_no_store() {
    let store = HdfsStore::open(HdfsSettings::at("hdfs://nobody", "/lakechat", "test"));
    let error = store.err().expect("no store").to_string();
    assert!(error.contains("hdfs.url"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_that_belongs_to_others_is_broken_and_says_what_to_do() -> Result<()> {
    let backend = fresh().await?;
    backend.store.check().await?;
    let settings = HdfsSettings {
        user: "somebody-else".to_owned(),
        ..backend.root.settings()
    };
    let store = HdfsStore::open(settings)?;
    let Err(PortError::Broken { reason, .. }) = store.create(FileId::random().into()).await else {
        panic!("others may write");
    };
    let reason = reason.to_string();
    assert!(reason.contains("user=somebody-else"), "{reason}");
    assert!(reason.contains("hdfs dfs -chown"), "{reason}");
    let said = unavailable(store.check().await);
    assert!(said.contains("Permission denied"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn full_quota_is_unavailable_and_leaves_nothing() -> Result<()> {
    let backend = fresh().await?;
    backend.store.check().await?;
    let mut writer = backend.store.create(FileId::random().into()).await?;
    // No room for a single block, however small the file.
    dfs_admin(&["-setSpaceQuota", "1", &backend.root.0])?;
    let mut failed = writer.write(vec![7; 1 << 20].into()).await.err();
    if failed.is_none() {
        failed = writer.commit().await.err();
    }
    let reason = unavailable(Err::<(), _>(failed.expect("no room")));
    assert!(reason.contains("-setSpaceQuota"), "{reason}");
    integration_tests::contract::eventually("the draft to go", async || {
        Ok(backend.draft_names().await?.is_empty())
    })
    .await
}
