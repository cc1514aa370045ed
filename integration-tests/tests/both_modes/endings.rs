//! When a login ends, everything that is done with it ends, on every server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::cluster::Cluster;
use integration_tests::http::send;
use integration_tests::people::PASSWORD;
use integration_tests::ws::send_frame;
use integration_tests::{Mode, Person, Server, Ws, eventually, within};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::MODE;

/// More than the kernel keeps of a download that nobody reads.
const FILE_BYTES: usize = 16 << 20;

/// Far below the 30 s after which servers look for themselves.
const AT_ONCE: Duration = Duration::from_secs(10);

/// How a login ends.
#[derive(Clone, Copy, Debug)]
enum Way {
    Logout,
    /// By another login of the user.
    EndOfTheLogin,
    EndOfAll,
    ChangeOfPassword,
    /// By an admin.
    Disabling,
}

/// Nobody can log in after the last one.
const WAYS: [Way; 5] = [
    Way::Logout,
    Way::EndOfTheLogin,
    Way::EndOfAll,
    Way::ChangeOfPassword,
    Way::Disabling,
];

impl Way {
    /// The close code of sockets, and what an upload is refused with.
    fn told(self) -> (u16, &'static str) {
        match self {
            Way::Disabling => (4503, "account_disabled"),
            _ => (4501, "token_revoked"),
        }
    }
}

/// Two servers of a cluster, or the only one.
struct Servers {
    first: Server,
    second: Option<Server>,
    _cluster: Option<Arc<Cluster>>,
}

impl Servers {
    async fn start() -> Servers {
        if MODE == Mode::Embedded {
            return Servers {
                first: Server::start(MODE).await,
                second: None,
                _cluster: None,
            };
        }
        let cluster = Cluster::fresh().await.expect("a part of the services");
        Servers {
            first: Server::of(&cluster, &[]).await,
            second: Some(Server::of(&cluster, &[]).await),
            _cluster: Some(cluster),
        }
    }

    /// Where logins end.
    fn here(&self) -> &Server {
        &self.first
    }

    /// Where they are used.
    fn there(&self) -> &Server {
        self.second.as_ref().unwrap_or(&self.first)
    }
}

struct Login {
    token: String,
    refresh_token: String,
}

async fn log_in(server: &Server, password: &str) -> Login {
    let body = json!({"username": "ann", "password": password});
    let answer = server.http().open(Method::POST, "/login", body).await;
    login(&answer.expect(200).json())
}

fn login(answer: &Value) -> Login {
    let text = |field: &str| answer[field].as_str().expect("a token").to_owned();
    Login {
        token: text("token"),
        refresh_token: text("refresh_token"),
    }
}

/// One of each kind of access, by one login.
struct Accesses {
    idle: Ws,
    sending: Ws,
    upload: TcpStream,
    download: TcpStream,
}

impl Accesses {
    async fn begin(server: &Server, login: &Login, file: &str) -> Accesses {
        let token = &login.token;
        let mut sending = Ws::connect(server.address(), token).await;
        sending.join("general", None).await;
        let accesses = Accesses {
            idle: Ws::connect(server.address(), token).await,
            sending,
            upload: upload(server.address(), token).await,
            download: download(server.address(), token, file).await,
        };
        transfers_are(server, 1).await;
        accesses
    }

    /// Waits for the end of all of them.
    async fn ended(mut self, server: &Server, (close_code, refusal): (u16, &str)) {
        assert_eq!(self.idle.closed().await.code, Some(close_code));
        for n in 0.. {
            let frame = send_frame("general", &format!("late-{n}"), "too late");
            let message = Message::text(frame.to_string());
            if self.sending.try_raw(message).await.is_err() {
                break;
            }
            match self.sending.text().await {
                Some(text) => assert!(!text.contains("\"ack\""), "{text}"),
                None => break,
            }
        }
        let answer = rest(&mut self.upload).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(refusal), "{answer}");
        let got = rest(&mut self.download).await.len();
        assert!(got < FILE_BYTES, "{got} bytes");
        transfers_are(server, 0).await;
    }
}

