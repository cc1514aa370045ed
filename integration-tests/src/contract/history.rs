//! History: ranges of messages, numbers, marks. Changes are tested in [`super::changes`], members and
//! channels in [`super::members`].

use std::sync::Arc;

use anyhow::{Context, Result};
use lakechat_core::domain::{
    Attachment, Cells, Change, ChangeKind, ChannelName, ClientMsgId, FileId, HistoryRow, Id,
    Message, Partition,
};
use lakechat_core::ports::History;
use lakechat_core::ports::history::{ChannelRows, Mark, MessageRange};

use super::{Backend, channel, channel_named, id, random, user_named};

/// Tests of every rule of history.
#[macro_export]
macro_rules! history_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            history:
                messages_are_read_as_stored
                ranges_exclude_both_ends_and_are_oldest_first
                channels_are_separate
                private_messages_are_read_like_public_ones
                large_batch_is_complete_when_append_returns
                channels_with_rows_are_listed_once
                last_number_is_that_of_the_last_message_below
                rows_survive_a_restart
                marks_are_zero_until_moved
                marks_never_go_back
                marks_survive_a_restart;
            changes:
                rows_in_any_order_leave_the_same_cells
                later_edit_wins_in_any_order
                deleted_message_stays_deleted_and_empty
                change_stored_before_its_message_is_not_visible
                reactions_are_one_per_person_and_emoji
                changed_is_the_last_change_of_any_kind
                changes_are_listed_by_their_own_ids;
            members:
                members_are_listed_by_name_with_those_who_left
                newer_event_sets_the_role_in_any_order
                joining_sets_the_time_and_changing_the_role_does_not
                memberships_are_all_channels_of_a_user
                newest_event_sets_a_membership_in_any_order
                topic_and_archival_come_from_the_log
                channel_state_is_kept_where_the_log_has_none;
        }
    };
}

pub async fn channels_with_rows_are_listed_once<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    let mut stored = Vec::new();
    for private in [false, true] {
        for _ in 0..3 {
            let name = random();
            let channel = match private {
                true => channel_named(&format!("dm:a{name}:b{name}")),
                false => channel(),
            };
            let rows = (1..=3).map(|n| HistoryRow {
                private,
                ..message_row(&channel, n)
            });
            history.append(rows.collect()).await?;
            stored.push(ChannelRows { channel, private });
        }
    }
    // Neither a channel without a row, nor one with a change whose message is not stored.
    let change = Change {
        id: id(9),
        target: id(8),
        user: user_named("ann"),
        kind: ChangeKind::Delete,
    };
    let unborn = channel();
    history
        .append(vec![row(&unborn, Cells::Change(change))])
        .await?;
    for limit in [1, 2, 100] {
        let mut listed: Vec<ChannelRows> = Vec::new();
        loop {
            let page = history.channels_with_rows(listed.last(), limit).await?;
            assert!(page.len() <= limit);
            let is_last = page.len() < limit;
            listed.extend(page);
            if is_last {
                break;
            }
        }
        for rows in &stored {
            assert_eq!(listed.iter().filter(|r| *r == rows).count(), 1, "{rows:?}");
        }
        assert!(!listed.iter().any(|rows| rows.channel == unborn));
    }
    Ok(())
}

pub(super) const ALL: MessageRange = MessageRange::Oldest {
    after: Id::ZERO,
    before: Id::MAX,
};

/// A plain message by ann, the `n`th of its channel.
pub(super) fn message(n: u64) -> Message {
    plain_message(id(n), n, format!("text {n}"))
}

/// A message with the required fields only.
pub fn plain_message(id: Id, n: u64, text: String) -> Message {
    Message {
        id,
        sender: user_named("ann"),
        text,
        client_msg_id: ClientMsgId::parse(&format!("c-{n}")).ok(),
        n,
        reply_to: None,
        file: None,
        edited_at_ms: None,
        deleted_at_ms: None,
        changed: None,
        reactions: Default::default(),
    }
}

pub(super) fn row(channel: &ChannelName, cells: Cells) -> HistoryRow {
    HistoryRow {
        channel: channel.clone(),
        private: false,
        cells,
    }
}

pub(super) fn message_row(channel: &ChannelName, n: u64) -> HistoryRow {
    row(channel, Cells::Message(message(n)))
}

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|m| m.n).collect()
}

pub async fn messages_are_read_as_stored<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    let rich = Message {
        text: "grüß 👍 \"quoted\"\n\tand \0 more".into(),
        reply_to: Some(id(1)),
        file: Some(Attachment {
            id: FileId::random(),
            name: "a\"b\r\nc/日本.txt".into(),
            size: 10 << 30,
            media_type: "text/plain; charset=utf-8".into(),
        }),
        ..message(2)
    };
    let bare = Message {
        client_msg_id: None,
        text: String::new(),
        ..message(3)
    };
    let stored = vec![message(1), rich, bare];
    let rows = stored
        .iter()
        .cloned()
        .map(|m| row(&channel, Cells::Message(m)));
    history.append(rows.collect()).await?;
    assert_eq!(history.messages(&channel, ALL, 10).await?, stored);
    Ok(())
}

