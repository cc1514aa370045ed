//! Runs of servers, and the drafts that this run has open.
//!
//! A run shows that it is alive by touching a heartbeat file. Its age is computed from two time stamps
//! of the NameNode, that file's and the one of this server's own latest heartbeat: so servers whose
//! clocks differ don't take each other for dead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::random;

use lakechat_core::domain::StoredName;

/// The name of one run of one server: the server's id and a random number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run(String);

impl Run {
    pub fn begin(server: &str) -> Run {
        Run(format!("{server}.{:016x}", random::<u64>()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The age of a time stamp; zero if it lies in the future.
pub(super) fn age(now_ms: u64, stamp_ms: u64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(stamp_ms))
}

/// Whether a run that was silent for so long counts as dead: for `idle`, and for longer than failed
/// heartbeats can explain.
pub(super) fn is_dead(silent: Duration, idle: Duration, dead_after: Duration) -> bool {
    silent >= idle.max(dead_after)
}

/// The drafts of this run that have a writer.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenDrafts(Arc<Mutex<HashSet<StoredName>>>);

impl OpenDrafts {
    /// Adds a draft, until the returned guard is dropped.
    pub fn register(&self, name: StoredName) -> OpenDraft {
        self.with(|drafts| drafts.insert(name));
        metrics::gauge!("lakechat_hdfs_open_drafts").increment(1);
        OpenDraft {
            drafts: self.clone(),
            name,
        }
    }

    pub fn contains(&self, name: StoredName) -> bool {
        self.with(|drafts| drafts.contains(&name))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<StoredName>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps a draft among the open ones.
#[derive(Debug)]
pub(super) struct OpenDraft {
    drafts: OpenDrafts,
    name: StoredName,
}

impl Drop for OpenDraft {
    fn drop(&mut self) {
        self.drafts.with(|drafts| drafts.remove(&self.name));
        metrics::gauge!("lakechat_hdfs_open_drafts").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakechat_core::domain::FileId;

    #[test]
    fn run_is_dead_only_after_many_heartbeats() {
        let [idle, dead_after] = [3600, 300].map(Duration::from_secs);
        assert!(!is_dead(
            Duration::from_secs(299),
            Duration::ZERO,
            dead_after
        ));
        assert!(is_dead(dead_after, Duration::ZERO, dead_after));
        assert!(!is_dead(dead_after, idle, dead_after));
        assert!(is_dead(idle, idle, dead_after));
        assert_eq!(age(5, 7), Duration::ZERO);
    }

    #[test]
    fn draft_is_open_until_its_guard_is_dropped() {
        let (drafts, id) = (OpenDrafts::default(), FileId::random().into());
        let open = drafts.register(id);
        assert!(drafts.contains(id) && !drafts.contains(FileId::random().into()));
        drop(open);
        assert!(!drafts.contains(id));
    }
}
