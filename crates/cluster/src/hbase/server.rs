//! A Thrift server, and whether it has stopped answering.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// A call that got no answer in its whole time, while nobody else got one either, makes a server
/// silent. Then nobody waits for it but one who asks on ([`Prober`](super::health_check::Prober)), until it
/// answers.
pub(super) struct Server {
    /// `host:port`.
    pub address: String,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    answered: Instant,
    /// What it was asked in vain.
    silent: Option<String>,
    closed: bool,
}

impl Server {
    pub fn new(address: &str) -> Server {
        Server {
            address: address.to_owned(),
            state: Mutex::new(State {
                answered: Instant::now(),
                silent: None,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Why it is not worth asking, if it is silent.
    pub fn silent(&self) -> Option<String> {
        self.state().silent.clone()
    }

    /// It keeps nobody waiting: it answered, whatever it said, or is gone.
    pub fn answered(&self) {
        let mut state = self.state();
        state.answered = Instant::now();
        if state.silent.take().is_some() {
            drop(state);
            tracing::info!(
                server = self.address,
                "HBase's Thrift server is silent no more"
            );
        }
    }

    /// A call that began at a time has got no answer in time. One that others got meanwhile says
    /// that it was this call alone.
    pub fn late(&self, began: Instant, reason: &str) {
        let mut state = self.state();
        if state.answered >= began || state.silent.is_some() {
            return;
        }
        state.silent = Some(reason.to_owned());
        drop(state);
        self.changed.notify_all();
        metrics::counter!("lakechat_hbase_silences_total").increment(1);
        tracing::warn!(%reason, "HBase's Thrift server is silent: calls are refused until it answers");
    }

    /// Waits until it is silent; false once closed.
    pub fn wait_until_silent(&self) -> bool {
        let state = self.state();
        let waits = |state: &mut State| state.silent.is_none() && !state.closed;
        let state = self.changed.wait_while(state, waits);
        !state.expect("nothing panics under it").closed
    }

    /// Ends all waiting.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_call_is_silence_only_if_nobody_was_answered_meanwhile() {
        let server = Server::new("h:9090");
        let began = Instant::now();
        server.answered();
        server.late(began, "late");
        assert_eq!(server.silent(), None);
        let began = Instant::now();
        server.late(began, "late");
        server.late(began, "later");
        assert_eq!(server.silent().as_deref(), Some("late"));
        assert!(server.wait_until_silent());
        server.answered();
        assert_eq!(server.silent(), None);
        server.close();
        assert!(!server.wait_until_silent());
    }
}
