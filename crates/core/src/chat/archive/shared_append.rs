//! The call to history that the partitions of a server share.
//!
//! What a call costs depends on the number of calls more than on that of their rows. So archivers store at
//! the same moments, and their rows go into one call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, sleep};

use crate::domain::HistoryRow;
use crate::ports::History;

/// How long the first rows of a call wait for those of other partitions.
const GATHER: Duration = Duration::from_millis(5);

/// Joins the rows of several archivers into one call, if history prefers that.
#[derive(Clone)]
pub(super) struct SharedAppend {
    history: Arc<dyn History>,
    /// How long rows wait at most.
    linger: Duration,
    /// The moments at which all archivers store lie whole multiples of `linger` after this one. `None`: each
    /// stores by itself.
    began: Option<Instant>,
    gathering: Arc<Mutex<Option<Gathering>>>,
}

/// A call that has not begun yet.
struct Gathering {
    rows: Vec<HistoryRow>,
    partitions: usize,
    call: Call,
}

/// Whether the rows were stored. It goes on while any of its archivers waits.
type Call = Shared<BoxFuture<'static, bool>>;

impl SharedAppend {
    pub fn new(history: Arc<dyn History>, linger: Duration) -> SharedAppend {
        let is_on = !linger.is_zero() && history.prefers_few_calls();
        SharedAppend {
            history,
            linger,
            began: is_on.then(Instant::now),
            gathering: Arc::default(),
        }
    }

    /// When rows that begin to wait now are stored at the latest.
    pub fn next_moment(&self) -> Instant {
        let now = Instant::now();
        let Some(began) = self.began else {
            return now + self.linger;
        };
        let passed = (now - began).as_nanos() % self.linger.as_nanos();
        now + self.linger - Duration::from_nanos(u64::try_from(passed).unwrap_or(0))
    }

    /// Stores rows together with those of other partitions. `false`: they were not stored, or only some of
    /// them, because nobody else had any, or because the call failed. Then the caller stores them itself, so
    /// that one partition's trouble doesn't hold up the others.
    pub async fn append(&self, rows: Vec<HistoryRow>) -> bool {
        self.began.is_some() && self.join(rows).await
    }

    fn join(&self, rows: Vec<HistoryRow>) -> Call {
        let mut gathering = self.gathering.lock().expect("no panic while held");
        let joined = gathering.get_or_insert_with(|| Gathering {
            rows: Vec::new(),
            partitions: 0,
            call: self.call(),
        });
        joined.rows.extend(rows);
        joined.partitions += 1;
        joined.call.clone()
    }

    fn call(&self) -> Call {
        let (history, gathering) = (Arc::clone(&self.history), Arc::clone(&self.gathering));
        let call = async move {
            sleep(GATHER).await;
            let gathered = gathering.lock().expect("no panic while held").take();
            let Some(Gathering {
                rows, partitions, ..
            }) = gathered
            else {
                return false; // Not reached: only this call takes it.
            };
            if partitions == 1 {
                return false;
            }
            match history.append(rows).await {
                Ok(()) => true,
                Err(error) => {
                    metrics::counter!("lakechat_archive_retries_total").increment(1);
                    tracing::warn!(%error, partitions, "a call for several partitions failed; each partition writes its own rows");
                    false
                }
            }
        };
        call.boxed().shared()
    }
}
