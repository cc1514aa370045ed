//! Who is alive: servers by their beats, drafts of this server by their writers.
//!
//! Every run of a server touches a file of its own once in a while. All times are those of the
//! NameNode, as it stamps them, and "now" is the stamp of one's own latest beat: so clocks that
//! differ between servers kill nobody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::random;

use lakechat_core::domain::FileId;

/// One run of one server: its name, and what tells it from other runs.
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

/// How old a stamp is; one from the future is no age at all.
pub(super) fn age(now_ms: u64, stamp_ms: u64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(stamp_ms))
}

/// Whether a run is over: it was silent for `idle`, and for so long that beats that failed can't
/// explain it.
pub(super) fn is_over(silent: Duration, idle: Duration, dead_after: Duration) -> bool {
    silent >= idle.max(dead_after)
}

/// The drafts of this run that have a writer.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts(Arc<Mutex<HashSet<FileId>>>);

impl Drafts {
    /// Enters a draft. It has a writer until what is returned is dropped.
    pub fn enter(&self, id: FileId) -> Entered {
        self.with(|drafts| drafts.insert(id));
        metrics::gauge!("lakechat_hdfs_open_drafts").increment(1);
        Entered {
            drafts: self.clone(),
            id,
        }
    }

    pub fn contain(&self, id: FileId) -> bool {
        self.with(|drafts| drafts.contains(&id))
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<FileId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A draft's place among those that have a writer.
#[derive(Debug)]
pub(super) struct Entered {
    drafts: Drafts,
    id: FileId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.drafts.with(|drafts| drafts.remove(&self.id));
        metrics::gauge!("lakechat_hdfs_open_drafts").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_over_only_after_many_beats() {
        let [idle, dead_after] = [3600, 300].map(Duration::from_secs);
        assert!(!is_over(
            Duration::from_secs(299),
            Duration::ZERO,
            dead_after
        ));
        assert!(is_over(dead_after, Duration::ZERO, dead_after));
        assert!(!is_over(dead_after, idle, dead_after));
        assert!(is_over(idle, idle, dead_after));
        assert_eq!(age(5, 7), Duration::ZERO);
    }

    #[test]
    fn a_draft_has_a_writer_until_it_is_let_go() {
        let (drafts, id) = (Drafts::default(), FileId::random());
        let entered = drafts.enter(id);
        assert!(drafts.contain(id) && !drafts.contain(FileId::random()));
        drop(entered);
        assert!(!drafts.contain(id));
    }
}
