//! Tests of resumable uploads, over a directory and a store in memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::*;
use crate::domain::{FileLocation, StoredName};
use crate::files::sweep::{REACH, REMOVED_KEPT};
use crate::files::testing::{Bench, INLINE_BYTES, MAX_BYTES, MemoryGuard, PART_BYTES, Step, user};

const HOUR_MS: u64 = 3_600_000;

fn new(length: impl Into<Option<u64>>) -> NewUpload {
    NewUpload {
        name: FileName::parse("a.bin").unwrap(),
        media_type: None,
        metadata: "filename YS5iaW4=".to_owned(),
        length: length.into(),
        is_partial: false,
        expires_at_ms: None,
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

fn body(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + 'static {
    let chunks: Vec<_> = bytes.chunks(10_000).map(Bytes::copy_from_slice).collect();
    stream::iter(chunks.into_iter().map(Ok))
}

fn cut(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + 'static {
    let problem = Problem::new(Code::BadRequest, "the client left");
    body(bytes).chain(stream::iter([Err(problem)]))
}

async fn create(bench: &Bench, length: impl Into<Option<u64>>) -> FileId {
    let created = bench.files.create_upload(&user("ann"), new(length)).await;
    created.expect("created").id
}

async fn append(bench: &Bench, id: FileId, offset: usize, bytes: &[u8]) -> Result<u64, Problem> {
    append_with(bench, id, at(offset), body(bytes)).await
}

fn at(offset: usize) -> Append {
    Append {
        offset: offset as u64,
        ..Append::default()
    }
}

async fn append_with(
    bench: &Bench,
    id: FileId,
    append: Append,
    body: impl Stream<Item = Result<Bytes, Problem>> + Unpin + Send + 'static,
) -> Result<u64, Problem> {
    let appended = bench.files.append(&user("ann"), id, append, body).await;
    appended.map(|status| status.offset)
}

async fn offset(bench: &Bench, id: FileId) -> Result<u64, Code> {
    let status = bench.files.upload_status(&user("ann"), id).await;
    status.map(|s| s.offset).map_err(|problem| problem.code)
}

async fn read(bench: &Bench, id: FileId, range: std::ops::Range<usize>) -> Vec<u8> {
    let file = bench.files.find(id).await.expect("the file");
    let range = range.start as u64..range.end as u64;
    let content = bench.files.content(&file, range, &user("ann")).await;
    let chunks: Vec<_> = content.expect("opens").try_collect().await.expect("whole");
    chunks.concat()
}

fn stored(bench: &Bench) -> usize {
    bench.store.shared.files.lock().unwrap().len()
}

/// The names of the stored files of this size.
fn stored_of(bench: &Bench, size: usize) -> Vec<String> {
    let files = bench.store.shared.files.lock().unwrap();
    let of_size = files.iter().filter(|(_, file)| file.bytes.len() == size);
    of_size.map(|(name, _)| name.clone()).collect()
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Problem>) -> Code {
    outcome.expect_err("a refusal").code
}

#[tokio::test]
async fn upload_whose_parts_cannot_be_joined_is_ended_before_its_row_grows_without_end() {
    let bench = Bench::new();
    let id = create(&bench, 700_000).await;
    let mut sent = 0;
    for n in 0..1_000 {
        // One of each 16 is larger than the others together.
        let chunk = if n % 16 == 0 { 31 } else { 1 };
        append(&bench, id, sent, &[7; 31][..chunk])
            .await
            .expect("appended");
        sent += chunk;
    }
    let refused = append(&bench, id, sent, b"x").await;
    assert_eq!(code(refused), Code::TooManyParts);
    assert_eq!(offset(&bench, id).await, Ok(sent as u64));
}

#[tokio::test]
async fn tiny_request_copies_no_large_part() {
    let bench = Bench::new();
    let id = create(&bench, 700_000).await;
    append(&bench, id, 0, &noise(90_000))
        .await
        .expect("appended");
    let large = stored_of(&bench, 90_000);
    for sent in 90_000..90_100 {
        append(&bench, id, sent, b"x").await.expect("appended");
    }
    assert_eq!(stored_of(&bench, 90_000), large, "it is where it was");
    assert!(stored(&bench) < 40, "{} parts", stored(&bench));
}

#[tokio::test]
async fn parts_of_several_requests_become_one_file_with_its_sum_and_its_ranges() {
    let bench = Bench::new();
    let bytes = noise(700_000);
    let id = create(&bench, 700_000).await;
    let mut sent = 0;
    // The second is larger than a part may be; the third is empty.
    for size in [1, 450_000, 0, 100_000, 149_999] {
        assert_eq!(offset(&bench, id).await, Ok(sent as u64));
        assert!(
            bench.files.find(id).await.is_err(),
            "no file before its end"
        );
        let appended = append(&bench, id, sent, &bytes[sent..sent + size]).await;
        sent += size;
        assert_eq!(appended.expect("appended"), sent as u64);
    }
    let file = bench.files.find(id).await.expect("the file");
    assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    assert_eq!((file.size, &*file.name), (700_000, "a.bin"));
    let FileLocation::Parts(parts) = &file.location else {
        panic!("{file:?}")
    };
    assert_eq!(parts.len(), 6, "{parts:?}");
    assert!(parts.iter().all(|part| part.size < PART_BYTES + 10_000));
    for range in [
        0..700_000,
        0..1,
        0..2,
        199_999..450_002,
        699_999..700_000,
        5..5,
    ] {
        assert_eq!(read(&bench, id, range.clone()).await, bytes[range]);
    }
    assert!(bench.uploads.uploads.lock().unwrap().is_empty());
    assert_eq!(bench.store.open_writers(), 0);
    // The client may have missed the last answer.
    assert_eq!(offset(&bench, id).await, Ok(700_000));
    assert_eq!(
        append(&bench, id, 700_000, b"").await.expect("as before"),
        700_000
    );
    assert_eq!(
        code(append(&bench, id, 0, &bytes[..9]).await),
        Code::OffsetConflict
    );
    assert_eq!(
        code(append(&bench, id, 700_000, b"x").await),
        Code::FileTooLarge
    );
}

#[tokio::test]
async fn small_file_is_a_cell_and_one_part_is_a_stored_file() {
    for (length, is_cell) in [(0, true), (5, true), (INLINE_BYTES, true), (100_000, false)] {
        let bench = Bench::new();
        let id = create(&bench, length as u64).await;
        let bytes = noise(length);
        append(&bench, id, 0, &bytes).await.expect("appended");
        let file = bench.files.find(id).await.expect("the file");
        match &file.location {
            FileLocation::Inline(cell) if is_cell => assert_eq!(cell, &bytes),
            FileLocation::Stored(_) if !is_cell => {}
            other => panic!("{length}: {other:?}"),
        }
        assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(read(&bench, id, 0..length).await, bytes);
        assert_eq!(stored(&bench), usize::from(!is_cell));
    }
}

#[tokio::test]
async fn what_arrived_before_a_cut_is_kept() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let id = create(&bench, 500_000).await;
    let broken = append_with(&bench, id, at(0), cut(&bytes[..300_000])).await;
    assert_eq!(code(broken), Code::BadRequest);
    assert_eq!(offset(&bench, id).await, Ok(300_000));
    append(&bench, id, 300_000, &bytes[300_000..])
        .await
        .expect("appended");
    assert_eq!(read(&bench, id, 0..500_000).await, bytes);
}

#[tokio::test]
async fn request_whose_future_is_dropped_stores_what_it_received() {
    let bench = Bench::new();
    let id = create(&bench, 500_000).await;
    let (sender, chunks) = tokio::sync::mpsc::channel(1);
    let chunks = stream::unfold(
        chunks,
        async |mut chunks: tokio::sync::mpsc::Receiver<_>| {
            let chunk = chunks.recv().await?;
            Some((chunk, chunks))
        },
    );
    let (files, ann) = (bench.files.clone(), user("ann"));
    let body = Box::pin(chunks);
    let request = tokio::spawn(async move { files.append(&ann, id, at(0), body).await });
    sender
        .send(Ok(noise(100_000).into()))
        .await
        .expect("it reads");
    // It asks for the next one, so it has the first.
    let permit = sender.reserve().await.expect("it reads");
    request.abort();
    assert!(request.await.is_err_and(|ended| ended.is_cancelled()));
    permit.send(Err(Problem::new(Code::BadRequest, "the client left")));
    bench.files.close_uploads().await;
    assert_eq!(offset(&bench, id).await, Ok(100_000));
}

#[tokio::test]
async fn shutdown_ends_a_request_and_keeps_what_arrived() {
    let bench = Bench::new();
    let id = create(&bench, 500_000).await;
    let body = body(&noise(100_000)).chain(stream::pending());
    let (files, ann) = (bench.files.clone(), user("ann"));
    let request = tokio::spawn(async move { files.append(&ann, id, at(0), body).await });
    while bench.store.shared.taken.load(Ordering::SeqCst) < 100_000 {
        bench.store.shared.written.notified().await;
    }
    bench.files.close_uploads().await;
    let problem = request.await.expect("no panic").expect_err("ended");
    assert_eq!(problem.code, Code::ShuttingDown);
    assert!(problem.retry_after_ms.is_some());
    assert_eq!(offset(&bench, id).await, Ok(100_000));
}

#[tokio::test]
async fn only_one_of_several_requests_at_once_appends() {
    let bench = Bench::new();
    let id = create(&bench, 100_000).await;
    let bytes = noise(100_000);
    let all = (0..8).map(|_| append(&bench, id, 0, &bytes));
    let all = futures_util::future::join_all(all).await;
    let (done, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 7));
    for refused in refused {
        assert_eq!(code(refused), Code::OffsetConflict);
    }
    assert_eq!(stored(&bench), 1, "the parts of the others are gone");
    assert_eq!(read(&bench, id, 0..100_000).await, bytes);
}

