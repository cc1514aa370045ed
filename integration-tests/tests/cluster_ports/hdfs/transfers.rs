//! Whole files, in and out.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use integration_tests::contract::Backend;
use integration_tests::on_hdfs::{fresh, fs_shell};
use lakechat_core::domain::FileId;
use lakechat_core::ports::file_store::ByteStream;
use lakechat_core::ports::{FileStore, PortError};
use sha2::{Digest, Sha256};

const MIB: usize = 1 << 20;

/// A chunk that no other looks like.
fn chunk(n: usize) -> Bytes {
    let byte = |i: usize| (i.wrapping_mul(31) ^ n ^ (i >> 8)) as u8;
    (0..MIB).map(byte).collect::<Vec<_>>().into()
}

async fn store(files: &dyn FileStore, mebibytes: usize) -> Result<(String, Vec<u8>)> {
    let mut writer = files.create(FileId::random().into()).await?;
    let mut sum = Sha256::new();
    for n in 0..mebibytes {
        let chunk = chunk(n);
        sum.update(&chunk);
        writer.write(chunk).await?;
    }
    Ok((writer.commit().await?, sum.finalize().to_vec()))
}

async fn sum_of(mut stream: ByteStream) -> Result<Vec<u8>> {
    let mut sum = Sha256::new();
    while let Some(chunk) = stream.next().await {
        sum.update(&chunk?);
    }
    Ok(sum.finalize().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn hadoops_own_shell_reads_the_same_bytes() -> Result<()> {
    let backend = fresh().await?;
    let (path, sum) = store(&*backend.store, 20).await?;
    let read = fs_shell(&["-cat", &format!("{}/files/{path}", backend.root.0)])?;
    assert_eq!(read.len(), 20 * MIB);
    assert_eq!(Sha256::digest(&read).to_vec(), sum);
    let stream = backend.store.read(&path, 0, 20 * MIB as u64).await?;
    assert_eq!(sum_of(stream).await?, sum);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hadoops_own_shell_finds_no_draft_after_abort_drop_and_close() -> Result<()> {
    let backend = fresh().await?;
    for ends in ["abort", "drop", "commit"] {
        let mut writer = backend.store.create(FileId::random().into()).await?;
        writer.write(chunk(1)).await?;
        match ends {
            "abort" => writer.abort().await?,
            "commit" => drop(writer.commit().await?),
            _ => drop(writer),
        }
    }
    backend.store.close().await?;
    let root = &backend.root.0;
    let listed = String::from_utf8(fs_shell(&["-ls", "-R", root])?)?;
    let files = listed.lines().filter(|line| line.starts_with('-')).count();
    assert_eq!(files, 1, "only the file that was committed: {listed}");
    let left = fs_shell(&["-ls", &format!("{root}/tmp")])?;
    assert_eq!(String::from_utf8(left)?.trim(), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_over_the_pieces_that_are_asked_for_come_back() -> Result<()> {
    let backend = fresh().await?;
    let (path, _) = store(&*backend.store, 5).await?;
    let all: Vec<u8> = (0..5).flat_map(chunk).collect();
    let ranges = [
        (0, 5 * MIB),
        (2 * MIB - 1, 2),
        (2 * MIB, 2 * MIB),
        (2 * MIB + 3, 2 * MIB),
        (5 * MIB - 1, 1),
        (5 * MIB, 0),
    ];
    for (offset, length) in ranges {
        let stream = backend
            .store
            .read(&path, offset as u64, length as u64)
            .await?;
        let read: Vec<Bytes> = stream.try_collect().await?;
        assert!(
            read.concat() == all[offset..offset + length],
            "{offset} {length}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reader_that_goes_frees_its_task() -> Result<()> {
    let backend = fresh().await?;
    let (path, _) = store(&*backend.store, 8).await?;
    for _ in 0..10 {
        let mut stream = backend.store.read(&path, 0, 8 * MIB as u64).await?;
        stream.next().await.context("a first chunk")??;
    }
    // Returns when no task is left.
    tokio::time::timeout(Duration::from_secs(5), backend.store.close()).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_removed_while_it_is_read_ends_in_an_error_or_whole() -> Result<()> {
    let backend = fresh().await?;
    let (path, sum) = store(&*backend.store, 16).await?;
    let stream = backend.store.read(&path, 0, 16 * MIB as u64).await?;
    backend.store.remove(&path).await?;
    match sum_of(stream).await {
        Ok(read) => assert_eq!(read, sum),
        Err(error) => assert!(error.is::<PortError>(), "{error}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_tells_of_files_by_the_age_of_their_commit() -> Result<()> {
    let backend = fresh().await?;
    let files = backend.file_store();
    let mut paths = BTreeSet::new();
    for _ in 0..5 {
        let mut writer = files.create(FileId::random().into()).await?;
        writer.write(Bytes::from_static(b"x")).await?;
        paths.insert(writer.commit().await?);
    }
    let hour = Duration::from_secs(3600);
    let listed = async |age| -> Result<BTreeSet<String>> {
        let listing = files.list(age).await?;
        Ok(listing.map_ok(|file| file.path).try_collect().await?)
    };
    assert_eq!(listed(Duration::ZERO..hour).await?, paths);
    assert_eq!(listed(hour..2 * hour).await?, BTreeSet::new());
    assert_eq!(
        listed(Duration::ZERO..Duration::ZERO).await?,
        BTreeSet::new()
    );
    Ok(())
}
