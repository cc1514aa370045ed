//! Uploads and downloads as the chat starts them, and what follows.

use std::path::PathBuf;

use anyhow::Result;

use super::Talk;
use crate::cli::chat::plain::local_name;
use crate::cli::chat::transfer;
use lakechat_client::Post;
use lakechat_core::domain::{ChannelName, FileId};

/// The result of a transfer.
pub(super) enum Transferred {
    Uploaded(Post, PathBuf),
    Downloaded(String),
    Failed(String),
}

impl Talk {
    pub(super) fn upload(&mut self, channel: ChannelName, path: PathBuf) {
        let (credentials, screen) = (self.credentials.clone(), self.screen.clone());
        let slots = self.transfer_slots.clone();
        self.transfers.spawn(async move {
            let _slot = slots.acquire().await;
            match transfer::upload(&credentials, &screen, &path).await {
                Ok(file) => {
                    let post = Post {
                        file_id: Some(file.id),
                        ..Post::text(channel, "")
                    };
                    Transferred::Uploaded(post, path)
                }
                Err(error) => {
                    Transferred::Failed(format!("{} not uploaded: {error:#}", path.display()))
                }
            }
        });
    }

    pub(super) fn download(&mut self, id: FileId, to: Option<PathBuf>) {
        let (credentials, screen) = (self.credentials.clone(), self.screen.clone());
        let slots = self.transfer_slots.clone();
        let sent_as = self.files.get(&id).map(String::as_str);
        let to = to.unwrap_or_else(|| local_name(id, sent_as));
        self.transfers.spawn(async move {
            let _slot = slots.acquire().await;
            match transfer::download(&credentials, &screen, id, &to).await {
                Ok(bytes) => {
                    Transferred::Downloaded(format!("downloaded {bytes} bytes to {}", to.display()))
                }
                Err(error) => Transferred::Failed(format!("{id} not downloaded: {error:#}")),
            }
        });
    }

    pub(super) async fn transferred(&mut self, done: Transferred) -> Result<()> {
        self.waiting.transfer_ended();
        match done {
            Transferred::Uploaded(post, path) => {
                self.post(post, path.display().to_string()).await?
            }
            Transferred::Downloaded(text) => self.screen.note(&text),
            Transferred::Failed(text) => self.fail(&text),
        }
        Ok(())
    }
}
