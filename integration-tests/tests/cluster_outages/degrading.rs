//! One part after another is away: what goes on goes on, what doesn't is refused and says so, and when
//! the part is back nobody has to start lakechat again.

use std::time::Duration;

use anyhow::Result;
use integration_tests::alone::Alone;
use integration_tests::ws::send_frame;
use integration_tests::{Answer, Person, Server, Ws, archive, eventually, people, stack};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// What a server keeps in memory at least, and more than that in messages.
const TAIL: (&str, &str) = ("LAKECHAT_CHAT__TAIL_BYTES", "1048576");
const OLD_MESSAGES: usize = 300;
const OLD_BYTES: usize = 10_000;

/// Longer than anything is tried before it is given up.
const GIVEN_UP: Duration = Duration::from_secs(40);

/// Larger than what is kept in HBase, and small enough for it.
const LARGE: usize = 100_000;
const SMALL: usize = 1_000;

const NEWEST: &str = "/channels/general/messages?limit=1";
const OLDEST: &str = "/channels/general/messages?after=0&limit=1";

/// Somebody who is connected to a server from before the part went away.
struct Scene {
    ann: Person,
    ws: Ws,
    said: usize,
    server: Server,
    /// Its services come back when all else is gone.
    _alone: Alone,
}

impl Scene {
    async fn set() -> Result<Scene> {
        let alone = Alone::fresh().await?;
        let server = Server::of(&alone.cluster, &[TAIL]).await;
        let ann = Person::register(&server, "ann").await;
        let ws = ann.joined(&server, "general").await;
        Ok(Scene {
            ann,
            ws,
            said: 0,
            server,
            _alone: alone,
        })
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.http().get(path, self.ann.token()).await
    }

    async fn upload(&self, bytes: usize) -> Answer {
        let content = vec![7; bytes];
        let http = self.server.http();
        http.upload(self.ann.token(), "a file", content).await
    }

    async fn login(&self, name: &str) -> Answer {
        let body = json!({"username": name, "password": people::PASSWORD});
        self.server.http().open(Method::POST, "/login", body).await
    }

    /// By who is connected, and at once.
    async fn says(&mut self) -> Value {
        let id = format!("a-{}", self.said);
        self.said += 1;
        let began = Instant::now();
        let ack = self.ws.say("general", &id, "it goes on").await;
        assert!(began.elapsed() < Duration::from_secs(5), "it takes long");
        ack
    }

    /// Waits until `/readyz` says that these parts, and no others, are not up; whether it is ready.
    async fn away(&self, parts: &[&str]) -> bool {
        eventually(&format!("not up: {parts:?}"), async || {
            let answer = self.get("/readyz").await;
            let ready = answer.json();
            let of = |part: &str| ready["parts"][part]["state"] != "up";
            let all = ready["parts"].as_object()?.keys();
            let away: Vec<_> = all.filter(|part| of(part)).collect();
            (away == parts).then_some(answer.status.is_success())
        })
        .await
    }

    /// What `welcome` calls degraded, once that is what it has to be.
    async fn welcomed(&self, degraded: &[&str]) -> Ws {
        let began = Instant::now();
        let ws = eventually(&format!("degraded: {degraded:?}"), async || {
            let ws = self.ann.connect(&self.server).await;
            (ws.welcome["degraded"] == json!(degraded)).then_some(ws)
        })
        .await;
        println!("welcome tells {degraded:?} after {:.1?}", began.elapsed());
        ws
    }

    /// By leaving and coming back after an id, on the same connection.
    async fn resumes(&mut self, after: &str) {
        let leave = json!({"type": "leave", "channel": "general"});
        assert_eq!(self.ws.ask(leave).await["type"], "left");
        let joined = self.ws.join("general", Some(after)).await;
        assert_eq!(joined["resumed"], true);
        let missed = self.ws.of_type("message").await;
        assert!(missed["id"].as_str() > Some(after), "{missed}");
    }

