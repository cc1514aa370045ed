//! Sessions of several servers, and upgrades that are refused.

use super::*;

async fn disconnected(events: &mut Events) -> String {
    let pick = |e| match e {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    };
    event(events, pick).await
}

#[tokio::test]
async fn next_server_is_tried_when_one_is_gone() {
    let (first, second) = (Script::new().await, Script::new().await);
    let credentials = Credentials::new(first.api(), login("t-1")).also_at([second.api()]);
    let (session, mut events) = Script::start_with(credentials, |_| ());
    session.join(ops(), None).await.unwrap();
    let mut peer = first.welcome().await;
    peer.join(10).await;
    drop((peer, first));
    let mut peer = second.welcome().await;
    assert_eq!(
        peer.join(11).await["after"],
        Id::from_u64(10).unwrap().to_string()
    );
    disconnected(&mut events).await;
    peer.close(4001).await;
    // Whoever is alone is asked again.
    second.welcome().await;
}

#[tokio::test]
async fn refused_upgrade_is_reported_with_what_the_server_said() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|_| ());
    let mut tcp = script.tcp().await;
    let _ = tcp.read(&mut [0; 4096]).await.unwrap();
    let body = r#"{"error":{"code":"rate_limited","message":"Too many connects."}}"#;
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(answer.as_bytes()).await.unwrap();
    let reason = disconnected(&mut events).await;
    assert!(
        reason.contains("rate_limited: Too many connects."),
        "{reason}"
    );
}
