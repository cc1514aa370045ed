//! What stands in HBase, to the byte: row keys, columns, cell timestamps, as others read them.

use std::collections::BTreeMap;

use anyhow::Result;
use hbase_thrift::hbase::{THbaseSyncClient, TRowResult};
use integration_tests::contract::history::plain_message;
use integration_tests::contract::{self, Backend};
use integration_tests::hbase::client;
use integration_tests::on_hbase::{OnHBase, fresh, log_row};
use integration_tests::stack;
use lakechat_cluster::hbase::GenerationStart;
use lakechat_core::domain::{
    Cells, Change, ChangeKind, ChannelName, File, FileId, FileLocation, HistoryRow, Id,
    LoginSession, Message, Partition, Role, UserName,
};
use lakechat_core::ports::directory::CreateOutcome;
use lakechat_core::ports::history::Mark;
use uuid::Uuid;

/// 2026-11-24T10:42:03.456Z.
const AT: u64 = 1_795_516_923_456;
const HOUR: i64 = 1_795_514_400_000;

fn id(after_ms: u64, step: u16) -> Id {
    Id::mint(AT + after_ms, Partition(5), step)
}

/// The timestamp of what a change writes.
fn stamp(after_ms: u64, step: u16) -> i64 {
    ((AT + after_ms - 1_704_067_200_000) << 12) as i64 + i64::from(step)
}

fn user(name: &str) -> UserName {
    UserName::parse(name).expect("a name")
}

fn message(n: u64) -> Message {
    plain_message(id(n, 7), n, format!("grüß {n}"))
}

fn row(channel: &ChannelName, cells: Cells) -> HistoryRow {
    HistoryRow {
        channel: channel.clone(),
        private: channel.as_str().starts_with("dm:"),
        cells,
    }
}

fn change(channel: &ChannelName, by: Id, target: Id, kind: ChangeKind) -> HistoryRow {
    let user = user("bob");
    row(
        channel,
        Cells::Change(Change {
            id: by,
            target,
            user,
            kind,
        }),
    )
}

/// The cells of a row, `column value @timestamp`, as a plain client sees them.
fn cells(on: &OnHBase, table: &str, key: &str) -> Result<Vec<String>> {
    let prefix = on.tables.settings.table_prefix.as_str();
    let table = format!("lakechat_test:{prefix}{table}").into_bytes();
    let found = client()?.get_row(table, key.as_bytes().to_vec(), BTreeMap::new())?;
    Ok(found.into_iter().flat_map(shown).collect())
}

fn shown(row: TRowResult) -> Vec<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("all values are UTF-8");
    let columns = row.columns.unwrap_or_default().into_iter();
    let shown = columns.map(|(column, cell)| {
        let value = text(cell.value.unwrap_or_default());
        let at = cell.timestamp.unwrap_or_default();
        format!("{} {value} @{at}", text(column))
    });
    shown.collect()
}

