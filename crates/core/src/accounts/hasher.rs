//! Password hashing on threads of its own: a password takes 20 ms and 19 MiB.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{io, thread};

use argon2::password_hash::Error as HashError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::oneshot;

use crate::domain::{Code, Problem};

/// Passwords that may wait for each thread: about a second's work.
const WAITING_PER_THREAD: usize = 32;

const MOST_THREADS: usize = 4;

/// A hash that matches no password, with the same cost as a real one. The passwords of unknown
/// users are verified against it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bGFrZWNoYXQtbm9ib2R5IQ\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

type Job = Box<dyn FnOnce() + Send>;

/// argon2id with the parameters that OWASP recommends (m = 19,456 KiB, t = 2, p = 1).
///
/// There is one thread for each core, at most four, so that running hashes need 76 MiB at most.
pub struct Hasher {
    /// `None` only during the drop.
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Hasher {
    pub fn start() -> io::Result<Hasher> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Hasher::with_threads(cores.min(MOST_THREADS))
    }

    fn with_threads(count: usize) -> io::Result<Hasher> {
        // When the queue is full, the caller gets `rate_limited`.
        let (jobs, queue) = sync_channel(count * WAITING_PER_THREAD);
        let queue = Arc::new(Mutex::new(queue));
        let spawn = |n| {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name(format!("password-{n}"))
                .spawn(move || work(&queue))
        };
        let threads = (0..count).map(spawn).collect::<io::Result<_>>()?;
        Ok(Hasher {
            jobs: Some(jobs),
            threads,
        })
    }

    /// The hash of a password with a random salt, in PHC string format.
    pub async fn hash(&self, password: &str) -> Result<String, Problem> {
        let password = password.to_owned();
        let hash = move || argon2id().hash_password(password.as_bytes());
        let hash: PasswordHash = self.run(hash).await?.map_err(Problem::internal)?;
        Ok(hash.to_string())
    }

    /// Whether a hash is that of this password. Without a hash it returns false, after the same
    /// time.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Problem> {
        let exists = hash.is_some();
        let password = password.to_owned();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let verify = move || argon2id().verify_password(password.as_bytes(), hash.as_str());
        match self.run(verify).await? {
            Ok(()) => Ok(exists),
            Err(HashError::PasswordInvalid) => Ok(false),
            Err(broken) => Err(Problem::internal(broken)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // The caller may have stopped waiting while the job was queued.
            if !answer.is_closed() {
                let _ = answer.send(task());
            }
        });
        let jobs = self.jobs.as_ref().expect("there until dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => busy(),
            TrySendError::Disconnected(_) => Problem::internal("the password threads are gone"),
        })?;
        result.await.map_err(Problem::internal)
    }
}

impl Drop for Hasher {
    /// Waits for running hashes, about 20 ms. Nobody waits for the queued jobs any more, so each
    /// ends without hashing.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // An error means that the thread panicked. It has ended in that case, too.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting for a job, but not while it runs: one thread waits for the
        // queue, the others for the lock.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn busy() -> Problem {
    metrics::counter!("lakechat_password_queue_full_total").increment(1);
    let text = "Too many people are logging in right now; try again in a second.";
    Problem::new(Code::RateLimited, text).retry_after_ms(1000)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_hash_takes_its_own_password_only() {
        let hasher = Hasher::with_threads(1).expect("threads");
        let hash = hasher.hash("correct horse").await.expect("hashed");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            hasher
                .verify("correct horse", Some(&hash))
                .await
                .expect("verified")
        );
        assert!(
            !hasher
                .verify("wrong horse", Some(&hash))
                .await
                .expect("verified")
        );
        assert!(!hasher.verify("", None).await.expect("verified"));
    }

    #[tokio::test]
    async fn nobody_has_the_cost_that_everybody_has() {
        let hasher = Hasher::with_threads(1).expect("threads");
        let hash = hasher.hash("correct horse").await.expect("hashed");
        let parsed = |text: &str| PasswordHash::new(text).expect("a PHC string");
        let (ours, nobody) = (parsed(&hash), parsed(NOBODY));
        assert_eq!(ours.params, nobody.params);
        assert_eq!(ours.algorithm, nobody.algorithm);
        assert_eq!(ours.hash.map(|h| h.len()), nobody.hash.map(|h| h.len()));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let hasher = Hasher::with_threads(1).expect("threads");
        let jobs = hasher.jobs.clone().expect("there until dropped");
        let (started, running) = mpsc::channel();
        let (release, wait) = mpsc::channel::<()>();
        let block = move || {
            started.send(()).expect("the test waits");
            let _ = wait.recv();
        };
        jobs.send(Box::new(block)).expect("the thread runs");
        running.recv().expect("the thread is busy");
        while jobs.try_send(Box::new(|| ())).is_ok() {}

        let problem = hasher.hash("correct horse").await.expect_err("full");
        assert_eq!(problem.code, Code::RateLimited);
        assert_eq!(problem.retry_after_ms, Some(1000));
        drop((jobs, release));
    }
}
