//! `lakechat audit` over a data folder: what somebody did to it by hand is found and named.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::bytes::made;
use integration_tests::shifted_clock::ShiftedClock;
use integration_tests::traffic::Traffic;
use integration_tests::{Person, Server, audit, eventually};
use serde_json::{Value, json};

use crate::MODE;

/// Runs statements on the server's database; what they print.
fn sqlite3(server: &Server, statements: &str) -> Result<String> {
    let mut shell = Command::new("sqlite3");
    let output = shell.arg("-cmd").arg(".timeout 10000");
    let output = output.arg(server.database()).arg(statements).output()?;
    ensure!(output.status.success(), "{statements}: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Appends a record to the log of a stopped server, as a server would have.
fn append(server: &Server, channel: &str, sender: &str, body: &Value) -> Result<()> {
    let mut record = json!({
        "v": 1, "channel": channel, "private": false, "sender": sender, "digest": "0123456789abcdef",
    });
    let fields = record.as_object_mut().context("an object")?;
    fields.extend(body.as_object().cloned().context("an object")?);
    let last = "(SELECT append_ms FROM log ORDER BY offset DESC LIMIT 1)";
    let at: u64 = sqlite3(server, &format!("SELECT {last} + 1"))?.parse()?;
    record["received_at"] = at.into();
    let partition = format!("(SELECT partition FROM log WHERE channel = '{channel}' LIMIT 1)");
    let insert = format!(
        "INSERT INTO log SELECT max(offset) + 1, {partition}, {at}, '{channel}', '{record}' FROM log"
    );
    sqlite3(server, &insert).map(drop)
}

/// Waits until the marks have passed the whole log.
async fn is_archived(server: &Server) {
    let behind = "SELECT count(*) FROM (SELECT partition, max(offset) AS last FROM log GROUP BY partition) \
                  AS ends LEFT JOIN marks USING (partition) WHERE coalesce(marks.offset, 0) <= ends.last";
    eventually("all is archived", async || {
        let behind = sqlite3(server, behind).expect("sqlite3 reads it");
        (behind == "0").then_some(())
    })
    .await;
}

/// Messages in `general` and `ops`, of which one is edited, reacted to, deleted; a small file and a large
/// one; all in one partition. The server is stopped.
async fn talk() -> Result<Server> {
    let mut server = Server::with(MODE, &[("LAKECHAT_CHAT__PARTITIONS", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    ann.create_channel(&server, "ops").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.join("ops", None).await;
    for n in 0..6 {
        ws.say("general", &format!("g-{n}"), &format!("text {n}"))
            .await;
        ws.say("ops", &format!("o-{n}"), &format!("more {n}")).await;
    }
    for bytes in [17u64, 200_000] {
        let (api, token) = (ann.api(), ann.token());
        let file = api.upload(token, "a file", bytes, made(3, bytes)).await?;
        let frame = json!({"type": "send", "channel": "general", "text": "",
            "client_msg_id": bytes.to_string(), "file_id": file.id});
        assert_eq!(ws.ask(frame).await["type"], "ack");
    }
    ws.close().await;
    is_archived(&server).await;
    server.stop().await;
    let target = |n: u32| {
        let id = format!(
            "SELECT printf('%020d', id) FROM messages WHERE n = {n} AND channel = 'general'"
        );
        sqlite3(&server, &id)
    };
    let (edited, deleted) = (target(2)?, target(3)?);
    let react = |on: bool| json!({"kind": "react", "target": edited, "emoji": "👍", "on": on});
    let edit = |text: &str| json!({"kind": "edit", "target": edited, "text": text});
    for body in [
        edit("first edit"),
        react(true),
        edit("second edit"),
        react(false),
        react(true),
        json!({"kind": "delete", "target": deleted}),
    ] {
        append(&server, "general", "ann", &body)?;
    }
    server.restart().await;
    is_archived(&server).await;
    server.stop().await;
    Ok(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_finds_what_was_done_to_rows_by_hand_and_repairs_what_is_missing() -> Result<()> {
    let mut server = talk().await?;
    let data = server.data_dir().to_owned();
    let audited = async |args: &[&str]| audit::folder(&data, args, &[]).await;
    let clean = audited(&["--older"]).await?;
    clean.is_clean(14)?;
    assert_eq!(clean.report["messages"]["changes"], 6);
    assert_eq!(clean.report["files"]["rows"], 2);

    let fourth = "channel = 'general' AND n = 4";
    for (tamper, undo, kind, words) in [
        (
            format!("UPDATE messages SET text = 'tampered' WHERE {fourth}"),
            format!("UPDATE messages SET text = 'text 3' WHERE {fourth}"),
            "message_differs",
            "text",
        ),
        (
            "UPDATE messages SET text = 'tampered' WHERE edited_at IS NOT NULL".to_owned(),
            "UPDATE messages SET text = 'second edit' WHERE edited_at IS NOT NULL".to_owned(),
            "message_differs",
            "text",
        ),
        (
            "UPDATE reactions SET \"on\" = 0".to_owned(),
            "UPDATE reactions SET \"on\" = 1".to_owned(),
            "message_differs",
            "reactions",
        ),
        (
            "UPDATE messages SET n = 40 WHERE channel = 'general' AND n = 8".to_owned(),
            "UPDATE messages SET n = 8 WHERE n = 40".to_owned(),
            "number_differs",
            "is number 40 and should be 8",
        ),
        (
            format!(
                "INSERT INTO messages (channel, id, sender, text, sent_at, n, private) \
                 SELECT channel, id + 1, 'eve', 'never said', sent_at, 5, 0 FROM messages WHERE {fourth}"
            ),
            "DELETE FROM messages WHERE sender = 'eve'".to_owned(),
            "message_without_record",
            "channel general",
        ),
        (
            "INSERT INTO messages (channel, id, sender, text, sent_at, n, private) \
             SELECT 'invented', id, 'eve', 'never said', sent_at, 1, 0 FROM messages LIMIT 1"
                .to_owned(),
            "DELETE FROM messages WHERE sender = 'eve'".to_owned(),
            "message_without_record",
            "channel invented",
        ),
        (
            "UPDATE changes SET user = 'eve' WHERE kind = 'delete'".to_owned(),
            "UPDATE changes SET user = 'ann' WHERE kind = 'delete'".to_owned(),
            "change_differs",
            "user",
        ),
    ] {
        sqlite3(&server, &tamper)?;
        let found = audited(&[]).await?;
        sqlite3(&server, &undo)?;
        found
            .found(kind, 1, words)
            .with_context(|| tamper.clone())?;
    }
    audited(&[]).await?.is_clean(14)?;

    // The message that was deleted, one that was edited, and a change.
    let rows = "SELECT n, text, edited_at, deleted_at, changed FROM messages ORDER BY channel, id";
    let before = sqlite3(&server, rows)?;
    let lost = "DELETE FROM messages WHERE deleted_at IS NOT NULL OR edited_at IS NOT NULL; \
                DELETE FROM reactions";
    sqlite3(&server, lost)?;
    audited(&[])
        .await?
        .found("message_missing", 2, "has no row")?;
    let repaired = audited(&["--repair"]).await?;
    repaired.repaired()?;
    assert_eq!(repaired.report["differences"], 2);
    audited(&[]).await?.is_clean(14)?;
    assert_eq!(
        sqlite3(&server, rows)?,
        before,
        "the deleted text stays away"
    );
    sqlite3(&server, "DELETE FROM changes WHERE kind = 'edit'")?;
    audited(&[])
        .await?
        .found("change_missing", 2, "not listed")?;
    audited(&["--repair"]).await?.repaired()?;
    audited(&[]).await?.is_clean(14)?;

    server.restart().await;
    let refused = audit::folder(&data, &["--repair"], &[]).await;
    let refused = refused.expect_err("a server runs").to_string();
    ensure!(refused.contains("in use by another lakechat"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_finds_bytes_that_are_missing_cut_and_nobodys() -> Result<()> {
    let server = talk().await?;
    let data = server.data_dir().to_owned();
    let audited = async || audit::folder(&data, &["--only", "files"], &[]).await;
    let stored: PathBuf = server.files_in("files").pop().context("the large file")?;
    let bytes = std::fs::read(&stored)?;

    std::fs::remove_file(&stored)?;
    audited()
        .await?
        .found("file_bytes_missing", 1, "there is no file")?;
    std::fs::write(&stored, &bytes[..100_000])?;
    let found = audited().await?;
    found.found(
        "file_bytes_differ",
        1,
        "100000 bytes and the row says 200000",
    )?;
    std::fs::write(&stored, &bytes)?;
    sqlite3(
        &server,
        "UPDATE files SET data = CAST('other bytes than 17' AS BLOB) WHERE size = 17",
    )?;
    audited().await?.found("file_bytes_differ", 1, "says 17")?;
    sqlite3(&server, "DELETE FROM files WHERE size = 17")?;
    assert_eq!(audited().await?.code, 0);

    let id = uuid::Uuid::new_v4().to_string();
    let folder = data.join("files").join(&id[..2]);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(&id), "nobody's")?;
    assert_eq!(
        audited().await?.code,
        0,
        "a server may still be writing its row"
    );
    let clock = ShiftedClock::new()?;
    clock.set_ms(2 * 3_600_000)?;
    let later = audit::folder(&data, &["--only", "files"], &clock.env()).await?;
    later.found("file_bytes_without_row", 1, &id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_beside_a_server_under_traffic_finds_nothing() -> Result<()> {
    let server = Server::start(MODE).await;
    let mut traffic = Traffic::begin(&[&server], 4, Duration::from_millis(2)).await;
    for _ in 0..4 {
        traffic.acked_more(200).await;
        let audited = audit::folder(server.data_dir(), &["--older"], &[]).await?;
        // The marks may not have moved yet.
        audited.is_clean(0)?;
    }
    let said = integration_tests::within(traffic.settle(&[&server])).await;
    is_archived(&server).await;
    let audited = audit::folder(server.data_dir(), &["--since", "1h"], &[]).await?;
    audited.is_clean(said as u64)
}

#[tokio::test]
async fn dead_letters_are_listed_with_place_and_reason() -> Result<()> {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "c-1", "hi").await;
    ws.close().await;
    server.stop().await;
    append(&server, "general", "ann", &json!({"kind": "party"}))?;
    server.restart().await;
    is_archived(&server).await;

    let data = server.data_dir().to_str().context("UTF-8")?;
    let listed = async |args: &[&str]| -> Result<String> {
        let args = [&["dead-letters", "--data-dir", data], args].concat();
        let output = integration_tests::server::command(&args).output().await?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let text = listed(&[]).await?;
    ensure!(
        text.lines().count() == 1 && text.contains("key \"general\": "),
        "{text}"
    );
    ensure!(
        text.contains("kind or its fields") && !text.contains("party"),
        "{text}"
    );
    ensure!(listed(&["--values"]).await?.contains("party"));
    let line: Value = serde_json::from_str(&listed(&["--json", "--values"]).await?)?;
    assert_eq!(line["key"], "general");
    let value = line["value"].as_str().context("a text")?;
    ensure!(value.contains("party"), "{line}");
    ensure!(
        line["offset"].is_u64() && line["appended_at"].is_u64(),
        "{line}"
    );
    // The message behind it is compared all the same.
    audit::folder(server.data_dir(), &[], &[])
        .await?
        .is_clean(1)
}