fn hh(name: &str) -> String {
    use md5::{Digest, Md5};
    format!("{:02x}", Md5::digest(name.as_bytes())[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn message_and_its_changes_have_the_cells_of_the_contract() -> Result<()> {
    let (on, channel) = (fresh().await?, contract::channel());
    let (first, second) = (message(1), message(2));
    let edit = ChangeKind::Edit {
        text: "edited".to_owned(),
    };
    let react = ChangeKind::React {
        emoji: "👍".to_owned(),
        on: true,
    };
    let rows = vec![
        row(&channel, Cells::Message(first.clone())),
        row(&channel, Cells::Message(second.clone())),
        change(&channel, id(10, 0), first.id, edit),
        change(&channel, id(10, 1), first.id, react),
        change(&channel, id(11, 0), second.id, ChangeKind::Delete),
    ];
    on.history().append(rows).await?;

    let key = |id: Id| format!("{}{channel}\0{id}", hh(channel.as_str()));
    let sent_at = first.id.ms();
    let expected = [
        format!("m:changed {} @{}", id(10, 1), stamp(10, 1)),
        format!("m:client_msg_id c-1 @{HOUR}"),
        format!("m:edited_at {} @{}", AT + 10, stamp(10, 0)),
        format!("m:n 1 @{HOUR}"),
        format!("m:sender ann @{HOUR}"),
        format!("m:sent_at {sent_at} @{HOUR}"),
        format!("m:text edited @{}", stamp(10, 0)),
        format!("r:👍 bob + @{}", stamp(10, 1)),
    ];
    assert_eq!(cells(&on, "messages", &key(first.id))?, expected);

    let deleted = cells(&on, "messages", &key(second.id))?;
    assert!(
        deleted.contains(&format!("m:text  @{}", stamp(11, 0))),
        "{deleted:?}"
    );
    assert!(deleted.contains(&format!("m:deleted_at {} @{}", AT + 11, stamp(11, 0))));

    let listed = [
        "c:emoji 👍".to_owned(),
        "c:kind react".to_owned(),
        "c:on true".to_owned(),
        format!("c:target {}", first.id),
        "c:user bob".to_owned(),
    ];
    let listed = listed.map(|cell| format!("{cell} @{HOUR}"));
    assert_eq!(cells(&on, "changes", &key(id(10, 1)))?, listed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn private_talk_stands_in_tables_of_its_own() -> Result<()> {
    let (on, name) = (fresh().await?, contract::random());
    let channel = ChannelName::parse(&format!("dm:a{name}:b{name}")).expect("a name");
    let rows = vec![
        row(&channel, Cells::Message(message(1))),
        change(&channel, id(9, 0), id(1, 7), ChangeKind::Delete),
    ];
    on.history().append(rows).await?;
    for (table, id) in [("messages", id(1, 7)), ("changes", id(9, 0))] {
        let key = format!("{}{channel}\0{id}", hh(channel.as_str()));
        assert!(cells(&on, table, &key)?.is_empty(), "{table}");
        assert!(!cells(&on, &format!("private_{table}"), &key)?.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn members_stand_on_both_sides_and_topics_with_their_channel() -> Result<()> {
    let (on, channel) = (fresh().await?, contract::channel());
    let ann = contract::user();
    let joined = Cells::Member {
        id: id(1, 0),
        user: ann.clone(),
        role: Role::Owner,
        joined: true,
    };
    let topic = Cells::Topic {
        id: id(2, 0),
        topic: "Größe".to_owned(),
    };
    let archived = Cells::Archived { id: id(3, 0) };
    let rows = [joined, topic, archived].map(|cells| row(&channel, cells));
    on.history().append(rows.into()).await?;

    let member = [
        format!("d:changed {}", id(1, 0)),
        format!("d:joined_at {}", AT + 1),
        "d:role owner".to_owned(),
    ];
    let member = member.map(|cell| format!("{cell} @{}", stamp(1, 0)));
    let key = format!("{}c/{channel}\0{ann}", hh(channel.as_str()));
    assert_eq!(cells(&on, "members", &key)?, member);
    let membership = format!("c:{channel} owner {} @{}", id(1, 0), stamp(1, 0));
    assert_eq!(cells(&on, "users", ann.as_str())?, [membership]);
    let expected = [
        format!("d:state archived @{}", stamp(3, 0)),
        format!("d:state_changed {} @{}", id(3, 0), stamp(3, 0)),
        format!("d:topic Größe @{}", stamp(2, 0)),
        format!("d:topic_changed {} @{}", id(2, 0), stamp(2, 0)),
    ];
    assert_eq!(cells(&on, "channels", channel.as_str())?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mark_is_stamped_with_its_offset() -> Result<()> {
    let on = fresh().await?;
    let mark = Mark {
        offset: 1234,
        id: id(4, 2),
        time_ms: AT,
    };
    on.history().advance_mark(Partition(15), mark).await?;
    let expected = format!(
        r#"d:v {{"offset":1234,"id":"{}","time":{AT}}} @1234"#,
        id(4, 2)
    );
    assert_eq!(cells(&on, "meta", "mark/1/15")?, [expected]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_of_the_log_is_made_once_and_replaced_only_from_what_it_is() -> Result<()> {
    let on = OnItsOwn::make().await?;
    let (first, other) = (log_row(16), log_row(8));
    assert_eq!(on.hbase.log_row().await?, None);
    assert_eq!(
        on.hbase.create_log_row(&first).await?,
        CreateOutcome::Created
    );
    assert_eq!(
        on.hbase.create_log_row(&first).await?,
        CreateOutcome::Created
    );
    let taken = on.hbase.create_log_row(&other).await?;
    assert_eq!(taken, CreateOutcome::Exists(first.clone()));

    let history = on.hbase.history(16, 1);
    assert_eq!(history.marks().await?.len(), 16);
    let start = GenerationStart {
        begin: 57,
        offset: 60,
        time: AT,
    };
    let adopted = lakechat_cluster::hbase::LogRow {
        generation: 2,
        floors: vec![id(1, 1); 16],
        starts: vec![start; 16],
        ..first.clone()
    };
    assert!(!on.hbase.replace_log_row(&other, &adopted).await?);
    assert!(on.hbase.replace_log_row(&first, &adopted).await?);
    assert!(on.hbase.replace_log_row(&first, &adopted).await?, "a retry");
    assert_eq!(on.hbase.log_row().await?, Some(adopted));
    let refused = history.marks().await.expect_err("another generation");
    assert!(refused.to_string().contains("adopted anew"), "{refused}");

    let history = on.hbase.history(16, 2);
    let started = Mark {
        offset: 60,
        id: id(1, 1),
        time_ms: AT,
    };
    assert_eq!(history.marks().await?, [started; 16]);
    let moved = Mark {
        offset: 61,
        ..started
    };
    history.advance_mark(Partition(3), moved).await?;
    assert_eq!(on.hbase.latest_marked_generation().await?, 2);
    let marks = on.hbase.history(16, 2).marks().await?;
    assert_eq!((marks[3], marks[4]), (moved, started));
    Ok(())
}

/// A table `meta` that no other test uses.
struct OnItsOwn {
    hbase: lakechat_cluster::hbase::HBase,
    meta: String,
}

impl OnItsOwn {
    async fn make() -> Result<OnItsOwn> {
        let _namespace = integration_tests::hbase::Tables::shared().await?;
        let prefix = format!("m{}_", contract::random());
        let settings = integration_tests::hbase::settings("lakechat_test", &prefix);
        let meta = format!("lakechat_test:{prefix}meta");
        integration_tests::hbase::create(&meta, &["d"])?;
        let hbase = lakechat_cluster::hbase::HBase::start(&settings)?;
        Ok(OnItsOwn { hbase, meta })
    }
}

impl Drop for OnItsOwn {
    fn drop(&mut self) {
        if let Err(error) = integration_tests::hbase::drop_table(&self.meta) {
            eprintln!("{} stays behind: {error}", self.meta);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_clears_away_what_has_expired() -> Result<()> {
    let (on, ann) = (fresh().await?, contract::user());
    let login = |created_at_ms, expires_at_ms| LoginSession {
        id: Uuid::new_v4(),
        user: ann.clone(),
        refresh_hash: contract::random(),
        replaced: None,
        address: None,
        client: None,
        created_at_ms,
        expires_at_ms,
        revoked: false,
    };
    let (old, good) = (login(1_000, 2_000), login(1_500, 9_000));
    let directory = on.directory();
    for session in [&old, &good, &login(3_000, 9_000)] {
        directory.login_sessions.create(session).await?;
    }
    assert_eq!(directory.login_sessions.find(&ann, old.id).await?, None);
    assert_eq!(
        directory.login_sessions.find(&ann, good.id).await?,
        Some(good)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_is_one_row_with_its_bytes_and_where_it_was_posted() -> Result<()> {
    let on = fresh().await?;
    let file = File {
        id: FileId::random(),
        name: "größe.txt".to_owned(),
        size: 5,
        sha256: [0xab; 32],
        media_type: "text/plain".to_owned(),
        uploader: user("ann"),
        created_at_ms: AT,
        location: FileLocation::Inline("inner".into()),
    };
    let channel = ChannelName::parse("dm:ann:bob").expect("a name");
    on.directory().file_rows.put(&file).await?;
    on.directory()
        .file_rows
        .mark_posted(file.id, &channel)
        .await?;
    let sum = "ab".repeat(32);
    let expected = [
        format!("b:data inner @{AT}"),
        format!("d:created_at {AT} @{AT}"),
        format!("d:name größe.txt @{AT}"),
        format!("d:sha256 {sum} @{AT}"),
        format!("d:size 5 @{AT}"),
        format!("d:state whole @{AT}"),
        format!("d:type text/plain @{AT}"),
        format!("d:uploader ann @{AT}"),
        "p:dm:ann:bob + @1".to_owned(),
    ];
    assert_eq!(cells(&on, "files", &file.id.to_string())?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hbase_shell_shows_readable_rows() -> Result<()> {
    let (on, channel) = (fresh().await?, contract::channel());
    let mut plain = message(1);
    plain.text = "plain words".to_owned();
    on.history()
        .append(vec![row(&channel, Cells::Message(plain))])
        .await?;
    let prefix = on.tables.settings.table_prefix.as_str();
    let scan = format!(
        "scan 'lakechat_test:{prefix}messages', {{ROWPREFIXFILTER => '{}{channel}'}}\n",
        hh(channel.as_str())
    );
    let printed = tokio::task::spawn_blocking(move || stack::hbase_shell(&scan)).await??;
    let key = format!("{}{channel}\\x00{}", hh(channel.as_str()), id(1, 7));
    let shown = |cell: &str| {
        printed
            .lines()
            .any(|line| line.contains(&key) && line.contains(cell))
    };
    for cell in [
        "column=m:text",
        "value=plain words",
        "value=ann",
        &format!("value={}", id(1, 7).ms()),
        "value=c-1",
    ] {
        assert!(shown(cell), "{cell} in {printed}");
    }
    Ok(())
}
