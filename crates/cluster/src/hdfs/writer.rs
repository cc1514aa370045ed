//! The port's writer: gathers chunks and hands them to the upload's task, one batch ahead.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use std::mem;
use std::sync::Arc;

use super::store::Site;
use super::upload::{Order, Upload};
use crate::hdfs::exceptions::unavailable;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::FileWriter;

/// Bytes of a batch: four packets to a DataNode. A writer holds one that is gathered and one that
/// is on its way; the library queues up to 100 packets of 64 KiB, and as many that a DataNode has
/// not acknowledged.
const BATCH: usize = 256 << 10;

pub(super) struct HdfsWriter {
    site: Arc<Site>,
    draft: String,
    gathered: BytesMut,
    orders: mpsc::Sender<Order>,
    state: State,
}

enum State {
    Idle,
    Writing(oneshot::Receiver<Result<(), PortError>>),
    Failed,
}

impl HdfsWriter {
    /// Starts the upload's task, which ends by itself once the writer is committed or dropped.
    pub fn start(upload: Upload, tasks: &TaskTracker) -> HdfsWriter {
        // Never full: an order is given when the one before it is done.
        let (orders, ordered) = mpsc::channel(1);
        let writer = HdfsWriter {
            site: Arc::clone(&upload.site),
            draft: upload.draft.path.clone(),
            gathered: BytesMut::new(),
            orders,
            state: State::Idle,
        };
        tasks.spawn(upload.run(ordered));
        writer
    }

    /// Waits for the batch that is on its way, then sends the next.
    async fn send(&mut self, batch: Bytes) -> Result<(), PortError> {
        self.settle().await?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Write(batch, answer)).await?;
        self.state = State::Writing(answered);
        Ok(())
    }

    /// Waits until nothing is on its way. A writer that failed stays so.
    async fn settle(&mut self) -> Result<(), PortError> {
        match mem::replace(&mut self.state, State::Failed) {
            State::Idle => {}
            State::Writing(answered) => self.patiently(answered).await?,
            State::Failed => return Err(unavailable("an earlier write failed")),
        }
        self.state = State::Idle;
        Ok(())
    }

    async fn order(&self, order: Order) -> Result<(), PortError> {
        let taken = self.orders.send(order).await;
        taken.map_err(|_| unavailable("the upload has ended"))
    }

    async fn patiently<T>(
        &self,
        answered: oneshot::Receiver<Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let stall = self.site.settings.stall;
        match timeout(stall, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(unavailable("the upload has ended")),
            Err(_) => {
                let seconds = stall.as_secs_f32();
                let reason = format!("HDFS took no bytes of {} for {seconds} s", self.draft);
                Err(unavailable(reason))
            }
        }
    }
}

#[async_trait]
impl FileWriter for HdfsWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError> {
        if self.gathered.is_empty() && chunk.len() >= BATCH {
            return self.send(chunk).await;
        }
        self.gathered.reserve(BATCH);
        self.gathered.extend_from_slice(&chunk);
        if self.gathered.len() >= BATCH {
            let batch = self.gathered.split().freeze();
            self.send(batch).await?;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<String, PortError> {
        let rest = self.gathered.split().freeze();
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        self.settle().await?;
        let (answer, answered) = oneshot::channel();
        self.order(Order::Commit(answer)).await?;
        self.patiently(answered).await
    }

    /// Does not wait for a batch that is on its way: the NameNode lets go of an open file, and the
    /// task meets that.
    async fn abort(self: Box<Self>) -> Result<(), PortError> {
        self.site
            .name_node
            .delete(&self.draft, false)
            .await
            .map(drop)
    }
}