#[tokio::test]
async fn wrong_offset_is_a_conflict_that_names_the_right_one() {
    let bench = Bench::new();
    let id = create(&bench, 100).await;
    append(&bench, id, 0, &noise(10)).await.expect("appended");
    for wrong in [0, 9, 11, 1_000] {
        let problem = append(&bench, id, wrong, b"x").await.expect_err("wrong");
        assert_eq!(
            (problem.code, problem.limit),
            (Code::OffsetConflict, Some(10))
        );
    }
}

#[tokio::test]
async fn checksum_covers_the_request_and_a_mismatch_keeps_the_offset() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let id = create(&bench, 500_000).await;
    append(&bench, id, 0, &bytes[..7]).await.expect("appended");
    let rest = &bytes[7..];
    let with = |checksum| Append {
        offset: 7,
        checksum: Some(checksum),
        ..Append::default()
    };
    let wrong = Checksum::Sha256(Sha256::digest(b"other").into());
    let refused = append_with(&bench, id, with(wrong), body(rest)).await;
    assert_eq!(code(refused), Code::ChecksumMismatch);
    let right = Checksum::Sha256(Sha256::digest(rest).into());
    // What can't be compared is not kept.
    let broken = append_with(&bench, id, with(right.clone()), cut(&rest[..300_000])).await;
    assert_eq!(code(broken), Code::BadRequest);
    assert_eq!(offset(&bench, id).await, Ok(7));
    assert_eq!(stored(&bench), 1);
    let sha1 = Checksum::Sha1(Sha1::digest(&rest[..9]).into());
    append_with(&bench, id, with(sha1), body(&rest[..9]))
        .await
        .expect("appended");
    let rest = &bytes[16..];
    let right = Append {
        offset: 16,
        checksum: Some(Checksum::Sha256(Sha256::digest(rest).into())),
        ..Append::default()
    };
    append_with(&bench, id, right, body(rest))
        .await
        .expect("appended");
    assert_eq!(read(&bench, id, 0..500_000).await, bytes);
}

