//! People who refresh their tokens while answers get lost.

use std::time::Duration;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use integration_tests::alone::Alone;
use integration_tests::{Person, Server, eventually, stack, within};
use lakechat_client::CallError;
use reqwest::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;

const PEOPLE: usize = 200;

/// The pause before the same token is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// Refreshes that a person still makes after everything runs again.
const MORE: usize = 2;

const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

/// Registrations at a time: less than the hashes that may wait.
const AT_ONCE: usize = 10;

struct Refreshing {
    person: Person,
    /// Attempts that were not answered with tokens.
    lost: usize,
}

impl Refreshing {
    /// Exchanges the newest token, with as many attempts as it takes.
    async fn once(&mut self) {
        loop {
            let token = self.person.refresh_token();
            match self.person.api().refresh(token).await {
                Ok(login) => {
                    self.person.login = login;
                    return;
                }
                Err(CallError::Refused { status, refusal }) if status == UNAUTHORIZED => {
                    panic!("after {} lost answers: {refusal}", self.lost)
                }
                Err(_) => self.lost += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn until(mut self, mut over: watch::Receiver<bool>) -> usize {
        while !*over.borrow_and_update() {
            self.once().await;
        }
        for _ in 0..MORE {
            self.once().await;
        }
        self.lost
    }
}

async fn all_are_up(server: &Server) {
    eventually("all parts are up", async || {
        let ready = server.http().get("/readyz", "").await.json();
        let parts = ready["parts"].as_object()?;
        parts
            .values()
            .all(|part| part["state"] == "up")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_by_a_lost_answer_to_a_refresh() -> Result<()> {
    let alone = Alone::fresh().await?;
    let mut server = Server::of(&alone.cluster, &[]).await;
    let (stop, over) = watch::channel(false);
    let people = stream::iter(0..PEOPLE).map(async |n| {
        let person = Person::register(&server, &format!("u{n}")).await;
        Refreshing { person, lost: 0 }
    });
    let people: Vec<_> = people.buffer_unordered(AT_ONCE).collect().await;
    let mut people: JoinSet<_> = people
        .into_iter()
        .map(|refreshing| refreshing.until(over.clone()))
        .collect();
    stack::verb(&["kill", "thrift"]).await?;
    stack::verb(&["start", "thrift"]).await?;
    all_are_up(&server).await;
    server.kill_9().await;
    server.restart().await;
    all_are_up(&server).await;
    stop.send(true)?;
    let mut lost = 0;
    while let Some(done) = within(people.join_next()).await {
        lost += done?;
    }
    assert!(lost > 0, "answers have to get lost");
    println!("{lost} attempts without an answer");
    Ok(())
}
