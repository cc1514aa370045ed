//! The tables, and their names.

use super::settings::HBaseSettings;

/// Versions of a cell that HBase keeps: the next compaction removes the text before an edit or a deletion.
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
    Audit,
    Invites,
    Meta,
}

impl Table {
    pub const ALL: [Table; 11] = [
        Table::Messages,
        Table::Changes,
        Table::PrivateMessages,
        Table::PrivateChanges,
        Table::Users,
        Table::Channels,
        Table::Members,
        Table::Files,
        Table::Audit,
        Table::Invites,
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
            Table::Audit => "audit",
            Table::Invites => "invites",
            Table::Meta => "meta",
        }
    }

    pub fn families(self) -> &'static [&'static str] {
        match self {
            Table::Messages | Table::PrivateMessages => &["m", "r"],
            Table::Changes | Table::PrivateChanges => &["c"],
            Table::Files => &["d", "b", "p"],
            Table::Users => &["d", "c"],
            Table::Channels | Table::Members | Table::Audit | Table::Invites | Table::Meta => {
                &["d"]
            }
        }
    }

    /// Whether its row keys begin with two evenly spread hex digits, so that the table can be split while it
    /// is empty.
    pub fn is_spread(self) -> bool {
        match self {
            Table::Messages
            | Table::Changes
            | Table::PrivateMessages
            | Table::PrivateChanges
            | Table::Members
            | Table::Files => true,
            Table::Users | Table::Channels | Table::Audit | Table::Invites | Table::Meta => false,
        }
    }

    /// The table of a channel's messages.
    pub fn messages(private: bool) -> Table {
        if private {
            Table::PrivateMessages
        } else {
            Table::Messages
        }
    }

    /// The table that lists the changes of a channel's messages.
    pub fn changes(private: bool) -> Table {
        if private {
            Table::PrivateChanges
        } else {
            Table::Changes
        }
    }
}

/// The full names of the tables of one installation.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub namespace: String,
    prefix: String,
}

impl Tables {
    pub fn new(settings: &HBaseSettings) -> Tables {
        Tables {
            namespace: settings.namespace.clone(),
            prefix: settings.table_prefix.clone(),
        }
    }

    /// As HBase writes it: without the default namespace.
    pub fn name(&self, table: Table) -> String {
        let (prefix, name) = (&self.prefix, table.name());
        match self.namespace.as_str() {
            "default" => format!("{prefix}{name}"),
            namespace => format!("{namespace}:{prefix}{name}"),
        }
    }

    /// The name as Thrift takes it.
    pub fn bytes(&self, table: Table) -> Vec<u8> {
        self.name(table).into_bytes()
    }
}