#[tokio::test]
async fn sizes_are_limited_when_they_are_said_and_when_they_arrive() {
    let bench = Bench::new();
    let ann = user("ann");
    let too_large = bench.files.create_upload(&ann, new(MAX_BYTES + 1)).await;
    assert_eq!(code(too_large), Code::FileTooLarge);
    let id = create(&bench, 100).await;
    let announced = Append {
        announced_bytes: Some(101),
        ..at(0)
    };
    let never = stream::pending::<Result<Bytes, Problem>>();
    let refused = append_with(&bench, id, announced, never).await;
    assert_eq!(code(refused), Code::FileTooLarge);
    assert_eq!(
        code(append(&bench, id, 0, &noise(101)).await),
        Code::FileTooLarge
    );
    assert_eq!(offset(&bench, id).await, Ok(0));
    let id = create(&bench, None).await;
    let over = noise(MAX_BYTES as usize + 1);
    assert_eq!(code(append(&bench, id, 0, &over).await), Code::FileTooLarge);
}

#[tokio::test]
async fn length_may_be_said_later_and_only_once() {
    let bench = Bench::new();
    let id = create(&bench, None).await;
    append(&bench, id, 0, &noise(10)).await.expect("appended");
    let says = |length| Append {
        length: Some(length),
        ..at(10)
    };
    assert_eq!(
        code(append_with(&bench, id, says(9), body(b"")).await),
        Code::FieldInvalid
    );
    let large = append_with(&bench, id, says(MAX_BYTES + 1), body(b"")).await;
    assert_eq!(code(large), Code::FileTooLarge);
    append_with(&bench, id, says(12), body(b""))
        .await
        .expect("said");
    assert_eq!(
        code(append_with(&bench, id, says(13), body(b"")).await),
        Code::FieldInvalid
    );
    append_with(&bench, id, says(12), body(b"ab"))
        .await
        .expect("appended");
    assert_eq!(read(&bench, id, 9..12).await, [noise(10)[9], b'a', b'b']);
    // A length that is reached already.
    let id = create(&bench, None).await;
    let zero = Append {
        length: Some(0),
        ..Append::default()
    };
    append_with(&bench, id, zero, body(b""))
        .await
        .expect("said");
    assert_eq!(bench.files.find(id).await.expect("the file").size, 0);
}

