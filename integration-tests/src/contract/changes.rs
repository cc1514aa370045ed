//! History: changes of messages, stored in any order.

use std::sync::Arc;

use anyhow::{Context, Result};
use lakechat_core::domain::{
    Cells, Change, ChangeKind, ChannelName, HistoryRow, Id, Message, Role,
};
use lakechat_core::ports::History;
use rand::seq::SliceRandom;

use super::history::{ALL, message, message_row, row};
use super::{Backend, channel, id, user_named};

fn change(by: u64, target: u64, user: &str, kind: ChangeKind) -> Change {
    Change {
        id: id(by),
        target: id(target),
        user: user_named(user),
        kind,
    }
}

fn edit(by: u64, target: u64, text: &str) -> Change {
    let text = text.into();
    change(by, target, "ann", ChangeKind::Edit { text })
}

fn delete(by: u64, target: u64) -> Change {
    change(by, target, "ann", ChangeKind::Delete)
}

fn react(by: u64, target: u64, user: &str, emoji: &str, on: bool) -> Change {
    let emoji = emoji.into();
    change(by, target, user, ChangeKind::React { emoji, on })
}

/// Stores each change with its own `append`.
async fn store(
    history: &Arc<dyn History>,
    channel: &ChannelName,
    changes: impl IntoIterator<Item = Change>,
) -> Result<()> {
    for change in changes {
        let row = row(channel, Cells::Change(change));
        history.append(vec![row]).await?;
    }
    Ok(())
}

async fn only(history: &Arc<dyn History>, channel: &ChannelName) -> Result<Message> {
    let found = history.messages(channel, ALL, 10).await?;
    assert_eq!(found.len(), 1);
    found.into_iter().next().context("one message")
}

/// Everything that can be read from a channel.
async fn cells(history: &Arc<dyn History>, channel: &ChannelName) -> Result<String> {
    let messages = history.messages(channel, ALL, 1_000).await?;
    let changes = history.changes(channel, Id::ZERO, Id::MAX, 1_000).await?;
    let members = history.members(channel, None, 1_000).await?;
    let last = history.last_message_number(channel, Id::MAX).await?;
    Ok(format!("{messages:#?}{changes:#?}{members:#?}{last:?}"))
}

/// Forty messages with every kind of change.
fn eventful(channel: &ChannelName) -> Vec<HistoryRow> {
    let mut rows: Vec<_> = (1..=40).map(|n| message_row(channel, n)).collect();
    let changes = (1..=40).flat_map(|n| {
        let user = ["ann", "bob", "eve"][n as usize % 3];
        let mut some = vec![
            edit(100 + n, n, &format!("first {n}")),
            react(200 + n, n, user, "👍", true),
            edit(300 + n, n, &format!("second {n}")),
            react(400 + n, n, user, "👍", n % 2 == 0),
            react(500 + n, n, "zoe", "🎉", true),
        ];
        if n % 4 == 0 {
            some.push(delete(350 + n, n));
        }
        some
    });
    rows.extend(changes.map(|change| row(channel, Cells::Change(change))));
    rows.extend((1..=30).map(|n| {
        let cells = Cells::Member {
            id: id(600 + n),
            user: user_named(["ann", "bob", "eve"][n as usize % 3]),
            role: [Role::Member, Role::Admin, Role::None][n as usize / 3 % 3],
            joined: n < 4,
        };
        row(channel, cells)
    }));
    rows
}

pub async fn rows_in_any_order_leave_the_same_cells<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    let in_order = channel();
    history.append(eventful(&in_order)).await?;
    let expected = cells(&history, &in_order).await?;
    for _ in 0..5 {
        let shuffled = channel();
        let mut rows = eventful(&shuffled);
        rows.extend(eventful(&shuffled));
        rows.shuffle(&mut rand::rng());
        for batch in rows.chunks(97) {
            history.append(batch.to_vec()).await?;
        }
        assert_eq!(cells(&history, &shuffled).await?, expected);
    }
    Ok(())
}

pub async fn later_edit_wins_in_any_order<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    for order in [[10, 11, 12], [12, 10, 11], [11, 12, 10]] {
        let channel = channel();
        history.append(vec![message_row(&channel, 1)]).await?;
        let edits = order.map(|by| edit(by, 1, &format!("edit {by}")));
        store(&history, &channel, edits).await?;
        let expected = Message {
            text: "edit 12".into(),
            edited_at_ms: Some(id(12).ms()),
            changed: Some(id(12)),
            ..message(1)
        };
        assert_eq!(only(&history, &channel).await?, expected);
    }
    Ok(())
}

