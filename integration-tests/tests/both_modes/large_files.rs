//! Files larger than memory should be, and uploads that end half-way.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use integration_tests::bytes::{made, sha256_of};
use integration_tests::{Person, Server, eventually, within};
use lakechat_client::CallError;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::MODE;

const GIB: u64 = 1 << 30;
const MAY_GROW_KIB: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gibibyte_goes_up_and_down_within_64_mib_of_memory() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let before = server.rss_kib();
    let (done, mut ended) = tokio::sync::oneshot::channel::<()>();
    let transfer = async {
        let up = ann
            .api()
            .upload(ann.token(), "big", GIB, made(1, GIB))
            .await;
        let file = up.expect("it is taken");
        assert_eq!(file.size, GIB);
        let (size, mut bytes) = ann
            .api()
            .download(ann.token(), file.id)
            .await
            .expect("it is there");
        assert_eq!(size, Some(GIB));
        let mut hash = Sha256::new();
        while let Some(chunk) = bytes.next().await {
            hash.update(chunk.expect("it comes whole"));
        }
        drop(done);
        (file.sha256, integration_tests::bytes::hex(&hash.finalize()))
    };
    let watching = async {
        let mut most = before;
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        while ended.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            pace.tick().await;
            most = most.max(server.rss_kib());
        }
        most
    };
    let ((said, got), most) = tokio::join!(transfer, watching);
    let sent = sha256_of(1, GIB).await;
    assert_eq!((&said, &got), (&sent, &sent));
    let grown = most.saturating_sub(before);
    assert!(grown < MAY_GROW_KIB, "from {before} KiB by {grown} KiB");
}

#[tokio::test]
async fn client_that_leaves_half_way_leaves_no_file() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    for framing in ["content-length: 10000000", "transfer-encoding: chunked"] {
        let mut tcp = TcpStream::connect(server.address())
            .await
            .expect("it listens");
        let head = format!(
            "POST /upload?name=half HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/octet-stream\r\n{framing}\r\n\r\n",
            ann.token()
        );
        tcp.write_all(head.as_bytes()).await.expect("it reads");
        let chunk = vec![b'x'; 1 << 20];
        if framing.starts_with("transfer") {
            tcp.write_all(b"100000\r\n").await.expect("it reads");
        }
        tcp.write_all(&chunk).await.expect("it reads");
        eventually("half a file is being written", async || {
            (!server.stored_files().is_empty()).then_some(())
        })
        .await;
        drop(tcp);
        eventually("the half file is gone", async || {
            server.stored_files().is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn upload_that_fails_at_its_source_leaves_no_file() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let chunk = Ok(Bytes::from(vec![b'x'; 1 << 20]));
    let broken = stream::iter([chunk, Err(std::io::Error::other("the disk is gone"))]);
    let upload = ann.api().upload(ann.token(), "half", 4 << 20, broken).await;
    assert!(
        matches!(upload, Err(CallError::Unreachable(_))),
        "{upload:?}"
    );
    eventually("the half file is gone", async || {
        server.stored_files().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn files_of_all_small_sizes_come_back_as_they_were() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    // Around the threshold below which a file is a cell of its row, and none at all.
    for size in [0, 1, 4095, 65_535, 65_536, 65_537, 1_000_000] {
        let file = ann
            .api()
            .upload(ann.token(), "f", size, made(size, size))
            .await;
        let file = file.expect("it is taken");
        assert_eq!(file.sha256, sha256_of(size, size).await);
        let (said, bytes) = ann
            .api()
            .download(ann.token(), file.id)
            .await
            .expect("it is there");
        assert_eq!(said, Some(size));
        let bytes: Vec<_> = within(bytes.collect()).await;
        let mut hash = Sha256::new();
        bytes
            .into_iter()
            .for_each(|chunk| hash.update(chunk.expect("it comes whole")));
        assert_eq!(
            integration_tests::bytes::hex(&hash.finalize()),
            file.sha256,
            "{size}"
        );
        let path = format!("/download/{}", file.id);
        let head = server
            .http()
            .call(reqwest::Method::HEAD, &path, ann.token())
            .await;
        let head = head.expect(200);
        assert_eq!(head.header("content-length"), Some(&*size.to_string()));
        assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
    }
}
