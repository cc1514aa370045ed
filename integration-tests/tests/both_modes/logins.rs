//! What people do with their own logins.

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Person, Server, eventually, http};
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

async fn logins(server: &Server, token: &str) -> Vec<Value> {
    let listed = server.http().get("/me/logins", token).await.expect(200);
    let listed = listed.json();
    listed["logins"].as_array().expect("a list").clone()
}

async fn log_in(server: &Server, client: &str, password: &str) -> Answer {
    let request = server.http().request(Method::POST, "/login");
    let request = request.header("user-agent", client);
    let body = json!({"username": "ann", "password": password});
    http::send(request.json(&body)).await
}

fn token(answer: &Answer) -> String {
    let answer = answer.json();
    answer["token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn logins_are_listed_with_what_made_them_and_ended() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let phone = token(&log_in(&server, "phone/1.0", PASSWORD).await.expect(200));
    let laptop = token(&log_in(&server, "laptop/2.0", PASSWORD).await.expect(200));
    let listed = logins(&server, &phone).await;
    assert_eq!(listed.len(), 3);
    let of = |client: &str| listed.iter().find(|login| login["client"] == client);
    let (own, other) = (of("phone/1.0").expect("it"), of("laptop/2.0").expect("it"));
    assert_eq!(own["current"], true);
    assert_eq!(other["current"], false);
    assert_eq!(own["address"], "127.0.0.1");
    assert!(own["used_at"].as_u64() >= own["created_at"].as_u64());

    let path = format!("/me/logins/{}", other["id"].as_str().expect("an id"));
    let http = server.http();
    http.call(Method::DELETE, &path, &phone).await.expect(204);
    let again = http.call(Method::DELETE, &path, &phone).await.expect(404);
    assert_eq!(again.code(), "login_not_found");
    let ended = http.get("/me", &laptop).await.expect(401);
    assert_eq!(ended.code(), "token_revoked");
    assert_eq!(logins(&server, &phone).await.len(), 2);

    let all = http.post("/logout", &phone, json!({"all": true})).await;
    all.expect(204);
    for ended in [&phone, ann.token()] {
        let ended = http.get("/me", ended).await.expect(401);
        assert_eq!(ended.code(), "token_revoked");
    }
}

#[tokio::test]
async fn changed_password_is_the_only_one_and_ends_the_other_logins() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let other = token(&log_in(&server, "other", PASSWORD).await.expect(200));
    let change = async |old: &str, new: &str| {
        let body = json!({"old": old, "new": new});
        server.http().post("/me/password", ann.token(), body).await
    };
    let wrong = change("wrong horse", "battery staple").await.expect(401);
    assert_eq!(wrong.code(), "invalid_credentials");
    let short = change(PASSWORD, "short").await.expect(400).json();
    assert_eq!(short["error"]["field"], "new");
    change(PASSWORD, "battery staple").await.expect(204);
    log_in(&server, "x", PASSWORD).await.expect(401);
    log_in(&server, "x", "battery staple").await.expect(200);
    server.http().get("/me", ann.token()).await.expect(200);
    let ended = server.http().get("/me", &other).await.expect(401);
    assert_eq!(ended.code(), "token_revoked");
}

#[tokio::test]
async fn login_ends_at_its_age_with_its_socket() {
    let server = Server::with(MODE, &[("LAKECHAT_AUTH__LOGIN_MAX_SECONDS", "3")]).await;
    let ann = Person::register(&server, "ann").await;
    assert!(ann.login.expires_in <= 3);
    let mut ws = ann.connect(&server).await;
    assert_eq!(ws.closed().await.code, Some(4003));
    let body = json!({"refresh_token": ann.refresh_token()});
    let refused = eventually("the login is over", async || {
        let http = server.http();
        let answer = http
            .open(Method::POST, "/token/refresh", body.clone())
            .await;
        (answer.status.as_u16() == 401).then_some(answer)
    });
    assert_eq!(refused.await.code(), "token_expired");
}
