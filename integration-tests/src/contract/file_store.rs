//! The file store: files that are complete or absent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use lakechat_core::domain::{FileId, StoredName};
use lakechat_core::ports::{FileStore, PortError};
use tokio::task::JoinSet;

use super::{Backend, eventually};

/// Tests of every rule of the file store.
#[macro_export]
macro_rules! file_store_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            file_store:
                bytes_are_read_as_written_whatever_their_number
                chunks_of_any_size_make_the_same_file
                ranges_are_read
                reading_yields_bounded_chunks
                reading_past_the_end_is_broken
                reading_can_be_abandoned_half_way
                removed_file_is_broken_and_removing_again_is_no_error
                aborted_file_leaves_nothing
                dropped_file_leaves_nothing
                sweep_spares_live_writers
                many_files_are_written_concurrently
                check_succeeds_and_leaves_nothing
                parts_of_a_file_are_stored_and_listed_by_their_names
                files_survive_a_restart;
        }
    };
}

type Store = Arc<dyn FileStore>;

/// Bytes that show where in the file they are from.
fn content(length: usize) -> Bytes {
    let byte = |i: usize| (i ^ (i >> 8) ^ (i >> 16)) as u8;
    (0..length).map(byte).collect::<Vec<_>>().into()
}

async fn store(store: &Store, content: &Bytes, chunk: usize) -> Result<String> {
    let mut writer = store.create(FileId::random().into()).await?;
    for chunk in content.chunks(chunk) {
        writer.write(content.slice_ref(chunk)).await?;
    }
    Ok(writer.commit().await?)
}

async fn read(store: &Store, path: &str, offset: usize, length: usize) -> Result<Vec<u8>> {
    let stream = store.read(path, offset as u64, length as u64).await?;
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    Ok(chunks.concat())
}

/// Checks that reading fails with `Broken`, in the call or in the stream.
async fn assert_broken(store: &Store, path: &str, offset: u64, length: u64) {
    let error = match store.read(path, offset, length).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.err(),
        Err(error) => Some(error),
    };
    assert!(matches!(error, Some(PortError::Broken { .. })), "{error:?}");
}

pub async fn bytes_are_read_as_written_whatever_their_number<B: Backend>(backend: B) -> Result<()> {
    let files = backend.file_store();
    for length in [0, 1, 65_535, 65_536, 65_537, 3_000_001] {
        let content = content(length);
        let path = store(&files, &content, 100_000).await?;
        assert_eq!(read(&files, &path, 0, length).await?, content);
    }
    Ok(())
}

pub async fn chunks_of_any_size_make_the_same_file<B: Backend>(backend: B) -> Result<()> {
    let (files, content) = (backend.file_store(), content(1_500_000));
    for chunk in [7, 4_096, 70_000, 1_500_000] {
        let path = store(&files, &content, chunk).await?;
        assert_eq!(read(&files, &path, 0, content.len()).await?, content);
    }
    let mut writer = files.create(FileId::random().into()).await?;
    for chunk in [&b""[..], b"a", b"", b"b"] {
        writer.write(Bytes::from_static(chunk)).await?;
    }
    let path = writer.commit().await?;
    assert_eq!(read(&files, &path, 0, 2).await?, b"ab");
    Ok(())
}

pub async fn ranges_are_read<B: Backend>(backend: B) -> Result<()> {
    let (files, content) = (backend.file_store(), content(300_000));
    let path = store(&files, &content, 100_000).await?;
    let ranges = [
        (0, 1),
        (299_999, 1),
        (65_535, 2),
        (100, 200_000),
        (300_000, 0),
        (5, 0),
    ];
    for (offset, length) in ranges {
        let part = read(&files, &path, offset, length).await?;
        assert_eq!(part, content[offset..offset + length]);
    }
    Ok(())
}

pub async fn reading_yields_bounded_chunks<B: Backend>(backend: B) -> Result<()> {
    let (files, content) = (backend.file_store(), content(5_000_000));
    let path = store(&files, &content, 1_000_000).await?;
    let mut stream = files.read(&path, 0, 5_000_000).await?;
    while let Some(chunk) = stream.next().await {
        let length = chunk?.len();
        assert!((1..=1 << 20).contains(&length), "a chunk of {length} bytes");
    }
    Ok(())
}

pub async fn reading_past_the_end_is_broken<B: Backend>(backend: B) -> Result<()> {
    let files = backend.file_store();
    let path = store(&files, &content(1_000), 1_000).await?;
    for (offset, length) in [(0, 1_001), (999, 2), (1_001, 1), (u64::MAX, 1)] {
        assert_broken(&files, &path, offset, length).await;
    }
    Ok(())
}

pub async fn reading_can_be_abandoned_half_way<B: Backend>(backend: B) -> Result<()> {
    let (files, content) = (backend.file_store(), content(2_000_000));
    let path = store(&files, &content, 1_000_000).await?;
    for _ in 0..20 {
        let mut stream = files.read(&path, 0, 2_000_000).await?;
        let chunk = stream.next().await.context("a first chunk")??;
        assert_eq!(chunk, content[..chunk.len()]);
    }
    assert_eq!(read(&files, &path, 0, 2_000_000).await?, content);
    Ok(())
}

