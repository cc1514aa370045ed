//! Channels, their members and the members' roles.

use serde::{Deserialize, Serialize};

use super::{ChannelName, Id, UserName};

/// Who may see a channel. Never changes once the channel exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    Public,
    Private,
    Direct,
}

impl ChannelKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ChannelKind::Public => "public",
            ChannelKind::Private => "private",
            ChannelKind::Direct => "direct",
        }
    }

    pub fn is_private(self) -> bool {
        match self {
            ChannelKind::Public => false,
            ChannelKind::Private | ChannelKind::Direct => true,
        }
    }
}

/// What a member may do. A former member has the role `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Admin,
    Member,
    None,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Member => "member",
            Role::None => "none",
        }
    }

    pub fn parse(s: &str) -> Option<Role> {
        [Role::Owner, Role::Admin, Role::Member, Role::None]
            .into_iter()
            .find(|r| r.as_str() == s)
    }

    pub fn is_member(self) -> bool {
        self != Role::None
    }
}

/// A channel. The directory has its name, kind, creator and creation time, which never change.
/// Topic and archival come from the log, each with the id of the event that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub name: ChannelName,
    pub kind: ChannelKind,
    /// `None` for `general`, which exists from the start.
    pub creator: Option<UserName>,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// The topic and the event that set it.
    pub topic: Option<(String, Id)>,
    /// The event that archived the channel.
    pub archived: Option<Id>,
}

/// A member of a channel, or a former one with the role `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: UserName,
    pub role: Role,
    /// Milliseconds since 1970.
    pub joined_at_ms: u64,
    /// The event that set the role.
    pub changed: Id,
}

/// A channel in which a user is a member, or was one and has the role `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub channel: ChannelName,
    pub role: Role,
    /// The event that set the role.
    pub changed: Id,
}
