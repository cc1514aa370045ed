//! The port's writer: gathers chunks into batches and hands them to the upload's task, one batch ahead.

use std::mem;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::exceptions::unavailable;
use super::site::Site;
use super::upload::{Upload, UploadCommand};
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::FileWriter;

/// Bytes of a batch: four packets to a DataNode. A writer holds a batch that it gathers and one that is
/// being written; the library queues up to 100 packets of 64 KiB, and as many that a DataNode has not
/// acknowledged.
const BATCH_BYTES: usize = 256 << 10;

pub(super) struct HdfsWriter {
    site: Arc<Site>,
    draft: String,
    gathered: BytesMut,
    commands: mpsc::Sender<UploadCommand>,
    state: WriteState,
}

enum WriteState {
    Idle,
    Writing(oneshot::Receiver<Result<(), PortError>>),
    Failed,
}

impl HdfsWriter {
    /// Starts the upload's task. It ends by itself once the writer was committed or dropped.
    pub fn start(upload: Upload, tasks: &TaskTracker) -> HdfsWriter {
        // Never full: a command is sent after the reply to the one before.
        let (commands, received) = mpsc::channel(1);
        let writer = HdfsWriter {
            site: Arc::clone(&upload.site),
            draft: upload.path.clone(),
            gathered: BytesMut::new(),
            commands,
            state: WriteState::Idle,
        };
        tasks.spawn(upload.run(received));
        writer
    }

    /// Waits until the batch before is written, then sends this one.
    async fn send(&mut self, batch: Bytes) -> Result<(), PortError> {
        self.settle().await?;
        let (reply, written) = oneshot::channel();
        self.command(UploadCommand::Write(batch, reply)).await?;
        self.state = WriteState::Writing(written);
        Ok(())
    }

    /// Waits until no batch is being written. Dropped half-way, or after an error, the writer has failed
    /// for good: it cannot know what was written.
    async fn settle(&mut self) -> Result<(), PortError> {
        match mem::replace(&mut self.state, WriteState::Failed) {
            WriteState::Idle => {}
            WriteState::Writing(written) => self.with_stall_timeout(written).await?,
            WriteState::Failed => return Err(unavailable("an earlier write failed")),
        }
        self.state = WriteState::Idle;
        Ok(())
    }

    async fn command(&self, command: UploadCommand) -> Result<(), PortError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| unavailable("the upload has ended"))
    }

    async fn with_stall_timeout<T>(
        &self,
        reply: oneshot::Receiver<Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let limit = self.site.settings.stall_timeout;
        match timeout(limit, reply).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(unavailable("the upload has ended")),
            Err(_) => {
                let seconds = limit.as_secs_f32();
                let reason = format!("HDFS took no bytes of {} for {seconds} s", self.draft);
                Err(unavailable(reason))
            }
        }
    }
}

#[async_trait]
impl FileWriter for HdfsWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PortError> {
        // A chunk of a batch's size is not copied.
        if self.gathered.is_empty() && chunk.len() >= BATCH_BYTES {
            return self.send(chunk).await;
        }
        self.gathered.reserve(BATCH_BYTES);
        self.gathered.extend_from_slice(&chunk);
        if self.gathered.len() >= BATCH_BYTES {
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
        let (reply, committed) = oneshot::channel();
        self.command(UploadCommand::Commit(reply)).await?;
        self.with_stall_timeout(committed).await
    }

    /// Does not wait for a batch that is being written: the NameNode removes an open file, and the
    /// upload's task gets an error and ends.
    async fn abort(self: Box<Self>) -> Result<(), PortError> {
        let client = &self.site.client;
        client.delete(&self.draft, false).await.map(drop)
    }
}
