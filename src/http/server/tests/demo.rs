//! Routes with one path for each thing that can happen to a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use warp::Reply;
use warp::reply::Response;

use super::wire::Client;
use crate::http::allowed_hosts::AllowedHosts;
use crate::http::call::Call;
use crate::http::health;
use crate::http::route_table::{Route, RouteTable};
use crate::http::router::Router;
use crate::http::server::{Server, ServerSettings};
use crate::http::{connection, listener, response};
use crate::readiness::Readiness;
use crate::shutdown::Shutdown;
use lakechat_core::domain::{Code, Problem, UserName};

fn table() -> RouteTable<Inside> {
    RouteTable::new([
        Route::new(Method::GET, "/ping", ping),
        Route::new(Method::GET, "/who", who),
        Route::new(Method::GET, "/things/<t>", thing),
        Route::new(Method::PUT, "/things/<t>", thing),
        Route::new(Method::GET, "/param/<p>", param),
        Route::new(Method::POST, "/json", take_json),
        Route::new(Method::POST, "/upload", take),
        Route::new(Method::POST, "/refuse", refuse),
        Route::new(Method::GET, "/panic", |_| async { panic!("a secret") }),
        Route::new(Method::GET, "/fails", fails),
        Route::new(Method::GET, "/wait", wait),
        Route::new(Method::GET, "/large", large),
        Route::new(Method::GET, "/upgrade", echo),
    ])
}

type Handled = Result<Response, Problem>;

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

/// How often `/ping` was called, and the two ends of `/wait`.
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
    router: Router<Inside>,
    pub connections: TaskTracker,
    slots: Arc<Semaphore>,
    drained: JoinHandle<usize>,
    server: JoinHandle<()>,
}

impl Demo {
    pub async fn start() -> Demo {
        Demo::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerSettings)) -> Demo {
        let demo = Demo::starting(change).await;
        demo.open();
        demo
    }

    /// One that listens and whose service is still to be opened.
    pub async fn starting(change: impl FnOnce(&mut ServerSettings)) -> Demo {
        let mut settings = ServerSettings {
            // Longer than a test waits for anything: what must not linger is seen to.
            linger: Duration::from_secs(60),
            allowed_hosts: AllowedHosts::new(["a", "b.example"].map(str::to_owned)),
            ..ServerSettings::default()
        };
        change(&mut settings);
        let (shutdown, inside) = (Shutdown::new(), Arc::new(Inside::default()));
        let health = health::routes(Readiness::new(shutdown.clone(), &[]));
        let router = Router::new(RouteTable::new(health), table());
        let listener = listener::bind("127.0.0.1:0".parse().expect("valid")).expect("free port");
        let server = Server::new(listener, router.clone(), settings, shutdown.clone());
        Demo {
            address: server.local_addr().expect("bound"),
            shutdown,
            inside,
            router,
            connections: server.connections.clone(),
            slots: Arc::clone(&server.slots),
            drained: tokio::spawn(server.drained()),
            server: tokio::spawn(server.run()),
        }
    }

    pub fn open(&self) {
        self.router.open(Arc::clone(&self.inside));
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

    pub fn free_slots(&self) -> usize {
        self.slots.available_permits()
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

async fn ping(call: Call<Inside>) -> Handled {
    call.context.pings.fetch_add(1, Ordering::SeqCst);
    Ok("pong".into_response())
}

async fn wait(call: Call<Inside>) -> Handled {
    call.context.waiting.notify_one();
    call.context.go_on.notified().await;
    Ok("done".into_response())
}

async fn who(call: Call<Inside>) -> Handled {
    Ok(call.request.client.0.to_string().into_response())
}

async fn thing(call: Call<Inside>) -> Handled {
    call.caller()
        .identify(UserName::parse("ann").expect("a name"));
    Ok("thing".into_response())
}

async fn param(call: Call<Inside>) -> Handled {
    Ok(call.param("p").to_owned().into_response())
}

async fn fails(_: Call<Inside>) -> Handled {
    let full = std::io::Error::other("the disk is full");
    let cause = anyhow::Error::from(full).context("can't store");
    Err(Problem::internal(cause))
}

async fn refuse(_: Call<Inside>) -> Handled {
    Err(Problem::new(Code::Forbidden, "Not you."))
}

async fn large(_: Call<Inside>) -> Handled {
    let chunks = stream::iter(0..1024).map(|_| Ok::<_, Infallible>(vec![b'x'; 64 << 10]));
    Ok(warp::reply::stream(chunks).into_response())
}

async fn take_json(mut call: Call<Inside>) -> Handled {
    let whole = call.json().await?;
    Ok(whole.len().to_string().into_response())
}

async fn take(call: Call<Inside>) -> Handled {
    let (_, mut body) = call.into_headers_and_body();
    let mut taken = 0;
    while let Some(chunk) = body.next().await {
        taken += chunk?.len();
    }
    Ok(taken.to_string().into_response())
}

/// Sends back all that comes, as the chat's handler takes its socket.
async fn echo(mut call: Call<Inside>) -> Handled {
    let Some(upgrade) = call.take_upgrade() else {
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
