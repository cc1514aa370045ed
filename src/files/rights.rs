//! Who may read a file: its uploader, and whoever may read a message that carries it.

use async_trait::async_trait;

use super::Files;
use crate::domain::{ChannelName, Code, File, Problem, UserName};

/// What files must know of channels. Chat answers it.
#[async_trait]
pub trait ChannelRights: Send + Sync {
    /// Whether the user may read what is said in the channel.
    async fn may_read(&self, user: &UserName, channel: &ChannelName) -> Result<bool, Problem>;
}

impl Files {
    /// Refuses with `forbidden` who may not read the file. When one of several channels can't be
    /// asked and no other grants the right, the answer is that channel's problem: a right that
    /// can't be checked is no refusal for good.
    pub async fn may_download(
        &self,
        file: &File,
        user: &UserName,
        rights: &dyn ChannelRights,
    ) -> Result<(), Problem> {
        if file.uploader == *user {
            return Ok(());
        }
        let text = "This file is its uploader's, and was posted in no channel that you may read.";
        let mut refusal = Problem::new(Code::Forbidden, text);
        for channel in self.posted_in(file.id).await? {
            match rights.may_read(user, &channel).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(problem) => refusal = problem,
            }
        }
        Err(refusal)
    }
}
