//! Two servers behind nginx, with the configuration in `docker/nginx`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::bytes::{made, sha256, sha256_of};
use integration_tests::cluster::Cluster;
use integration_tests::nginx::{Balance, Nginx};
use integration_tests::{Http, Person, Server, Ws, eventually};

const FILE_BYTES: u64 = 20 << 20;

/// Enough that a fair choice takes both servers: all on one has a chance of 2 in 2^40.
const CONNECTS: usize = 40;

struct Service {
    _cluster: Arc<Cluster>,
    servers: [Server; 2],
    nginx: Nginx,
}

impl Service {
    async fn start(balance: Balance) -> Service {
        let cluster = Cluster::fresh().await.expect("a part of the stack");
        let server = async |id| {
            let env = [
                ("LAKECHAT_SERVER__ID", id),
                ("LAKECHAT_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
            ];
            Server::of(&cluster, &env).await
        };
        let servers = [server("a").await, server("b").await];
        let addresses = servers.each_ref().map(Server::address);
        let nginx = Nginx::start(balance, &addresses).await.expect("nginx");
        Service {
            _cluster: cluster,
            servers,
            nginx,
        }
    }

    fn address(&self) -> SocketAddr {
        self.nginx.plain()
    }

    fn http(&self) -> Http {
        Http::new(self.address())
    }

    async fn register(&self, name: &str) -> Person {
        Person::register_at(&format!("http://{}", self.address()), name).await
    }

    /// The servers that sessions land on which are opened one after the other, each with a query of its own.
    async fn servers_of(
        &self,
        person: &Person,
        query: impl Fn(usize) -> String,
    ) -> BTreeSet<String> {
        let mut servers = BTreeSet::new();
        for n in 0..CONNECTS {
            let ws = Ws::connect_with(self.address(), &query(n), person.token()).await;
            servers.insert(server_of(&ws));
            ws.close().await;
        }
        servers
    }
}

fn server_of(ws: &Ws) -> String {
    ws.welcome["server"].as_str().expect("a name").to_owned()
}

/// A session on the given server, at random balancing.
async fn session_on(service: &Service, person: &Person, server: &str) -> Ws {
    eventually(&format!("a session lands on {server}"), async || {
        let ws = Ws::connect(service.address(), person.token()).await;
        (server_of(&ws) == server).then_some(ws)
    })
    .await
}

#[tokio::test]
async fn people_talk_and_exchange_files_through_nginx() {
    let service = Service::start(Balance::Random).await;
    let ann = service.register("ann").await;
    let bob = service.register("bob").await;
    let mut at_a = session_on(&service, &ann, "a").await;
    let mut at_b = session_on(&service, &bob, "b").await;
    at_a.join("general", None).await;
    at_b.join("general", None).await;
    let first = at_a.say("general", "a-1", "hi bob").await;
    assert_eq!(at_b.of_type("message").await["id"], first["id"]);
    let second = at_b.say("general", "b-1", "hi ann").await;
    let seen = at_a.until(|frame| frame["text"] == "hi ann").await;
    assert_eq!(seen["id"], second["id"]);

    let http = service.http();
    let bytes = reqwest::Body::wrap_stream(made(1, FILE_BYTES));
    let file = http.upload(ann.token(), "plan", bytes).await.expect(201);
    let path = format!("/download/{}", file.json()["id"].as_str().expect("an id"));
    let got = http.get(&path, ann.token()).await.expect(200);
    assert_eq!(sha256(&got.body), sha256_of(1, FILE_BYTES).await);
}

#[tokio::test]
async fn at_sticky_balancing_sessions_of_a_channel_meet_and_channels_are_spread() {
    let service = Service::start(Balance::Sticky).await;
    let ann = service.register("ann").await;
    let servers = service
        .servers_of(&ann, |_| "channel=general".to_owned())
        .await;
    assert_eq!(servers.len(), 1, "{servers:?}");
    let servers = service.servers_of(&ann, |n| format!("channel=c{n}")).await;
    assert_eq!(servers.len(), 2, "all channels are on {servers:?}");
    let servers = service.servers_of(&ann, |_| String::new()).await;
    assert_eq!(servers.len(), 2, "without a channel all are on {servers:?}");
}

#[tokio::test]
async fn killed_or_draining_server_is_passed_over() {
    let mut service = Service::start(Balance::Random).await;
    let ann = service.register("ann").await;
    service.servers[0].kill_9().await;
    let servers = service.servers_of(&ann, |_| String::new()).await;
    assert_eq!(servers, BTreeSet::from(["b".to_owned()]));
    service.servers[0].restart().await;
    let mut at_a = session_on(&service, &ann, "a").await;
    // A drain with a session is not over at once.
    service.servers[0].signal(rustix::process::Signal::TERM);
    at_a.of_type("closing").await;
    let servers = service.servers_of(&ann, |_| String::new()).await;
    assert_eq!(servers, BTreeSet::from(["b".to_owned()]));
}

/// Far less than nginx' own 10 s, for which it would pass over a server that it found dead.
const BACK_IN_USE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn server_that_is_back_is_in_use_before_the_other_one_has_restarted_too() {
    let mut service = Service::start(Balance::Random).await;
    let ann = service.register("ann").await;
    service.servers[0].kill_9().await;
    // nginx has found it dead.
    service.servers_of(&ann, |_| String::new()).await;
    service.servers[0].restart().await;
    service.servers[1].kill_9().await;
    let began = Instant::now();
    eventually("the first one serves", async || {
        Ws::try_open(service.address(), &[]).await.ok()
    })
    .await;
    assert!(began.elapsed() < BACK_IN_USE, "{:?}", began.elapsed());
}