pub async fn deleted_message_stays_deleted_and_empty<B: Backend>(backend: B) -> Result<()> {
    let history = backend.history();
    let happened = [edit(10, 1, "kept?"), delete(11, 1), edit(12, 1, "back?")];
    for order in [[0, 1, 2], [1, 0, 2], [2, 0, 1], [1, 2, 0]] {
        let channel = channel();
        history.append(vec![message_row(&channel, 1)]).await?;
        let changes = order.map(|i: usize| happened[i].clone());
        store(&history, &channel, changes).await?;
        // Store the message again, as the archiver does after a restart.
        history.append(vec![message_row(&channel, 1)]).await?;
        let found = only(&history, &channel).await?;
        assert_eq!(found.text, "", "{order:?}");
        assert_eq!(found.deleted_at_ms, Some(id(11).ms()));
        assert_eq!(found.n, 1, "a deleted message still counts");
    }
    Ok(())
}

pub async fn change_stored_before_its_message_is_not_visible<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    let early = [
        edit(10, 1, "edited"),
        react(11, 1, "bob", "👍", true),
        delete(12, 2),
        react(13, 3, "bob", "🎉", true),
    ];
    store(&history, &channel, early).await?;
    assert_eq!(history.messages(&channel, ALL, 10).await?, []);
    assert_eq!(history.last_message_number(&channel, Id::MAX).await?, None);
    history
        .append((1..=3).map(|n| message_row(&channel, n)).collect())
        .await?;
    let found = history.messages(&channel, ALL, 10).await?;
    let texts: Vec<_> = found.iter().map(|m| m.text.as_str()).collect();
    assert_eq!(texts, ["edited", "", "text 3"]);
    assert_eq!(found[0].reactions["👍"], [user_named("bob")]);
    assert!(found[1].deleted_at_ms.is_some());
    assert_eq!(found[2].reactions["🎉"], [user_named("bob")]);
    Ok(())
}

pub async fn reactions_are_one_per_person_and_emoji<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    history.append(vec![message_row(&channel, 1)]).await?;
    let reactions = [
        react(10, 1, "bob", "👍", true),
        react(11, 1, "eve", "👍", true),
        react(12, 1, "bob", "👍", true),
        react(13, 1, "bob", "a b", true),
        react(15, 1, "eve", "👍", false),
        react(14, 1, "eve", "👍", true),
        react(16, 1, "zoe", "🎉", false),
    ];
    store(&history, &channel, reactions).await?;
    let found = only(&history, &channel).await?;
    assert_eq!(found.reactions.len(), 2, "{:?}", found.reactions);
    assert_eq!(found.reactions["👍"], [user_named("bob")]);
    assert_eq!(found.reactions["a b"], [user_named("bob")]);
    assert_eq!(found.text, "text 1");
    Ok(())
}

pub async fn changed_is_the_last_change_of_any_kind<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    history.append(vec![message_row(&channel, 1)]).await?;
    assert_eq!(only(&history, &channel).await?.changed, None);
    let steps = [
        (react(20, 1, "bob", "👍", true), 20),
        (edit(10, 1, "an older edit, stored late"), 20),
        (react(30, 1, "bob", "👍", false), 30),
        (delete(40, 1), 40),
    ];
    for (change, expected) in steps {
        store(&history, &channel, [change]).await?;
        let found = only(&history, &channel).await?;
        assert_eq!(found.changed, Some(id(expected)));
        assert_eq!(
            found.edited_at_ms.is_some(),
            expected > 20 || found.text != "text 1"
        );
    }
    Ok(())
}

pub async fn changes_are_listed_by_their_own_ids<B: Backend>(backend: B) -> Result<()> {
    let (history, channel) = (backend.history(), channel());
    history
        .append((1..=3).map(|n| message_row(&channel, n)).collect())
        .await?;
    let happened = [
        edit(10, 3, "text that is not kept"),
        react(11, 1, "bob", "👍", false),
        delete(12, 2),
        react(13, 1, "eve", "🎉", true),
    ];
    store(&history, &channel, happened.clone()).await?;
    let kept = [
        edit(10, 3, ""),
        happened[1].clone(),
        happened[2].clone(),
        happened[3].clone(),
    ];
    let list = async |after, before, limit| history.changes(&channel, after, before, limit).await;
    assert_eq!(list(Id::ZERO, Id::MAX, 10).await?, kept);
    assert_eq!(list(id(10), id(13), 10).await?, kept[1..3]);
    assert_eq!(list(id(10), Id::MAX, 2).await?, kept[1..3]);
    assert_eq!(list(id(13), Id::MAX, 10).await?, []);
    Ok(())
}
