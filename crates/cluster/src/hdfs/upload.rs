//! One file on its way into HDFS: a task that owns the open draft.
//!
//! The futures of a draft must not be dropped half-way: its pipeline to the DataNodes would go on
//! sending keep-alives and hold its connections for ever. A request may be dropped at any await, so it
//! does not poll them itself. This task does, and always runs to its end, whatever becomes of the
//! request.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use metrics::{counter, histogram};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, info_span, warn};

use super::client::DraftFile;
use super::exceptions::{broken, unavailable};
use super::run::OpenDraft;
use super::site::Site;
use lakechat_core::domain::StoredName;
use lakechat_core::ports::PortError;

pub(super) type Reply<T> = oneshot::Sender<Result<T, PortError>>;

/// What a writer wants of its upload. When the writer is gone, the upload is discarded.
pub(super) enum UploadCommand {
    Write(Bytes, Reply<()>),
    /// Replies with the path within the store.
    Commit(Reply<String>),
}

pub(super) struct Upload {
    pub site: Arc<Site>,
    name: StoredName,
    pub path: String,
    draft: Box<dyn DraftFile>,
    written: u64,
    /// Where a rename may have put the file.
    published: Option<String>,
    /// Keeps this server's sweep away from the draft.
    _open: OpenDraft,
}

/// Makes a draft.
pub(super) async fn begin(site: Arc<Site>, name: StoredName) -> Result<Upload, PortError> {
    // Before the draft exists: a sweep must not find it without a writer.
    let open = site.open_drafts.register(name);
    let path = site.layout.draft(&site.run, name);
    Ok(Upload {
        draft: site.client.create(&path).await?,
        site,
        name,
        path,
        written: 0,
        published: None,
        _open: open,
    })
}

impl Upload {
    /// Carries out commands until a commit, an error, or the writer's end.
    pub async fn run(self, commands: mpsc::Receiver<UploadCommand>) {
        let span = info_span!("hdfs_upload", file.id = %self.name);
        self.carry_out(commands).instrument(span).await;
    }

    async fn carry_out(mut self, mut commands: mpsc::Receiver<UploadCommand>) {
        while let Some(command) = commands.recv().await {
            match command {
                UploadCommand::Write(bytes, reply) => {
                    let written = self.write(bytes).await;
                    let failed = written.is_err();
                    // A writer that left sends no further command, which ends the loop.
                    let _ = reply.send(written);
                    if failed {
                        break;
                    }
                }
                UploadCommand::Commit(reply) => return self.commit(reply).await,
            }
        }
        self.discard().await;
    }

    async fn write(&mut self, batch: Bytes) -> Result<(), PortError> {
        let length = batch.len() as u64;
        self.draft.write(batch).await?;
        self.written += length;
        counter!("lakechat_hdfs_written_bytes_total").increment(length);
        Ok(())
    }

    async fn commit(mut self, reply: Reply<String>) {
        let begun = Instant::now();
        let published = self.publish().await;
        histogram!("lakechat_hdfs_commit_seconds").record(begun.elapsed());
        let succeeded = published.is_ok();
        // A file whose path nobody receives gets no row: it would stay for ever.
        let received = reply.send(published).is_ok();
        if !(succeeded && received) {
            self.discard().await;
        }
    }

    async fn publish(&mut self) -> Result<String, PortError> {
        self.draft.close().await?;
        self.check_length().await?;
        let path = self.name.path();
        let stored = self.site.stored_path(&path)?;
        self.published = Some(stored.clone());
        match self.rename(&stored).await {
            // Only the answer may have been lost: the file was renamed if it exists.
            Err(error @ PortError::Unavailable { .. }) => {
                let status = self.site.client.stat(&stored).await?;
                status.map(|_| path).ok_or(error)
            }
            renamed => renamed.map(|()| path),
        }
    }

    async fn check_length(&self) -> Result<(), PortError> {
        let (draft, written) = (&self.path, self.written);
        let status = self.site.client.stat(draft).await?;
        match status.map(|status| status.length) {
            Some(length) if length == written => Ok(()),
            Some(length) => Err(broken(format!(
                "{draft} has {length} bytes, and {written} were written"
            ))),
            None => Err(unavailable(format!(
                "{draft} was removed while it was written"
            ))),
        }
    }

    async fn rename(&self, stored: &str) -> Result<(), PortError> {
        let (client, draft) = (&self.site.client, &self.path);
        if client.rename(draft, stored).await? {
            return Ok(());
        }
        // This is the first file in its folder: only 256 renames ever need the folder made.
        let (folder, _) = stored.rsplit_once('/').unwrap_or_default();
        client.make_folder(folder).await?;
        if client.rename(draft, stored).await? {
            return Ok(());
        }
        let reason = format!("{draft} was removed before it could be renamed");
        Err(unavailable(reason))
    }

    /// Removes what was written, and then closes the connections to the DataNodes.
    async fn discard(self) {
        let client = &self.site.client;
        self.log_failure(client.delete(&self.path, false).await);
        if let Some(stored) = &self.published {
            self.log_failure(client.delete(stored, false).await);
        }
        self.draft.end_pipeline().await;
    }

    fn log_failure(&self, removed: Result<bool, PortError>) {
        if let Err(error) = removed {
            counter!("lakechat_hdfs_drafts_left_total").increment(1);
            warn!(file.id = %self.name, %error, "can't remove the draft of an upload that failed; a sweep will");
        }
    }
}
