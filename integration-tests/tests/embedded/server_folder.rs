//! What a server does with its folder: it shares it with no other server, and removes what a killed one
//! left half-written.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use integration_tests::bytes::made;
use integration_tests::{Person, Server, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::MODE;

#[tokio::test]
async fn second_server_on_the_same_folder_refuses_to_start() {
    let server = Server::start(MODE).await;
    let (status, log) = server.rival().await;
    assert!(!status.success());
    assert!(log.contains("in use"), "{log}");
    let ann = Person::register(&server, "ann").await;
    ann.joined(&server, "general").await;
}

#[tokio::test]
async fn messages_of_sqlite_itself_are_in_the_log() {
    let mut server = Server::start(MODE).await;
    Person::register(&server, "ann").await;
    server.kill_9().await;
    server.restart().await;
    eventually("the recovery of the WAL is logged", async || {
        let log = server.log().join("\n");
        log.contains("SQLite: recovered ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn folder_that_others_may_write_to_and_a_linked_key_are_refused() {
    let mut server = Server::start(MODE).await;
    server.stop().await;
    let folder = server.data_dir();
    let mode = |mode| {
        let permissions = Permissions::from_mode(mode);
        std::fs::set_permissions(folder, permissions).expect("ours");
    };
    mode(0o777);
    let (status, log) = server.rival().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("mode is 777"), "{log}");

    mode(0o700);
    let key = folder.join("lakechat.key");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let moved = elsewhere.path().join("key");
    std::fs::copy(&key, &moved).expect("ours");
    std::fs::remove_file(&key).expect("ours");
    symlink(&moved, &key).expect("linked");
    let (status, log) = server.rival().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("symbolic link"), "{log}");

    std::fs::remove_file(&key).expect("ours");
    std::fs::copy(&moved, &key).expect("ours");
    server.restart().await;
}

#[tokio::test]
async fn half_file_of_a_killed_server_is_swept_and_never_visible() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let whole = ann
        .api()
        .upload(ann.token(), "whole", 200_000, made(3, 200_000))
        .await;
    let whole = whole.expect("it is taken");
    let mut tcp = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    let head = format!(
        "POST /upload?name=half HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-length: 10000000\r\n\r\n",
        ann.token()
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    tcp.write_all(&vec![b'x'; 1 << 20]).await.expect("it reads");
    eventually("half a file is being written", async || {
        (server.stored_files().len() > 1).then_some(())
    })
    .await;
    server.kill_9().await;
    let left = server.files_in("tmp");
    assert_eq!((left.len(), server.files_in("files").len()), (1, 1));
    // A writer counts as dead only after a long silence: let that be over.
    let half = std::fs::File::open(&left[0]).expect("ours");
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    half.set_modified(long_ago).expect("ours");
    drop(half);
    server.restart().await;
    eventually("the half file is swept", async || {
        server.files_in("tmp").is_empty().then_some(())
    })
    .await;
    let (size, _) = ann
        .api()
        .download(ann.token(), whole.id)
        .await
        .expect("the whole one stays");
    assert_eq!(size, Some(200_000));
}
