//! Files on a disk that hangs.

use std::ops::Range;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{DEADLINE, Opened, open};
use crate::EmbeddedSettings;
use lakechat_core::domain::{FileId, UserName};
use lakechat_core::ports::FileStore;

/// As in the server's runtime.
const BLOCKING_THREADS: usize = 8;
const ANY_AGE: Range<Duration> = Duration::ZERO..Duration::MAX;

/// Starts eight jobs of the store that block until the sender is dropped; returns when as many run as
/// the store allows.
async fn block_jobs(o: &Opened) -> (mpsc::Sender<()>, JoinSet<()>) {
    let (hold, held) = mpsc::channel();
    let held = Arc::new(Mutex::new(held));
    let (begin, mut begun) = tokio::sync::mpsc::channel(8);
    let mut jobs = JoinSet::new();
    for _ in 0..8 {
        let (held, begin) = (Arc::clone(&held), begin.clone());
        let store = Arc::clone(&o.embedded.files);
        jobs.spawn(async move {
            let block = move || {
                // Only the first four are received.
                let _ = begin.blocking_send(());
                held.lock().unwrap().recv().unwrap_err();
                Ok(())
            };
            store.jobs.run(block).await.unwrap();
        });
    }
    for _ in 0..4 {
        begun.recv().await.unwrap();
    }
    (hold, jobs)
}

async fn upload(store: Arc<dyn FileStore>) {
    let mut writer = store.create(FileId::random().into()).await.unwrap();
    writer.write(vec![b'x'; 1 << 20].into()).await.unwrap();
    writer.commit().await.unwrap();
}

async fn count(store: &dyn FileStore) -> usize {
    store.list(ANY_AGE).await.unwrap().count().await
}

async fn directory_answers_beside_blocked_uploads() {
    let o = open(EmbeddedSettings::default());
    let store = o.embedded.file_store();
    let (hold, mut jobs) = block_jobs(&o).await;
    for _ in 0..8 {
        jobs.spawn(upload(Arc::clone(&store)));
    }
    let (directory, name) = (o.embedded.directory(), UserName::parse("ann").unwrap());
    let answer = timeout(DEADLINE, directory.users.find(&name)).await;
    let listed = timeout(DEADLINE, count(&*store)).await;
    // Before the assertions: the runtime waits for its blocking jobs when it is dropped.
    drop(hold);
    assert_eq!(answer.expect("the directory answers").unwrap(), None);
    assert_eq!(listed.expect("a listing has a thread of its own"), 0);
    let done = timeout(DEADLINE, jobs.join_all()).await;
    done.expect("the waiting uploads finish");
    assert_eq!(count(&*store).await, 8);
}

#[test]
fn directory_answers_while_uploads_wait_for_the_disk() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(directory_answers_beside_blocked_uploads());
}
