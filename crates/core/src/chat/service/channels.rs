//! Creates, lists and changes channels.

use super::{Chat, MAX_TOPIC_BYTES, TRIES, archived};
use crate::chat::hub::HubChannel;
use crate::chat::hub::roster::Roster;
use crate::chat::log::record::Body;
use crate::chat::read::behind;
use crate::chat::wire::ChannelObject;
use crate::domain::{Channel, ChannelKind, ChannelName, Code, Id, Member, Problem, Role, UserName};
use crate::ports::directory::CreateOutcome;
use crate::ports::problem::{directory_unavailable, history_unavailable};

/// Channels in the order of their names. `next` is the name after which the next page begins.
#[derive(Debug, Default)]
pub struct ChannelPage {
    pub channels: Vec<ChannelObject>,
    pub next: Option<ChannelName>,
    /// Whether changes may be missing, because a partition of the log is stopped.
    pub degraded: bool,
}

impl ChannelPage {
    /// The page, of which there is a next one.
    pub(super) fn with_more(self) -> ChannelPage {
        let next = self.channels.last().map(|channel| channel.name.clone());
        ChannelPage { next, ..self }
    }
}

/// Members in the order of their names. `next` is the name after which the next page begins.
#[derive(Debug)]
pub struct MemberPage {
    pub members: Vec<Member>,
    pub next: Option<UserName>,
}

impl Chat {
    /// Creates a public channel with `user` as its owner.
    pub async fn create_channel(
        &self,
        user: &UserName,
        name: &str,
        topic: Option<&str>,
    ) -> Result<ChannelObject, Problem> {
        let name = ChannelName::parse_given(name).map_err(|_| name_invalid())?;
        let topic = topic.map(parse_topic).transpose()?;
        let there = self.directory.channels.find(&name).await;
        if let Some(there) = there.map_err(directory_unavailable)? {
            self.check_unfinished(user, &there).await?;
        }
        self.admit_further_channel(user).await?;
        // Before the row is written: a name is never free again.
        let partition = self.log.partition_of(&name);
        self.log.check_publish(partition)?;
        let events = if topic.is_some() { 2 } else { 1 };
        self.admit_events(user, events)?;
        let row = Channel {
            name: name.clone(),
            kind: ChannelKind::Public,
            creator: Some(user.clone()),
            created_at_ms: self.log.broker().now_ms(),
            topic: None,
            archived: None,
        };
        let claim = self
            .directory
            .channels
            .create(&row)
            .await
            .map_err(directory_unavailable)?;
        // After the barrier, so that the records of an earlier try count.
        let channel = self.find_up_to_date(name.as_str()).await?;
        if let CreateOutcome::Exists(there) = claim {
            self.check_unfinished(user, &there).await?;
        }
        // The owner's record comes last: after it this call can't be repeated, and others see the
        // channel.
        if let Some(topic) = topic {
            let topic = Body::Topic { topic };
            self.publish_admitted(&channel, user, topic).await?;
        }
        let owner = Body::Member {
            user: user.clone(),
            role: Role::Owner,
        };
        self.publish_admitted(&channel, user, owner).await?;
        Ok(channel.object(user))
    }

    /// Fails with `channel_exists` unless the user may finish creating an existing channel: an
    /// earlier try ended before its last record.
    async fn check_unfinished(&self, user: &UserName, there: &Channel) -> Result<(), Problem> {
        if there.creator.as_ref() != Some(user) {
            return Err(exists());
        }
        // After the barrier, so that the records of the earlier try count.
        let channel = self.find_up_to_date(there.name.as_str()).await?;
        channel.is_unfinished().then_some(()).ok_or_else(exists)
    }

    /// Creates the channel `general` unless it exists.
    pub async fn ensure_general(&self) -> Result<(), Problem> {
        let row = Channel {
            name: ChannelName::general(),
            kind: ChannelKind::Public,
            creator: None,
            created_at_ms: self.log.broker().now_ms(),
            topic: None,
            archived: None,
        };
        self.directory
            .channels
            .create(&row)
            .await
            .map_err(directory_unavailable)?;
        Ok(())
    }

    /// Sets the topic. Requires the role owner or admin.
    pub async fn set_topic(
        &self,
        channel: &HubChannel,
        user: &UserName,
        topic: &str,
    ) -> Result<ChannelObject, Problem> {
        let topic = parse_topic(topic)?;
        let role = channel.read(|r| r.role(user));
        if !matches!(role, Role::Owner | Role::Admin) {
            return Err(role_required(
                "Only owners and admins of the channel can set its topic.",
            ));
        }
        if channel.read(|r| r.is_archived()) {
            return Err(archived());
        }
        self.publish(channel, user, Body::Topic { topic }).await?;
        Ok(channel.object(user))
    }

