//! Tests of uploads, downloads and the sweeper, over a directory and a store in memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::sweep::REACH;
use super::testing::{Bench, INLINE_BYTES, MAX_BYTES, MemoryGuard, Step, user};
use super::*;
use crate::domain::FileLocation;
use crate::ports::PortError;
use crate::ports::file_store::ByteStream;

fn new_file() -> NewFile {
    NewFile {
        name: FileName::parse("a.bin").unwrap(),
        media_type: None,
        min_bytes: None,
    }
}

fn body(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + use<> {
    let chunks: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
    stream::iter(chunks.into_iter().map(Ok))
}

async fn take(bench: &Bench, bytes: &[u8]) -> Result<File, Problem> {
    let ann = user("ann");
    bench
        .files
        .upload(&ann, new_file(), body(bytes), |_| true)
        .await
}

async fn open(bench: &Bench, file: &File, range: Range<u64>) -> Result<ByteStream, Problem> {
    bench.files.content(file, range, &user("ann")).await
}

async fn read_back(bench: &Bench, file: &File) -> Result<Vec<u8>, PortError> {
    let content = open(bench, file, 0..file.size).await.expect("opens");
    all_of(content).await
}

async fn all_of(content: ByteStream) -> Result<Vec<u8>, PortError> {
    content
        .try_fold(Vec::new(), async |mut all, chunk| {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn files_up_to_the_threshold_are_cells_and_larger_ones_are_stored() {
    for (inline, length, is_cell) in [
        (INLINE_BYTES, 0, true),
        (INLINE_BYTES, 1, true),
        (INLINE_BYTES, INLINE_BYTES, true),
        (INLINE_BYTES, INLINE_BYTES + 1, false),
        (INLINE_BYTES, 500_000, false),
        (0, 0, true),
        (0, 1, false),
    ] {
        let bench = Bench::with(MAX_BYTES, inline);
        let bytes = noise(length);
        let file = take(&bench, &bytes).await.expect("taken");
        assert_eq!(
            matches!(file.location, FileLocation::Inline(_)),
            is_cell,
            "{inline} {length}"
        );
        assert_eq!(file.size, length as u64);
        assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        let found = bench.files.find(file.id).await.expect("found");
        assert_eq!(found, file);
        assert_eq!(read_back(&bench, &found).await.expect("reads"), bytes);
        assert_eq!(bench.store.open_writers(), 0);
    }
}

#[tokio::test]
async fn the_limit_is_a_size_that_is_still_taken() {
    let bench = Bench::with(100_000, INLINE_BYTES);
    take(&bench, &noise(100_000)).await.expect("at the limit");
    let bench = Bench::with(100_000, INLINE_BYTES);
    let problem = take(&bench, &noise(100_001)).await.expect_err("over it");
    assert_eq!(
        (problem.code, problem.limit),
        (Code::FileTooLarge, Some(100_000))
    );
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn a_size_told_in_advance_is_refused_before_a_byte_is_read() {
    let bench = Bench::new();
    let new = NewFile {
        min_bytes: Some(MAX_BYTES + 1),
        ..new_file()
    };
    let never = stream::pending::<Result<Bytes, Problem>>();
    let upload = bench.files.upload(&user("ann"), new, never, |_| true).await;
    assert_eq!(upload.expect_err("refused").code, Code::FileTooLarge);
}

#[tokio::test]
async fn a_store_that_fails_leaves_nothing() {
    for step in [Step::Create, Step::Write, Step::Commit] {
        let bench = Bench::new();
        bench.store.fail_at(step);
        let problem = take(&bench, &noise(200_000)).await.expect_err("fails");
        assert_eq!(problem.code, Code::StorageUnavailable, "{step:?}");
        assert!(problem.retry_after_ms.is_some());
        bench.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_body_that_breaks_leaves_nothing_and_keeps_its_problem() {
    let bench = Bench::new();
    let broken = Problem::new(Code::RequestTimeout, "too slow");
    let breaks = body(&noise(200_000)).chain(stream::iter([Err(broken)]));
    let upload = bench
        .files
        .upload(&user("ann"), new_file(), breaks, |_| true)
        .await;
    assert_eq!(upload.expect_err("breaks").code, Code::RequestTimeout);
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn other_bytes_than_expected_leave_nothing() {
    for length in [10, 200_000] {
        let bench = Bench::new();
        let bytes = noise(length);
        let ann = user("ann");
        let upload = bench
            .files
            .upload(&ann, new_file(), body(&bytes), |_| false)
            .await;
        assert_eq!(upload.expect_err("refused").code, Code::ChecksumMismatch);
        bench.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_in_mid_way_leaves_nothing() {
    let bench = Bench::new();
    let stalls = body(&noise(200_000)).chain(stream::pending());
    let ann = user("ann");
    let upload = bench.files.upload(&ann, new_file(), stalls, |_| true);
    let begun = bench.store.shared.written.notified();
    tokio::select! {
        _ = upload => panic!("its body never ends"),
        () = begun => {}
    }
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn a_row_whose_put_failed_removes_nothing() {
    let bench = Bench::new();
    bench.rows.away.store(true, Ordering::SeqCst);
    let problem = take(&bench, &noise(200_000)).await.expect_err("fails");
    assert_eq!(problem.code, Code::DirectoryUnavailable);
    assert_eq!(bench.store.shared.files.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn memory_is_bounded_by_the_threshold_and_a_chunk() {
    const CHUNK: usize = 64 * 1024;
    let bench = Bench::with(u64::MAX, INLINE_BYTES);
    let given = Arc::new(AtomicUsize::new(0));
    let shared = bench.store.shared.clone();
    let counted = given.clone();
    let body = stream::iter(0..200).map(move |_| {
        let given = counted.fetch_add(CHUNK, Ordering::SeqCst) + CHUNK;
        let held = given - shared.taken.load(Ordering::SeqCst);
        assert!(held <= INLINE_BYTES + CHUNK, "{held} bytes held");
        Ok(Bytes::from_static(&[7; CHUNK]))
    });
    let ann = user("ann");
    let upload = bench.files.upload(&ann, new_file(), body, |_| true).await;
    assert_eq!(upload.expect("taken").size, 200 * CHUNK as u64);
}

#[tokio::test]
async fn a_store_that_has_less_ends_the_stream_with_an_error() {
    let bench = Bench::new();
    let file = take(&bench, &noise(300_000)).await.expect("taken");
    bench.store.fail_at(Step::ShortRead);
    let broken = read_back(&bench, &file).await.expect_err("short");
    assert!(matches!(broken, PortError::Broken { .. }));
}

#[tokio::test]
async fn a_cell_of_another_length_than_its_row_says_is_an_internal_failure() {
    let bench = Bench::new();
    let mut file = take(&bench, b"twelve bytes").await.expect("taken");
    for size in [0, 5, 13] {
        file.size = size;
        let opened = open(&bench, &file, 0..size).await;
        assert_eq!(opened.err().expect("another").code, Code::Internal);
    }
}

#[tokio::test]
async fn a_range_is_read_alone() {
    let bench = Bench::new();
    for bytes in [noise(1000), noise(300_000)] {
        let file = take(&bench, &bytes).await.expect("taken");
        for range in [0..1, 0..1000, 7..7, 999..1000, 500..900] {
            let content = open(&bench, &file, range.clone()).await.expect("opens");
            let wanted = &bytes[range.start as usize..range.end as usize];
            assert_eq!(all_of(content).await.expect("reads"), wanted);
        }
    }
}

#[tokio::test]
async fn what_is_away_is_said() {
    let bench = Bench::new();
    let file = take(&bench, &noise(300_000)).await.expect("taken");
    bench.store.fail_at(Step::Read);
    let opened = open(&bench, &file, 0..file.size).await;
    assert_eq!(opened.err().expect("away").code, Code::StorageUnavailable);
    let missing = bench.files.find(FileId::random()).await;
    assert_eq!(missing.expect_err("none").code, Code::FileNotFound);
    bench.rows.away.store(true, Ordering::SeqCst);
    let found = bench.files.find(file.id).await;
    assert_eq!(found.expect_err("away").code, Code::DirectoryUnavailable);
}

#[tokio::test]
async fn a_file_that_the_store_has_lost_is_an_internal_failure() {
    let bench = Bench::new();
    let file = take(&bench, &noise(300_000)).await.expect("taken");
    bench.store.shared.files.lock().unwrap().clear();
    let opened = open(&bench, &file, 0..file.size).await;
    assert_eq!(opened.err().expect("lost").code, Code::Internal);
}

#[tokio::test]
async fn upload_whose_bytes_were_swept_before_its_row_came_fails() {
    let bench = Bench::new();
    let shared = bench.store.shared.clone();
    let sweep = move || shared.files.lock().unwrap().clear();
    *bench.rows.during_put.lock().unwrap() = Some(Box::new(sweep));
    let problem = take(&bench, &noise(200_000)).await.expect_err("swept");
    assert_eq!(problem.code, Code::StorageUnavailable);
    assert!(problem.retry_after_ms.is_some());
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_sweeper_removes_files_whose_row_never_came_after_a_grace_time() {
    let bench = Bench::new();
    let with_row = take(&bench, &noise(300_000)).await.expect("taken");
    let old = bench.store.put(2 * HOUR);
    let fresh = bench.store.put(HOUR / 2);
    let ancient = bench.store.put(HOUR * 24 * 30);
    for stored in bench.store.shared.files.lock().unwrap().values_mut() {
        if stored.name == with_row.id.into() {
            stored.age = 2 * HOUR;
        }
    }
    bench.rows.away.store(true, Ordering::SeqCst);
    assert_eq!(
        bench.files.sweep(&MemoryGuard::open(), REACH).await,
        REACH,
        "to be made up for"
    );
    assert_eq!(bench.store.shared.files.lock().unwrap().len(), 4);
    bench.rows.away.store(false, Ordering::SeqCst);
    assert!(bench.files.sweep(&MemoryGuard::open(), REACH).await < HOUR);
    let files = bench.store.shared.files.lock().unwrap();
    assert!(!files.contains_key(&old), "had no row");
    assert!(files.contains_key(&fresh), "its row may still come");
    assert!(files.contains_key(&ancient), "too old to judge");
    assert_eq!(files.len(), 3);
}

#[tokio::test]
async fn a_listing_that_fails_is_made_up_for() {
    let bench = Bench::new();
    bench.store.put(2 * HOUR);
    bench.store.fail_at(Step::List);
    assert_eq!(
        bench.files.sweep(&MemoryGuard::open(), 2 * HOUR).await,
        REACH
    );
}

#[tokio::test]
async fn files_from_before_the_guards_limit_are_kept() {
    let bench = Bench::new();
    let swept = bench.store.put(2 * HOUR);
    let kept = bench.store.put(3 * HOUR);
    let guard = MemoryGuard {
        kept_from: 3 * HOUR,
        ..MemoryGuard::open()
    };
    bench.files.sweep(&guard, REACH).await;
    let files = bench.store.shared.files.lock().unwrap();
    assert!(!files.contains_key(&swept) && files.contains_key(&kept));
}

#[tokio::test]
async fn guard_is_asked_before_each_removal() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.store.put(2 * HOUR);
    }
    let guard = MemoryGuard {
        removals_left: AtomicUsize::new(1),
        ..MemoryGuard::open()
    };
    let reach = bench.files.sweep(&guard, REACH).await;
    assert_eq!(reach, REACH, "to be made up for");
    assert_eq!(bench.store.shared.files.lock().unwrap().len(), 2);
}
