//! Tokens that are renewed while a session lasts.

use super::*;

/// Answers one HTTP request on a fresh connection; tells what was asked.
async fn answer_http(script: &Script, status: &str, body: Value) -> String {
    let mut tcp = script.tcp().await;
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        let mut chunk = [0; 4096];
        let n = within(tcp.read(&mut chunk)).await.unwrap();
        asked.extend_from_slice(&chunk[..n]);
    }
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap()
}

fn renewed() -> Value {
    json!({"user": "ann", "token": "t-2", "refresh_token": "r-2", "expires_in": 900})
}

#[tokio::test]
async fn token_that_is_about_to_end_is_renewed_on_the_running_connection() {
    let script = Script::new().await;
    let (_session, _events) = script.start(|_| ());
    let mut peer = script.welcome().await;
    peer.say(json!({"type": "token_expiring", "in_ms": 60_000}))
        .await;
    let asked = answer_http(&script, "200 OK", renewed()).await;
    assert!(asked.starts_with("POST /token/refresh ") && asked.contains("r-1"));
    let refresh = peer.hear().await;
    assert_eq!(
        (&refresh["type"], &refresh["token"]),
        (&json!("refresh"), &json!("t-2"))
    );
}

#[tokio::test]
async fn token_that_ended_is_renewed_before_the_next_connection() {
    let script = Script::new().await;
    let (_session, _events) = script.start(|_| ());
    script.welcome().await.close(4003).await;
    answer_http(&script, "200 OK", renewed()).await;
    assert_eq!(script.welcome().await.authorization, "Bearer t-2");
}

#[tokio::test]
async fn login_that_cannot_be_renewed_stops_the_session() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|_| ());
    script.welcome().await.close(4003).await;
    let gone = json!({"error": {"code": "token_revoked", "message": "gone"}});
    answer_http(&script, "401 Unauthorized", gone).await;
    let Stop::LoginEnded(reason) = stopped(&mut events).await else {
        panic!("the login has ended");
    };
    assert_eq!(reason, "token_revoked: gone");
}

#[tokio::test]
async fn rejected_token_is_renewed_once() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|_| ());
    script.accept().await.close(4501).await;
    let asked = answer_http(&script, "200 OK", renewed()).await;
    assert!(asked.starts_with("POST /token/refresh "), "{asked}");
    let peer = script.accept().await;
    assert_eq!(peer.authorization, "Bearer t-2");
    peer.close(4501).await;
    assert!(matches!(stopped(&mut events).await, Stop::TokenRejected(_)));
}

#[tokio::test]
async fn rejected_token_ends_the_login_if_the_renewal_is_refused() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|_| ());
    script.welcome().await.close(4501).await;
    let gone = json!({"error": {"code": "token_revoked", "message": "gone"}});
    answer_http(&script, "401 Unauthorized", gone).await;
    assert!(matches!(stopped(&mut events).await, Stop::LoginEnded(_)));
}

#[tokio::test]
async fn call_is_repeated_once_with_a_renewed_token() {
    let script = Script::new().await;
    let api = Api::new(format!("http://{}", script.address).parse().unwrap()).unwrap();
    let credentials = Arc::new(Credentials::new(api, login("t-1")));
    let calls = std::sync::Mutex::new(Vec::new());
    let call = |token: String| {
        calls.lock().unwrap().push(token);
        std::future::ready(Err::<(), _>(crate::CallError::Refused {
            status: http::StatusCode::UNAUTHORIZED,
            refusal: crate::Refusal::own("token_expired", ""),
        }))
    };
    let (done, _) = tokio::join!(
        credentials.authorized(call),
        answer_http(&script, "200 OK", renewed())
    );
    assert!(done.is_err());
    assert_eq!(*calls.lock().unwrap(), ["t-1", "t-2"]);
}
