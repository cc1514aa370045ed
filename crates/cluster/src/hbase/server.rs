//! A Thrift server, and whether it answers.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// A server is silent once a call timed out and no other call got an answer in that time. Then only its
/// [`HealthCheck`](super::health_check::HealthCheck) calls it, until it answers; all other calls fail at
/// once.
pub(super) struct Server {
    /// `host:port`.
    pub address: String,
    state: Mutex<ServerState>,
    changed: Condvar,
}

struct ServerState {
    last_answer: Instant,
    /// The reason, while it is silent.
    silence: Option<String>,
    closed: bool,
}

impl Server {
    pub fn new(address: &str) -> Server {
        Server {
            address: address.to_owned(),
            state: Mutex::new(ServerState {
                last_answer: Instant::now(),
                silence: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The reason, if it is silent.
    pub fn silence(&self) -> Option<String> {
        self.state().silence.clone()
    }

    /// A call ended without a time-out: with an answer, an error, or a refused connection.
    pub fn record_answer(&self) {
        let mut state = self.state();
        state.last_answer = Instant::now();
        if state.silence.take().is_some() {
            drop(state);
            tracing::info!(
                server = self.address,
                "HBase's Thrift server is responding again"
            );
        }
    }

    /// A call that began at `began` timed out. If another call got an answer since, only this one is slow.
    pub fn record_timeout(&self, began: Instant, reason: &str) {
        let mut state = self.state();
        if state.last_answer >= began || state.silence.is_some() {
            return;
        }
        state.silence = Some(reason.to_owned());
        drop(state);
        self.changed.notify_all();
        metrics::counter!("lakechat_hbase_silences_total").increment(1);
        tracing::warn!(%reason, "HBase's Thrift server is not responding; calls fail at once until it does");
    }

    /// Waits until the server is silent; `false` once closed.
    pub fn wait_until_silent(&self) -> bool {
        let state = self.state();
        let waits = |state: &mut ServerState| state.silence.is_none() && !state.closed;
        let state = self.changed.wait_while(state, waits);
        !state.expect("nothing panics under it").closed
    }

    /// Ends the wait of the health check.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().expect("nothing panics under it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_out_is_silence_only_if_no_other_call_was_answered() {
        let server = Server::new("h:9090");
        let began = Instant::now();
        server.record_answer();
        server.record_timeout(began, "late");
        assert_eq!(server.silence(), None);
        let began = Instant::now();
        server.record_timeout(began, "late");
        server.record_timeout(began, "later");
        assert_eq!(server.silence().as_deref(), Some("late"));
        assert!(server.wait_until_silent());
        server.record_answer();
        assert_eq!(server.silence(), None);
        server.close();
        assert!(!server.wait_until_silent());
    }
}
