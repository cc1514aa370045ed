//! Channels of a directory that counts its look-ups and holds them back when the test wants it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use lakechat_core::domain::{Channel, ChannelName};
use lakechat_core::ports::directory::CreateOutcome;
use lakechat_core::ports::{Channels, PortError};
use tokio::sync::watch;

pub struct HeldChannels {
    inner: Arc<dyn Channels>,
    open: watch::Sender<bool>,
    found: AtomicUsize,
    waiting: AtomicUsize,
}

impl HeldChannels {
    pub fn new(inner: Arc<dyn Channels>) -> Arc<HeldChannels> {
        Arc::new(HeldChannels {
            inner,
            open: watch::Sender::new(true),
            found: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Whether look-ups return. If not, they wait with what they have found.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// The look-ups so far.
    pub fn found(&self) -> usize {
        self.found.load(Relaxed)
    }

    /// The look-ups that have not returned.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

#[async_trait]
impl Channels for HeldChannels {
    async fn create(&self, channel: &Channel) -> Result<CreateOutcome<Channel>, PortError> {
        self.inner.create(channel).await
    }

    async fn find(&self, name: &ChannelName) -> Result<Option<Channel>, PortError> {
        self.found.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        let found = self.inner.find(name).await;
        let mut open = self.open.subscribe();
        let opened = open.wait_for(|open| *open).await.map(drop);
        opened.expect("it lives as long as its channels");
        self.waiting.fetch_sub(1, Relaxed);
        found
    }

    async fn list_public(
        &self,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Vec<Channel>, PortError> {
        self.inner.list_public(after, limit).await
    }
}