    /// One that has not read anything yet.
    async fn back(&self, part: &str, since: Instant) {
        assert!(self.away(&[]).await);
        self.welcomed(&[]).await;
        println!("{part}: all is up {:.1?} after it went on", since.elapsed());
    }
}

/// What comes before anybody would have given up, and after how long.
async fn timed<T>(answer: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    let answer = timeout(GIVEN_UP, answer).await;
    (answer.expect("an answer in time"), began.elapsed())
}

/// The code of a refusal for now.
fn refusal(answer: Answer) -> String {
    let answer = answer.expect(503);
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    answer.code()
}

async fn refused(answer: impl Future<Output = Answer>) -> String {
    let (answer, after) = timed(answer).await;
    let code = refusal(answer);
    println!("{code} after {after:.1?}");
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_all_goes_on_but_the_sight_of_others() -> Result<()> {
    let mut scene = Scene::set().await?;
    let presence = "/channels/general/presence";
    stack::verb(&["kill", "redis"]).await?;
    assert!(scene.away(&["presence"]).await, "it is still ready");
    scene.says().await;
    scene.welcomed(&["presence"]).await;
    assert_eq!(
        scene.get(presence).await.expect(200).json()["degraded"],
        true
    );
    scene.get(NEWEST).await.expect(200);
    scene.login("ann").await.expect(200);
    scene.upload(LARGE).await.expect(201);

    let began = Instant::now();
    stack::verb(&["start", "redis"]).await?;
    scene.back("redis", began).await;
    eventually("who is there is seen again", async || {
        let answer = scene.get(presence).await.expect(200).json();
        let there = answer["members"][0]["user"] == "ann";
        (answer["degraded"] == false && there).then_some(())
    })
    .await;
    scene.says().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_sends_and_reads_are_refused_and_files_and_sessions_go_on() -> Result<()> {
    let mut scene = Scene::set().await?;
    let file = scene.upload(LARGE).await.expect(201).json();
    let path = format!("/download/{}", file["id"].as_str().expect("an id"));
    scene.says().await;
    stack::verb(&["kill", "kafka"]).await?;
    let lost = send_frame("general", "lost", "while the log is away");
    assert_eq!(scene.ws.refused(lost.clone()).await, "broker_unavailable");
    assert!(!scene.away(&["broker"]).await, "nobody is to be sent here");
    assert_eq!(scene.ws.refused(lost.clone()).await, "broker_unavailable");
    assert_eq!(refused(scene.get(NEWEST)).await, "history_unavailable");
    let mut second = scene.welcomed(&["broker"]).await;
    assert_eq!(second.welcome["channels"], Value::Null, "it can't be read");
    let join = json!({"type": "join", "channel": "general", "after": "0"});
    assert_eq!(second.refused(join).await, "history_unavailable");
    assert_eq!(scene.get(&path).await.expect(200).body.len(), LARGE);
    scene.upload(LARGE).await.expect(201);
    scene.get("/channels/general/presence").await.expect(200);

    let began = Instant::now();
    stack::verb(&["start", "kafka"]).await?;
    scene.back("kafka", began).await;
    let ack = scene.ws.ask(lost).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    scene.says().await;
    let texts = scene.ann.history(&scene.server, "general").await;
    let ids: Vec<_> = texts.iter().map(|m| &m["client_msg_id"]).collect();
    assert_eq!(
        ids,
        ["a-0", "lost", "a-1"],
        "what was refused is there once"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hdfs_small_files_and_chat_go_on_and_large_files_are_refused() -> Result<()> {
    let mut scene = Scene::set().await?;
    let file = scene.upload(LARGE).await.expect(201).json();
    let path = format!("/download/{}", file["id"].as_str().expect("an id"));
    stack::verb(&["kill", "namenode"]).await?;
    assert!(scene.away(&["files"]).await, "it is still ready");
    scene.welcomed(&["files"]).await;
    assert_eq!(refused(scene.upload(LARGE)).await, "storage_unavailable");
    assert_eq!(refused(scene.get(&path)).await, "storage_unavailable");
    scene.upload(SMALL).await.expect(201);
    scene.says().await;
    scene.get(NEWEST).await.expect(200);
    scene.login("ann").await.expect(200);

    let began = Instant::now();
    stack::verb(&["start", "namenode"]).await?;
    scene.back("namenode", began).await;
    assert_eq!(scene.get(&path).await.expect(200).body.len(), LARGE);
    scene.upload(LARGE).await.expect(201);
    eventually("nothing half is left", async || {
        scene.server.files_in("tmp").is_empty().then_some(())
    })
    .await;
    assert_eq!(scene.server.files_in("files").len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_hbase_those_who_are_connected_talk_on() -> Result<()> {
    without_hbase("kill", "start").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hbase_that_does_not_answer_is_as_one_that_is_away() -> Result<()> {
    without_hbase("pause", "resume").await
}

async fn without_hbase(take_away: &str, bring_back: &str) -> Result<()> {
    let mut scene = Scene::set().await?;
    let bob = Person::register(&scene.server, "bob").await;
    let mut stranger = bob.connect(&scene.server).await;
    let carol = Person::register(&scene.server, "carol").await;
    let newest = fill_more_than_the_tail(&mut scene).await;
    scene.ws.ask(page(json!({"after": "0"}))).await;
    let gone = Instant::now();
    stack::verb(&[take_away, "thrift"]).await?;
    let is_ready = scene.away(&["directory", "history"]).await;
    assert!(is_ready, "who is connected is served");
    let told = gone.elapsed();
    scene.says().await;
    let page_of_tail = scene.ws.ask(page(json!({}))).await;
    assert_eq!(page_of_tail["type"], "history", "{page_of_tail}");
    scene.resumes(&newest).await;

    let (code, after) = timed(scene.ws.refused(page(json!({"after": "0"})))).await;
    assert_eq!(code, "history_unavailable");
    let login = timed(scene.login("ann")).await;
    assert_eq!(refusal(login.0), "directory_unavailable");
    let join = json!({"type": "join", "channel": "elsewhere"});
    let (code, _) = timed(stranger.refused(join)).await;
    assert_eq!(code, "directory_unavailable", "a first join");
    let mut again = scene.welcomed(&["history", "directory"]).await;
    assert_eq!(again.welcome["channels"], Value::Null, "they can't be read");
    assert_eq!(again.join("general", Some(&newest)).await["resumed"], true);
    // Whether this login goes on was not asked before; the client comes back by itself.
    let bearer = format!("Bearer {}", carol.token());
    let opened = Ws::try_open(scene.server.address(), &[("authorization", &bearer)]).await;
    let closed = opened.expect("an upgrade").0.closed().await;
    assert_eq!(closed.code, Some(4000));
    scene.says().await;

    let began = Instant::now();
    stack::verb(&[bring_back, "thrift"]).await?;
    scene.back("thrift", began).await;
    println!(
        "thrift, {take_away}: told after {told:.1?}, refused after {after:.1?} and {:.1?}",
        login.1
    );
    scene.get(OLDEST).await.expect(200);
    scene.login("ann").await.expect(200);
    stranger.join("general", None).await;
    scene.says().await;
    Ok(())
}

fn page(mut of: Value) -> Value {
    of["type"] = "history".into();
    of["channel"] = "general".into();
    of["limit"] = 1.into();
    of
}

/// Says so much that the first of it is only in HBase; the last id.
async fn fill_more_than_the_tail(scene: &mut Scene) -> String {
    let text = "x".repeat(OLD_BYTES);
    for n in 0..OLD_MESSAGES {
        let frame = send_frame("general", &format!("old-{n}"), &text);
        scene.ws.feed(frame).await;
    }
    scene.ws.flush().await;
    let last = scene.ws.messages(OLD_MESSAGES).await.pop().expect("many");
    archive::is_complete(&scene.server).await;
    last["id"].as_str().expect("an id").to_owned()
}