pub async fn ranges_exclude_both_ends_and_are_oldest_first<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    history
        .append((1..=9).map(|n| message_row(&channel, n)).collect())
        .await?;
    let (after, before) = (id(2), id(8));
    let cases: [(MessageRange, usize, &[u64]); 7] = [
        (MessageRange::Newest { after, before }, 3, &[5, 6, 7]),
        (MessageRange::Oldest { after, before }, 3, &[3, 4, 5]),
        (MessageRange::Newest { after, before }, 9, &[3, 4, 5, 6, 7]),
        (MessageRange::Oldest { after, before }, 0, &[]),
        (ALL, 200, &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (
            MessageRange::Newest {
                after,
                before: id(3),
            },
            9,
            &[],
        ),
        (
            MessageRange::Oldest {
                after: id(9),
                before: Id::MAX,
            },
            9,
            &[],
        ),
    ];
    for (range, limit, expected) in cases {
        let found = history.messages(&channel, range, limit).await?;
        assert_eq!(numbers(&found), expected, "{range:?}, at most {limit}");
    }
    Ok(())
}

/// Channels whose names have a common prefix must not mix, whatever the row keys look like.
pub async fn channels_are_separate<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    let stem = format!("c{}", random());
    let names = ["", "-", ".", "0", "00000000000000000001"];
    let channels: Vec<_> = names
        .iter()
        .map(|end| channel_named(&format!("{stem}{end}")))
        .collect();
    for (n, channel) in (1..).zip(&channels) {
        history.append(vec![message_row(channel, n)]).await?;
    }
    for (n, channel) in (1..).zip(&channels) {
        let found = history.messages(channel, ALL, 10).await?;
        assert_eq!(numbers(&found), [n], "{channel}");
    }
    Ok(())
}

pub async fn private_messages_are_read_like_public_ones<B: Backend>(backend: B) -> Result<()> {
    let (history, name) = (backend.history(), random());
    let channel = channel_named(&format!("dm:a{name}:b{name}"));
    let private = HistoryRow {
        private: true,
        ..message_row(&channel, 1)
    };
    history.append(vec![private]).await?;
    assert_eq!(history.messages(&channel, ALL, 9).await?, [message(1)]);
    assert_eq!(
        history.last_message_number(&channel, Id::MAX).await?,
        Some((id(1), 1))
    );
    Ok(())
}

pub async fn large_batch_is_complete_when_append_returns<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    let rows = (1..=2_500).map(|n| message_row(&channel, n)).collect();
    history.append(rows).await?;
    let found = history.messages(&channel, ALL, 5_000).await?;
    assert!(numbers(&found).into_iter().eq(1..=2_500));
    history.append(Vec::new()).await?;
    Ok(())
}

pub async fn last_number_is_that_of_the_last_message_below<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    assert_eq!(history.last_message_number(&channel, Id::MAX).await?, None);
    history
        .append((1..=3).map(|n| message_row(&channel, n)).collect())
        .await?;
    let last = async |before| history.last_message_number(&channel, before).await;
    assert_eq!(last(Id::MAX).await?, Some((id(3), 3)));
    assert_eq!(last(id(3)).await?, Some((id(2), 2)));
    assert_eq!(last(id(1)).await?, None);
    Ok(())
}

pub async fn rows_survive_a_restart<B: Backend>(backend: B) -> Result<()> {
    let channel = channel();
    let rows = (1..=300).map(|n| message_row(&channel, n)).collect();
    backend.history().append(rows).await?;
    let backend = backend.reopen().await?;
    let found = backend.history().messages(&channel, ALL, 500).await?;
    assert!(numbers(&found).into_iter().eq(1..=300));
    Ok(())
}

async fn mark_of(history: &Arc<dyn History>, partition: Partition) -> Result<Mark> {
    let marks = history.marks().await?;
    let mark = marks.get(partition.index()).copied();
    mark.context("a mark for each partition")
}

/// A mark `n` ahead of another.
fn further(mark: Mark, n: u64) -> Mark {
    Mark {
        offset: mark.offset + n,
        id: id(n),
        time_ms: mark.time_ms + n,
    }
}

pub async fn marks_are_zero_until_moved<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    let marks = history.marks().await?;
    assert_eq!(marks.len(), usize::from(backend.broker().partitions()));
    let unmoved = marks.iter().filter(|mark| mark.offset == 0);
    assert!(unmoved.copied().all(|mark| mark == Mark::default()));
    Ok(())
}

pub async fn marks_never_go_back<B: Backend>(backend: B) -> Result<()> {
    let (history, partition) = (backend.history(), Partition(7));
    let start = mark_of(&history, partition).await?;
    let others = history.marks().await?;
    let moved = further(start, 10);
    history.advance_mark(partition, moved).await?;
    let same_offset = Mark {
        id: id(99),
        ..moved
    };
    for behind in [further(start, 9), same_offset, Mark::default()] {
        history.advance_mark(partition, behind).await?;
        assert_eq!(mark_of(&history, partition).await?, moved);
    }
    history.advance_mark(partition, further(start, 11)).await?;
    assert_eq!(mark_of(&history, partition).await?, further(start, 11));
    // Another rule may move its own partition's mark at the same time, but only forward.
    let moved = history.marks().await?;
    assert_eq!(moved.len(), others.len());
    for (moved, other) in moved.iter().zip(others) {
        assert!(
            moved.offset >= other.offset,
            "marks of other partitions don't move back"
        );
    }
    Ok(())
}

pub async fn marks_survive_a_restart<B: Backend>(backend: B) -> Result<()> {
    let partition = Partition(5);
    let moved = further(mark_of(&backend.history(), partition).await?, 3);
    backend.history().advance_mark(partition, moved).await?;
    let backend = backend.reopen().await?;
    assert_eq!(mark_of(&backend.history(), partition).await?, moved);
    Ok(())
}
