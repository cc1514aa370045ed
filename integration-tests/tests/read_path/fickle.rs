//! A log that keeps records back, fails and goes by another clock when the test wants it to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::{
    DeadLetter, DeadLetterListing, LogReader, LogRecord, Offset, OutgoingRecord, PublishFailure,
    PublishFailureHandler,
};
use lakechat_core::ports::{Broker, PerPartition, PortError};
use tokio::sync::watch;

use crate::gate::away;

/// What becomes of a record that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishing {
    /// It goes into the log.
    Passes,
    /// It is on its way until [`FickleBroker::release`].
    IsHeld,
    /// It certainly was not written.
    IsRefused,
    /// It was not written, and nobody knows.
    IsLost,
}

/// Beside what it is told to do, it can't be opened by one who reads a single partition, every second
/// time: an archiver that reads it again.
pub struct FickleBroker {
    inner: Arc<dyn Broker>,
    failed: AtomicBool,
    publishing: Mutex<Publishing>,
    held: Mutex<Vec<OutgoingRecord>>,
    on_failure: OnceLock<PublishFailureHandler>,
    endless: AtomicBool,
    panics: AtomicBool,
    stopped: Arc<OnceLock<Partition>>,
    hangs: Arc<AtomicBool>,
    claims: watch::Sender<Vec<Partition>>,
    kept: OnceLock<Duration>,
    kept_from: OnceLock<Offset>,
    stamps: Arc<Stamps>,
    pub background: Arc<BackgroundReaders>,
}

/// The readers of archivers that read the log again.
#[derive(Default)]
pub struct BackgroundReaders {
    open: AtomicUsize,
    /// The most that were open at a time.
    pub most: AtomicUsize,
    /// The most that one of them was allowed to read ahead.
    pub most_bytes: AtomicUsize,
}

impl BackgroundReaders {
    fn open(self: &Arc<Self>, read_ahead_bytes: usize) -> OpenReader {
        let open = self.open.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(open, Relaxed);
        self.most_bytes.fetch_max(read_ahead_bytes, Relaxed);
        OpenReader(self.clone())
    }
}

struct OpenReader(Arc<BackgroundReaders>);

impl Drop for OpenReader {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

struct BackgroundReader {
    inner: Box<dyn LogReader>,
    _opened: OpenReader,
}

impl LogReader for BackgroundReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        self.inner.poll(timeout, into)
    }

    fn position(&self, partition: Partition) -> Offset {
        self.inner.position(partition)
    }
}

/// By how much the log's clock is off, and what it has stamped: a stamp stays.
#[derive(Default)]
struct Stamps {
    skew_ms: AtomicI64,
    given: Mutex<HashMap<(Partition, Offset), u64>>,
}

impl FickleBroker {
    pub fn new(inner: Arc<dyn Broker>) -> Arc<FickleBroker> {
        let all = (0..inner.partitions()).map(Partition).collect();
        Arc::new(FickleBroker {
            inner,
            claims: watch::Sender::new(all),
            failed: AtomicBool::new(false),
            publishing: Mutex::new(Publishing::Passes),
            held: Mutex::default(),
            on_failure: OnceLock::new(),
            endless: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            stopped: Arc::default(),
            hangs: Arc::default(),
            kept: OnceLock::new(),
            kept_from: OnceLock::new(),
            stamps: Arc::default(),
            background: Arc::default(),
        })
    }

    pub fn set_publishing(&self, publishing: Publishing) {
        *self.publishing.lock().expect("no panic while held") = publishing;
    }

    pub fn held(&self) -> usize {
        self.held.lock().expect("no panic while held").len()
    }

    /// Lets everything go that was held, and what comes pass.
    pub fn release(&self) {
        self.set_publishing(Publishing::Passes);
        let held = std::mem::take(&mut *self.held.lock().expect("no panic while held"));
        for record in held {
            self.inner.publish(record).expect("the queue has room");
        }
    }

    /// The clock that stamps what is read for the first time from here on, against the server's.
    pub fn set_skew_ms(&self, ms: i64) {
        self.stamps.skew_ms.store(ms, Relaxed);
    }

    /// Whether the log tells its end.
    pub fn set_telling_ends(&self, telling: bool) {
        self.endless.store(!telling, Relaxed);
    }

    /// From here on opening it is what no reader survives.
    pub fn panic_at_readers(&self) {
        self.panics.store(true, Relaxed);
    }

    /// Whether its readers return from no poll.
    pub fn set_hanging(&self, hangs: bool) {
        self.hangs.store(hangs, Relaxed);
    }

