//! Passwords as different keyboards write them.

use integration_tests::{Answer, Server};
use reqwest::Method;
use serde_json::json;

use crate::MODE;

#[tokio::test]
async fn password_is_the_same_however_its_characters_are_composed() {
    let server = Server::start(MODE).await;
    let composed = "sch\u{f6}ne Gr\u{fc}\u{df}e";
    let decomposed = "scho\u{308}ne\u{a0}Gru\u{308}\u{df}e";
    let call = async |path: &str, user: &str, password: &str| -> Answer {
        let body = json!({"username": user, "password": password});
        server.http().open(Method::POST, path, body).await
    };
    for (user, first, second) in [("ann", composed, decomposed), ("bob", decomposed, composed)] {
        call("/register", user, first).await.expect(201);
        for password in [first, second] {
            call("/login", user, password).await.expect(200);
        }
        let other = call("/login", user, "scho\u{f6}ne Gr\u{fc}\u{df}e").await;
        assert_eq!(other.expect(401).code(), "invalid_credentials");
    }
    let refused = call("/register", "eve", "tab\tand\u{0}nul")
        .await
        .expect(400);
    assert_eq!(refused.code(), "field_invalid");
    assert_eq!(refused.json()["error"]["field"], "password");
}
