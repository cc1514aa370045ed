//! Somebody who uploads one file after the other, and in the end wants each of them back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::bytes::{made, sha256, sha256_of};
use integration_tests::people::PASSWORD;
use integration_tests::{Http, Person};
use lakechat_client::CallError;
use reqwest::StatusCode;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::JoinHandle;
use tokio::time::interval;

/// Between what fits a row of HBase, and some parts of a file in HDFS.
const SIZES: [u64; 3] = [1_000, 300_000, 3_000_000];

/// Time between two uploads.
const PACE: Duration = Duration::from_millis(700);

pub struct Files {
    person: Person,
    http: Http,
    go_on: watch::Sender<bool>,
    /// Who has it uploads, or keeps others from it.
    turn: Arc<Mutex<()>>,
    uploading: JoinHandle<Result<Vec<Stored>>>,
}

/// A file that the server has said to have.
struct Stored {
    id: String,
    seed: u64,
    size: u64,
}

impl Files {
    pub fn begin(person: Person, http: Http) -> Files {
        let (go_on, wanted) = watch::channel(true);
        let turn = Arc::default();
        Files {
            http,
            uploading: tokio::spawn(upload(person.clone(), wanted, Arc::clone(&turn))),
            turn,
            person,
            go_on,
        }
    }

    /// Nothing is uploaded while the guard lives.
    pub async fn hold(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Downloads all that was stored; how many files these are.
    pub async fn end(self) -> Result<usize> {
        self.go_on.send_replace(false);
        let stored = self.uploading.await??;
        let token = log_in(&self.person).await?;
        for file in &stored {
            let path = format!("/download/{}", file.id);
            let bytes = self.http.get(&path, &token).await.expect(200).body;
            let expected = sha256_of(file.seed, file.size).await;
            ensure!(sha256(&bytes) == expected, "file {} is altered", file.id);
        }
        Ok(stored.len())
    }
}

async fn log_in(person: &Person) -> Result<String> {
    let login = person.api().login(person.name(), PASSWORD).await;
    Ok(login.context("no login")?.token.expose().clone())
}

async fn upload(
    person: Person,
    go_on: watch::Receiver<bool>,
    turn: Arc<Mutex<()>>,
) -> Result<Vec<Stored>> {
    let api = person.api();
    let mut token = person.token().to_owned();
    let mut stored = Vec::new();
    let mut pace = interval(PACE);
    for seed in 0.. {
        pace.tick().await;
        if !*go_on.borrow() {
            break;
        }
        let _turn = turn.lock().await;
        let size = SIZES[seed as usize % SIZES.len()];
        let bytes = Box::pin(made(seed, size));
        match api.upload(&token, "a file", size, bytes).await {
            Ok(file) => stored.push(Stored {
                id: file.id.to_string(),
                seed,
                size,
            }),
            Err(CallError::Refused { status, .. }) if status == StatusCode::UNAUTHORIZED => {
                // A server whose clock is ahead finds tokens expired.
                if let Ok(fresh) = log_in(&person).await {
                    token = fresh;
                }
            }
            // The next one, then.
            Err(CallError::Unreachable(_) | CallError::Foreign { .. }) => {}
            Err(CallError::Refused { status, .. }) if status.is_server_error() => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(stored)
}