    /// Archives a channel. Requires the role owner. Archiving it again succeeds and changes
    /// nothing.
    pub async fn archive(&self, channel: &HubChannel, user: &UserName) -> Result<(), Problem> {
        if channel.read(|r| r.role(user)) != Role::Owner {
            return Err(role_required(
                "Only an owner of the channel can archive it.",
            ));
        }
        if channel.read(|r| r.is_archived()) {
            return Ok(());
        }
        self.publish(channel, user, Body::Archive).await?;
        Ok(())
    }

    /// The public channels in the order of their names, with the user's role in each.
    pub async fn list_channels(
        &self,
        user: &UserName,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ChannelPage, Problem> {
        let (roles, unread) = self.memberships(user).await?;
        // One row more than the page has shows whether there is a next page.
        let rows = self.directory.channels.list_public(after, limit + 1).await;
        let mut rows = rows.map_err(directory_unavailable)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more {
            rows.last().map(|row| row.name.clone())
        } else {
            None
        };
        let mut channels = self.describe(rows).await?;
        for object in &mut channels {
            if let Some(role) = roles.get(&object.name).filter(|role| role.is_member()) {
                let role = self.effective_role(user, &object.name, *role).await?;
                object.role = role.is_member().then(|| role.as_str());
            }
        }
        Ok(ChannelPage {
            channels,
            next,
            degraded: !unread.is_empty(),
        })
    }

    /// The effective role of a member whose role in the log is `given`. A channel without an owner
    /// has an heir, and finding it needs all members. So the channel is loaded, at the cost of
    /// reads of history.
    async fn effective_role(
        &self,
        user: &UserName,
        name: &ChannelName,
        given: Role,
    ) -> Result<Role, Problem> {
        if given == Role::Owner || name.is_general() {
            return Ok(given);
        }
        let channel = self.open(name).await?;
        Ok(channel.map_or(given, |channel| channel.read(|r| r.role(user))))
    }

    /// Channels with their state in the log, but without their members.
    async fn describe(&self, mut rows: Vec<Channel>) -> Result<Vec<ChannelObject>, Problem> {
        for _ in 0..TRIES {
            let marks = self.mark_ids();
            self.reads
                .history()
                .fill_channel_state(&mut rows)
                .await
                .map_err(history_unavailable)?;
            let described = rows.iter().map(|row| self.unopened(row, &marks));
            if let Some(channels) = described.collect() {
                return Ok(channels);
            }
        }
        Err(behind())
    }

    /// A channel's row with the topic and state of the tail; None if the tail has evicted an event
    /// above the mark. It doesn't load the channel.
    fn unopened(&self, row: &Channel, marks: &[Id]) -> Option<ChannelObject> {
        let partition = self.log.partition_of(&row.name);
        let mut roster = Roster::new(row, Vec::new());
        let state = self.log.lock(partition);
        if state.lacks_above(marks[partition.index()]) {
            return None;
        }
        for entry in state.tail.newest_state(&row.name) {
            roster.apply(entry);
        }
        drop(state);
        let channel = HubChannel::new(row.clone(), partition, roster);
        Some(channel.object_for_nobody())
    }

    /// Up to `limit` members of a channel in the order of their names, after `after`.
    pub fn list_members(
        &self,
        channel: &HubChannel,
        after: Option<&UserName>,
        limit: usize,
    ) -> MemberPage {
        channel.read(|roster| {
            let mut rest = roster
                .members()
                .filter(|m| after.is_none_or(|a| m.user > *a));
            let members: Vec<_> = rest.by_ref().take(limit).collect();
            let next = rest.next().and(members.last().map(|m| m.user.clone()));
            MemberPage { members, next }
        })
    }
}

fn parse_topic(topic: &str) -> Result<String, Problem> {
    if topic.len() > MAX_TOPIC_BYTES {
        let text = format!("A topic has at most {MAX_TOPIC_BYTES} bytes.");
        let problem = Problem::new(Code::FieldInvalid, text);
        return Err(problem.field("topic").limit(MAX_TOPIC_BYTES as u64));
    }
    Ok(topic.to_owned())
}

fn name_invalid() -> Problem {
    let text = "A channel's name is 1 to 64 characters of a-z, 0-9, '.', '_' and '-', the first a \
                letter or a digit.";
    Problem::new(Code::ChannelNameInvalid, text)
        .field("name")
        .limit(64)
}

fn exists() -> Problem {
    let text = "A channel with this name exists; names are never reused.";
    Problem::new(Code::ChannelExists, text).field("name")
}

fn role_required(text: &'static str) -> Problem {
    Problem::new(Code::RoleRequired, text)
}
