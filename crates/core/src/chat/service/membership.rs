//! Joins and leaves channels, and finds the channels of a user.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, TryFutureExt, TryStreamExt, stream};

use super::{ChannelPage, Chat, MAX_LIMIT, TRIES, archived};
use crate::chat::hub::HubChannel;
use crate::chat::log::Log;
use crate::chat::log::record::Body;
use crate::chat::read::behind;
use crate::domain::{ChannelName, Code, Id, Membership, Partition, Problem, Role, UserName};
use crate::ports::problem::history_unavailable;
use crate::single_flight::SingleFlight;

/// The most channels that one list of a user's channels loads at a time.
const LOADS_AT_ONCE: usize = 8;

/// The reads of memberships in history that are under way.
pub(super) type MembershipLoads = SingleFlight<UserName, Result<Arc<StoredMemberships>, Problem>>;

/// A user's memberships in history, with what was marked as archived before they were read: the ids
/// of the marks, by partition.
pub(in crate::chat) struct StoredMemberships {
    marks: Vec<Id>,
    rows: Vec<Membership>,
}

impl StoredMemberships {
    /// What `read` returns, if it returns anything, with the marks before it.
    pub(super) async fn read<T, E>(
        log: &Log,
        read: impl Future<Output = Result<(T, Vec<Membership>), E>>,
    ) -> Result<(T, StoredMemberships), E> {
        let marks = mark_ids(log);
        let (rest, rows) = read.await?;
        Ok((rest, StoredMemberships { marks, rows }))
    }
}

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
        if !channel.read(|r| r.has_had(user)) {
            self.admit_further_channel(user).await?;
        }
        let body = Body::Member {
            user: user.clone(),
            role: Role::Member,
        };
        self.publish(channel, user, body).await?;
        Ok(())
    }

    /// Refuses a further channel to a user who has had as many as `channels_per_user`. Former ones
    /// count: they stay in the user's row, which each connect reads as a whole. Joins at the same
    /// time may exceed the limit by their number.
    pub(super) async fn admit_further_channel(&self, user: &UserName) -> Result<(), Problem> {
        let most = self.settings.channels_per_user;
        let stored = self.stored_memberships(user).await?;
        if self.with_tails(user, stored).await?.len() < most {
            return Ok(());
        }
        let text =
            format!("A user can join or create at most {most} channels, including those left.");
        Err(Problem::new(Code::TooManyChannels, text).limit(most as u64))
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
        let (memberships, unread) = self.memberships(user).await?;
        self.page_of(user, memberships, &unread, after, limit).await
    }

    /// The first page of a user's channels, with what was read of them when the user connected.
    pub(in crate::chat) async fn first_channels_of(
        &self,
        user: &UserName,
        stored: Result<Arc<StoredMemberships>, Problem>,
    ) -> Result<ChannelPage, Problem> {
        let stored = stored?;
        let unread = self.reads.barrier().pass_all().await?;
        let memberships = self.with_tails(user, stored).await?;
        self.page_of(user, memberships, &unread, None, MAX_LIMIT)
            .await
    }

    async fn page_of(
        &self,
        user: &UserName,
        memberships: BTreeMap<ChannelName, Role>,
        unread: &[Partition],
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Problem> {
        let memberships = memberships.into_iter();
        let names = memberships.filter_map(|(name, role)| role.is_member().then_some(name));
        let names = names.filter(|name| after.is_none_or(|after| name > after));
        let open = |name| async move { self.open(&name).await };
        let mut opened = pin!(stream::iter(names.map(open)).buffered(LOADS_AT_ONCE));
        let mut page = ChannelPage {
            degraded: !unread.is_empty(),
            ..ChannelPage::default()
        };
        let mut bytes = 0;
        while let Some(channel) = opened.try_next().await? {
            // The directory may lack the channel, for example after a partial restore.
            let Some(channel) = channel else { continue };
            let channel = channel.object(user);
            bytes += channel.json_bytes();
            let is_over = bytes > OWN_CHANNELS_BYTES && !page.channels.is_empty();
            if is_over || page.channels.len() == limit {
                return Ok(page.with_more());
            }
            page.channels.push(channel);
        }
        Ok(page)
    }

    /// The channels that a user is or was in, and the user's role in each, as the log has it; and the
    /// partitions that can't be read up to their ends. Reads history and the tails of all partitions; of
    /// those, what this server has read.
    pub(super) async fn memberships(
        &self,
        user: &UserName,
    ) -> Result<(BTreeMap<ChannelName, Role>, Vec<Partition>), Problem> {
        let unread = self.reads.barrier().pass_all().await?;
        let stored = self.stored_memberships(user).await?;
        Ok((self.with_tails(user, stored).await?, unread))
    }

    /// Adds what has changed since the memberships were read. The caller has passed the barrier.
    async fn with_tails(
        &self,
        user: &UserName,
        mut stored: Arc<StoredMemberships>,
    ) -> Result<BTreeMap<ChannelName, Role>, Problem> {
        for _ in 0..TRIES {
            if let Some(memberships) = self.overlay(user, &stored) {
                return Ok(memberships);
            }
            stored = self.stored_memberships(user).await?;
        }
        Err(behind())
    }

    /// The rows may be of a read that began before this call: what changed since is in the tails, as
    /// long as they reach back to the marks.
    async fn stored_memberships(&self, user: &UserName) -> Result<Arc<StoredMemberships>, Problem> {
        let (log, reads) = (self.log.clone(), self.reads.clone());
        let load = || {
            let user = user.clone();
            async move {
                let rows = reads.history().memberships(&user);
                let read = StoredMemberships::read(&log, rows.map_ok(|rows| ((), rows))).await;
                let ((), stored) = read.map_err(history_unavailable)?;
                Ok(Arc::new(stored))
            }
        };
        self.membership_loads.share(user.clone(), load).await
    }

    /// The ids of all marks, by partition. To be taken before history is read.
    pub(super) fn mark_ids(&self) -> Vec<Id> {
        mark_ids(&self.log)
    }

    /// Adds the membership events of the tails to the rows of history. None if a tail has evicted a
    /// record above its mark.
    fn overlay(
        &self,
        user: &UserName,
        stored: &StoredMemberships,
    ) -> Option<BTreeMap<ChannelName, Role>> {
        let rows = stored.rows.iter();
        let mut newest: BTreeMap<ChannelName, (Id, Role)> = rows
            .map(|m| (m.channel.clone(), (m.changed, m.role)))
            .collect();
        for (partition, mark) in self.log.partitions().zip(&stored.marks) {
            let state = self.log.lock(partition);
            if state.lacks_above(*mark) {
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
        let newest = newest.into_iter();
        Some(newest.map(|(channel, (_, role))| (channel, role)).collect())
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

fn mark_ids(log: &Log) -> Vec<Id> {
    log.partitions().map(|p| log.mark(p).id).collect()
}
