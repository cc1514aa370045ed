//! The tables and what they are called here.

use super::settings::Settings;

/// Versions of a cell: what was said before an edit or a deletion goes with the next compaction.
pub(super) const VERSIONS: i32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Messages,
    Changes,
    PrivateMessages,
    PrivateChanges,
    Users,
    Channels,
    Members,
    Files,
    Meta,
}

impl Table {
    pub const ALL: [Table; 9] = [
        Table::Messages,
        Table::Changes,
        Table::PrivateMessages,
        Table::PrivateChanges,
        Table::Users,
        Table::Channels,
        Table::Members,
        Table::Files,
        Table::Meta,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Messages => "messages",
            Table::Changes => "changes",
            Table::PrivateMessages => "private_messages",
            Table::PrivateChanges => "private_changes",
            Table::Users => "users",
            Table::Channels => "channels",
            Table::Members => "members",
            Table::Files => "files",
            Table::Meta => "meta",
        }
    }

    pub fn families(self) -> &'static [&'static str] {
        match self {
            Table::Messages | Table::PrivateMessages => &["m", "r"],
            Table::Changes | Table::PrivateChanges => &["c"],
            Table::Files => &["d", "b", "p"],
            Table::Users | Table::Channels | Table::Members | Table::Meta => &["d"],
        }
    }

    /// Whether its row keys begin with two hex digits that spread them evenly, so that it can be
    /// split before there is anything in it.
    pub fn is_spread(self) -> bool {
        match self {
            Table::Messages
            | Table::Changes
            | Table::PrivateMessages
            | Table::PrivateChanges
            | Table::Members
            | Table::Files => true,
            Table::Users | Table::Channels | Table::Meta => false,
        }
    }

    /// Where the messages of a channel stand.
    pub fn messages(private: bool) -> Table {
        if private {
            Table::PrivateMessages
        } else {
            Table::Messages
        }
    }

    /// Where the changes of a channel's messages are listed.
    pub fn changes(private: bool) -> Table {
        if private {
            Table::PrivateChanges
        } else {
            Table::Changes
        }
    }
}

/// The full names.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub namespace: String,
    prefix: String,
}

impl Tables {
    pub fn new(settings: &Settings) -> Tables {
        Tables {
            namespace: settings.namespace.clone(),
            prefix: settings.table_prefix.clone(),
        }
    }

    /// As HBase writes it: the default namespace is left out.
    pub fn name(&self, table: Table) -> String {
        let (prefix, name) = (&self.prefix, table.name());
        match self.namespace.as_str() {
            "default" => format!("{prefix}{name}"),
            namespace => format!("{namespace}:{prefix}{name}"),
        }
    }

    /// As Thrift takes it.
    pub fn bytes(&self, table: Table) -> Vec<u8> {
        self.name(table).into_bytes()
    }
}
