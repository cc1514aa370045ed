//! Who gets an account.

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Mode, Server};
use reqwest::Method;
use serde_json::json;

use crate::MODE;

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
