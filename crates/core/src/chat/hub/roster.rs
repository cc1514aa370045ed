//! The state of a loaded channel as the log defines it: members, topic, archival.

use std::collections::BTreeMap;

use crate::chat::log::entry::Entry;
use crate::chat::log::record::Body;
use crate::domain::{Channel, Id, Member, Role, UserName};

/// A channel's state, kept up to date by the log. Nothing here expires.
///
/// The topic and each membership come from the event with the largest id; an archival is final. So
/// applying an event twice, or one that the row already contains, changes nothing.
#[derive(Clone, Debug)]
pub struct Roster {
    topic: Option<(String, Id)>,
    archived: Option<Id>,
    /// Includes former members, with role `none`: their ids decide whether a membership event is
    /// newer.
    members: BTreeMap<UserName, Member>,
    /// The members that are not former ones, and the owners among them. Each join asks for the one, and
    /// each look at a role for the other: counting thousands of members then would cost more than the
    /// rest of it.
    count: usize,
    owners: usize,
    general: bool,
}

impl Roster {
    pub fn new(channel: &Channel, members: Vec<Member>) -> Roster {
        let mut roster = Roster {
            topic: channel.topic.clone(),
            archived: channel.archived,
            members: BTreeMap::new(),
            count: 0,
            owners: 0,
            general: channel.name.is_general(),
        };
        for member in members {
            roster.set(member);
        }
        roster
    }

    /// Adds or replaces a member, and returns what it replaced.
    fn set(&mut self, member: Member) -> Option<Member> {
        let after = member.role;
        let before = self.members.insert(member.user.clone(), member);
        let before_role = before.as_ref().map_or(Role::None, |m| m.role);
        self.count += usize::from(after.is_member());
        self.count -= usize::from(before_role.is_member());
        self.owners += usize::from(after == Role::Owner);
        self.owners -= usize::from(before_role == Role::Owner);
        before
    }

