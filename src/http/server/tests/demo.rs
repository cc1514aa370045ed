//! A site with one path for each thing that can happen to a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

use super::wire::Client;
use crate::http::body::{self, Incoming};
use crate::http::health;
use crate::http::route_table::{Route, RouteTable};
use crate::http::router::Site;
use crate::http::server::{Server, Settings};
use crate::http::{connection, listener, refusal, request, response};
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;
use lakechat_core::domain::{Code, Problem, UserName};

const fn route(pattern: &'static str, methods: &'static [Method]) -> Route {
    Route { pattern, methods }
}

const TABLE: RouteTable = RouteTable::new(&[
    route("/ping", &[Method::GET]),
    route("/who", &[Method::GET]),
    route("/things/<t>", &[Method::GET, Method::PUT]),
    route("/json", &[Method::POST]),
    route("/upload", &[Method::POST]),
    route("/refuse", &[Method::POST]),
    route("/rejects/<why>", &[Method::GET]),
    route("/panic", &[Method::GET]),
    route("/fails", &[Method::GET]),
    route("/wait", &[Method::GET]),
    route("/large", &[Method::GET]),
    route("/upgrade", &[Method::GET]),
]);

/// Waits for what other tasks bring about.
pub async fn until(holds: impl Fn() -> bool) {
    let holds = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let holds = timeout(Duration::from_secs(10), holds).await;
    holds.expect("it comes about in time");
}

/// How often `/ping` was executed, and the meeting point of `/wait`.
#[derive(Default)]
struct Inside {
    pings: AtomicUsize,
    waiting: Notify,
    go_on: Notify,
}

/// A running server.
pub struct Demo {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    inside: Arc<Inside>,
    site: Site,
    pub connections: TaskTracker,
    places: Arc<Semaphore>,
    drained: JoinHandle<usize>,
    server: JoinHandle<()>,
}

impl Demo {
    pub async fn start() -> Demo {
        Demo::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Demo {
        let demo = Demo::starting(change).await;
        demo.open();
        demo
    }

    /// One that listens and whose service is still to be opened.
    pub async fn starting(change: impl FnOnce(&mut Settings)) -> Demo {
        let mut settings = Settings {
            // Longer than a test waits for anything: what must not linger is seen to.
            linger: Duration::from_secs(60),
            ..Settings::default()
        };
        change(&mut settings);
        let (shutdown, inside) = (Shutdown::new(), Arc::new(Inside::default()));
        let health = health::routes(Readiness::new(shutdown.clone(), &[]));
        let site = Site::new(RouteTable::new(&health::ROUTES), health, TABLE);
        let listener = listener::bind("127.0.0.1:0".parse().expect("valid")).expect("free port");
        let server = Server::new(listener, site.clone(), settings, shutdown.clone());
        Demo {
            address: server.local_addr().expect("bound"),
            shutdown,
            inside,
            site,
            connections: server.connections.clone(),
            places: Arc::clone(&server.places),
            drained: tokio::spawn(server.drained()),
            server: tokio::spawn(server.run()),
        }
    }

    pub fn open(&self) {
        self.site.open(routes(Arc::clone(&self.inside)));
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address)
            .await
            .expect("the server listens")
    }

    pub async fn connect_from(&self, address: &str) -> Client {
        Client::connect_from(address, self.address)
            .await
            .expect("the server listens")
    }

    pub fn pings(&self) -> usize {
        self.inside.pings.load(Ordering::SeqCst)
    }

    pub fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// Until a request has come to `/wait`.
    pub async fn waiting(&self) {
        self.inside.waiting.notified().await;
    }

    pub fn go_on(&self) {
        self.inside.go_on.notify_one();
    }

    pub async fn drained(self) -> usize {
        self.shutdown.begin();
        self.ended().await
    }

    /// Waits for the drain, and for the end behind it; how many connections were cut.
    pub async fn ended(self) -> usize {
        let end = async {
            let cut = self.drained.await.expect("it does not panic");
            self.shutdown.close();
            self.server.await.expect("it does not panic");
            cut
        };
        let ended = timeout(Duration::from_secs(10), end).await;
        ended.expect("the server drains")
    }
}

