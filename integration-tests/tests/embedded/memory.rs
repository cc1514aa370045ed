//! Clients that ask for much and take nothing don't fill the server's memory.

use std::any::Any;
use std::net::SocketAddr;

use integration_tests::{Person, Server, Ws, eventually, narrow, within, ws::send_frame};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

const CHANNELS: usize = 16;
const MESSAGES: usize = 100;
const TEXT_BYTES: usize = 16_000;
const ROUNDS: usize = 4;

/// Channels with messages that are in history only: the tail is too small for them.
async fn fill_channels(server: &Server, ann: &Person) {
    let text = "x".repeat(TEXT_BYTES);
    for c in 0..CHANNELS {
        let name = format!("c-{c}");
        ann.create_channel(server, &name).await;
        let mut ws = ann.joined(server, &name).await;
        send_messages(&mut ws, &name, "a", &text).await;
        let mut last = send_frame(&name, "last", "stored");
        last["ack"] = json!("persisted");
        ws.ask(last).await;
        ws.close().await;
    }
}

/// Sends messages, and reads them a few at a time.
async fn send_messages(ws: &mut Ws, channel: &str, key: &str, text: &str) {
    const AT_ONCE: usize = 10;
    for n in 0..MESSAGES / AT_ONCE {
        for m in 0..AT_ONCE {
            ws.feed(send_frame(channel, &format!("{key}-{n}-{m}"), text))
                .await;
        }
        ws.flush().await;
        ws.messages(AT_ONCE).await;
    }
}

/// Resumes all channels from the beginning, asks for four large pages, and takes nothing.
async fn resume_and_take_nothing(server: &Server, person: &Person) -> Ws {
    let mut ws = Ws::connect_narrow(server.address(), person.token()).await;
    for c in 0..CHANNELS {
        let channel = format!("c-{c}");
        ws.send(json!({"type": "join", "channel": channel, "after": "0"}))
            .await;
    }
    for _ in 0..4 {
        let ask = json!({"type": "history", "channel": "c-0", "after": "0", "limit": 200});
        ws.send(ask).await;
    }
    ws
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumes_and_pages_that_nobody_takes_stay_within_their_memory() {
    const SETTINGS: [(&str, &str); 2] = [
        ("LAKECHAT_CHAT__TAIL_BYTES", "1048576"),
        ("LAKECHAT_CHAT__READ_BYTES", "16777216"),
    ];
    const SESSIONS: usize = 24;
    /// 16 MiB of `chat.read_bytes`, what is queued and buffered for 24 sessions, and room to spare.
    /// Without a limit the sessions would hold 600 MB.
    const MOST_KIB: u64 = 100_000;

    let server = Server::with(crate::MODE, &SETTINGS).await;
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let eve = Person::register(&server, "eve").await;
    fill_channels(&server, &ann).await;
    let before = server.rss_kib();
    let mut hostile = Vec::new();
    for n in 0..SESSIONS {
        hostile.push(resume_and_take_nothing(&server, [&ann, &bob][n % 2]).await);
    }
    // Others get their memory all the same.
    let mut ws = eve.connect(&server).await;
    ws.join("c-1", Some("0")).await;
    ws.messages(MESSAGES).await;
    let mut most = 0;
    eventually("the first one is given up", async || {
        most = most.max(server.rss_kib().saturating_sub(before));
        server.http().metric("lakechat_slow_consumers_total").await
    })
    .await;
    assert!(most < MOST_KIB, "{most} KiB");
    drop(hostile);
}

/// Everything that the reference names as memory, asked for at once and taken by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_of_all_kinds_at_once_stay_within_the_documented_memory() {
    const SETTINGS: [(&str, &str); 4] = [
        ("LAKECHAT_CHAT__TAIL_BYTES", "16777216"),
        ("LAKECHAT_CHAT__READ_BYTES", "16777216"),
        ("LAKECHAT_CHAT__LIVE_BYTES", "4194304"),
        ("LAKECHAT_FILES__TRANSFERS", "40"),
    ];
    /// The sum that docs/operating.md gives for these settings, in MiB: 16 + 16 + 4 + 40, the window's
    /// keys (1), records on their way (24), silent WebSockets (8), passwords (152), and 332 KiB for
    /// each of 40 sessions (13).
    const MOST_KIB: u64 = (16 + 16 + 4 + 40 + 1 + 24 + 8 + 152 + 13) * 1024;
    /// `chat.live_bytes`, and 64 KiB for each slow session.
    const MOST_LIVE: u64 = 4_194_304 + 40 * 65_536;

    let server = Server::with(crate::MODE, &SETTINGS).await;
    let address = server.address();
    let ann = Person::register(&server, "ann").await;
    let bob = Person::register(&server, "bob").await;
    let eve = Person::register(&server, "eve").await;
    fill_channels(&server, &ann).await;
    let before = server.rss_kib();

    let mut hostile: Vec<Box<dyn Any>> = Vec::new();
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    let mut senders = Vec::new();
    for c in 0..CHANNELS {
        let channel = format!("c-{c}");
        let mut slow = Ws::connect_narrow(address, ann.token()).await;
        slow.join(&channel, None).await;
        hostile.push(Box::new(slow));
        senders.push((bob.joined(&server, &channel).await, channel));
    }
    for (ws, channel) in senders {
        tasks.push(tokio::spawn(send_much(ws, channel)));
    }
    for _ in 0..24 {
        hostile.push(Box::new(resume_and_take_nothing(&server, &ann).await));
    }
    hostile.extend(transfers_that_nobody_takes(&server, &ann).await);
    hostile.extend(unfinished_requests(address).await);
    for n in 0..40 {
        let http = server.http().clone();
        let body = json!({"username": format!("nobody-{n}"), "password": "wrong password"});
        tasks.push(tokio::spawn(async move {
            http.open(reqwest::Method::POST, "/login", body).await;
        }));
    }

    let (mut most, mut most_live) = (0, 0);
    eventually("sessions of all kinds are given up", async || {
        most = most.max(server.rss_kib().saturating_sub(before));
        let live = server.http().metric("lakechat_live_frames_bytes").await;
        most_live = most_live.max(live.unwrap_or(0));
        let slow = server.http().metric("lakechat_slow_consumers_total").await;
        slow.filter(|count| *count >= CHANNELS as u64)
    })
    .await;
    assert!(most < MOST_KIB, "{most} KiB");
    assert!(
        most_live > 1 << 20,
        "no session was slow: {most_live} bytes"
    );
    assert!(most_live < MOST_LIVE, "{most_live} bytes of live frames");
    for task in tasks {
        task.abort();
    }

    // Others are served meanwhile.
    let mut ws = eve.connect(&server).await;
    ws.join("c-1", Some("0")).await;
    ws.messages(MESSAGES).await;
    ws.ask(send_frame("c-1", "e-1", "still here")).await;
    server.http().get("/healthz", "").await.expect(200);
    drop(hostile);
}

