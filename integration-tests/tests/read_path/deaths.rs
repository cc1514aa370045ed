//! A part of the server that dies by a bug is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use integration_tests::{eventually, within};
use lakechat_core::chat;
use lakechat_core::chat::clock::{Pulse, boot_ms};
use lakechat_embedded::MemoryPresence;
use serde_json::json;
use tokio::sync::oneshot;

use crate::fickle::FickleBroker;
use crate::server::chat_settings;
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_panics_is_known_to_have_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = integration_tests::on_disk::open(folder.path()).expect("ours");
    let broker = FickleBroker::new(embedded.broker());
    broker.panic_at_readers();
    let ports = chat::Ports {
        broker,
        history: embedded.history(),
        directory: (&embedded.directory()).into(),
        presence: Arc::new(MemoryPresence::new("a")),
    };
    let running = chat::start(ports, chat_settings(&Stage::shape(1 << 20))).await;
    let mut threads = running.expect("it began").threads;
    let (name, ended) = threads.take_ended().remove(0);
    within(ended).await.expect_err("it sends nothing, it ends");
    let joined = tokio::task::spawn_blocking(|| threads.join());
    let panicked = within(joined).await.expect("joined");
    assert_eq!(panicked, [name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_reader_is_reported() {
    let stage = Stage::set().await;
    let log = &stage.server.log;
    let hangs = || {
        // It asks five times a second, and may be silent for thirty.
        let (reason, _) = log.stale_at(boot_ms() + 25_000)?;
        Some(reason).filter(|reason| reason.contains("hangs"))
    };
    assert_eq!(hangs(), None);
    stage.server.fickle.set_hanging(true);
    let reason = eventually("it is told", async || hangs()).await;
    assert!(reason.contains("restart this server"), "{reason}");
    stage.server.fickle.set_hanging(false);
    let asks = async || hangs().is_none().then_some(());
    eventually("it asks again", asks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pulse_that_ends_is_known_to_have_ended() {
    let stop = Arc::new(AtomicBool::new(false));
    let (alive, mut ended) = oneshot::channel();
    let thread = Arc::new(Pulse::new()).start(stop.clone(), alive);
    let thread = thread.expect("a thread");
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    stop.store(true, Relaxed);
    thread.thread().unpark();
    within(ended).await.expect_err("it tells nothing, it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn panicking_archiver_is_reported_and_chat_goes_on() {
    let mut stage = Stage::with(1 << 20, 0).await;
    stage.server.history.panic_at_writes();
    stage.send(1, "x", json!({})).await;
    assert!(stage.answer().await.starts_with(r#"{"type":"ack""#));
    let reason = eventually("it is told", async || stage.server.log.archive_stopped()).await;
    assert!(reason.contains("panicked"), "{reason}");
    stage.send(2, "y", json!({})).await;
    assert!(stage.answer().await.starts_with(r#"{"type":"ack""#));
    stage.server.stop().await;
}