#[tokio::test]
async fn file_whose_row_could_not_be_written_is_completed_by_the_next_question() {
    for by_sweeper in [false, true] {
        let bench = Bench::new();
        let id = create(&bench, 100_000).await;
        bench.rows.away.store(true, Ordering::SeqCst);
        let unavailable = append(&bench, id, 0, &noise(100_000)).await;
        assert_eq!(code(unavailable), Code::DirectoryUnavailable);
        bench.rows.away.store(false, Ordering::SeqCst);
        assert!(bench.files.find(id).await.is_err());
        if by_sweeper {
            bench.files.sweep(&MemoryGuard::open(), REACH).await;
            assert!(
                bench.files.find(id).await.is_err(),
                "its server may still do it"
            );
            let long_ago = now_ms() - 2 * HOUR_MS;
            bench.uploads.change(id, |upload| {
                upload.state = UploadState::Complete { at_ms: long_ago };
            });
            bench.files.sweep(&MemoryGuard::open(), REACH).await;
        } else {
            assert_eq!(offset(&bench, id).await, Ok(100_000));
        }
        assert_eq!(read(&bench, id, 0..100_000).await, noise(100_000));
        assert!(bench.uploads.uploads.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn store_that_fails_keeps_the_offset() {
    for step in [Step::Create, Step::Write, Step::Commit] {
        let bench = Bench::new();
        let id = create(&bench, 300_000).await;
        append(&bench, id, 0, &noise(100_000))
            .await
            .expect("appended");
        bench.store.fail_at(step);
        let failed = append(&bench, id, 100_000, &noise(200_000)).await;
        assert_eq!(code(failed), Code::StorageUnavailable, "{step:?}");
        assert_eq!(offset(&bench, id).await, Ok(100_000));
        assert_eq!((stored(&bench), bench.store.open_writers()), (1, 0));
    }
}

#[tokio::test]
async fn upload_expires_and_the_sweeper_removes_its_parts() {
    let bench = Bench::new();
    let guard = MemoryGuard::open();
    let id = create(&bench, 300_000).await;
    append(&bench, id, 0, &noise(100_000))
        .await
        .expect("appended");
    bench.files.sweep(&guard, REACH).await;
    assert_eq!(offset(&bench, id).await, Ok(100_000));
    bench
        .uploads
        .change(id, |upload| upload.expires_at_ms = now_ms());
    assert_eq!(offset(&bench, id).await, Err(Code::UploadExpired));
    assert_eq!(
        code(append(&bench, id, 100_000, b"x").await),
        Code::UploadExpired
    );
    bench.files.sweep(&guard, REACH).await;
    assert_eq!(stored(&bench), 0);
    assert_eq!(offset(&bench, id).await, Err(Code::UploadExpired));
    bench.uploads.change(id, |upload| {
        let at_ms = now_ms() - REMOVED_KEPT.as_millis() as u64;
        upload.state = UploadState::Removed { at_ms };
    });
    bench.files.sweep(&guard, REACH).await;
    assert_eq!(offset(&bench, id).await, Err(Code::UploadNotFound));
}

#[tokio::test]
async fn sweeper_removes_parts_that_no_row_lists_and_spares_the_others() {
    let bench = Bench::new();
    let bytes = noise(500_000);
    let (open, done) = (create(&bench, 600_000).await, create(&bench, 500_000).await);
    append(&bench, open, 0, &bytes).await.expect("appended");
    append(&bench, done, 0, &bytes).await.expect("appended");
    let listed = stored(&bench);
    let orphans = [open, done, FileId::random()].map(|id| StoredName::part_of(id, 1));
    for name in orphans {
        let writer = crate::ports::FileStore::create(&*bench.store, name).await;
        writer.expect("begun").commit().await.expect("committed");
    }
    for stored in bench.store.shared.files.lock().unwrap().values_mut() {
        stored.age = Duration::from_secs(7_200);
    }
    bench.files.sweep(&MemoryGuard::open(), REACH).await;
    assert_eq!(stored(&bench), listed);
    assert_eq!(read(&bench, done, 0..500_000).await, bytes);
    append(&bench, open, 500_000, &noise(100_000))
        .await
        .expect("appended");
    assert_eq!(read(&bench, open, 0..500_000).await, bytes);
}

#[tokio::test]
async fn removed_upload_takes_no_more_and_leaves_no_part() {
    let bench = Bench::new();
    let id = create(&bench, 300_000).await;
    append(&bench, id, 0, &noise(100_000))
        .await
        .expect("appended");
    let ann = user("ann");
    bench.files.end_upload(&ann, id).await.expect("ended");
    assert_eq!(stored(&bench), 0);
    assert_eq!(
        code(append(&bench, id, 100_000, b"x").await),
        Code::UploadExpired
    );
    assert_eq!(
        code(bench.files.end_upload(&ann, id).await),
        Code::UploadExpired
    );
}

#[tokio::test]
async fn request_that_is_under_way_when_its_upload_ends_stores_nothing() {
    let bench = Bench::new();
    let id = create(&bench, 300_000).await;
    let body = body(&noise(100_000)).chain(stream::once(async move {
        Err(Problem::new(Code::BadRequest, "the client left"))
    }));
    let (files, ann) = (bench.files.clone(), user("ann"));
    let ends = stream::once(async move {
        files.end_upload(&ann, id).await.expect("ended");
        Ok(Bytes::from_static(b"more"))
    });
    let body = Box::pin(ends.chain(body));
    assert_eq!(
        code(append_with(&bench, id, at(0), body).await),
        Code::BadRequest
    );
    assert_eq!(offset(&bench, id).await, Err(Code::UploadExpired));
    assert_eq!(stored(&bench), 0);
}

#[tokio::test]
async fn file_is_removed_with_all_its_parts_and_for_good() {
    let bench = Bench::new();
    for length in [5, 100_000, 500_000] {
        let id = create(&bench, length as u64).await;
        append(&bench, id, 0, &noise(length))
            .await
            .expect("appended");
        let (ann, bob) = (user("ann"), user("bob"));
        assert_eq!(code(bench.files.delete(&bob, id).await), Code::Forbidden);
        bench.files.delete(&ann, id).await.expect("removed");
        assert_eq!(code(bench.files.find(id).await), Code::FileNotFound);
        assert_eq!(code(bench.files.delete(&ann, id).await), Code::FileNotFound);
        assert_eq!(stored(&bench), 0);
    }
}

#[tokio::test]
async fn sweeper_ends_a_removal_that_stopped_half_way() {
    let bench = Bench::new();
    let id = create(&bench, 500_000).await;
    append(&bench, id, 0, &noise(500_000))
        .await
        .expect("appended");
    bench.rows.away.store(true, Ordering::SeqCst);
    assert!(bench.files.delete(&user("ann"), id).await.is_err());
    bench.rows.away.store(false, Ordering::SeqCst);
    let file = bench.files.find(id).await.expect("still there");
    bench.files.delete(&user("ann"), id).await.expect("removed");
    // As if the server had died behind the first row.
    crate::ports::FileRows::put(&*bench.rows, &file)
        .await
        .expect("put");
    bench.uploads.change(id, |upload| {
        let at_ms = now_ms() - REMOVED_KEPT.as_millis() as u64;
        upload.state = UploadState::Removed { at_ms };
    });
    bench.files.sweep(&MemoryGuard::open(), REACH).await;
    bench.assert_nothing_is_left();
    assert!(bench.uploads.uploads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_the_uploader_sees_and_changes_an_upload() {
    let bench = Bench::new();
    let (bob, id) = (user("bob"), create(&bench, 100).await);
    assert_eq!(
        code(bench.files.upload_status(&bob, id).await),
        Code::Forbidden
    );
    assert_eq!(
        code(bench.files.append(&bob, id, at(0), body(b"x")).await),
        Code::Forbidden
    );
    assert_eq!(
        code(bench.files.end_upload(&bob, id).await),
        Code::Forbidden
    );
    let nowhere = bench.files.upload_status(&bob, FileId::random()).await;
    assert_eq!(code(nowhere), Code::UploadNotFound);
}

#[tokio::test]
async fn partial_uploads_become_one_file() {
    let bench = Bench::new();
    let (ann, bytes) = (user("ann"), noise(400_000));
    let mut ids = Vec::new();
    for piece in [
        &bytes[..250_000],
        &bytes[250_000..250_010],
        &bytes[250_010..],
    ] {
        let partial = NewUpload {
            is_partial: true,
            ..new(piece.len() as u64)
        };
        let id = bench
            .files
            .create_upload(&ann, partial)
            .await
            .expect("created")
            .id;
        let early = bench.files.concatenate(&ann, new(None), &[id]).await;
        assert_eq!(code(early), Code::FieldInvalid);
        append(&bench, id, 0, piece).await.expect("appended");
        assert!(
            bench.files.find(id).await.is_err(),
            "a partial upload is no file"
        );
        ids.push(id);
    }
    let file = bench
        .files
        .concatenate(&ann, new(None), &ids)
        .await
        .expect("made");
    assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    assert_eq!(read(&bench, file.id, 0..400_000).await, bytes);
    let forbidden = bench.files.concatenate(&user("bob"), new(None), &ids).await;
    assert_eq!(code(forbidden), Code::Forbidden);
    let whole = create(&bench, 5).await;
    for wrong in [vec![], vec![whole], vec![file.id]] {
        let refused = bench.files.concatenate(&ann, new(None), &wrong).await;
        assert_eq!(code(refused), Code::FieldInvalid, "{wrong:?}");
    }
}

#[tokio::test]
async fn upload_in_one_request_brings_all_bytes_once_or_none() {
    let bench = Bench::new();
    let (ann, bytes) = (user("ann"), noise(500_000));
    let id = create(&bench, 500_000).await;
    let once = async |announced, bytes: &[u8]| {
        let uploaded = bench
            .files
            .upload_once(&ann, id, announced, body(bytes))
            .await;
        uploaded
            .map(|file| file.size)
            .map_err(|problem| problem.code)
    };
    assert_eq!(once(Some(4), b"four").await, Err(Code::SizeMismatch));
    assert_eq!(once(None, b"four").await, Err(Code::SizeMismatch));
    assert_eq!(once(None, &noise(500_001)).await, Err(Code::SizeMismatch));
    let broken = bench
        .files
        .upload_once(&ann, id, None, cut(&bytes[..300_000]))
        .await;
    assert_eq!(code(broken), Code::BadRequest);
    assert_eq!((stored(&bench), offset(&bench, id).await), (0, Ok(0)));
    assert_eq!(once(Some(500_000), &bytes).await, Ok(500_000));
    assert_eq!(read(&bench, id, 0..500_000).await, bytes);
    assert_eq!(once(None, &bytes).await, Err(Code::AlreadyUsed));
    bench.files.delete(&ann, id).await.expect("removed");
    assert_eq!(once(None, &bytes).await, Err(Code::UploadExpired));
    // At once: the first that ends.
    let id = create(&bench, 100_000).await;
    let all = (0..4).map(|_| {
        bench
            .files
            .upload_once(&ann, id, None, body(&bytes[..100_000]))
    });
    let all = futures_util::future::join_all(all).await;
    let refused = all
        .into_iter()
        .filter_map(Result::err)
        .map(|problem| problem.code);
    assert_eq!(refused.collect::<Vec<_>>(), [Code::AlreadyUsed; 3]);
    assert_eq!(stored(&bench), 1);
}

#[tokio::test]
async fn many_small_parts_are_joined_and_the_list_stays_short() {
    let bench = Bench::new();
    let bytes = noise(900_000);
    let id = create(&bench, 900_000).await;
    let mut most = 0;
    for (n, chunk) in bytes.chunks(3_000).enumerate() {
        append(&bench, id, n * 3_000, chunk)
            .await
            .expect("appended");
        most = most.max(stored(&bench));
    }
    assert!(most < 2 * join::JOINED + 10, "{most} parts");
    let file = bench.files.find(id).await.expect("the file");
    assert_eq!(file.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    assert_eq!(
        file.stored_paths().count(),
        stored(&bench),
        "joined parts are removed"
    );
    assert_eq!(read(&bench, id, 0..900_000).await, bytes);
}