/// Waits until so many uploads, and so many downloads, are under way.
async fn transfers_are(server: &Server, count: u64) {
    for direction in ["upload", "download"] {
        let metric = format!("lakechat_open_transfers{{direction=\"{direction}\"}}");
        eventually(&format!("{count} {direction}s are under way"), async || {
            (server.http().metric(&metric).await == Some(count)).then_some(())
        })
        .await;
    }
}

async fn upload(address: SocketAddr, token: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /upload?name=half HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-length: 1000000\r\nconnection: close\r\n\r\nhalf of it"
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    tcp
}

async fn download(address: SocketAddr, token: &str, file: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "GET /download/{file} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    );
    tcp.write_all(head.as_bytes()).await.expect("it reads");
    let mut first = [0; 15];
    within(tcp.read_exact(&mut first)).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    tcp
}

/// What comes until the connection ends, or is cut.
async fn rest(tcp: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end, too.
    let _ = within(tcp.read_to_end(&mut all)).await;
    all
}

/// Ends the login; afterwards the returned password is valid.
async fn end(way: Way, server: &Server, ending: &Login, other: &Login, password: &str) -> String {
    let http = server.http();
    match way {
        Way::Logout => {
            let out = http.post("/logout", &ending.token, json!({})).await;
            out.expect(204);
        }
        Way::EndOfTheLogin => {
            let logins = http.get("/me/logins", &ending.token).await.expect(200);
            let logins = logins.json();
            let mut logins = logins["logins"].as_array().expect("a list").iter();
            let current = logins.find(|login| login["current"] == true);
            let id = current.expect("it lives")["id"].as_str().expect("an id");
            let path = format!("/me/logins/{id}");
            let ended = http.call(Method::DELETE, &path, &other.token).await;
            ended.expect(204);
        }
        Way::EndOfAll => {
            let all = http.post("/logout", &other.token, json!({"all": true}));
            all.await.expect(204);
        }
        Way::ChangeOfPassword => {
            let new = format!("{password}!");
            let body = json!({"old": password, "new": new});
            let changed = http.post("/me/password", &other.token, body).await;
            changed.expect(204);
            return new;
        }
        Way::Disabling => {
            let body = json!({"username": "admin", "password": PASSWORD});
            let admin = http.open(Method::POST, "/login", body).await;
            let admin = login(&admin.expect(200).json());
            let request = http.request(Method::PATCH, "/admin/users/ann");
            let request = request.bearer_auth(&admin.token);
            let disabled = send(request.json(&json!({"disabled": true})));
            disabled.await.expect(200);
        }
    }
    password.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_of_ending_a_login_ends_each_access_on_every_server() {
    let mut servers = Servers::start().await;
    servers.first.create_admin("admin").await;
    let (here, there) = (servers.here(), servers.there());
    let ann = Person::register(here, "ann").await;
    let bob = Person::register(here, "bob").await;
    let stored = here
        .http()
        .upload(ann.token(), "large", vec![7; FILE_BYTES]);
    let stored = stored.await.expect(201).json();
    let file = stored["id"].as_str().expect("an id");
    let mut untouched = bob.joined(there, "general").await;
    let mut password = PASSWORD.to_owned();
    for way in WAYS {
        let (other, ending) = (log_in(here, &password).await, log_in(here, &password).await);
        let mut accesses = Accesses::begin(there, &ending, file).await;

        let body = json!({"refresh_token": ending.refresh_token});
        let refreshed = here.http().open(Method::POST, "/token/refresh", body);
        let ending = login(&refreshed.await.expect(200).json());
        let sent = format!("{way:?}");
        accesses
            .sending
            .say("general", &sent, "a refresh ends nothing")
            .await;

        password = end(way, here, &ending, &other, &password).await;
        let began = Instant::now();
        accesses.ended(there, way.told()).await;
        let revoked = there.http().get("/me", &ending.token).await.expect(401);
        assert_eq!(revoked.code(), "token_revoked");
        assert!(began.elapsed() < AT_ONCE, "{way:?}: {:?}", began.elapsed());
    }
    untouched.say("general", "b-1", "still here").await;
}
