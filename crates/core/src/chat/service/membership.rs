//! Joins and leaves channels, and finds the channels of a user.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChannelPage, Chat, TRIES};
use crate::chat::hub::HubChannel;
use crate::chat::log::record::Body;
use crate::chat::read::behind;
use crate::domain::{ChannelName, Code, Id, Member, Problem, Role, UserName};
use crate::ports::problem::history_unavailable;

/// A page of a user's channels ends before the channel with which its JSON would exceed this size.
/// A user may have any number of channels, and `welcome` has the first page.
const OWN_CHANNELS_BYTES: usize = 64 * 1024;

impl Chat {
    /// Makes a user a member of a channel, if the user isn't one. The caller has passed the
    /// barrier.
    pub async fn ensure_member(
        &self,
        channel: &HubChannel,
        user: &UserName,
    ) -> Result<(), Problem> {
        if channel.read(|r| r.is_member(user)) {
            return Ok(());
        }
        if channel.read(|r| r.is_archived()) {
            return Err(archived());
        }
        let body = Body::Member {
            user: user.clone(),
            role: Role::Member,
        };
        self.publish(channel, user, body).await?;
        Ok(())
    }

    /// Ends the membership of a user at the user's own request.
    pub async fn leave(&self, channel: &HubChannel, user: &UserName) -> Result<(), Problem> {
        let (member, last_owner) = channel.read(|r| (r.is_member(user), r.is_last_owner(user)));
        if !member {
            return Ok(());
        }
        if last_owner {
            let text =
                "You are the channel's last owner; it needs an owner while it has other members.";
            return Err(Problem::new(Code::LastOwner, text));
        }
        let body = Body::Member {
            user: user.clone(),
            role: Role::None,
        };
        self.publish(channel, user, body).await?;
        Ok(())
    }

    /// Up to `limit` channels of a user in the order of their names, after `after`, with the user's
    /// role in each. At least one, and at most as many as [`OWN_CHANNELS_BYTES`] hold.
    pub async fn channels_of(
        &self,
        user: &UserName,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Problem> {
        let names = self.memberships(user).await?.into_keys();
        let mut page = ChannelPage::default();
        let mut bytes = 0;
        for name in names.filter(|name| after.is_none_or(|after| name > after)) {
            if page.channels.len() == limit {
                return Ok(page.with_more());
            }
            // The directory may lack the channel, for example after a partial restore.
            let Some(channel) = self.open(&name).await? else {
                continue;
            };
            let channel = channel.object(user);
            bytes += channel.json_bytes();
            if bytes > OWN_CHANNELS_BYTES && !page.channels.is_empty() {
                return Ok(page.with_more());
            }
            page.channels.push(channel);
        }
        Ok(page)
    }

    /// The channels of a user and the user's role in each, as the log has it. Reads history and the
    /// tails of all partitions.
    pub(super) async fn memberships(
        &self,
        user: &UserName,
    ) -> Result<BTreeMap<ChannelName, Role>, Problem> {
        self.reads.barrier().pass_all().await?;
        for _ in 0..TRIES {
            let marks = self.mark_ids();
            let rows = self
                .reads
                .history()
                .memberships(user)
                .await
                .map_err(history_unavailable)?;
            if let Some(memberships) = self.overlay(user, &marks, rows) {
                return Ok(memberships);
            }
        }
        Err(behind())
    }

    /// The ids of all marks, by partition. To be taken before history is read.
    pub(super) fn mark_ids(&self) -> Vec<Id> {
        let id_of = |p| self.log.mark(p).id;
        self.log.partitions().map(id_of).collect()
    }

    /// Adds the membership events of the tails to the rows of history. None if a tail has evicted a
    /// record above its mark.
    fn overlay(
        &self,
        user: &UserName,
        marks: &[Id],
        rows: Vec<(ChannelName, Member)>,
    ) -> Option<BTreeMap<ChannelName, Role>> {
        let mut newest: BTreeMap<ChannelName, (Id, Role)> = rows
            .into_iter()
            .map(|(channel, m)| (channel, (m.changed, m.role)))
            .collect();
        for (partition, mark) in self.log.partitions().zip(marks) {
            let state = self.log.lock(partition);
            if state.tail.above() > *mark {
                return None;
            }
            for entry in state.tail.memberships(user) {
                let Some(record) = entry.accepted() else {
                    continue;
                };
                let Body::Member { role, .. } = record.body else {
                    continue;
                };
                let known = newest
                    .entry(record.channel.clone())
                    .or_insert((Id::ZERO, role));
                // Rows and tails overlap; the larger id is the newer event.
                if known.0 <= entry.id {
                    *known = (entry.id, role);
                }
            }
        }
        newest.retain(|_, (_, role)| role.is_member());
        Some(
            newest
                .into_iter()
                .map(|(channel, (_, role))| (channel, role))
                .collect(),
        )
    }

    /// Whether a user may read a channel: everybody may read a public one, only members a private
    /// one.
    pub async fn may_read(&self, user: &UserName, name: &ChannelName) -> Result<bool, Problem> {
        let Some(channel) = self.open(name).await? else {
            return Ok(false);
        };
        Ok(!channel.kind.is_private() || channel.read(|r| r.is_member(user)))
    }

    /// Finds a channel after the barrier, if the user may see it.
    pub async fn find_for(&self, user: &UserName, name: &str) -> Result<Arc<HubChannel>, Problem> {
        let channel = self.find_up_to_date(name).await?;
        if channel.is_visible_to(user) {
            Ok(channel)
        } else {
            Err(super::channel_not_found())
        }
    }
}

pub(super) fn archived() -> Problem {
    let text = "The channel is archived: its history stays, and nothing is added to it.";
    Problem::new(Code::ChannelArchived, text)
}
