//! Refresh tokens whose time a test moves in the database.

use std::path::Path;

use integration_tests::{Answer, Person, Server};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::MODE;

async fn refresh(server: &Server, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    let http = server.http();
    http.open(Method::POST, "/token/refresh", body).await
}

async fn sqlite3(database: &Path, sql: &str) {
    let ran = Command::new("sqlite3")
        .arg(database)
        .arg(sql)
        .status()
        .await;
    assert!(ran.expect("sqlite3 is installed").success(), "{sql}");
}

#[tokio::test]
async fn replaced_token_ends_its_login_after_sixty_seconds() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let first = refresh(&server, ann.refresh_token()).await.expect(200);
    let first = first.json();
    server.stop().await;
    let past = "UPDATE sessions SET replaced_at = replaced_at - 60000";
    sqlite3(&server.database(), past).await;
    server.restart().await;

    let copy = refresh(&server, ann.refresh_token()).await.expect(401);
    assert_eq!(copy.code(), "token_revoked");
    let valid = first["refresh_token"].as_str().expect("a token");
    let ended = refresh(&server, valid).await.expect(401);
    assert_eq!(ended.code(), "token_revoked");
    let access = first["token"].as_str().expect("a token");
    let me = server.http().get("/me", access).await.expect(401);
    assert_eq!(me.code(), "token_revoked");
    let password = integration_tests::people::PASSWORD;
    let other = ann.api().login("ann", password).await;
    other.expect("other logins are not affected");
}

#[tokio::test]
async fn login_of_a_database_without_the_columns_goes_on() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    server.stop().await;
    let drop = ["replaced_hash", "replaced_seed", "replaced_at", "address"]
        .map(|column| format!("ALTER TABLE sessions DROP COLUMN {column};"));
    sqlite3(&server.database(), &drop.concat()).await;
    server.restart().await;
    for _ in 0..2 {
        refresh(&server, ann.refresh_token()).await.expect(200);
    }
}
