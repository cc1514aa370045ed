//! Compares the rows of files with the bytes in the store, both ways.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::sweep::{EVERY, GRACE, is_listed};
use crate::domain::{File, FileLocation, FindingKind, Findings, StoredName};
use crate::ports::file_store::StoredFile;
use crate::ports::retry::with_retries;
use crate::ports::{FileRows, FileStore, PortError, UploadRows};

/// Bytes without a row are reported from this age on: until then the sweeper may still remove them.
const STRAY_AFTER: Duration = GRACE.saturating_add(EVERY.saturating_mul(2));

/// Rows that are read at a time. Small files come with their bytes.
const PAGE: usize = 32;

/// Calls of the store, or of the directory, that are under way at a time.
const PARALLEL: usize = 16;

/// What an audit of the files has compared and found.
#[derive(Clone, Debug, Default)]
pub struct FilesReport {
    pub rows: u64,
    /// The bytes that the rows say there are.
    pub bytes: u64,
    /// Files in the store that are old enough to have a row.
    pub stored: u64,
    pub findings: Findings,
}

/// Compares all rows of files with the bytes, and all bytes with the rows. Servers may run meanwhile: a file
/// has its bytes before its row. Nothing is changed. `progress` is told of the report so far.
pub async fn audit_files(
    rows: &dyn FileRows,
    uploads: &dyn UploadRows,
    store: &dyn FileStore,
    progress: &(dyn Fn(&FilesReport) + Sync),
) -> Result<FilesReport, PortError> {
    let mut report = FilesReport::default();
    compare_rows(rows, store, &mut report, progress).await?;
    look_for_strays(rows, uploads, store, &mut report, progress).await?;
    Ok(report)
}

async fn compare_rows(
    rows: &dyn FileRows,
    store: &dyn FileStore,
    report: &mut FilesReport,
    progress: &(dyn Fn(&FilesReport) + Sync),
) -> Result<(), PortError> {
    let mut last = None;
    loop {
        let page = match with_retries(|| rows.list(last, PAGE)).await {
            Err(error @ PortError::Broken { .. }) => {
                let place = "the rows of files";
                let what = format!("{error}; the rows behind it were not compared");
                report.findings.add(FindingKind::RowUnreadable, place, what);
                return Ok(());
            }
            page => page?,
        };
        let Some(next) = page.last().map(|file| file.id) else {
            return Ok(());
        };
        last = Some(next);
        report.rows += page.len() as u64;
        report.bytes += page.iter().map(|file| file.size).sum::<u64>();
        let compared = page.iter().map(|file| compare(store, file));
        let compared: Vec<_> = stream::iter(compared)
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        for (file, found) in page.iter().zip(compared) {
            if let Some((kind, what)) = found {
                report.findings.add(kind, place(file.id.into()), what);
            }
        }
        progress(report);
    }
}

/// What is wrong with the bytes of a file.
async fn compare(
    store: &dyn FileStore,
    file: &File,
) -> Result<Option<(FindingKind, String)>, PortError> {
    let differ = |what: String| Some((FindingKind::FileBytesDiffer, what));
    let parts = match &file.location {
        FileLocation::Inline(bytes) if bytes.len() as u64 != file.size => {
            let what = format!("the row has {} bytes and says {}", bytes.len(), file.size);
            return Ok(differ(what));
        }
        FileLocation::Inline(bytes) => {
            let is_equal = Sha256::digest(bytes)[..] == file.sha256;
            let what = "the bytes in the row have another SHA-256 than the row says".to_owned();
            return Ok(if is_equal { None } else { differ(what) });
        }
        FileLocation::Stored(path) => &[(path, file.size)][..],
        FileLocation::Parts(parts) => &parts.iter().map(|p| (&p.path, p.size)).collect::<Vec<_>>(),
    };
    let total: u64 = parts.iter().map(|(_, size)| size).sum();
    if total != file.size {
        let what = format!(
            "its parts have {total} bytes and the row says {}",
            file.size
        );
        return Ok(differ(what));
    }
    for (path, size) in parts {
        if let Some(found) = compare_stored(store, path, *size).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What is wrong with the bytes under a path that should have so many.
async fn compare_stored(
    store: &dyn FileStore,
    path: &str,
    expected: u64,
) -> Result<Option<(FindingKind, String)>, PortError> {
    let missing = |what: String| Some((FindingKind::FileBytesMissing, what));
    Ok(match with_retries(|| store.size(path)).await {
        Err(error @ PortError::Broken { .. }) => missing(error.to_string()),
        size => match size? {
            None => missing(format!("there is no file {path}")),
            Some(size) if size != expected => Some((
                FindingKind::FileBytesDiffer,
                format!("{path} has {size} bytes and the row says {expected}"),
            )),
            Some(_) => None,
        },
    })
}

async fn look_for_strays(
    rows: &dyn FileRows,
    uploads: &dyn UploadRows,
    store: &dyn FileStore,
    report: &mut FilesReport,
    progress: &(dyn Fn(&FilesReport) + Sync),
) -> Result<(), PortError> {
    let listing = with_retries(|| store.list(STRAY_AFTER..Duration::MAX)).await?;
    let checked = listing.map(|stored| async move {
        let stored = stored?;
        let is_stray = is_stray(rows, uploads, store, &stored).await?;
        Ok::<_, PortError>((stored, is_stray))
    });
    let mut checked = std::pin::pin!(checked.buffered(PARALLEL));
    while let Some((stored, is_stray)) = checked.try_next().await? {
        report.stored += 1;
        if is_stray {
            let what = format!("{} has no row", stored.path);
            report
                .findings
                .add(FindingKind::FileBytesWithoutRow, place(stored.name), what);
        }
        if report.stored.is_multiple_of(PAGE as u64) {
            progress(report);
        }
    }
    Ok(())
}

async fn is_stray(
    rows: &dyn FileRows,
    uploads: &dyn UploadRows,
    store: &dyn FileStore,
    stored: &StoredFile,
) -> Result<bool, PortError> {
    match with_retries(|| is_listed(rows, uploads, stored)).await {
        // Its row is there, and was named when the rows were read.
        Ok(true) | Err(PortError::Broken { .. }) => Ok(false),
        // The sweeper may have removed it after it was listed.
        Ok(false) => Ok(with_retries(|| store.size(&stored.path)).await?.is_some()),
        Err(error) => Err(error),
    }
}

fn place(name: StoredName) -> String {
    format!("file {name}")
}
