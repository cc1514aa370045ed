//! The settings of the topics while the server runs: an operator may change them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::admin::{TopicAdmin, TopicState};

/// How often the settings are read.
const LOOK: Duration = Duration::from_secs(10);

/// Reads the settings again and again. Dropping it ends that.
pub(in super::super) struct TopicWatch {
    state: watch::Receiver<TopicState>,
    _task: AbortOnDropHandle<()>,
}

impl TopicWatch {
    /// `first` is what the start has found.
    pub fn start(admin: TopicAdmin, first: TopicState, runtime: &Handle) -> TopicWatch {
        report(&TopicState::default(), &first);
        let (found, state) = watch::channel(first);
        let task = runtime.spawn(run(Arc::new(admin), found));
        TopicWatch {
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// How long the log keeps a record; `None`: for ever.
    pub fn retention(&self) -> Option<Duration> {
        self.state.borrow().retention
    }

    /// What has to be changed, and what makes messages less safe than they could be: a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state.borrow();
        let faults = state.faults.iter().map(ToString::to_string);
        faults.chain(state.warnings.iter().cloned()).collect()
    }
}

async fn run(admin: Arc<TopicAdmin>, found: watch::Sender<TopicState>) {
    loop {
        sleep(LOOK).await;
        let (admin, runtime) = (Arc::clone(&admin), Handle::current());
        let describe = move || runtime.block_on(admin.describe());
        match tokio::task::spawn_blocking(describe).await {
            Ok(Ok(state)) => {
                report(&found.borrow(), &state);
                found.send_replace(state);
            }
            Ok(Err(error)) => tracing::debug!(%error, "can't read the settings of the topics"),
            Err(panic) => tracing::error!(%panic, "reading the settings of the topics failed"),
        }
    }
}

/// Logs what is new.
fn report(before: &TopicState, state: &TopicState) {
    let faults = state.faults.iter();
    for fault in faults.filter(|fault| !before.faults.contains(fault)) {
        tracing::error!("a setting of the log has to be changed: {fault}");
    }
    let warnings = state.warnings.iter();
    for warning in warnings.filter(|warning| !before.warnings.contains(warning)) {
        tracing::warn!("{warning}");
    }
    let corrected = before.faults.iter();
    for fault in corrected.filter(|fault| !state.faults.contains(fault)) {
        let (topic, setting) = (&fault.topic, fault.setting);
        tracing::info!(topic, setting, "a setting of the log was changed");
    }
    metrics::gauge!("lakechat_topic_faults").set(state.faults.len() as f64);
}
