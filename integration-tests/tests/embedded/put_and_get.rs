//! `lakechat put` and `get`: files go to a server and come back, whatever happens on the way.

use std::collections::BTreeMap;

use integration_tests::terminal::{Piped, Terminal, pipe};
use integration_tests::tus::content;
use integration_tests::{Person, Server, eventually};

use crate::MODE;

const MIB: usize = 1 << 20;

/// Uploads; the ids by name.
async fn put(home: &Terminal, args: &[&str], input: &[u8]) -> BTreeMap<String, String> {
    let ended = pipe(home.subcommand("put", args), input).await;
    assert!(ended.status.success(), "{ended:?}");
    let lines = ended
        .stdout
        .lines()
        .map(|line| line.split_once('\t').expect("id and name"));
    lines
        .map(|(id, name)| (name.to_owned(), id.to_owned()))
        .collect()
}

#[tokio::test]
async fn files_folders_and_pipes_go_up_and_come_back() {
    let server = Server::start(MODE).await;
    let _ann = Person::register(&server, "ann").await;
    let home = Terminal::new(&server, "ann");
    let files = [
        ("logs/a.txt", 5),
        ("logs/b/empty", 0),
        ("logs/b/large", 300_000),
    ];
    std::fs::create_dir_all(home.path("logs/b")).expect("ours");
    for (name, size) in files {
        std::fs::write(home.path(name), content(size)).expect("ours");
    }
    let ids = put(
        &home,
        &["--name", "piped", "logs", "-", "logs/a.txt"],
        b"from a pipe",
    )
    .await;
    let names: Vec<_> = ids.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "a.txt",
            "logs/a.txt",
            "logs/b/empty",
            "logs/b/large",
            "piped"
        ]
    );

    let got = async |args: &[&str]| pipe(home.subcommand("get", args), "").await;
    let piped = got(&["--output", "-", &ids["piped"]]).await;
    assert_eq!(
        (piped.status.success(), &*piped.stdout),
        (true, "from a pipe\n")
    );
    std::fs::create_dir(home.path("back")).expect("ours");
    let args = [&["-o", "back"], &files.map(|(name, _)| &*ids[name])[..]].concat();
    let ended = got(&args).await;
    assert_eq!(
        ended.stdout, "back/a.txt\nback/empty\nback/large\n",
        "{ended:?}"
    );
    for (name, size) in [
        ("back/a.txt", 5),
        ("back/empty", 0),
        ("back/large", 300_000),
    ] {
        assert_eq!(
            std::fs::read(home.path(name)).expect("it is there"),
            content(size)
        );
    }

    // What exists stays, and the others are downloaded all the same.
    let url = format!("{}/download/{}", server.url(), ids["piped"]);
    let ended = got(&["-o", "back", &ids["logs/b/large"], &url]).await;
    assert_eq!(
        (ended.status.code(), &*ended.stdout),
        (Some(1), "back/piped\n")
    );
    assert!(
        ended.stderr.contains("back/large exists already"),
        "{ended:?}"
    );
    let gone = pipe(home.subcommand("put", &["logs/none"]), "").await;
    assert_eq!(gone.status.code(), Some(1));
    let nobody = got(&["3b241101-e2bb-4255-8caf-4136c566a962"]).await;
    assert!(nobody.stderr.contains("file_not_found"), "{nobody:?}");
}

#[tokio::test]
async fn upload_goes_on_after_the_server_was_killed() {
    let mut server = Server::start(MODE).await;
    let _ann = Person::register(&server, "ann").await;
    let home = Terminal::new(&server, "ann");
    let bytes = content(40 * MIB);
    let mut running = Piped::start(home.subcommand("put", &["-"]));
    running.says(&bytes[..33 * MIB]).await;
    eventually("a chunk is stored", async || {
        (!server.files_in("files").is_empty()).then_some(())
    })
    .await;
    server.kill_9().await;
    running.says(&bytes[33 * MIB..]).await;
    server.restart().await;
    let ended = running.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    let (id, _) = ended.stdout.split_once('\t').expect("an id");

    let got = pipe(home.subcommand("get", &["-o", "back", id]), "").await;
    assert!(got.status.success(), "{got:?}");
    assert!(std::fs::read(home.path("back")).expect("it is there") == bytes);
}

#[tokio::test]
async fn download_goes_on_with_what_an_earlier_one_has_left_and_is_checked() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let home = Terminal::new(&server, "ann");
    let bytes = content(300_000);
    let sent = server.http().upload(ann.token(), "f", bytes.clone()).await;
    let id = sent.expect(201).json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let part = home.path(&format!(".lakechat-{id}.part"));
    let get = async || pipe(home.subcommand("get", &[&id]), "").await;

    std::fs::write(&part, [b'x'; 200_000]).expect("ours");
    let wrong = get().await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stderr.contains("SHA-256"), "{wrong:?}");
    assert!(!home.path("f").exists());

    std::fs::write(&part, &bytes[..200_000]).expect("ours");
    let before = server
        .http()
        .metric("lakechat_download_bytes_total")
        .await
        .unwrap_or(0);
    let ended = get().await;
    assert!(ended.status.success(), "{ended:?}");
    let after = server.http().metric("lakechat_download_bytes_total").await;
    assert_eq!(after, Some(before + 100_000));
    assert!(std::fs::read(home.path("f")).expect("it is there") == bytes);
    assert!(!part.exists());
}