    /// Applies an accepted record of this channel. Returns the user whose membership it ended, if
    /// any.
    pub fn apply(&mut self, entry: &Entry) -> Option<UserName> {
        let record = entry.accepted()?;
        match &record.body {
            Body::Topic { topic } => {
                if self.topic.as_ref().is_none_or(|(_, id)| *id < entry.id) {
                    self.topic = Some((topic.clone(), entry.id));
                }
            }
            Body::Archive => {
                self.archived.get_or_insert(entry.id);
            }
            Body::Member { user, role } => {
                let joined = role.is_member() && *user == record.sender;
                return self.apply_member(entry.id, user, *role, joined);
            }
            Body::Message { .. } | Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } => {
            }
        }
        None
    }

    /// Follows the rules by which history merges member rows. Otherwise a channel loaded from
    /// history would differ from one that was loaded earlier.
    fn apply_member(
        &mut self,
        id: Id,
        user: &UserName,
        role: Role,
        joined: bool,
    ) -> Option<UserName> {
        let before = self.members.get(user);
        if before.is_some_and(|m| m.changed >= id) {
            return None;
        }
        let joined_before_ms = before.map_or(0, |m| m.joined_at_ms);
        let joined_at_ms = if joined { id.ms() } else { joined_before_ms };
        let member = Member {
            user: user.clone(),
            role,
            joined_at_ms,
            changed: id,
        };
        let before = self.set(member);
        let ended = before.is_some_and(|m| m.role.is_member()) && !role.is_member();
        ended.then(|| user.clone())
    }

    pub fn topic(&self) -> Option<&str> {
        self.topic.as_ref().map(|(topic, _)| topic.as_str())
    }

    pub fn is_archived(&self) -> bool {
        self.archived.is_some()
    }

    /// The members by name, each with the effective role: see [`Roster::role`].
    pub fn members(&self) -> impl Iterator<Item = Member> + use<'_> {
        let heir = self.heir();
        self.members
            .values()
            .filter(|m| m.role.is_member())
            .map(move |m| {
                let role = if heir == Some(&m.user) {
                    Role::Owner
                } else {
                    m.role
                };
                Member { role, ..m.clone() }
            })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The effective role of a user: `owner` also for the heir of a channel without an owner.
    /// `none` if the user is not a member.
    pub fn role(&self, user: &UserName) -> Role {
        match self.members.get(user).map(|m| m.role) {
            None | Some(Role::None) => Role::None,
            Some(Role::Owner) => Role::Owner,
            Some(_) if self.heir() == Some(user) => Role::Owner,
            Some(role) => role,
        }
    }

    /// Whether the channel has never had a member and isn't archived.
    pub fn is_untouched(&self) -> bool {
        self.members.is_empty() && self.archived.is_none()
    }

    /// Whether a user is a member. Every send checks it, so it doesn't search for the heir as
    /// [`Roster::role`] may.
    pub fn is_member(&self, user: &UserName) -> bool {
        self.members.get(user).is_some_and(|m| m.role.is_member())
    }

    /// Whether a user is a member or was one.
    pub fn has_had(&self, user: &UserName) -> bool {
        self.members.contains_key(user)
    }

    /// The member that counts as owner when no owner is left: the oldest admin, or else the oldest
    /// member. `general` has no heir.
    fn heir(&self) -> Option<&UserName> {
        if self.general || self.owners > 0 {
            return None;
        }
        let oldest = |role| {
            let of_role = self.members.values().filter(move |m| m.role == role);
            of_role
                .min_by_key(|m| (m.joined_at_ms, &m.user))
                .map(|m| &m.user)
        };
        oldest(Role::Admin).or_else(|| oldest(Role::Member))
    }

    /// Whether a user is the only owner and there are other members.
    pub fn is_last_owner(&self, user: &UserName) -> bool {
        let mut owners = self.members().filter(|m| m.role == Role::Owner);
        let only = owners.next().is_some_and(|m| m.user == *user) && owners.next().is_none();
        only && self.count() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::log::fold::Verdict;
    use crate::chat::log::record::Record;
    use crate::domain::{ChannelKind, ChannelName};

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn roster(name: &str) -> Roster {
        let channel = Channel {
            name: ChannelName::parse(name).unwrap(),
            kind: ChannelKind::Public,
            creator: None,
            created_at_ms: 0,
            topic: None,
            archived: None,
        };
        Roster::new(&channel, Vec::new())
    }

    fn entry(id: u64, body: Body) -> Entry {
        let sender = match &body {
            Body::Member { user, .. } => user.clone(),
            _ => user("ann"),
        };
        let record = Record {
            channel: ChannelName::parse("ops").unwrap(),
            private: false,
            sender,
            client_msg_id: None,
            digest: body.digest(),
            received_at_ms: 0,
            body,
        };
        Entry::new(
            id,
            0,
            Id::from_u64(id << 22).unwrap(),
            Verdict::Accepted,
            Some(record),
        )
    }

    fn member(id: u64, name: &str, role: Role) -> Entry {
        entry(
            id,
            Body::Member {
                user: user(name),
                role,
            },
        )
    }

    #[test]
    fn the_larger_id_wins_in_whatever_order() {
        let mut r = roster("ops");
        assert_eq!(r.apply(&member(5, "bob", Role::None)), None);
        assert_eq!(r.apply(&member(4, "bob", Role::Member)), None);
        assert_eq!((r.role(&user("bob")), r.count()), (Role::None, 0));
        r.apply(&entry(
            7,
            Body::Topic {
                topic: "new".into(),
            },
        ));
        r.apply(&entry(
            6,
            Body::Topic {
                topic: "old".into(),
            },
        ));
        assert_eq!(r.topic(), Some("new"));
    }

    #[test]
    fn members_and_owners_are_counted_whatever_order_their_events_have() {
        let roles = [Role::Owner, Role::Admin, Role::Member, Role::None];
        for first in roles {
            for second in roles {
                let mut r = roster("ops");
                for (id, role) in [(4, first), (3, Role::Owner), (4, first), (9, second)] {
                    r.apply(&member(id, "bob", role));
                }
                r.apply(&member(10, "zoe", Role::Member));
                let counted = r.members.values().filter(|m| m.role.is_member()).count();
                let owners = r.members.values().filter(|m| m.role == Role::Owner).count();
                assert_eq!(
                    (r.count, r.owners),
                    (counted, owners),
                    "{first:?} {second:?}"
                );
            }
        }
    }

    #[test]
    fn the_end_of_a_membership_is_told_once() {
        let mut r = roster("ops");
        r.apply(&member(1, "bob", Role::Member));
        assert_eq!(r.apply(&member(2, "bob", Role::None)), Some(user("bob")));
        assert_eq!(r.apply(&member(2, "bob", Role::None)), None);
    }

    #[test]
    fn a_channel_without_owner_is_inherited_but_for_general() {
        for (name, owner) in [("ops", Role::Owner), ("general", Role::Member)] {
            let mut r = roster(name);
            r.apply(&member(1, "zoe", Role::Member));
            r.apply(&member(2, "bob", Role::Member));
            assert_eq!(
                (r.role(&user("zoe")), r.role(&user("bob"))),
                (owner, Role::Member)
            );
        }
        let mut r = roster("ops");
        r.apply(&member(1, "zoe", Role::Member));
        r.apply(&member(2, "bob", Role::Admin));
        assert_eq!(r.role(&user("bob")), Role::Owner);
        assert!(r.is_last_owner(&user("bob")));
        r.apply(&member(3, "ann", Role::Owner));
        assert_eq!(r.role(&user("bob")), Role::Admin);
    }
}
