//! Conversions between SQLite's columns and the types of the domain.

use rusqlite::types::{FromSqlError, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Result, Row};

use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id, UserName};

/// An id, offset or time as SQLite's signed integer.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).expect("ids, offsets and times use 63 bits")
}

pub(super) fn id(id: Id) -> i64 {
    int(id.as_u64())
}

/// A number of rows for `LIMIT`.
pub(super) fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Binds bytes as TEXT without a copy: the `sqlite3` shell shows them, and SQLite returns any bytes
/// unchanged.
pub(super) struct Text<'a>(pub &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Reads the columns of a row. The server wrote every value itself, so one that does not parse is
/// damage and fails the read.
pub(super) trait ReadColumn {
    fn number(&self, index: usize) -> Result<u64>;
    fn id(&self, index: usize) -> Result<Id>;
    fn optional_id(&self, index: usize) -> Result<Option<Id>>;
    fn optional_number(&self, index: usize) -> Result<Option<u64>>;
    fn text(&self, index: usize) -> Result<&str>;
    fn user(&self, index: usize) -> Result<UserName>;
    fn channel(&self, index: usize) -> Result<ChannelName>;
    fn file_id(&self, index: usize) -> Result<FileId>;
    fn client_msg_id(&self, index: usize) -> Result<Option<ClientMsgId>>;
}

impl ReadColumn for Row<'_> {
    fn number(&self, index: usize) -> Result<u64> {
        let n: i64 = self.get(index)?;
        u64::try_from(n).map_err(|_| invalid_value(index, "number"))
    }

    fn id(&self, index: usize) -> Result<Id> {
        let n = self.number(index)?;
        Ok(Id::from_u64(n).expect("a positive i64 has 63 bits"))
    }

    fn optional_id(&self, index: usize) -> Result<Option<Id>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => self.id(index).map(Some),
        }
    }

    fn optional_number(&self, index: usize) -> Result<Option<u64>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => self.number(index).map(Some),
        }
    }

    fn text(&self, index: usize) -> Result<&str> {
        Ok(self.get_ref(index)?.as_str()?)
    }

    fn user(&self, index: usize) -> Result<UserName> {
        UserName::parse(self.text(index)?).map_err(|_| invalid_value(index, "user name"))
    }

    fn channel(&self, index: usize) -> Result<ChannelName> {
        ChannelName::parse(self.text(index)?).map_err(|_| invalid_value(index, "channel name"))
    }

    fn file_id(&self, index: usize) -> Result<FileId> {
        FileId::parse(self.text(index)?).ok_or_else(|| invalid_value(index, "file id"))
    }

    fn client_msg_id(&self, index: usize) -> Result<Option<ClientMsgId>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => ClientMsgId::parse(self.text(index)?)
                .map(Some)
                .map_err(|_| invalid_value(index, "client message id")),
        }
    }
}

/// The error for a stored value that does not parse as `what`.
pub(super) fn invalid_value(index: usize, what: &str) -> rusqlite::Error {
    let error = FromSqlError::Other(format!("the stored value is not a valid {what}").into());
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
}