pub async fn removed_file_is_broken_and_removing_again_is_no_error<B: Backend>(
    backend: B,
) -> Result<()> {
    let files = backend.file_store();
    let path = store(&files, &content(1_000), 1_000).await?;
    let other = store(&files, &content(1_000), 1_000).await?;
    assert_eq!(files.size(&path).await?, Some(1_000));
    files.remove(&path).await?;
    assert_eq!(files.size(&path).await?, None);
    assert_broken(&files, &path, 0, 1_000).await;
    files.remove(&path).await?;
    assert_eq!(read(&files, &other, 0, 1_000).await?, content(1_000));
    Ok(())
}

pub async fn aborted_file_leaves_nothing<B: Backend>(backend: B) -> Result<()> {
    let (files, before) = (backend.file_store(), backend.drafts().await?);
    for length in [0, 10, 1_000_000] {
        let mut writer = files.create(FileId::random().into()).await?;
        writer.write(content(length)).await?;
        writer.abort().await?;
        assert_eq!(
            backend.drafts().await?,
            before,
            "the draft is removed when abort returns"
        );
    }
    Ok(())
}

pub async fn dropped_file_leaves_nothing<B: Backend>(backend: B) -> Result<()> {
    let (files, before) = (backend.file_store(), backend.drafts().await?);
    for length in [0, 10, 1_000_000] {
        let mut writer = files.create(FileId::random().into()).await?;
        writer.write(content(length)).await?;
        drop(writer);
    }
    let gone = async || Ok(backend.drafts().await? == before);
    eventually("dropped drafts are removed", gone).await
}

pub async fn sweep_spares_live_writers<B: Backend>(backend: B) -> Result<()> {
    let (files, content) = (backend.file_store(), content(2_000_000));
    let mut writer = files.create(FileId::random().into()).await?;
    files.sweep_drafts(Duration::ZERO).await?;
    for chunk in content.chunks(500_000) {
        writer.write(content.slice_ref(chunk)).await?;
        files.sweep_drafts(Duration::ZERO).await?;
    }
    let path = writer.commit().await?;
    files.sweep_drafts(Duration::ZERO).await?;
    assert_eq!(read(&files, &path, 0, content.len()).await?, content);
    Ok(())
}

pub async fn check_succeeds_and_leaves_nothing<B: Backend>(backend: B) -> Result<()> {
    let files = backend.file_store();
    // Other rules that run at the same time have drafts too.
    let before = backend.drafts().await?;
    for _ in 0..20 {
        files.check().await?;
        let dropped = tokio::time::timeout(Duration::ZERO, files.check()).await;
        // Drop the check half-way; it may have finished before.
        drop(dropped);
    }
    eventually("no draft is left", async || {
        Ok(backend.drafts().await? <= before)
    })
    .await
}

pub async fn many_files_are_written_concurrently<B: Backend>(backend: B) -> Result<()> {
    let files = backend.file_store();
    let mut writing = JoinSet::new();
    for n in 0..20 {
        let files = Arc::clone(&files);
        writing.spawn(async move {
            let content = content(100_000 + n);
            let path = store(&files, &content, 30_000).await?;
            files.sweep_drafts(Duration::ZERO).await?;
            anyhow::Ok((path, content))
        });
    }
    while let Some(written) = writing.join_next().await {
        let (path, content) = written??;
        assert_eq!(read(&files, &path, 0, content.len()).await?, content);
    }
    Ok(())
}

pub async fn parts_of_a_file_are_stored_and_listed_by_their_names<B: Backend>(
    backend: B,
) -> Result<()> {
    let (files, file) = (backend.file_store(), FileId::random());
    let names = [0, 1, u64::MAX].map(|number| StoredName::part_of(file, number));
    // Several at a time, as from several servers.
    let mut writers = Vec::new();
    for name in names {
        writers.push(files.create(name).await?);
    }
    let mut paths = Vec::new();
    for (mut writer, length) in writers.into_iter().zip(1..) {
        writer.write(content(length)).await?;
        paths.push(writer.commit().await?);
    }
    for (path, length) in paths.iter().zip(1..) {
        assert_eq!(read(&files, path, 0, length).await?, content(length));
    }
    files.remove(&paths[1]).await?;
    let listed: Vec<_> = files
        .list(Duration::ZERO..Duration::MAX)
        .await?
        .try_collect()
        .await?;
    let listed = listed.into_iter().filter(|stored| stored.name.file == file);
    let mut listed: Vec<_> = listed.map(|stored| (stored.name, stored.path)).collect();
    listed.sort();
    assert_eq!(
        listed,
        [(names[0], paths[0].clone()), (names[2], paths[2].clone())]
    );
    Ok(())
}

pub async fn files_survive_a_restart<B: Backend>(backend: B) -> Result<()> {
    let path = store(&backend.file_store(), &content(200_000), 50_000).await?;
    let backend = backend.reopen().await?;
    let back = read(&backend.file_store(), &path, 0, 200_000).await?;
    assert_eq!(back, content(200_000));
    Ok(())
}
