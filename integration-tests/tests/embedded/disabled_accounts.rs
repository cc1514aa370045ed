//! An account that is disabled in the database.

use integration_tests::people::PASSWORD;
use integration_tests::{Person, Server};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::MODE;

#[tokio::test]
async fn disabled_account_has_no_login_and_no_signed_urls() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let stored = server.http().upload(ann.token(), "a.txt", "text").await;
    let id = stored.expect(201).json()["id"].clone();
    let path = format!("/download/{}/sign", id.as_str().expect("an id"));
    let signed = server.http().post(&path, ann.token(), json!({})).await;
    let url = signed.expect(201).json()["url"].clone();
    let url = url.as_str().expect("a URL");
    server.http().get(url, "").await.expect(200);
    server.stop().await;
    let disable = Command::new("sqlite3")
        .arg(server.database())
        .arg("UPDATE users SET disabled = 1")
        .status()
        .await;
    assert!(disable.expect("sqlite3 is installed").success());
    server.restart().await;

    let login = async |password: &str| {
        let body = json!({"username": "ann", "password": password});
        server.http().open(Method::POST, "/login", body).await
    };
    let wrong = login("wrong horse").await.expect(401);
    assert_eq!(wrong.code(), "invalid_credentials");
    let refused = login(PASSWORD).await.expect(403);
    assert_eq!(refused.code(), "account_disabled");
    let refused = server.http().get(url, "").await.expect(403);
    assert_eq!(refused.code(), "account_disabled");
}
