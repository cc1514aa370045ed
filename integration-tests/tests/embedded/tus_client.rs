//! A client of tus that others wrote, unchanged: tuspy, from PyPI.

use std::path::Path;

use integration_tests::bytes::sha256;
use integration_tests::tus::{Tus, content};
use integration_tests::{Person, Server, within};
use tokio::process::Command;

use crate::MODE;

/// Runs tuspy up to an offset; the upload's URL, and the offset that it has reached.
async fn tuspy(
    server: &Server,
    by: &Person,
    file: &Path,
    stop_at: usize,
    url: &str,
) -> (String, usize) {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/embedded/tus_client.py");
    let run = Command::new(python)
        .args([script, &server.url(), by.token()])
        .arg(file)
        .args([&stop_at.to_string(), url])
        .output();
    let run = within(run)
        .await
        .expect("Python with tuspy: integration-tests/run makes one");
    let told = String::from_utf8_lossy(&run.stdout).into_owned();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{error}");
    let (url, offset) = told.trim().split_once(' ').expect("a URL and an offset");
    (url.to_owned(), offset.parse().expect("a number"))
}

#[tokio::test]
async fn tuspy_uploads_and_resumes_after_a_kill() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let folder = tempfile::tempdir().expect("a folder");
    let (file, bytes) = (folder.path().join("f"), content(1_000_001));
    std::fs::write(&file, &bytes).expect("written");

    let (url, offset) = tuspy(&server, &ann, &file, 300_000, "new").await;
    assert_eq!(offset, 300_000);
    server.kill_9().await;
    server.restart().await;
    let (same, offset) = tuspy(&server, &ann, &file, bytes.len(), &url).await;
    assert_eq!((same, offset), (url.clone(), bytes.len()));

    let path = url.strip_prefix(&server.url()).expect("at this server");
    let file = Tus::new(&server, &ann).download(path).await.expect(200);
    assert_eq!(sha256(&file.body), sha256(&bytes));
    let disposition = file.header("content-disposition").expect("a name");
    assert!(disposition.contains("by tuspy.bin"), "{disposition}");
}
