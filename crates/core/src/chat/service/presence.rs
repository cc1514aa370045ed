//! Who is in a channel at the moment.

use std::sync::Arc;

use super::{Chat, channel_not_found};
use crate::chat::hub::HubChannel;
use crate::domain::{Problem, UserName};

pub use crate::ports::presence::{ChannelPresence, PresentSession, PresentUser};

/// People that an answer lists, at most: the first by name.
const MOST_PEOPLE: usize = 1000;

impl Chat {
    /// A channel that a user may see, by what this server has read so far: without the log's end,
    /// so that it works while the log is away.
    pub async fn find_as_known(
        &self,
        user: &UserName,
        name: &str,
    ) -> Result<Arc<HubChannel>, Problem> {
        let channel = self.find(name).await?;
        if channel.is_visible_to(user) {
            Ok(channel)
        } else {
            Err(channel_not_found())
        }
    }

    /// Who has joined a channel, over all servers.
    pub async fn presence(&self, channel: &HubChannel) -> ChannelPresence {
        let presence = &self.hub.presence;
        presence.in_channel(&channel.name, MOST_PEOPLE).await
    }
}
