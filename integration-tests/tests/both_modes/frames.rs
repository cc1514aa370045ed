//! What counts as a frame, and which spellings of a value are the same value.

use integration_tests::{Person, Server, ws::send_frame};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::MODE;

#[tokio::test]
async fn arrays_are_not_frames() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    for array in [
        r#"["join",1,null,"general"]"#,
        r#"["send",2,null,"general",null,null,null,null,null,"by position","m-1"]"#,
        r#"["send"]"#,
        "[]",
        r#"[{"type":"join","ref":3}]"#,
    ] {
        ws.raw(Message::text(array)).await;
        let answer = ws.next().await;
        assert_eq!(answer["error"]["code"], "bad_frame", "{array}: {answer}");
    }
    assert!(ann.history(&server, "general").await.is_empty());
}

#[tokio::test]
async fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let ask = r#"{"type":"history","ref":7.0,"channel":"general","limit":5.0}"#;
    ws.raw(Message::text(ask)).await;
    let page = ws.of_type("history").await;
    assert_eq!(page["ref"].as_i64(), Some(7), "{page}");
    ws.raw(Message::text(ask.replace("7.0", "7.5"))).await;
    let error = ws.of_type("error").await;
    assert_eq!(error["error"]["field"], "ref", "{error}");
}

#[tokio::test]
async fn uuid_in_upper_case_is_that_uuid() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.joined(&server, "general").await;
    let upload = server.http().upload(ann.token(), "a", "bytes").await;
    let file = upload.expect(201).json()["id"].clone();
    let upper = file.as_str().expect("an id").to_uppercase();

    let id = Uuid::new_v4().to_string();
    let mut send = send_frame("general", &id.to_uppercase(), "hi");
    send["file_id"] = upper.clone().into();
    let first = ws.ask(send.clone()).await;
    assert_eq!(first["duplicate"], false, "{first}");
    send["client_msg_id"] = id.to_lowercase().into();
    send["file_id"] = file.clone();
    let retry = ws.ask(send).await;
    assert_eq!(
        (&retry["id"], &retry["duplicate"]),
        (&first["id"], &json!(true)),
        "{retry}"
    );

    let history = ann.history(&server, "general").await;
    assert_eq!(
        history[0]["client_msg_id"],
        id.to_uppercase(),
        "as it was sent"
    );
    assert_eq!(history[0]["file"]["id"], file);
    let download = format!("/download/{upper}");
    let bytes = server.http().get(&download, ann.token()).await.expect(200);
    assert_eq!(bytes.body, b"bytes");
}
