//! Resumable uploads: rows `u/<id>` of the table `files`, behind those of files, with one JSON cell each.

use super::super::cell::Cell;
use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::put;
use super::super::row::Row;
use super::super::row_key;
use super::super::scan::Scan;
use super::super::tables::Table;
use lakechat_core::domain::{FileId, Upload};

const COLUMN: &str = "d:upload";
const PREFIX: &str = "u/";

/// Rows that are asked for at a time: each may have the bytes of a small file.
const PAGE: usize = 32;

pub(super) async fn create(client: &Client, upload: &Upload) -> Result<bool, HBaseError> {
    match cell(upload.id).claim(client, encode(upload)).await? {
        None => Ok(true),
        Some(json) => Ok(decode(upload.id, &json)? == *upload),
    }
}

pub(super) async fn find(client: &Client, id: FileId) -> Result<Option<Upload>, HBaseError> {
    let found = cell(id).read(client).await?;
    found.map(|json| decode(id, &json)).transpose()
}

pub(super) async fn replace(
    client: &Client,
    old: &Upload,
    new: &Upload,
) -> Result<bool, HBaseError> {
    let decode = |json: &[u8]| decode(old.id, json);
    cell(old.id)
        .replace_decoded(client, old, new, encode, decode)
        .await
}

pub(super) async fn remove(client: &Client, id: FileId) -> Result<(), HBaseError> {
    let remove = move |connection: &mut _, tables: &_| {
        put::remove_row(connection, tables, Table::Files, &key(id))
    };
    client.write(remove).await
}

pub(super) async fn list(
    client: &Client,
    after: Option<FileId>,
    limit: usize,
) -> Result<Vec<Upload>, HBaseError> {
    let scan = Scan {
        table: Table::Files,
        from: after.map_or(PREFIX.into(), |id| row_key::next(key(id))),
        to: row_key::end_of(PREFIX.into()),
        reversed: false,
        columns: &[COLUMN],
    };
    let read = move |connection: &mut _, tables: &_| {
        scan.collect(connection, tables, limit.min(PAGE), read_row)
    };
    client.read(read).await
}

fn read_row(row: Row) -> Result<Option<Upload>, HBaseError> {
    let id = row_key::rest(&row.key, PREFIX.as_bytes()).and_then(FileId::parse);
    let (Some(id), Some(json)) = (id, row.bytes(COLUMN)) else {
        return Err(row.damaged(COLUMN));
    };
    decode(id, json).map(Some)
}

fn key(id: FileId) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}

fn cell(id: FileId) -> Cell {
    Cell::new(Table::Files, &format!("{PREFIX}{id}"), COLUMN)
}

fn encode(upload: &Upload) -> Vec<u8> {
    serde_json::to_vec(upload).expect("an upload is JSON")
}

fn decode(id: FileId, json: &[u8]) -> Result<Upload, HBaseError> {
    serde_json::from_slice(json).map_err(|_| HBaseError::damaged(&key(id), COLUMN))
}