fn routes(
    inside: Arc<Inside>,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone + Send + Sync + 'static {
    let (ping, wait) = (Arc::clone(&inside), inside);
    let ping = warp::path!("ping").and(warp::get()).map(move || {
        ping.pings.fetch_add(1, Ordering::SeqCst);
        "pong"
    });
    let wait = warp::path!("wait").and(warp::get()).then(move || {
        let inside = Arc::clone(&wait);
        async move {
            inside.waiting.notify_one();
            inside.go_on.notified().await;
            "done"
        }
    });
    let who = warp::path!("who").and(request::client_addr());
    let who = who.map(|client: request::ClientAddr| client.0.to_string());
    let thing = warp::path!("things" / String).and(warp::get());
    let thing = thing
        .and(request::caller())
        .map(|_, caller: request::Caller| {
            caller.identify(UserName::parse("ann").expect("a name"));
            "thing"
        });
    let fails = warp::path!("fails").then(|| async {
        let full = std::io::Error::other("the disk is full");
        Err::<Response, _>(Problem::internal(
            anyhow::Error::from(full).context("can't store"),
        ))
    });
    let fails = fails.map(refusal::answered);
    let large = warp::path!("large").map(|| {
        let chunks = stream::iter(0..1024).map(|_| Ok::<_, Infallible>(vec![b'x'; 64 << 10]));
        warp::reply::stream(chunks)
    });
    let panic = warp::path!("panic").then(|| async { panic!("a secret") as Response });
    let json = warp::path!("json").and(warp::header::headers_cloned());
    let json = json
        .and(body::incoming())
        .then(take_json)
        .map(refusal::answered);
    let upload = warp::path!("upload")
        .and(body::incoming())
        .then(take)
        .map(refusal::answered);
    let refuse = warp::path!("refuse")
        .then(|| async { Err::<Response, _>(Problem::new(Code::Forbidden, "Not you.")) })
        .map(refusal::answered);
    let upgrade = warp::path!("upgrade")
        .and(warp::ext::optional())
        .map(echo)
        .map(refusal::answered);
    ping.or(wait)
        .or(who)
        .or(large)
        .or(thing)
        .or(fails)
        .or(panic)
        .or(json)
        .or(upload)
        .or(refuse)
        .or(upgrade)
        .or(rejecting())
}

fn rejecting() -> impl Filter<Extract = impl Reply, Error = Rejection> + Clone {
    let filter = warp::path!("rejects" / "filter").and_then(|| async {
        let problem = Problem::new(Code::Forbidden, "Not you.");
        Err::<Response, _>(warp::reject::custom(refusal::Refusal(Arc::new(problem))))
    });
    let header = warp::path!("rejects" / "header").and(warp::header("x-number"));
    let query = warp::path!("rejects" / "query").and(warp::query());
    let extension = warp::path!("rejects" / "extension").and(warp::ext::get());
    filter
        .or(header.map(|n: u32| n.to_string()))
        .or(query.map(|(n,): (u32,)| n.to_string()))
        .or(extension.map(|n: u32| n.to_string()))
}

async fn take_json(headers: HeaderMap, body: Incoming) -> Result<Response, Problem> {
    let whole = body::read_limited(&headers, body, 64 * 1024).await?;
    Ok(whole.len().to_string().into_response())
}

async fn take(mut body: Incoming) -> Result<Response, Problem> {
    let mut taken = 0;
    while let Some(chunk) = body.next().await {
        taken += chunk?.len();
    }
    Ok(taken.to_string().into_response())
}

/// Sends back all that comes, as the chat's handler takes its socket.
fn echo(upgrade: Option<OnUpgrade>) -> Result<Response, Problem> {
    let Some(upgrade) = upgrade else {
        return Err(Problem::new(Code::BadRequest, "This wants an upgrade."));
    };
    tokio::spawn(async move {
        let upgraded = upgrade.await.expect("hyper upgrades");
        let mut raw = connection::reclaim(upgraded).expect("it is our own socket");
        let mut all = raw.read.to_vec();
        raw.stream.read_to_end(&mut all).await.expect("read");
        raw.stream.write_all(&all).await.expect("written");
    });
    let mut switching = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = switching.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("echo"));
    Ok(switching)
}