/// Downloads, pages and uploads under way.
async fn transfers_that_nobody_takes(server: &Server, person: &Person) -> Vec<Box<dyn Any>> {
    let mut hostile: Vec<Box<dyn Any>> = Vec::new();
    let file = server
        .http()
        .upload(person.token(), "large", vec![7; 8 << 20])
        .await;
    let url = file.expect(201).json()["url"].as_str().map(str::to_owned);
    let url = url.expect("a URL");
    for _ in 0..20 {
        let page = "/channels/c-0/messages?limit=200";
        for target in [&url, page] {
            let asked = get(target, person.token());
            hostile.push(Box::new(
                narrow::begin(server.address(), asked.as_bytes()).await,
            ));
        }
        hostile.push(Box::new(
            stalled_upload(server.address(), person.token()).await,
        ));
    }
    hostile
}

/// WebSockets without a `hello`, and requests whose headers do not end.
async fn unfinished_requests(address: SocketAddr) -> Vec<Box<dyn Any>> {
    let mut hostile: Vec<Box<dyn Any>> = Vec::new();
    for _ in 0..100 {
        hostile.push(Box::new(silent_websocket(address).await));
        let half = format!(
            "GET / HTTP/1.1\r\nhost: {address}\r\nx: {}",
            "x".repeat(8000)
        );
        hostile.push(Box::new(narrow::begin(address, half.as_bytes()).await));
    }
    hostile
}

/// 6 MB, which the slow sessions of the channel do not take. It reads its own messages.
async fn send_much(mut ws: Ws, channel: String) {
    let text = "y".repeat(TEXT_BYTES);
    for round in 0..ROUNDS {
        send_messages(&mut ws, &channel, &format!("b-{round}"), &text).await;
    }
}

fn get(target: &str, token: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n")
}

/// Sends an eighth of what it has announced.
async fn stalled_upload(address: SocketAddr, token: &str) -> tokio::net::TcpStream {
    let head = format!(
        "POST /upload?name=x HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 8388608\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + (1 << 20), b'z');
    within(narrow::begin(address, &request)).await
}

/// Sends no `hello`, but a frame as large as one may be. None if it was refused.
async fn silent_websocket(address: SocketAddr) -> Option<Ws> {
    let (mut ws, _) = Ws::try_open(address, &[]).await.ok()?;
    let frame = Message::text("z".repeat(60_000));
    ws.try_raw(frame).await.ok()?;
    Some(ws)
}
