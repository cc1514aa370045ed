//! History: members, and topic and archival of channels.

use std::sync::Arc;

use anyhow::{Context, Result};
use lakechat_core::domain::{
    Cells, Channel, ChannelKind, ChannelName, HistoryRow, Member, Membership, Role, UserName,
};
use lakechat_core::ports::History;

use super::history::row;
use super::{Backend, channel, id, user, user_named};

pub(super) fn event(
    channel: &ChannelName,
    by: u64,
    user: &UserName,
    role: Role,
    joined: bool,
) -> HistoryRow {
    let cells = Cells::Member {
        id: id(by),
        user: user.clone(),
        role,
        joined,
    };
    row(channel, cells)
}

async fn only(history: &Arc<dyn History>, channel: &ChannelName) -> Result<Member> {
    let members = history.members(channel, None, 10).await?;
    assert_eq!(members.len(), 1);
    members.into_iter().next().context("one member")
}

pub async fn members_are_listed_by_name_with_those_who_left<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    let names = ["zoe", "ann", "bob.b", "bob", "0x"];
    let joins = (1..).zip(names).map(|(by, name)| {
        let role = if name == "bob" {
            Role::None
        } else {
            Role::Member
        };
        event(&channel, by, &user_named(name), role, true)
    });
    history.append(joins.collect()).await?;
    let list = async |after: Option<&str>, limit| -> Result<Vec<String>> {
        let after = after.map(user_named);
        let members = history.members(&channel, after.as_ref(), limit).await?;
        Ok(members.iter().map(|m| m.user.to_string()).collect())
    };
    assert_eq!(list(None, 10).await?, ["0x", "ann", "bob", "bob.b", "zoe"]);
    assert_eq!(list(None, 2).await?, ["0x", "ann"]);
    assert_eq!(list(Some("ann"), 2).await?, ["bob", "bob.b"]);
    assert_eq!(list(Some("bob.a"), 9).await?, ["bob.b", "zoe"]);
    assert_eq!(list(Some("zoe"), 9).await?, [""; 0]);
    let members = history.members(&channel, None, 10).await?;
    let gone: Vec<_> = members.iter().filter(|m| !m.role.is_member()).collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].user, user_named("bob"));
    Ok(())
}

pub async fn newer_event_sets_the_role_in_any_order<B: Backend>(backend: B) -> Result<()> {
    let (history, ann) = (backend.history(), user());
    let roles = [(1, Role::Member), (2, Role::None), (3, Role::Admin)];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let channel = channel();
        for i in order {
            let (by, role) = roles[i];
            let row = event(&channel, by, &ann, role, by == 1);
            history.append(vec![row]).await?;
        }
        let expected = Member {
            user: ann.clone(),
            role: Role::Admin,
            joined_at_ms: id(1).ms(),
            changed: id(3),
        };
        assert_eq!(only(&history, &channel).await?, expected, "{order:?}");
    }
    Ok(())
}

pub async fn joining_sets_the_time_and_changing_the_role_does_not<B: Backend>(
    backend: B,
) -> Result<()> {
    let (history, channel, ann) = (backend.history(), channel(), user());
    let steps = [
        (10, Role::Member, true, 10),
        (20, Role::Admin, false, 10),
        (30, Role::None, false, 10),
        (40, Role::Member, true, 40),
    ];
    for (by, role, joined, at) in steps {
        let row = event(&channel, by, &ann, role, joined);
        history.append(vec![row]).await?;
        let member = only(&history, &channel).await?;
        assert_eq!((member.role, member.changed), (role, id(by)));
        assert_eq!(member.joined_at_ms, id(at).ms());
    }
    Ok(())
}

pub async fn memberships_are_all_channels_of_a_user<B: Backend>(backend: B) -> Result<()> {
    let (history, ann, bob) = (backend.history(), user(), user());
    assert_eq!(history.memberships(&ann).await?, []);
    let mut channels: Vec<_> = (0..20).map(|_| channel()).collect();
    for (by, channel) in (1..).zip(&channels) {
        let role = if by % 3 == 0 {
            Role::None
        } else {
            Role::Member
        };
        let both = [&ann, &bob].map(|user| event(channel, by, user, role, true));
        history.append(both.into()).await?;
    }
    let found = history.memberships(&ann).await?;
    channels.sort();
    assert!(found.iter().map(|m| &m.channel).eq(&channels));
    for membership in found {
        let stands = history.members(&membership.channel, None, 10).await?;
        let member = stands.iter().find(|member| member.user == ann);
        let member = member.context("the lists of channel and user agree")?;
        assert_eq!(
            (membership.role, membership.changed),
            (member.role, member.changed)
        );
    }
    Ok(())
}

pub async fn newest_event_sets_a_membership_in_any_order<B: Backend>(backend: B) -> Result<()> {
    let (history, ann) = (backend.history(), user());
    let roles = [(1, Role::Member), (2, Role::None), (3, Role::Admin)];
    let mut expected = Vec::new();
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let channel = channel();
        for i in order {
            let (by, role) = roles[i];
            let row = event(&channel, by, &ann, role, by == 1);
            // Again, as by another archiver.
            history.append(vec![row.clone()]).await?;
            history.append(vec![row]).await?;
        }
        expected.push(Membership {
            channel,
            role: Role::Admin,
            changed: id(3),
        });
    }
    expected.sort_by(|a, b| a.channel.cmp(&b.channel));
    assert_eq!(history.memberships(&ann).await?, expected);
    Ok(())
}

/// A channel as the directory returns it.
fn bare(name: &ChannelName) -> Channel {
    Channel {
        name: name.clone(),
        kind: ChannelKind::Public,
        creator: None,
        created_at_ms: 1,
        topic: None,
        archived: None,
    }
}

fn topic(channel: &ChannelName, by: u64, topic: &str) -> HistoryRow {
    let topic = topic.into();
    row(channel, Cells::Topic { id: id(by), topic })
}

pub async fn topic_and_archival_come_from_the_log<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    for (by, text) in [(10, "first"), (12, "third: größer"), (11, "second")] {
        history.append(vec![topic(&channel, by, text)]).await?;
    }
    let mut described = [bare(&channel)];
    history.fill_channel_state(&mut described).await?;
    let expected = Channel {
        topic: Some(("third: größer".into(), id(12))),
        ..bare(&channel)
    };
    assert_eq!(described[0], expected);

    let archived = row(&channel, Cells::Archived { id: id(20) });
    history.append(vec![archived.clone()]).await?;
    history
        .append(vec![archived, topic(&channel, 13, "")])
        .await?;
    history.fill_channel_state(&mut described).await?;
    let expected = Channel {
        topic: Some((String::new(), id(13))),
        archived: Some(id(20)),
        ..expected
    };
    assert_eq!(described, [expected]);
    Ok(())
}

pub async fn channel_state_is_kept_where_the_log_has_none<B: Backend>(backend: B) -> Result<()> {
    let (history, known, unknown) = (backend.history(), channel(), channel());
    history.append(vec![topic(&known, 5, "known")]).await?;
    let set = Channel {
        topic: Some(("set by the tail".into(), id(9))),
        archived: Some(id(10)),
        ..bare(&unknown)
    };
    let mut described = [set.clone(), bare(&known), bare(&unknown)];
    history.fill_channel_state(&mut described).await?;
    assert_eq!(described[0], set);
    assert_eq!(described[1].topic, Some(("known".into(), id(5))));
    assert_eq!(described[2], bare(&unknown));
    history.fill_channel_state(&mut []).await?;
    Ok(())
}
