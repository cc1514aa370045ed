//! The users that are present in a channel.

use std::sync::Arc;

use super::{Chat, channel_not_found};
use crate::chat::hub::HubChannel;
use crate::domain::{Problem, UserName};

pub use crate::ports::presence::{ChannelPresence, PresentSession, PresentUser};

/// The most users in an answer: the first ones by name.
const MOST_PEOPLE: usize = 1000;

impl Chat {
    /// Finds a channel that a user may see, as far as this server has read the log. Needs no
    /// barrier, so it works while the log is unavailable.
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

    /// The users with a session in a channel, over all servers.
    pub async fn presence(&self, channel: &HubChannel) -> ChannelPresence {
        let presence = &self.hub.presence;
        presence.in_channel(&channel.name, MOST_PEOPLE).await
    }
}
