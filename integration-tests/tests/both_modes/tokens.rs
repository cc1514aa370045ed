//! Access tokens end; sessions live on by refreshing them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integration_tests::people::channel;
use integration_tests::{Answer, Person, Server, eventually, within};
use lakechat_client::Event;
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

#[tokio::test]
async fn session_is_told_in_time_may_refresh_and_goes_on() {
    let server = Server::with(MODE, &[("LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS", "3")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.connect(&server).await;
    let told = ws.of_type("token_expiring").await;
    ws.join("general", None).await;
    assert!(
        told["in_ms"].as_u64().is_some_and(|ms| ms <= 60_000),
        "{told}"
    );
    // Expiries are whole seconds: one renewed within the first's second would end with it.
    let mut login = ann.api().refresh(ann.refresh_token()).await.expect("once");
    let longer = eventually("a token that is good for longer", async || {
        let token = login.token.expose().clone();
        login = ann
            .api()
            .refresh(login.refresh_token.expose())
            .await
            .expect("once");
        (expiry(&token) > expiry(ann.token())).then_some(token)
    });
    let refresh = json!({"type": "refresh", "token": longer.await});
    let refreshed = ws.ask(refresh).await;
    assert_eq!(refreshed["type"], "refreshed", "{refreshed}");
    assert!(refreshed["expires_in"].as_u64().is_some_and(|s| s <= 3));
    eventually("the first token ends", async || {
        let answer = server.http().get("/me", ann.token()).await;
        (answer.status.as_u16() == 401).then_some(())
    })
    .await;
    ws.say("general", "a-1", "still here").await;
}

/// The `exp` of an access token.
fn expiry(token: &str) -> u64 {
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["exp"].as_u64().expect("an expiry")
}

#[tokio::test]
async fn session_that_does_not_refresh_is_closed_with_4003() {
    let server = Server::with(MODE, &[("LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS", "2")]).await;
    let ann = Person::register(&server, "ann").await;
    let mut ws = ann.connect(&server).await;
    let closed = ws.closed().await;
    assert_eq!(closed.code, Some(4003));
    assert_eq!(closed.closing.expect("a reason")["code"], 4003);
    let mut late = integration_tests::Ws::bare(server.address()).await;
    late.send(json!({"type": "hello", "token": ann.token()}))
        .await;
    assert_eq!(
        late.closed().await.code,
        Some(4003),
        "an expired token still upgrades"
    );
}

#[tokio::test]
async fn expired_token_is_refused_by_name() {
    let server = Server::with(MODE, &[("LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS", "1")]).await;
    let ann = Person::register(&server, "ann").await;
    let code = eventually("the token ends", async || {
        let answer = server.http().get("/me", ann.token()).await;
        (answer.status.as_u16() == 401).then(|| answer.code())
    })
    .await;
    assert_eq!(code, "token_expired");
}

async fn refresh(server: &Server, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    let http = server.http();
    http.open(Method::POST, "/token/refresh", body).await
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().expect("a token")
}

#[tokio::test]
async fn refresh_sent_again_gets_the_same_token_also_after_the_server_was_killed() {
    let mut server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let first = refresh(&server, ann.refresh_token()).await.expect(200);
    let first = first.json();
    server.kill_9().await;
    server.restart().await;
    let again = refresh(&server, ann.refresh_token()).await.expect(200);
    let again = again.json();
    assert_eq!(again["refresh_token"], first["refresh_token"]);
    for answer in [&first, &again] {
        let me = server.http().get("/me", text(answer, "token")).await;
        me.expect(200);
    }
    let next = refresh(&server, text(&first, "refresh_token")).await;
    let next = next.expect(200).json();

    // By now the first token is neither the valid one nor the one before it.
    let old = refresh(&server, ann.refresh_token()).await.expect(401);
    assert_eq!(old.code(), "not_authenticated");
    let goes_on = refresh(&server, text(&next, "refresh_token")).await;
    goes_on.expect(200);
}

#[tokio::test]
async fn login_that_ended_is_revoked_for_tokens_and_sockets() {
    let server = Server::start(MODE).await;
    let ann = Person::register(&server, "ann").await;
    let first = refresh(&server, ann.refresh_token()).await.expect(200);
    let first = first.json();
    let access = text(&first, "token");
    let logout = server.http().post("/logout", access, json!({})).await;
    logout.expect(204);
    for token in [ann.refresh_token(), text(&first, "refresh_token")] {
        let refused = refresh(&server, token).await.expect(401);
        assert_eq!(refused.code(), "token_revoked");
    }
    let bearer = format!("Bearer {access}");
    let headers = [("authorization", bearer.as_str())];
    let (mut ws, _) = integration_tests::Ws::try_open(server.address(), &headers)
        .await
        .expect("a revoked token still upgrades");
    assert_eq!(ws.closed().await.code, Some(4501));
    let other = ann
        .api()
        .login("ann", integration_tests::people::PASSWORD)
        .await;
    other.expect("other logins are not touched");
}

#[tokio::test]
async fn reconnecting_client_outlives_many_tokens() {
    let server = Server::with(MODE, &[("LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS", "2")]).await;
    let ann = Person::register(&server, "ann").await;
    let (session, mut events) = ann.session();
    session
        .join(channel("general"), None)
        .await
        .expect("it lives");
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(7) {
        let sent = session
            .send(channel("general"), "tick")
            .await
            .expect("it lives");
        loop {
            match within(events.next()).await.expect("it lives") {
                Event::Acked { client_msg_id, .. } if client_msg_id == sent => break,
                Event::Refused { refusal, .. } => panic!("{refusal}"),
                Event::Stopped(stop) => panic!("{stop}"),
                _ => {}
            }
        }
    }
}
