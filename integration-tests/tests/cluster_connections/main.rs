//! Uploads that are given up let go of their connections to DataNodes. A binary of its own, as it
//! counts the sockets of its process: a test that only waits for its turn has some already.

use std::fs;

use anyhow::Result;
use integration_tests::contract::eventually;
use integration_tests::on_hdfs::fresh;
use lakechat_core::domain::FileId;
use lakechat_core::ports::FileStore;

fn sockets() -> Result<usize> {
    let mut sockets = 0;
    for fd in fs::read_dir("/proc/self/fd")? {
        // One that was closed meanwhile is none.
        let target = fs::read_link(fd?.path()).unwrap_or_default();
        sockets += usize::from(target.to_string_lossy().starts_with("socket:"));
    }
    Ok(sockets)
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_given_up_in_any_way_hold_no_connection() -> Result<()> {
    let backend = fresh().await?;
    backend.store.check().await?;
    let before = sockets()?;
    for n in 0..30 {
        let mut writer = backend.store.create(FileId::random().into()).await?;
        writer.write(vec![1; 3 << 20].into()).await?;
        match n % 3 {
            0 => drop(writer),
            1 => writer.abort().await?,
            _ => {
                // Left half-way, as by a request whose client has gone.
                let more = writer.write(vec![2; 3 << 20].into());
                let _ = tokio::time::timeout(std::time::Duration::ZERO, more).await;
            }
        }
    }
    eventually("the connections to go", async || Ok(sockets()? <= before)).await?;
    assert_eq!(backend.draft_names().await?, Vec::<String>::new());
    Ok(())
}
