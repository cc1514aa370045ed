//! Ranges of files, and clients that go on with a download where it ended.

use std::process::Stdio;

use integration_tests::http::{Answer, send};
use integration_tests::{Person, Server, within};
use reqwest::Method;
use tokio::process::Command;

use crate::MODE;

/// Below and above the threshold under which a file is a cell of its row.
const SIZES: [usize; 2] = [1_000, 5_000_007];

/// Bytes that tell where they come from.
fn numbered(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

async fn upload(server: &Server, by: &Person, bytes: &[u8]) -> String {
    let sent = server.http().upload(by.token(), "f", bytes.to_vec()).await;
    let sent = sent.expect(201).json();
    sent["url"].as_str().expect("its path").to_owned()
}

async fn get(server: &Server, by: &Person, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = server.http().request(Method::GET, path);
    let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    send(headers.iter().fold(request.bearer_auth(by.token()), with)).await
}

#[tokio::test]
async fn ranges_are_the_bytes_that_were_asked_for() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    for size in SIZES {
        let bytes = numbered(size);
        let path = upload(&server, &ann, &bytes).await;
        let end = size - 1;
        for (asked, first, last) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=10-99".to_owned(), 10, 99),
            ("bytes=500-".to_owned(), 500, end),
            (format!("bytes=1-{size}"), 1, end),
            ("bytes=-1".to_owned(), end, end),
            (format!("bytes=-{}", size + 1), 0, end),
            // Over the edges of checksums, packets and pieces.
            (
                format!("bytes={}-{}", size / 2, size * 3 / 4),
                size / 2,
                size * 3 / 4,
            ),
        ] {
            let got = get(&server, &ann, &path, &[("range", &asked)])
                .await
                .expect(206);
            let place = format!("bytes {first}-{last}/{size}");
            assert_eq!(got.header("content-range"), Some(&*place), "{asked}");
            assert!(got.body == bytes[first..=last], "{asked} of {size}");
        }
        let several = [("range", "bytes=0-1,5-6")];
        let whole = get(&server, &ann, &path, &several).await.expect(200);
        assert!(whole.body == bytes);
        let behind = format!("bytes={size}-");
        let refused = get(&server, &ann, &path, &[("range", &behind)])
            .await
            .expect(416);
        assert_eq!(
            refused.header("content-range"),
            Some(&*format!("bytes */{size}"))
        );
        assert_eq!(refused.code(), "range_not_satisfiable");
    }
}

#[tokio::test]
async fn range_costs_what_it_reads() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let path = upload(&server, &ann, &numbered(SIZES[1])).await;
    let asked = [("range", "bytes=4000000-4000099")];
    let got = get(&server, &ann, &path, &asked).await.expect(206);
    assert_eq!(got.body.len(), 100);
    let moved = server.http().metric("lakechat_download_bytes_total").await;
    assert_eq!(moved, Some(100));
    // In a cluster: what HDFS gave.
    let read = server.http().metric("lakechat_hdfs_read_bytes_total").await;
    assert!(read.unwrap_or(0) <= 100, "{read:?}");
}

#[tokio::test]
async fn conditions_decide_whether_a_part_fits() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let path = upload(&server, &ann, &numbered(SIZES[0])).await;
    let whole = get(&server, &ann, &path, &[]).await.expect(200);
    let etag = whole.header("etag").expect("it has one").to_owned();
    let date = whole
        .header("last-modified")
        .expect("it has one")
        .to_owned();
    let range = ("range", "bytes=0-9");
    let old = ("if-range", "Thu, 01 Jan 1970 00:16:39 GMT");
    for (condition, status) in [
        (("if-range", &*etag), 206),
        (("if-range", &*date), 206),
        (("if-range", "\"other\""), 200),
        (old, 200),
        (("if-match", &*etag), 206),
        (("if-match", "\"other\""), 412),
        (("if-unmodified-since", &*date), 206),
        (("if-unmodified-since", old.1), 412),
        (("if-none-match", &*etag), 304),
        (("if-modified-since", &*date), 304),
        (("if-modified-since", old.1), 206),
    ] {
        let got = get(&server, &ann, &path, &[range, condition]).await;
        assert_eq!(got.status.as_u16(), status, "{condition:?}");
    }
}

#[tokio::test]
async fn curl_continues_where_it_was_cut() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let bytes = numbered(SIZES[1]);
    let path = upload(&server, &ann, &bytes).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("f");
    for there in [0, 1, 3_000_000] {
        std::fs::write(&file, &bytes[..there]).expect("it is written");
        let curl = Command::new("curl")
            .args([
                "--fail",
                "--silent",
                "--show-error",
                "--continue-at",
                "-",
                "--output",
            ])
            .arg(&file)
            .args([
                "--header",
                &format!("Authorization: Bearer {}", ann.token()),
            ])
            .arg(format!("http://{}{path}", server.address()))
            .stdin(Stdio::null())
            .output();
        let curl = within(curl).await.expect("curl runs");
        assert!(curl.status.success(), "{curl:?}");
        let got = std::fs::read(&file).expect("it is there");
        assert!(got == bytes, "from byte {there}");
    }
}
