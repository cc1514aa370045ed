//! What only a data folder promises: who may open it, what lies in it, what a backup is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use integration_tests::contract::Backend;
use integration_tests::on_disk::{OnDisk, fresh, open};
use lakechat_core::domain::{File, FileId, FileLocation, Partition, UserName};
use lakechat_core::ports::broker::OutgoingRecord;
use lakechat_core::ports::{Broker, FileStore, PortError};
use lakechat_embedded::{
    BackupError, BackupProgress, DATABASE, Embedded, EmbeddedSettings, FILES, KEY, LAYOUT,
    OpenError, backup,
};

fn refused(folder: &Path) -> Result<OpenError> {
    let opened = Embedded::open(folder, EmbeddedSettings::default());
    opened.err().context("it was opened")
}

fn publish(broker: &Arc<dyn Broker>, n: u64, bytes: usize) -> Result<()> {
    Ok(broker.publish(OutgoingRecord {
        partition: Partition((n % 16) as u16),
        key: "ops".into(),
        value: format!("{n:0bytes$}").into(),
        ticket: n,
    })?)
}

/// Reads everything up to the end that the log has.
async fn numbers(broker: &Arc<dyn Broker>) -> Result<Vec<u64>> {
    let end = broker.end_offsets().await?.all()?[0];
    let all: Vec<_> = (0..broker.partitions())
        .map(|p| (Partition(p), 0))
        .collect();
    let mut reader = broker.reader(&all)?;
    let mut records = Vec::new();
    while reader.position(Partition(0)) < end {
        reader.poll(Duration::from_secs(10), &mut records)?;
    }
    let number = |value: &Bytes| Ok(std::str::from_utf8(value)?.parse()?);
    records.iter().map(|record| number(&record.value)).collect()
}

async fn put(on_disk: &OnDisk, content: &[u8]) -> Result<File> {
    let id = FileId::random();
    let mut writer = on_disk.file_store().create(id.into()).await?;
    writer.write(Bytes::copy_from_slice(content)).await?;
    let file = File {
        id,
        name: "x".into(),
        size: content.len() as u64,
        sha256: [0; 32],
        media_type: "text/plain".into(),
        uploader: UserName::parse("ann").expect("a plain name"),
        created_at_ms: 1,
        location: FileLocation::Stored(writer.commit().await?),
    };
    on_disk.directory().file_rows.put(&file).await?;
    Ok(file)
}

async fn content(store: &Arc<dyn FileStore>, file: &File) -> Result<Vec<u8>> {
    let FileLocation::Stored(path) = &file.location else {
        anyhow::bail!("a stored file")
    };
    let chunks: Vec<Bytes> = store.read(path, 0, file.size).await?.try_collect().await?;
    Ok(chunks.concat())
}

