//! Divides the log's rows into calls to HBase, each for one table and one timestamp.
//!
//! Cells that are written once (messages, the list of changes) have their hour as the timestamp, so that
//! thousands of rows fit into one call. Cells of a change have the change's own timestamp: in whatever
//! order they are written, those of the latest change count. Of several changes of a cell within a batch,
//! only the last is written.

use std::collections::HashMap;

use super::super::memberships;
use super::super::put::Put;
use super::super::row_key;
use super::super::tables::Table;
use super::super::timestamp::{self, CellTimestamp};
use lakechat_core::domain::{
    Cells, Change, ChangeKind, ChannelName, HistoryRow, Id, Message, Role, UserName,
};

/// The most rows in one call: more are not faster, and a call has a deadline.
const MOST_ROWS: usize = 1000;

/// The rows that one call writes.
pub(super) struct Batch {
    pub table: Table,
    pub timestamp: CellTimestamp,
    pub puts: Vec<Put>,
}

pub(super) fn of_rows(rows: &[HistoryRow]) -> Vec<Batch> {
    let mut batches = Batches::default();
    for row in rows {
        batches.add(row);
    }
    batches.finish()
}

#[derive(Default)]
struct Batches {
    originals: HashMap<(Table, CellTimestamp), Vec<Put>>,
    changed: HashMap<(Table, Vec<u8>), Columns>,
}

/// The latest cell of each column.
type Columns = HashMap<String, (CellTimestamp, Vec<u8>)>;

impl Batches {
    fn add(&mut self, row: &HistoryRow) {
        let channel = &row.channel;
        match &row.cells {
            Cells::Message(message) => self.message(channel, row.private, message),
            Cells::Change(change) => {
                self.list_change(channel, row.private, change);
                self.apply_change(channel, row.private, change);
            }
            Cells::Member {
                id,
                user,
                role,
                joined,
            } => self.member(channel, user, *id, *role, *joined),
            Cells::Topic { id, topic } => self.describe_channel(channel, *id, "topic", topic),
            Cells::Archived { id } => self.describe_channel(channel, *id, "state", "archived"),
        }
    }

    fn message(&mut self, channel: &ChannelName, private: bool, message: &Message) {
        let put = Put::new(row_key::event(channel, message.id))
            .cell("m:text", &*message.text)
            .cell("m:sender", message.sender.as_str())
            .cell("m:sent_at", message.id.ms().to_string())
            .maybe(
                "m:client_msg_id",
                message.client_msg_id.as_ref().map(|id| id.as_str()),
            )
            .cell("m:n", message.n.to_string())
            .maybe("m:reply_to", message.reply_to.map(|id| id.to_string()));
        let put = match &message.file {
            None => put,
            Some(file) => put
                .cell("m:file_id", file.id.to_string())
                .cell("m:file_name", &*file.name)
                .cell("m:file_size", file.size.to_string())
                .cell("m:file_type", &*file.media_type),
        };
        self.add_original(Table::messages(private), message.id, put);
    }

    /// The change's own row, by which it is found.
    fn list_change(&mut self, channel: &ChannelName, private: bool, change: &Change) {
        let put = Put::new(row_key::event(channel, change.id))
            .cell("c:target", change.target.to_string())
            .cell("c:kind", change.kind.as_str())
            .cell("c:user", change.user.as_str());
        let put = match &change.kind {
            ChangeKind::React { emoji, on } => put
                .cell("c:emoji", &**emoji)
                .cell("c:on", if *on { "true" } else { "false" }),
            ChangeKind::Edit { .. } | ChangeKind::Delete => put,
        };
        self.add_original(Table::changes(private), change.id, put);
    }

    /// The cells in the row of the message that the change is about.
    fn apply_change(&mut self, channel: &ChannelName, private: bool, change: &Change) {
        let at = (
            Table::messages(private),
            row_key::event(channel, change.target),
        );
        let ms = || change.id.ms().to_string();
        let mut cells = vec![("m:changed".to_owned(), change.id.to_string())];
        match &change.kind {
            ChangeKind::Edit { text } => {
                cells.push(("m:text".to_owned(), text.clone()));
                cells.push(("m:edited_at".to_owned(), ms()));
            }
            ChangeKind::Delete => {
                cells.push(("m:text".to_owned(), String::new()));
                cells.push(("m:deleted_at".to_owned(), ms()));
            }
            ChangeKind::React { emoji, on } => {
                let column = format!("r:{emoji} {}", change.user);
                cells.push((column, if *on { "+" } else { "-" }.to_owned()));
            }
        }
        self.add_changed(at, change.id, cells);
    }

    fn member(
        &mut self,
        channel: &ChannelName,
        user: &UserName,
        event: Id,
        role: Role,
        joined: bool,
    ) {
        let of_channel = row_key::under(row_key::members_prefix(channel), user.as_str());
        let mut cells = vec![
            ("d:role".to_owned(), role.as_str().to_owned()),
            ("d:changed".to_owned(), event.to_string()),
        ];
        if joined {
            cells.push(("d:joined_at".to_owned(), event.ms().to_string()));
        }
        self.add_changed((Table::Members, of_channel), event, cells);
        let of_user = (Table::Users, user.as_str().as_bytes().to_vec());
        let membership = memberships::encode(role, event);
        self.add_changed(
            of_user,
            event,
            vec![(memberships::column(channel), membership)],
        );
    }

    fn describe_channel(&mut self, channel: &ChannelName, event: Id, what: &str, value: &str) {
        let at = (Table::Channels, channel.as_str().as_bytes().to_vec());
        let cells = vec![
            (format!("d:{what}"), value.to_owned()),
            (format!("d:{what}_changed"), event.to_string()),
        ];
        self.add_changed(at, event, cells);
    }

    fn add_original(&mut self, table: Table, id: Id, put: Put) {
        let batch = self.originals.entry((table, timestamp::of_original(id)));
        batch.or_default().push(put);
    }

    fn add_changed(&mut self, at: (Table, Vec<u8>), by: Id, cells: Vec<(String, String)>) {
        let timestamp = timestamp::of_change(by);
        let columns = self.changed.entry(at).or_default();
        for (column, value) in cells {
            let cell = columns.entry(column).or_default();
            if timestamp >= cell.0 {
                *cell = (timestamp, value.into_bytes());
            }
        }
    }

    fn finish(self) -> Vec<Batch> {
        let mut batches = self.originals;
        for ((table, row), columns) in self.changed {
            let mut puts: HashMap<CellTimestamp, Put> = HashMap::new();
            for (column, (timestamp, value)) in columns {
                let put = puts
                    .entry(timestamp)
                    .or_insert_with(|| Put::new(row.clone()));
                put.add(column, value);
            }
            for (timestamp, put) in puts {
                batches.entry((table, timestamp)).or_default().push(put);
            }
        }
        let calls = batches
            .into_iter()
            .flat_map(|((table, timestamp), mut puts)| {
                let mut calls = Vec::new();
                while !puts.is_empty() {
                    let rest = puts.split_off(puts.len().min(MOST_ROWS));
                    calls.push(Batch {
                        table,
                        timestamp,
                        puts,
                    });
                    puts = rest;
                }
                calls
            });
        calls.collect()
    }
}
