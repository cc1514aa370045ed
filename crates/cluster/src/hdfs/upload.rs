//! One file on its way into HDFS: a task that owns the library's writer.
//!
//! The library's futures must not be dropped half-way: its pipeline to the DataNodes would go on
//! beating and hold its connections for ever. So nobody's request drives them but this task, which always
//! runs to its end, whatever becomes of the request.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use metrics::{counter, histogram};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::native::draft_file::DraftFile;
use super::store::Site;
use crate::hdfs::exceptions::{broken, unavailable};
use crate::hdfs::layout::path_of;
use crate::hdfs::run::Entered;
use lakechat_core::domain::FileId;
use lakechat_core::ports::PortError;

pub(super) type Answer<T> = oneshot::Sender<Result<T, PortError>>;

/// What a request wants of its upload. Without more orders the upload is given up.
pub(super) enum Order {
    Write(Bytes, Answer<()>),
    /// Answered with the path within the store.
    Commit(Answer<String>),
}

pub(super) struct Upload {
    pub site: Arc<Site>,
    id: FileId,
    pub draft: DraftFile,
    /// Where it was renamed to, perhaps.
    published: Option<String>,
    _entered: Entered,
}

/// Opens a draft.
pub(super) async fn begin(site: Arc<Site>, id: FileId) -> Result<Upload, PortError> {
    // Before the draft is there, so that no sweep meets it without a writer.
    let entered = site.drafts.enter(id);
    let path = site.layout.draft(&site.run, id);
    Ok(Upload {
        draft: DraftFile::create(Arc::clone(&site), path).await?,
        site,
        id,
        published: None,
        _entered: entered,
    })
}

impl Upload {
    /// Does what it is told, to the end.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Write(bytes, answer) => {
                    let written = self.draft.write(bytes).await;
                    let failed = written.is_err();
                    // Nobody to hear it: then no more orders come.
                    let _ = answer.send(written);
                    if failed {
                        break;
                    }
                }
                Order::Commit(answer) => return self.commit(answer).await,
            }
        }
        self.discard().await;
    }

    async fn commit(mut self, answer: Answer<String>) {
        let begun = Instant::now();
        let published = self.publish().await;
        histogram!("lakechat_hdfs_commit_seconds").record(begun.elapsed());
        let is_wanted = published.is_ok();
        // A file whose path nobody hears will have no row.
        let is_heard = answer.send(published).is_ok();
        if !(is_wanted && is_heard) {
            self.discard().await;
        }
    }

    async fn publish(&mut self) -> Result<String, PortError> {
        self.draft.close().await?;
        self.check_length().await?;
        let path = path_of(self.id);
        let place = self.site.place(&path)?;
        self.published = Some(place.clone());
        match self.rename(&place).await {
            // The answer got lost, and the rename may have happened.
            Err(error @ PortError::Unavailable { .. }) => {
                let found = self.site.name_node.stat(&place).await?;
                found.map(|_| path).ok_or(error)
            }
            renamed => renamed.map(|()| path),
        }
    }

    async fn check_length(&self) -> Result<(), PortError> {
        let (draft, written) = (&self.draft.path, self.draft.written);
        let status = self.site.name_node.stat(draft).await?;
        let length = status.map(|status| status.length as u64);
        if length == Some(written) {
            return Ok(());
        }
        Err(match length {
            Some(length) => broken(format!(
                "{draft} has {length} bytes, and {written} were written"
            )),
            None => unavailable(format!("{draft} was removed while it was written")),
        })
    }

    async fn rename(&self, place: &str) -> Result<(), PortError> {
        let (node, draft) = (&self.site.name_node, &self.draft.path);
        if node.rename(draft, place).await? {
            return Ok(());
        }
        // The first file in its folder.
        let (folder, _) = place.rsplit_once('/').unwrap_or_default();
        node.make_folder(folder).await?;
        if node.rename(draft, place).await? {
            return Ok(());
        }
        let reason = format!("{draft} was removed before it was a file");
        Err(unavailable(reason))
    }

    /// Removes what was written, and then ends the pipeline to the DataNodes.
    async fn discard(self) {
        self.note(self.draft.remove().await);
        if let Some(place) = &self.published {
            self.note(self.site.name_node.delete(place, false).await.map(drop));
        }
        self.draft.end_pipeline().await;
    }

    fn note(&self, removed: Result<(), PortError>) {
        if let Err(error) = removed {
            counter!("lakechat_hdfs_drafts_left_total").increment(1);
            warn!(file.id = %self.id, %error, "what an upload wrote is left to the sweeper");
        }
    }
}
