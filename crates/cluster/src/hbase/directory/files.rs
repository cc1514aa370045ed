//! Files: their rows, with the bytes of small ones.

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::put::{self, Put};
use super::super::row::{self, Row};
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{ChannelName, File, FileId, FileLocation, UserName};

/// A file never changes: its cells have its creation time as the timestamp, so that a retry writes the same
/// ones.
pub(super) async fn put(client: &Client, file: &File) -> Result<(), HBaseError> {
    let put = Put::new(key(file.id))
        .cell("d:name", &*file.name)
        .cell("d:size", file.size.to_string())
        .cell("d:sha256", hex::encode(file.sha256))
        .cell("d:type", &*file.media_type)
        .cell("d:uploader", file.uploader.as_str())
        .cell("d:created_at", file.created_at_ms.to_string())
        .cell("d:state", "whole");
    let put = match &file.location {
        FileLocation::Stored(path) => put.cell("d:path", &**path),
        FileLocation::Inline(bytes) => put.cell("b:data", &bytes[..]),
        FileLocation::Parts(parts) => {
            let parts = serde_json::to_vec(parts).expect("paths and sizes are JSON");
            put.cell("d:parts", parts)
        }
    };
    write(client, put, file.created_at_ms).await
}

pub(super) async fn remove(client: &Client, id: FileId) -> Result<(), HBaseError> {
    let remove = move |connection: &mut _, tables: &_| {
        put::remove_row(connection, tables, Table::Files, &key(id))
    };
    client.write(remove).await
}

pub(super) async fn post(
    client: &Client,
    id: FileId,
    channel: &ChannelName,
) -> Result<(), HBaseError> {
    let put = Put::new(key(id)).cell(&format!("p:{channel}"), "+");
    write(client, put, 1).await
}

async fn write(client: &Client, put: Put, timestamp: u64) -> Result<(), HBaseError> {
    let timestamp = i64::try_from(timestamp).expect("times use 63 bits");
    let puts = [put];
    let write = move |connection: &mut _, tables: &_| {
        put::rows(connection, tables, Table::Files, timestamp, &puts)
    };
    client.write(write).await
}

pub(super) async fn find(client: &Client, id: FileId) -> Result<Option<File>, HBaseError> {
    let found = get(client, id, &["d", "b"]).await?;
    found.map_or(Ok(None), |row| file(id, row))
}

/// Ids are hex digits, so rows such as `swept` lie behind them or are no ids.
pub(super) async fn list(
    client: &Client,
    after: Option<FileId>,
    limit: usize,
) -> Result<Vec<File>, HBaseError> {
    let scan = Scan {
        table: Table::Files,
        from: after.map_or(Vec::new(), |id| row_key::next(key(id))),
        to: b"g".to_vec(),
        reversed: false,
        columns: &["d", "b"],
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit, |row| {
            let id = std::str::from_utf8(&row.key).ok().and_then(FileId::parse);
            id.map_or(Ok(None), |id| file(id, row))
        })
    };
    client.read(read).await
}

pub(super) async fn posted_in(client: &Client, id: FileId) -> Result<Vec<ChannelName>, HBaseError> {
    let Some(row) = get(client, id, &["p"]).await? else {
        return Ok(Vec::new());
    };
    let channel = |(name, _): (&[u8], _)| {
        let name = std::str::from_utf8(name).ok();
        let name = name.and_then(|name| ChannelName::parse(name).ok());
        name.ok_or_else(|| row.damaged("a column of p:"))
    };
    row.under("p:").map(channel).collect()
}

async fn get(
    client: &Client,
    id: FileId,
    columns: &'static [&'static str],
) -> Result<Option<Row>, HBaseError> {
    let read = move |connection: &mut _, tables: &_| {
        row::get(connection, tables, Table::Files, &key(id), columns)
    };
    client.read(read).await
}

/// `None` for a row without a name: it holds only the channels that the file was posted in.
fn file(id: FileId, mut row: Row) -> Result<Option<File>, HBaseError> {
    let text = |text: &str| Some(text.to_owned());
    let Some(name) = row.maybe("d:name", text)? else {
        return Ok(None);
    };
    let location = location(&mut row)?;
    Ok(Some(File {
        id,
        name,
        size: row.need("d:size", |size| size.parse().ok())?,
        sha256: row.need("d:sha256", sha256)?,
        media_type: row.need("d:type", text)?,
        uploader: row.need("d:uploader", |name| UserName::parse(name).ok())?,
        created_at_ms: row.need("d:created_at", |ms| ms.parse().ok())?,
        location,
    }))
}

fn location(row: &mut Row) -> Result<FileLocation, HBaseError> {
    if let Some(path) = row.maybe("d:path", |path| Some(path.to_owned()))? {
        return Ok(FileLocation::Stored(path));
    }
    if let Some(parts) = row.maybe("d:parts", |json| serde_json::from_str(json).ok())? {
        return Ok(FileLocation::Parts(parts));
    }
    let bytes = row.take("b:data").ok_or_else(|| row.damaged("b:data"))?;
    Ok(FileLocation::Inline(bytes.into()))
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    hex::decode_to_slice(text, &mut sum).ok()?;
    Some(sum)
}

fn key(id: FileId) -> Vec<u8> {
    id.to_string().into_bytes()
}
