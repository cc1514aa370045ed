//! Two servers behind nginx at random balancing, and simulated people who talk through it: from their arrival to
//! the account of what they got. What happens to servers and services meanwhile is the test's.

mod files;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::alone::Alone;
use integration_tests::audit;
use integration_tests::links::Links;
use integration_tests::nginx::{Balance, Nginx};
use integration_tests::shifted_clock::ShiftedClock;
use integration_tests::simulation::Simulation;
use integration_tests::{Http, Person, Server};
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, interval, timeout};

use self::files::Files;

pub const KAFKA: u16 = 9092;
pub const HBASE: u16 = 9090;
pub const REDIS: u16 = 6379;

const PEOPLE: u64 = 24;

/// How far the archive may be behind what was just sent.
const LAG_RECORDS: u64 = 500;

/// Longer than anything takes to come back on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

pub struct Scene {
    simulation: Simulation,
    pub files: Files,
    pub nginx: Nginx,
    /// The first has a clock and links that can be tampered with.
    pub servers: [Server; 2],
    turn: usize,
    pub clock: ShiftedClock,
    pub links: Links,
    /// Its services come back when all else is gone.
    pub alone: Alone,
}

/// What became of all that was sent.
#[derive(Debug)]
pub struct Account {
    /// The report of `lakechat simulate`.
    pub report: Value,
    pub files: usize,
    /// Nothing, or what doesn't hold.
    pub wrong: Vec<String>,
}

impl Scene {
    /// Returns when everything is up and people talk.
    pub async fn set(alone: Alone) -> Result<Scene> {
        let clock = ShiftedClock::new()?;
        let links = Links::to(&[KAFKA, HBASE, REDIS]).await?;
        let tampered = tampered(&clock, &links);
        let a = server(&alone, "a", &tampered).await;
        let b = server(&alone, "b", &[]).await;
        let nginx = Nginx::start(Balance::Random, &[a.address(), b.address()]).await?;
        let url = format!("http://{}", nginx.plain());
        let files = Files::begin(
            Person::register_at(&url, "courier").await,
            Http::new(nginx.plain()),
        );
        let simulation = simulation(&url);
        let scene = Scene {
            simulation,
            files,
            nginx,
            servers: [a, b],
            turn: 0,
            clock,
            links,
            alone,
        };
        scene.recovered().await?;
        Ok(scene)
    }

    /// Each in turn: whoever was on one is on the other when it is back.
    pub fn next_server(&mut self) -> &mut Server {
        self.turn += 1;
        &mut self.servers[self.turn % 2]
    }

    async fn sessions(&self, server: usize) -> u64 {
        metric(&self.servers[server], "lakechat_sessions").await
    }

    /// Waits until both servers are ready with all parts up, the archive has caught up, people are back, and
    /// messages arrive.
    pub async fn recovered(&self) -> Result<()> {
        let recovering = async {
            let mut pace = interval(Duration::from_millis(50));
            while !self.is_well().await {
                pace.tick().await;
            }
            let before = self.deliveries().await;
            while self.deliveries().await < before + PEOPLE {
                pace.tick().await;
            }
        };
        if timeout(PATIENCE, recovering).await.is_ok() {
            return Ok(());
        }
        let [a, b] = [&self.servers[0], &self.servers[1]].map(report);
        anyhow::bail!("not recovered: {:#?} {:#?}", a.await, b.await)
    }

    async fn is_well(&self) -> bool {
        let mut sessions = 0;
        for (n, server) in self.servers.iter().enumerate() {
            if !all_is_up(server).await {
                return false;
            }
            sessions += self.sessions(n).await;
        }
        // Some are away for a while.
        sessions >= PEOPLE * 3 / 4
    }

    /// Whoever is killed counts from zero again.
    async fn deliveries(&self) -> u64 {
        let name = "lakechat_deliveries_total";
        metric(&self.servers[0], name).await + metric(&self.servers[1], name).await
    }

    /// Ends the talk, waits until all has arrived, and compares log, history and files with it.
    pub async fn end(self) -> Result<Account> {
        self.simulation.interrupt();
        let simulated = timeout(PATIENCE, self.simulation.ended()).await;
        let simulated = simulated.context("the simulation goes on")?;
        let report = simulated.report().clone();
        let mut wrong = Vec::new();
        if report["passed"] != true {
            wrong.push(simulated.printed.clone());
        }
        let files = self.files.end().await;
        let files = files.unwrap_or_else(|error| {
            wrong.push(format!("files: {error:#}"));
            0
        });
        integration_tests::archive::is_complete(&self.servers[1]).await;
        let audited = audit::cluster(&self.alone.cluster, &[]).await?;
        let acked = report["messages"]["acked"].as_u64().context("a number")?;
        if let Err(error) = audited.is_clean(acked) {
            wrong.push(format!("audit: {error:#}"));
        }
        Ok(Account {
            report,
            files,
            wrong,
        })
    }
}

impl Account {
    pub fn holds(&self) -> Result<()> {
        let kills = &self.report["latency_ms"];
        ensure!(self.wrong.is_empty(), "{}\n{kills}", self.wrong.join("\n"));
        ensure!(self.files > 0, "no file was stored");
        Ok(())
    }
}

fn tampered(clock: &ShiftedClock, links: &Links) -> Vec<(String, String)> {
    let ([library, shift], [other, pairs]) = (clock.env(), links.env());
    let both = format!("{}:{}", library.1, other.1);
    vec![(library.0, both), shift, pairs]
}

async fn server(alone: &Alone, id: &str, env: &[(String, String)]) -> Server {
    let own = [
        ("LAKECHAT_SERVER__ID", id),
        ("LAKECHAT_SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let env = env.iter().map(|(name, value)| (name.as_str(), &**value));
    let env: Vec<_> = own.into_iter().chain(env).collect();
    Server::of(&alone.cluster, &env).await
}

fn simulation(url: &str) -> Simulation {
    let users = format!("--users={PEOPLE}");
    let within = format!("--reconnect-within={}s", PATIENCE.as_secs());
    let settle = format!("--settle={}s", PATIENCE.as_secs() / 2);
    let people = [
        &users,
        "--channels=8",
        "--joins=3",
        "--rate=40",
        "--ramp=1s",
        "--stay=30s",
        "--away=1s",
        // Until it is interrupted.
        "--duration=12h",
        &within,
        &settle,
    ];
    Simulation::begin(&[url], &people)
}

/// What a server says of itself; null if it says nothing.
async fn report(server: &Server) -> Value {
    let asked = server.http().request(Method::GET, "/readyz").send().await;
    match asked {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

async fn all_is_up(server: &Server) -> bool {
    let report = report(server).await;
    let parts = report["parts"].as_object();
    let up = parts.is_some_and(|parts| parts.values().all(|part| part["state"] == "up"));
    let lag = report["parts"]["archiver"]["lag_records"].as_u64();
    report["ready"] == true && up && lag.is_some_and(|lag| lag < LAG_RECORDS)
}

async fn metric(server: &Server, name: &str) -> u64 {
    server.http().metric(name).await.unwrap_or_default()
}

/// How long something took, from the moment at which a fault ended.
pub fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
