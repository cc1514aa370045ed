//! Whether the log's topic is still as it was at the start.

use std::sync::Mutex;

use super::error::broken;
use lakechat_core::ports::PortError;

/// Why the log must not be used: the topic was deleted, or its partitions changed. Cleared when a later
/// look finds the topic as it was.
#[derive(Default)]
pub(super) struct TopicHealth(Mutex<Option<String>>);

impl TopicHealth {
    pub fn set(&self, problem: Option<String>) {
        let mut current = self.0.lock().expect("nothing panics under it");
        if *current != problem {
            match &problem {
                Some(reason) => {
                    tracing::error!(%reason, "the topic changed; the log is not used until this is resolved")
                }
                None => tracing::info!("the topic is unchanged again; the log is back in use"),
            }
            *current = problem;
        }
    }

    pub fn reason(&self) -> Option<String> {
        self.0.lock().expect("nothing panics under it").clone()
    }

    pub fn check(&self) -> Result<(), PortError> {
        self.reason().map_or(Ok(()), |reason| Err(broken(reason)))
    }
}