fn every_path(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut all = vec![folder.to_owned()];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(every_path(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

fn assert_private(folder: &Path) -> Result<()> {
    for path in every_path(folder)? {
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
    }
    Ok(())
}

#[tokio::test]
async fn second_server_is_refused_and_told_who_has_the_folder() -> Result<()> {
    let on_disk = fresh().await?;
    let error = refused(on_disk.folder.path())?;
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    let process = format!("process {}", std::process::id());
    assert!(text.contains(&process), "{text}");
    on_disk.reopen().await?;
    Ok(())
}

#[tokio::test]
async fn newer_layout_is_refused() -> Result<()> {
    let OnDisk { embedded, folder } = fresh().await?;
    drop(embedded);
    fs::write(folder.path().join(LAYOUT), "2\n")?;
    let text = refused(folder.path())?.to_string();
    assert!(
        text.contains("layout 2") && text.contains("newer release"),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn everything_in_the_folder_is_its_owners_alone() -> Result<()> {
    let parent = tempfile::tempdir()?;
    let folder = parent.path().join("deep/data");
    let embedded = open(&folder)?;
    publish(&embedded.broker(), 1, 1)?;
    let mut writer = embedded
        .file_store()
        .create(FileId::random().into())
        .await?;
    writer.write(Bytes::from_static(b"draft")).await?;
    let done = embedded
        .file_store()
        .create(FileId::random().into())
        .await?;
    done.commit().await?;
    assert!(every_path(&folder)?.len() >= 10);
    assert_private(&folder)
}

#[tokio::test]
async fn partitions_are_a_constant_of_the_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for asked in [4, 16] {
        let settings = EmbeddedSettings {
            partitions: asked,
            ..EmbeddedSettings::default()
        };
        let embedded = Embedded::open(folder.path(), settings)?;
        assert_eq!(embedded.broker().partitions(), 4);
        assert_eq!(embedded.history().marks().await?.len(), 4);
    }
    Ok(())
}

/// The price of a reader's transaction that is left open: the log's own readers have none.
#[tokio::test]
async fn wal_stays_small_while_a_slow_reader_reads() -> Result<()> {
    const RECORDS: u64 = 60_000;
    let on_disk = fresh().await?;
    let broker = on_disk.broker();
    let mut reader = broker.reader(&[(Partition(0), 0)])?;
    let (mut seen, mut largest) = (Vec::new(), 0);
    for n in 0..RECORDS {
        while publish(&broker, n, 1_000).is_err() {
            std::thread::yield_now();
        }
        if n % 1_000 == 0 {
            reader.poll(Duration::ZERO, &mut seen)?;
            let wal = on_disk.folder.path().join("lakechat.db-wal");
            largest = fs::metadata(wal)?.len().max(largest);
        }
    }
    while seen.len() < (RECORDS / 16) as usize {
        reader.poll(Duration::from_secs(10), &mut seen)?;
    }
    assert!(largest < 40 << 20, "the WAL grew to {largest} bytes");
    Ok(())
}

#[tokio::test]
async fn draft_of_a_writer_that_died_is_swept_once_it_is_idle() -> Result<()> {
    let on_disk = fresh().await?;
    let store = on_disk.file_store();
    let live = store.create(FileId::random().into()).await?;
    fs::write(on_disk.folder.path().join("tmp/dead"), "half a file")?;
    assert_eq!(
        store.sweep_drafts(Duration::from_secs(60)).await?,
        0,
        "not idle"
    );
    assert_eq!(store.sweep_drafts(Duration::ZERO).await?, 1);
    assert_eq!(on_disk.drafts().await?, 1);
    live.commit().await?;
    Ok(())
}

#[tokio::test]
async fn file_cut_short_on_the_disk_is_broken() -> Result<()> {
    let on_disk = fresh().await?;
    let file = put(&on_disk, &[7; 200_000]).await?;
    let FileLocation::Stored(path) = &file.location else {
        anyhow::bail!("a stored file")
    };
    let whole = on_disk.file_store().read(path, 0, file.size).await?;
    let cut = fs::OpenOptions::new()
        .write(true)
        .open(on_disk.folder.path().join(FILES).join(path))?;
    cut.set_len(100_000)?;
    let error = whole.try_collect::<Vec<_>>().await.err();
    assert!(matches!(error, Some(PortError::Broken { .. })), "{error:?}");
    let again = on_disk.file_store().read(path, 0, file.size).await.err();
    assert!(matches!(again, Some(PortError::Broken { .. })), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn path_that_the_store_did_not_give_is_refused() -> Result<()> {
    let on_disk = fresh().await?;
    let id = FileId::random();
    for path in ["../layout", "/etc/passwd", "", "ab", &format!("../{id}")] {
        let read = on_disk.file_store().read(path, 0, 1).await.err();
        assert!(matches!(read, Some(PortError::Broken { .. })), "{path}");
        let removed = on_disk.file_store().remove(path).await;
        assert!(removed.is_err(), "{path}");
    }
    assert!(on_disk.folder.path().join(LAYOUT).exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_taken_while_writing_is_a_whole_data_folder() -> Result<()> {
    let on_disk = fresh().await?;
    let broker = on_disk.broker();
    let file = put(&on_disk, b"some bytes").await?;
    let key = on_disk.folder.path().join("elsewhere.key");
    fs::write(&key, "secret")?;
    let (parent, writing) = (tempfile::tempdir()?, Arc::new(()));
    let target = parent.path().join("copy");
    let on = Arc::downgrade(&writing);
    let publishing = tokio::task::spawn_blocking(move || {
        let mut n = 0;
        while on.upgrade().is_some() {
            n += u64::from(publish(&broker, n, 300).is_ok());
        }
        n
    });
    while on_disk.broker().end_offsets().await?.all()?[0] < 1_000 {
        tokio::task::yield_now().await;
    }
    let copied = backup(on_disk.folder.path(), &key, &target, &mut |_| {})?;
    drop(writing);
    let published = publishing.await?;
    let BackupProgress {
        files_bytes,
        files_count,
        ..
    } = copied;
    assert_eq!((files_bytes, files_count), (10, 1));

    assert_private(&target)?;
    assert_eq!(fs::read_to_string(target.join(KEY))?, "secret");
    let restored = open(&target)?;
    let numbers = numbers(&restored.broker()).await?;
    assert!((1_000..=published).contains(&(numbers.len() as u64)));
    assert!(
        numbers.iter().copied().eq(0..numbers.len() as u64),
        "no hole"
    );
    let row = restored.directory().file_rows.find(file.id).await?;
    assert_eq!(row.as_ref(), Some(&file));
    let bytes = content(&restored.file_store(), &file).await?;
    assert_eq!(bytes, b"some bytes");
    Ok(())
}

#[tokio::test]
async fn backup_refuses_what_is_no_data_folder_and_what_is_not_empty() -> Result<()> {
    let on_disk = fresh().await?;
    let (source, key) = (on_disk.folder.path(), Path::new("no.key"));
    let target = tempfile::tempdir()?;
    let nothing = backup(target.path(), key, &source.join("x"), &mut |_| {});
    let error = nothing.err().context("nothing was copied")?;
    assert!(matches!(
        error,
        BackupError::Folder(OpenError::Incomplete { .. })
    ));
    fs::write(target.path().join("photo"), "")?;
    let full = backup(source, key, target.path(), &mut |_| {});
    let error = full.err().context("it was overwritten")?;
    assert!(matches!(error, BackupError::TargetNotEmpty(_)), "{error}");
    Ok(())
}

#[tokio::test]
async fn backup_tells_of_files_without_bytes() -> Result<()> {
    let on_disk = fresh().await?;
    put(&on_disk, b"whole").await?;
    let gone = put(&on_disk, b"gone").await?;
    if let FileLocation::Stored(path) = &gone.location {
        on_disk.file_store().remove(path).await?;
    }
    let target = tempfile::tempdir()?;
    let key = Path::new("no.key");
    let copied = backup(on_disk.folder.path(), key, target.path(), &mut |_| {});
    let text = copied.err().context("it was silent")?.to_string();
    assert!(text.contains(&gone.id.to_string()), "{text}");
    open(target.path())?;
    Ok(())
}

#[tokio::test]
async fn backup_that_was_cut_is_no_data_folder() -> Result<()> {
    let (on_disk, target) = (fresh().await?, tempfile::tempdir()?);
    let key = Path::new("no.key");
    backup(on_disk.folder.path(), key, target.path(), &mut |_| {})?;
    fs::remove_file(target.path().join(LAYOUT))?;
    assert!(target.path().join(DATABASE).exists());
    let error = refused(target.path())?;
    assert!(matches!(error, OpenError::Incomplete { .. }), "{error:?}");
    Ok(())
}
