//! The session against a scripted server.

mod renewal;
mod servers;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::*;
use crate::{Api, Login, Stop};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that does what the test says, one connection after another.
struct Script {
    listener: TcpListener,
    address: SocketAddr,
}

/// One accepted WebSocket.
struct Peer {
    socket: WebSocketStream<TcpStream>,
    authorization: String,
    /// Path and query of the upgrade.
    target: String,
}

impl Script {
    async fn new() -> Script {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Script { listener, address }
    }

    fn api(&self) -> Api {
        Api::new(format!("http://{}", self.address).parse().unwrap()).unwrap()
    }

    fn start(&self, adjust: impl FnOnce(&mut Options)) -> (Session, Events) {
        let credentials = Credentials::new(self.api(), login("t-1"));
        Script::start_with(credentials, adjust)
    }

    fn start_with(
        credentials: Credentials,
        adjust: impl FnOnce(&mut Options),
    ) -> (Session, Events) {
        let mut options = Options {
            backoff_base: Duration::from_millis(4),
            backoff_cap: Duration::from_millis(40),
            seed: 1,
            ..Options::default()
        };
        adjust(&mut options);
        Session::start(Arc::new(credentials), options)
    }

    async fn tcp(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    #[expect(
        clippy::result_large_err,
        reason = "tungstenite's callback is typed so"
    )]
    async fn accept(&self) -> Peer {
        let (mut authorization, mut target) = (String::new(), String::new());
        let look = |request: &Request, response: Response| {
            let header = &request.headers()["authorization"];
            authorization = header.to_str().unwrap().to_owned();
            target = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(self.tcp().await, look);
        let socket = within(socket).await.unwrap();
        Peer {
            socket,
            authorization,
            target,
        }
    }

    /// Accepts and says welcome.
    async fn welcome(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.say(
            json!({"type": "welcome", "session": "s", "server": "a", "user": "ann",
            "ping_ms": 60_000, "degraded": [], "channels": [],
            "limits": {"frame_bytes": 65536, "text_bytes": 16384, "channels": 128}}),
        )
        .await;
        peer
    }
}

impl Peer {
    async fn say(&mut self, frame: Value) {
        let text = Message::text(frame.to_string());
        self.socket.send(text).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match within(self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(_) => panic!("the client closed"),
                _ => {}
            }
        }
    }

    /// Answers the next frame, a join.
    async fn join(&mut self, at: u64) -> Value {
        let join = self.hear().await;
        assert_eq!(join["type"], "join");
        self.say(
            json!({"type": "joined", "ref": join["ref"], "channel": join["channel"],
            "at": at.to_string(), "members": 1, "resumed": join["after"].is_string()}),
        )
        .await;
        join
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = within(self.socket.next()).await {}
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("within the deadline")
}

fn login(token: &str) -> Login {
    let login = json!({"user": "ann", "token": token, "refresh_token": "r-1", "expires_in": 900});
    serde_json::from_value(login).unwrap()
}

fn ops() -> ChannelName {
    ChannelName::parse("ops").unwrap()
}

/// The next event that `pick` makes something of.
async fn event<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    loop {
        let event = within(events.next()).await.expect("the session goes on");
        if let Some(picked) = pick(event) {
            return picked;
        }
    }
}

async fn acked(events: &mut Events) -> (ClientMsgId, Id) {
    let pick = |e| match e {
        Event::Acked {
            client_msg_id, id, ..
        } => Some((client_msg_id, id)),
        _ => None,
    };
    event(events, pick).await
}

async fn stopped(events: &mut Events) -> Stop {
    let pick = |e| match e {
        Event::Stopped(stop) => Some(stop),
        _ => None,
    };
    event(events, pick).await
}

#[tokio::test]
async fn each_upgrade_hints_at_the_channel() {
    let script = Script::new().await;
    let (_session, _events) = script.start(|options| options.channel = Some(ops()));
    for _ in 0..2 {
        assert_eq!(script.welcome().await.target, "/chat?channel=ops");
    }
}

#[tokio::test]
async fn cut_connection_is_resumed_and_the_send_repeated() {
    let script = Script::new().await;
    let (session, mut events) = script.start(|_| ());
    session.join(ops(), None).await.unwrap();
    let mut peer = script.welcome().await;
    assert_eq!(peer.authorization, "Bearer t-1");
    assert_eq!(peer.join(10).await.get("after"), None);
    let sent = session.send(ops(), "hi").await.unwrap();
    let first = peer.hear().await;
    peer.say(
        json!({"type": "message", "channel": "ops", "id": "11", "sender": "bob",
        "sent_at": 1, "text": "ho", "client_msg_id": "b-1"}),
    )
    .await;
    event(&mut events, |e| {
        matches!(e, Event::Message { .. }).then_some(())
    })
    .await;
    drop(peer);

    let mut peer = script.welcome().await;
    assert_eq!(peer.join(12).await["after"], format!("{:020}", 11));
    let second = peer.hear().await;
    assert_eq!(second["client_msg_id"], first["client_msg_id"]);
    assert_eq!(second["client_msg_id"], sent.as_str());
    peer.say(json!({"type": "ack", "ref": second["ref"], "id": "12", "duplicate": true}))
        .await;
    assert_eq!(acked(&mut events).await, (sent, Id::from_u64(12).unwrap()));
}

