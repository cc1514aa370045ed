//! History that stands still and fails when the test wants it to.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lakechat_core::domain::{
    Change, Channel, ChannelName, HistoryRow, Id, Member, Membership, Message, Partition, UserName,
};
use lakechat_core::ports::directory::UserRow;
use lakechat_core::ports::history::{ChannelRows, Mark, MessageRange};
use lakechat_core::ports::{History, PortError, UserRows};
use rand::RngExt;
use tokio::sync::watch;
use uuid::Uuid;

/// History whose writes wait while the gate is shut, and fail one time in `fail_one_in`: before or
/// after they happened. Reads fail while the test asks for it.
pub struct GatedHistory {
    pub inner: Arc<dyn History>,
    open: watch::Sender<bool>,
    fail_one_in: AtomicU32,
    unreadable: AtomicBool,
    reads: AtomicUsize,
    refuses: AtomicBool,
    refused_channel: Mutex<Option<ChannelName>>,
    panics: AtomicBool,
    appends: AtomicUsize,
    rows: AtomicUsize,
    marks: AtomicUsize,
}

impl GatedHistory {
    pub fn new(inner: Arc<dyn History>) -> Arc<GatedHistory> {
        Arc::new(GatedHistory {
            inner,
            open: watch::Sender::new(true),
            fail_one_in: AtomicU32::new(0),
            unreadable: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            refuses: AtomicBool::new(false),
            refused_channel: Mutex::default(),
            panics: AtomicBool::new(false),
            appends: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            marks: AtomicUsize::new(0),
        })
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// 0 is never.
    pub fn fail_one_in(&self, n: u32) {
        self.fail_one_in.store(n, Relaxed);
    }

    pub fn set_readable(&self, readable: bool) {
        self.unreadable.store(!readable, Relaxed);
    }

    /// The reads so far, except those of marks and of numbers.
    pub fn reads(&self) -> usize {
        self.reads.load(Relaxed)
    }

    /// Whether writes fail with `Broken`.
    pub fn set_refusing(&self, refusing: bool) {
        self.refuses.store(refusing, Relaxed);
    }

    /// From here on a call with a row of this channel fails with `Broken`.
    pub fn refuse_rows_of(&self, channel: &ChannelName) {
        let mut refused = self.refused_channel.lock().expect("no panic while held");
        *refused = Some(channel.clone());
    }

    /// The calls so far that stored rows.
    pub fn appends(&self) -> usize {
        self.appends.load(Relaxed)
    }

    /// The rows that were stored so far.
    pub fn rows(&self) -> usize {
        self.rows.load(Relaxed)
    }

    /// The marks that were written so far.
    pub fn marks_written(&self) -> usize {
        self.marks.load(Relaxed)
    }

    /// From here on every write panics.
    pub fn panic_at_writes(&self) {
        self.panics.store(true, Relaxed);
    }

    async fn read<T>(
        &self,
        work: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        self.reads.fetch_add(1, Relaxed);
        if self.unreadable.load(Relaxed) {
            return Err(away("history"));
        }
        work.await
    }

    async fn write<T>(
        &self,
        work: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let mut open = self.open.subscribe();
        let opened = open.wait_for(|open| *open).await;
        drop(opened.expect("the gate lives as long as its history"));
        assert!(!self.panics.load(Relaxed), "as a bug would");
        if self.refuses.load(Relaxed) {
            return Err(PortError::broken("history", "a right is missing"));
        }
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

pub fn away(part: &'static str) -> PortError {
    PortError::unavailable(part, "the test wants it")
}

#[async_trait]
impl History for GatedHistory {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), PortError> {
        let refused = self.refused_channel.lock().expect("no panic").clone();
        if rows
            .iter()
            .any(|row| Some(&row.channel) == refused.as_ref())
        {
            return Err(PortError::broken("history", "a row is refused"));
        }
        let count = rows.len();
        self.write(self.inner.append(rows)).await?;
        self.appends.fetch_add(1, Relaxed);
        self.rows.fetch_add(count, Relaxed);
        Ok(())
    }

    fn prefers_few_calls(&self) -> bool {
        true
    }

    async fn marks(&self) -> Result<Vec<Mark>, PortError> {
        self.inner.marks().await
    }

    async fn advance_mark(&self, partition: Partition, mark: Mark) -> Result<(), PortError> {
        self.write(self.inner.advance_mark(partition, mark)).await?;
        self.marks.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn messages(
        &self,
        channel: &ChannelName,
        range: MessageRange,
        limit: usize,
    ) -> Result<Vec<Message>, PortError> {
        self.read(self.inner.messages(channel, range, limit)).await
    }

    async fn changes(
        &self,
        channel: &ChannelName,
        after: Id,
        before: Id,
        limit: usize,
    ) -> Result<Vec<Change>, PortError> {
        self.read(self.inner.changes(channel, after, before, limit))
            .await
    }

    async fn channels_with_rows(
        &self,
        after: Option<&ChannelRows>,
        limit: usize,
    ) -> Result<Vec<ChannelRows>, PortError> {
        self.read(self.inner.channels_with_rows(after, limit)).await
    }

    async fn last_message_number(
        &self,
        channel: &ChannelName,
        before: Id,
    ) -> Result<Option<(Id, u64)>, PortError> {
        self.inner.last_message_number(channel, before).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<Member>, PortError> {
        self.read(self.inner.members(channel, after, limit)).await
    }

    async fn memberships(&self, user: &UserName) -> Result<Vec<Membership>, PortError> {
        self.read(self.inner.memberships(user)).await
    }

    async fn fill_channel_state(&self, channels: &mut [Channel]) -> Result<(), PortError> {
        self.read(self.inner.fill_channel_state(channels)).await
    }
}

/// The rows of users, which can be read whenever history can: one store has both.
pub struct GatedUserRows {
    inner: Arc<dyn UserRows>,
    history: Arc<GatedHistory>,
}

impl GatedUserRows {
    pub fn new(inner: Arc<dyn UserRows>, history: Arc<GatedHistory>) -> Arc<GatedUserRows> {
        Arc::new(GatedUserRows { inner, history })
    }
}

#[async_trait]
impl UserRows for GatedUserRows {
    async fn find(&self, user: &UserName, login_session: Uuid) -> Result<UserRow, PortError> {
        let found = self.inner.find(user, login_session);
        self.history.read(found).await
    }
}
