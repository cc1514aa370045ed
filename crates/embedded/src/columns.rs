//! Between the columns of SQLite and the types of the domain.

use rusqlite::types::{FromSqlError, ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Result, Row};

use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id, UserName};

/// A number as SQLite has them: ids, offsets and times use 63 bits.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).expect("ids, offsets and times use 63 bits")
}

pub(super) fn id(id: Id) -> i64 {
    int(id.as_u64())
}

/// A `LIMIT`.
pub(super) fn limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Bytes bound as text without a copy: text is what the shell shows, and any bytes come back.
pub(super) struct Text<'a>(pub &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Reads a column that this release wrote; what does not parse is damage, not input.
pub(super) trait Column {
    fn number(&self, index: usize) -> Result<u64>;
    fn id(&self, index: usize) -> Result<Id>;
    fn maybe_id(&self, index: usize) -> Result<Option<Id>>;
    fn maybe_number(&self, index: usize) -> Result<Option<u64>>;
    fn text(&self, index: usize) -> Result<&str>;
    fn user(&self, index: usize) -> Result<UserName>;
    fn channel(&self, index: usize) -> Result<ChannelName>;
    fn file_id(&self, index: usize) -> Result<FileId>;
    fn client_msg_id(&self, index: usize) -> Result<Option<ClientMsgId>>;
}

impl Column for Row<'_> {
    fn number(&self, index: usize) -> Result<u64> {
        let n: i64 = self.get(index)?;
        u64::try_from(n).map_err(|_| not_a(index, "number"))
    }

    fn id(&self, index: usize) -> Result<Id> {
        let n = self.number(index)?;
        Ok(Id::from_u64(n).expect("a positive i64 has 63 bits"))
    }

    fn maybe_id(&self, index: usize) -> Result<Option<Id>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => self.id(index).map(Some),
        }
    }

    fn maybe_number(&self, index: usize) -> Result<Option<u64>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => self.number(index).map(Some),
        }
    }

    fn text(&self, index: usize) -> Result<&str> {
        Ok(self.get_ref(index)?.as_str()?)
    }

    fn user(&self, index: usize) -> Result<UserName> {
        UserName::parse(self.text(index)?).map_err(|_| not_a(index, "user name"))
    }

    fn channel(&self, index: usize) -> Result<ChannelName> {
        ChannelName::parse(self.text(index)?).map_err(|_| not_a(index, "channel name"))
    }

    fn file_id(&self, index: usize) -> Result<FileId> {
        FileId::parse(self.text(index)?).ok_or_else(|| not_a(index, "file id"))
    }

    fn client_msg_id(&self, index: usize) -> Result<Option<ClientMsgId>> {
        match self.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => ClientMsgId::parse(self.text(index)?)
                .map(Some)
                .map_err(|_| not_a(index, "client message id")),
        }
    }
}

/// A stored value that is not what its column holds.
pub(super) fn not_a(index: usize, what: &str) -> rusqlite::Error {
    let error = FromSqlError::Other(format!("stored value is no {what}").into());
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into())
}