#[tokio::test]
async fn frames_nobody_knows_change_nothing() {
    let script = Script::new().await;
    let (session, mut events) = script.start(|_| ());
    session.join(ops(), None).await.unwrap();
    let mut peer = script.welcome().await;
    peer.join(10).await;
    for odd in [
        json!([]),
        json!({"type": "sparkled"}),
        json!({"type": "ack", "ref": "x"}),
    ] {
        peer.say(odd).await;
    }
    peer.socket.send(Message::binary(vec![1, 2])).await.unwrap();
    session.send(ops(), "hi").await.unwrap();
    let send = peer.hear().await;
    peer.say(json!({"type": "ack", "ref": send["ref"], "id": "12"}))
        .await;
    acked(&mut events).await;
}

#[tokio::test]
async fn shutdown_is_followed_by_the_wait_that_the_server_chose() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|o| o.backoff_base = Duration::from_secs(600));
    let mut peer = script.welcome().await;
    peer.say(
        json!({"type": "closing", "code": 4001, "reason": "server_shutdown",
        "reconnect_after_ms": 37}),
    )
    .await;
    peer.close(4001).await;
    let pick = |e| match e {
        Event::Disconnected { retry_in, .. } => Some(retry_in),
        _ => None,
    };
    assert_eq!(event(&mut events, pick).await, Duration::from_millis(37));
    script.welcome().await;
    event(&mut events, |e| {
        matches!(e, Event::Reconnected(_)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn final_close_codes_stop_the_session_by_kind() {
    for (code, kind) in [
        (
            4500,
            Stop::Protocol {
                code: 4500,
                reason: "why".to_owned(),
            },
        ),
        (4503, Stop::NotAdmitted("why".to_owned())),
        (4504, Stop::ConnectionLimit("why".to_owned())),
    ] {
        let script = Script::new().await;
        let (session, mut events) = script.start(|_| ());
        let mut peer = script.welcome().await;
        peer.say(json!({"type": "closing", "code": code, "reason": "why"}))
            .await;
        peer.close(code).await;
        assert_eq!(stopped(&mut events).await, kind);
        assert!(within(events.next()).await.is_none());
        assert_eq!(session.join(ops(), None).await, Err(SessionEnded));
    }
}

#[tokio::test]
async fn close_before_the_welcome_stops_as_well() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|_| ());
    script.accept().await.close(4503).await;
    assert!(matches!(stopped(&mut events).await, Stop::NotAdmitted(_)));
}

#[tokio::test]
async fn silent_server_is_given_up() {
    let script = Script::new().await;
    let (_session, mut events) = script.start(|o| {
        o.silence_slack = Duration::from_millis(50);
    });
    let mut peer = script.accept().await;
    peer.say(
        json!({"type": "welcome", "session": "s", "server": "a", "user": "ann",
        "ping_ms": 10, "limits": {"frame_bytes": 9, "text_bytes": 9, "channels": 9}}),
    )
    .await;
    let pick = |e| match e {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    };
    assert_eq!(event(&mut events, pick).await, "the server has gone silent");
    script.welcome().await;
}

#[tokio::test]
async fn full_outbox_makes_the_sender_wait() {
    let script = Script::new().await;
    let (session, mut events) = script.start(|o| o.outbox = 2);
    session.join(ops(), None).await.unwrap();
    let mut peer = script.welcome().await;
    peer.join(1).await;
    session.send(ops(), "1").await.unwrap();
    session.send(ops(), "2").await.unwrap();
    let third = session.send(ops(), "3");
    let mut third = std::pin::pin!(third);
    let first = peer.hear().await;
    assert!(futures_util::poll!(&mut third).is_pending());
    peer.say(json!({"type": "ack", "ref": first["ref"], "id": "2"}))
        .await;
    acked(&mut events).await;
    within(third).await.unwrap();
}

#[tokio::test]
async fn dropping_the_handle_says_good_bye() {
    let script = Script::new().await;
    let (session, mut events) = script.start(|_| ());
    let mut peer = script.welcome().await;
    event(&mut events, |e| {
        matches!(e, Event::Connected(_)).then_some(())
    })
    .await;
    drop(session);
    let end = within(peer.socket.next()).await;
    assert!(matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    let after = within(peer.socket.next()).await;
    assert!(matches!(after, None | Some(Err(WsError::ConnectionClosed))));
    assert!(within(events.next()).await.is_none());
}

#[tokio::test]
async fn history_is_answered_or_says_that_there_is_no_connection() {
    let script = Script::new().await;
    let (session, mut events) = script.start(|_| ());
    let mut peer = script.welcome().await;
    event(&mut events, |e| {
        matches!(e, Event::Connected(_)).then_some(())
    })
    .await;
    let asking = tokio::spawn({
        let session = session.clone();
        async move { session.history(ops(), None, 20).await }
    });
    let question = peer.hear().await;
    peer.say(
        json!({"type": "history", "ref": question["ref"], "channel": "ops",
        "messages": [], "next": null}),
    )
    .await;
    assert!(within(asking).await.unwrap().unwrap().messages.is_empty());
    let asking = tokio::spawn({
        let session = session.clone();
        async move { session.history(ops(), None, 20).await }
    });
    peer.hear().await;
    drop(peer);
    let lost = within(asking).await.unwrap();
    assert!(matches!(lost, Err(HistoryError::Disconnected)), "{lost:?}");
}
