//! Who gets an account.

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Mode, Server};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

#[tokio::test]
async fn invite_lets_people_register_at_a_server_that_takes_them() {
    let by_invite = [("LAKECHAT_AUTH__REGISTRATION", "invite")];
    let mut server = Server::with(MODE, &by_invite).await;
    let refused = call(&server, "/register", "ann").await.expect(403);
    assert_eq!(refused.code(), "invite_invalid");
    server.create_admin("admin").await;
    let url = server.url();
    let admin = async |args: &[&str]| {
        let tail = ["--url", &url, "--user", "admin"];
        let args = [&["admin", "invites"], args, &tail].concat();
        let ran = server
            .command(&args, &[("LAKECHAT_PASSWORD", PASSWORD)])
            .await;
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).expect("text")
    };
    let made = admin(&["create", "--uses", "2"]).await;
    let invite = made.trim();
    let register = async |user: &str| {
        let body = json!({"username": user, "password": PASSWORD, "invite": invite});
        server.http().open(Method::POST, "/register", body).await
    };
    register("ann").await.expect(201);
    let listed = admin(&["list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["uses_left"], 1, "{listed}");
    assert_eq!(listed[0]["created_by"], "admin");
    let id = listed[0]["id"].as_str().expect("an id");
    admin(&["end", id, "--yes"]).await;
    assert_eq!(register("bob").await.expect(403).code(), "invite_invalid");
}

async fn call(server: &Server, path: &str, user: &str) -> Answer {
    let body = json!({"username": user, "password": PASSWORD});
    server.http().open(Method::POST, path, body).await
}

#[tokio::test]
async fn server_that_is_closed_has_the_accounts_that_its_operator_creates() {
    let closed = [("LAKECHAT_AUTH__REGISTRATION", "closed")];
    let mut server = Server::with(MODE, &closed).await;
    let refused = call(&server, "/register", "ann").await.expect(403);
    assert_eq!(refused.code(), "registration_closed");

    let create = ["admin", "create", "admin"];
    if MODE == Mode::Embedded {
        let refused = server.command(&create, &[("LAKECHAT_PASSWORD", PASSWORD)]);
        let refused = refused.await;
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text.contains("stop the server first"), "{text}");
        server.stop().await;
    }
    let common = server
        .command(&create, &[("LAKECHAT_PASSWORD", "password1")])
        .await;
    let text = String::from_utf8_lossy(&common.stderr);
    assert_eq!(common.status.code(), Some(1), "{text}");
    assert!(text.contains("password_too_common"), "{text}");
    for (code, words) in [(0, "created"), (1, "username_taken")] {
        let created = server
            .command(&create, &[("LAKECHAT_PASSWORD", PASSWORD)])
            .await;
        let text = [created.stdout, created.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(created.status.code(), Some(code), "{text}");
        assert!(text.contains(words), "{text}");
    }
    if MODE == Mode::Embedded {
        server.restart().await;
    }
    call(&server, "/login", "admin").await.expect(200);
}
