//! Back ends that stand still and fail when the test wants them to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use async_trait::async_trait;
use lakechat::domain::{
    Change, Channel, ChannelName, Id, Member, Message, Partition, Row, UserName,
};
use lakechat::ports::broker::{LogReader, Offset, OnFailed, Outgoing};
use lakechat::ports::history::{Mark, Span};
use lakechat::ports::{Broker, History, PortError};
use rand::RngExt;
use tokio::sync::watch;

/// History whose writes wait while the gate is shut, and fail one time in `fail_one_in`: before or
/// after they happened.
pub struct GatedHistory {
    pub inner: Arc<dyn History>,
    open: watch::Sender<bool>,
    fail_one_in: AtomicU32,
}

impl GatedHistory {
    pub fn new(inner: Arc<dyn History>) -> Arc<GatedHistory> {
        Arc::new(GatedHistory {
            inner,
            open: watch::Sender::new(true),
            fail_one_in: AtomicU32::new(0),
        })
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// 0 is never.
    pub fn fail_one_in(&self, n: u32) {
        self.fail_one_in.store(n, Relaxed);
    }

    async fn write<T>(
        &self,
        work: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let mut open = self.open.subscribe();
        let opened = open.wait_for(|open| *open).await;
        drop(opened.expect("the gate lives as long as its history"));
        self.luck()?;
        let done = work.await?;
        self.luck()?;
        Ok(done)
    }

    fn luck(&self) -> Result<(), PortError> {
        let n = self.fail_one_in.load(Relaxed);
        if n > 0 && rand::rng().random_ratio(1, n) {
            return Err(away("history"));
        }
        Ok(())
    }
}

fn away(part: &'static str) -> PortError {
    PortError::Unavailable {
        part,
        reason: "the test wants it".into(),
    }
}

#[async_trait]
impl History for GatedHistory {
    async fn append(&self, rows: Vec<Row>) -> Result<(), PortError> {
        self.write(self.inner.append(rows)).await
    }

    async fn marks(&self) -> Result<Vec<Mark>, PortError> {
        self.inner.marks().await
    }

    async fn advance(&self, partition: Partition, mark: Mark) -> Result<(), PortError> {
        self.write(self.inner.advance(partition, mark)).await
    }

    async fn messages(
        &self,
        channel: &ChannelName,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        self.inner.messages(channel, span, limit).await
    }

    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError> {
        self.inner.changes(channel, after, before, limit).await
    }

    async fn last_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError> {
        self.inner.last_number(channel, before).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        self.inner.members(channel, after, limit).await
    }

    async fn memberships(&self, user: &UserName) -> Result<Vec<(ChannelName, Member)>, PortError> {
        self.inner.memberships(user).await
    }

    async fn describe(&self, channels: &mut [Channel]) -> Result<(), PortError> {
        self.inner.describe(channels).await
    }
}

/// A log that can't be opened by one who reads a single partition, every second time: an archiver
/// that reads it again.
pub struct FickleBroker {
    inner: Arc<dyn Broker>,
    failed: AtomicBool,
}

impl FickleBroker {
    pub fn new(inner: Arc<dyn Broker>) -> Arc<FickleBroker> {
        Arc::new(FickleBroker {
            inner,
            failed: AtomicBool::new(false),
        })
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

    fn on_failed(&self, told: OnFailed) {
        self.inner.on_failed(told);
    }

    fn publish(&self, record: Outgoing) -> Result<(), PortError> {
        self.inner.publish(record)
    }

    fn reader(&self, from: &[(Partition, Offset)]) -> Result<Box<dyn LogReader>, PortError> {
        if from.len() == 1 && !self.failed.fetch_xor(true, Relaxed) {
            return Err(away("broker"));
        }
        self.inner.reader(from)
    }

    async fn ends(&self) -> Result<Vec<Offset>, PortError> {
        self.inner.ends().await
    }

    async fn kept_starts(&self) -> Result<Vec<Offset>, PortError> {
        self.inner.kept_starts().await
    }

    async fn first_at_or_after(
        &self,
        times: &[(Partition, u64)],
    ) -> Result<Vec<Offset>, PortError> {
        self.inner.first_at_or_after(times).await
    }

    fn claims(&self) -> watch::Receiver<Vec<Partition>> {
        self.inner.claims()
    }
}