    /// From here on records may be lost after some time.
    pub fn keep_for(&self, kept: Duration) {
        self.kept.set(kept).expect("told once");
    }

    /// From here on nothing below an offset is there any more.
    pub fn keep_from(&self, offset: Offset) {
        self.kept_from.set(offset).expect("told once");
    }

    /// The partitions that the server claims from here on. At first it claims all.
    pub fn set_claims(&self, claims: &[Partition]) {
        self.claims.send_replace(claims.to_vec());
    }

    /// From here on no one can read this partition.
    pub fn stop_reading(&self, partition: Partition) {
        self.stopped.set(partition).expect("told once");
    }

    fn fail(&self, record: &OutgoingRecord, refused: bool) {
        let on_failure = self
            .on_failure
            .get()
            .expect("told before the first publish");
        on_failure(PublishFailure {
            ticket: record.ticket,
            refused,
            reason: "the test wants it".into(),
        });
    }
}

#[async_trait]
impl Broker for FickleBroker {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }

    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn on_publish_failure(&self, handler: PublishFailureHandler) {
        assert!(self.on_failure.set(handler.clone()).is_ok(), "told once");
        self.inner.on_publish_failure(handler);
    }

    fn publish(&self, record: OutgoingRecord) -> Result<(), PortError> {
        let publishing = *self.publishing.lock().expect("no panic while held");
        match publishing {
            Publishing::Passes => return self.inner.publish(record),
            Publishing::IsHeld => self.held.lock().expect("no panic while held").push(record),
            Publishing::IsRefused => self.fail(&record, true),
            Publishing::IsLost => self.fail(&record, false),
        }
        Ok(())
    }

    fn background_reader(
        &self,
        from: &[(Partition, Offset)],
        read_ahead_bytes: usize,
    ) -> Result<Box<dyn LogReader>, PortError> {
        let opened = self.background.open(read_ahead_bytes);
        let inner = self.reader(from)?;
        Ok(Box::new(BackgroundReader {
            inner,
            _opened: opened,
        }))
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        assert!(!self.panics.load(Relaxed), "as a bug would");
        if from.len() == 1 && !self.failed.fetch_xor(true, Relaxed) {
            return Err(away("broker"));
        }
        Ok(Box::new(FickleReader {
            inner: self.inner.reader(from)?,
            reads: from.iter().map(|(partition, _)| *partition).collect(),
            stopped: self.stopped.clone(),
            hangs: self.hangs.clone(),
            stamps: self.stamps.clone(),
        }))
    }

    async fn end_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        if self.endless.load(Relaxed) {
            return Err(away("broker"));
        }
        self.inner.end_offsets().await
    }

    async fn start_offsets(&self) -> Result<PerPartition<Offset>, PortError> {
        let kept = self.inner.start_offsets().await?;
        let kept_from = self.kept_from.get().copied().unwrap_or(0);
        Ok(kept.map(|_, kept| kept.max(kept_from)))
    }

    async fn offsets_for_times(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Result<Offset, PortError>>, PortError> {
        self.inner.offsets_for_times(times).await
    }

    fn retention(&self) -> Option<Duration> {
        self.kept.get().copied()
    }

    fn assigned_partitions(&self) -> watch::Receiver<Vec<Partition>> {
        self.claims.subscribe()
    }

    async fn dead_letter(&self, letters: &[DeadLetter]) -> Result<(), PortError> {
        self.inner.dead_letter(letters).await
    }

    async fn dead_letters(&self) -> Result<DeadLetterListing, PortError> {
        self.inner.dead_letters().await
    }
}

struct FickleReader {
    inner: Box<dyn LogReader>,
    reads: Vec<Partition>,
    stopped: Arc<OnceLock<Partition>>,
    hangs: Arc<AtomicBool>,
    stamps: Arc<Stamps>,
}

impl LogReader for FickleReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        while self.hangs.load(Relaxed) {
            std::thread::park_timeout(timeout);
        }
        if let Some(stopped) = self.stopped.get().filter(|p| self.reads.contains(p)) {
            return Err(PortError::stops(
                "log",
                Some(*stopped),
                "its offset is gone",
            ));
        }
        let before = into.len();
        let polled = self.inner.poll(timeout, into);
        let skew_ms = self.stamps.skew_ms.load(Relaxed);
        let mut given = self.stamps.given.lock().expect("no panic while held");
        for record in &mut into[before..] {
            let stamp = record.append_ms.saturating_add_signed(skew_ms);
            let place = (record.partition, record.offset);
            record.append_ms = *given.entry(place).or_insert(stamp);
        }
        polled
    }

    fn position(&self, partition: Partition) -> Offset {
        self.inner.position(partition)
    }
}
