//! Password hashing on threads of its own: a password takes 20 ms and 19 MiB.

use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, thread};

use argon2::password_hash::Error as HashError;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};

use crate::domain::{Code, Problem};
use crate::threads::{CallError, CallQueue, Context, OwnedThread};

/// Passwords that may wait for each thread: about a second's work.
const WAITING_PER_THREAD: usize = 32;

const MOST_THREADS: usize = 4;

/// A hash that matches no password, with the same cost as a real one. The passwords of unknown
/// users are verified against it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bGFrZWNoYXQtbm9ib2R5IQ\
                      $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The threads that hash at full speed: one for each core, at most four.
pub fn threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.min(MOST_THREADS)
}

/// The hash of a password with a random salt, in PHC string format. Blocks.
pub fn hash(password: &str) -> Result<String, Problem> {
    let hashed = argon2id().hash_password(password.as_bytes());
    Ok(hashed.map_err(Problem::internal)?.to_string())
}

/// argon2id with the parameters that OWASP recommends (m = 19,456 KiB, t = 2, p = 1).
///
/// A running hash needs 19 MiB.
pub struct Hasher {
    hashes: Arc<CallQueue<Argon2id>>,
    _threads: Vec<OwnedThread>,
    pub count: HashCount,
}

/// What the threads do. They need nothing for it.
enum Argon2id {}

impl Context for Argon2id {
    type Ref<'a> = Argon2<'static>;
    type Error = HashError;
}

/// Counts how many times a password was hashed or compared with a hash. Each time costs the same.
#[derive(Clone, Debug, Default)]
pub struct HashCount {
    #[cfg(test)]
    of_this_hasher: Arc<AtomicU64>,
}

impl HashCount {
    fn add(&self) {
        metrics::counter!("lakechat_password_hashes_total").increment(1);
        #[cfg(test)]
        self.of_this_hasher.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub fn get(&self) -> u64 {
        self.of_this_hasher.load(Ordering::Relaxed)
    }
}

impl Hasher {
    /// Starts threads that are called `<name>-<n>`.
    pub fn start(name: &'static str, count: usize) -> io::Result<Hasher> {
        // When the queue is full, the caller gets `rate_limited`.
        let hashes = Arc::new(CallQueue::new(count * WAITING_PER_THREAD));
        let start = |n| {
            let hashes = Arc::clone(&hashes);
            OwnedThread::restarting(format!("{name}-{n}"), move || serve(&hashes))
        };
        let threads: io::Result<_> = (0..count).map(start).collect();
        // Without all threads there is no hasher, and the others have to end.
        let threads = threads.inspect_err(|_| hashes.close())?;
        Ok(Hasher {
            hashes,
            _threads: threads,
            count: HashCount::default(),
        })
    }

    /// The hash of a password with a random salt, in PHC string format.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let count = self.count.clone();
        let hash = move |argon2id: Argon2<'_>| -> Result<PasswordHash, HashError> {
            count.add();
            argon2id.hash_password(password.as_bytes())
        };
        let hash = self.run(hash).await?.map_err(Problem::internal)?;
        Ok(hash.to_string())
    }

    /// Whether a hash is that of one of these passwords. Without a hash it returns false, after the
    /// time of a hash that matches none of them.
    pub async fn verify(
        &self,
        candidates: Vec<String>,
        hash: Option<&str>,
    ) -> Result<bool, Problem> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let count = self.count.clone();
        let verify = move |argon2id: Argon2<'_>| {
            for password in candidates {
                count.add();
                match argon2id.verify_password(password.as_bytes(), hash.as_str()) {
                    Ok(()) => return Ok(true),
                    Err(HashError::PasswordInvalid) => {}
                    Err(broken) => return Err(broken),
                }
            }
            Ok(false)
        };
        let matches = self.run(verify).await?.map_err(Problem::internal)?;
        Ok(matches && exists)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Argon2<'static>) -> Result<T, HashError> + Send + 'static,
    ) -> Result<Result<T, HashError>, Problem> {
        self.hashes.call(work).await.map_err(|error| match error {
            CallError::Full => busy(),
            CallError::Lost(lost) => Problem::internal(lost),
        })
    }
}

impl Drop for Hasher {
    /// Dropping the threads then waits for running hashes, about 20 ms.
    fn drop(&mut self) {
        self.hashes.close();
    }
}

fn serve(hashes: &CallQueue<Argon2id>) {
    while let Some(call) = hashes.take() {
        call.perform(argon2id());
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

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn a_hash_takes_its_own_password_only() {
        let hasher = Hasher::start("test", 1).expect("threads");
        let hash = hasher.hash("correct horse".into()).await.expect("hashed");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            hasher
                .verify(vec!["raw".into(), "correct horse".into()], Some(&hash))
                .await
                .expect("verified")
        );
        assert!(
            !hasher
                .verify(vec!["wrong horse".into()], Some(&hash))
                .await
                .expect("verified")
        );
        assert!(
            !hasher
                .verify(vec![String::new()], None)
                .await
                .expect("verified")
        );
    }

    #[tokio::test]
    async fn nobody_has_the_cost_that_everybody_has() {
        let hasher = Hasher::start("test", 1).expect("threads");
        let hash = hasher.hash("correct horse".into()).await.expect("hashed");
        let parsed = |text: &str| PasswordHash::new(text).expect("a PHC string");
        let (ours, nobody) = (parsed(&hash), parsed(NOBODY));
        assert_eq!(ours.params, nobody.params);
        assert_eq!(ours.algorithm, nobody.algorithm);
        assert_eq!(ours.hash.map(|h| h.len()), nobody.hash.map(|h| h.len()));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let hasher = Hasher::start("test", 1).expect("threads");
        let (started, running) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut busy = Box::pin(hasher.run(move |_| {
            started.send(()).expect("the test waits");
            // Ends when the test drops the other end.
            let _ = released.recv();
            Ok(())
        }));
        assert!(poll!(&mut busy).is_pending());
        running.recv().expect("the thread is busy");
        let mut waiting = Vec::new();
        for _ in 0..WAITING_PER_THREAD {
            let mut call = Box::pin(hasher.run(|_| Ok(())));
            assert!(poll!(&mut call).is_pending());
            waiting.push(call);
        }

        let problem = hasher.hash("correct horse".into()).await.expect_err("full");
        assert_eq!(problem.code, Code::RateLimited);
        assert_eq!(problem.retry_after_ms, Some(1000));
        drop(release);
    }

    #[tokio::test]
    async fn a_hash_that_panics_fails_alone() {
        let hasher = Hasher::start("test", 1).expect("threads");
        let panics = hasher.run(|_| -> Result<(), _> { panic!("as a bug would") });
        assert_eq!(panics.await.expect_err("no hash").code, Code::Internal);
        hasher.hash("correct horse".into()).await.expect("hashed");
    }
}
