//! Whether the server can do its work: what each of its parts last said of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::shutdown::Shutdown;

/// What a server is made of, for those who ask how it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Broker,
    History,
    Directory,
    Files,
    Presence,
    Archiver,
}

impl Part {
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Broker => "broker",
            Part::History => "history",
            Part::Directory => "directory",
            Part::Files => "files",
            Part::Presence => "presence",
            Part::Archiver => "archiver",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Up,
    /// It does its work, but not as it should.
    Degraded,
    Down,
}

/// How a part does, as `/readyz` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    pub state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it is by the configuration: goes into its reasons.
    #[serde(skip)]
    at: Option<String>,
    /// What is worth a figure, such as `lag_records`.
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub ready: bool,
    pub parts: BTreeMap<Part, Condition>,
}

/// What each part last said of itself. Cheap to clone; clones are one register.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Register>);

#[derive(Debug)]
struct Register {
    shutdown: Shutdown,
    has_started: AtomicBool,
    parts: Mutex<BTreeMap<Part, Condition>>,
}

impl Readiness {
    /// All of `parts` are down until they say otherwise.
    pub fn new(shutdown: Shutdown, parts: &[Part]) -> Readiness {
        let starting = || Condition {
            state: State::Down,
            reason: Some("starting".to_owned()),
            at: None,
            figures: BTreeMap::new(),
        };
        Readiness(Arc::new(Register {
            shutdown,
            has_started: AtomicBool::new(false),
            parts: Mutex::new(parts.iter().map(|p| (*p, starting())).collect()),
        }))
    }

    /// Says where a part is, such as `kafka.brokers = 127.0.0.1:9092`.
    pub fn is_at(&self, part: Part, at: String) {
        if let Some(condition) = self.parts().get_mut(&part) {
            condition.at = Some(at);
        }
    }

    /// The start is over: from here on the parts decide.
    pub fn started(&self) {
        self.0.has_started.store(true, Ordering::Relaxed);
    }

    pub fn up(&self, part: Part) {
        self.set(part, State::Up, None);
    }

    pub fn degraded(&self, part: Part, reason: impl Into<String>) {
        self.set(part, State::Degraded, Some(reason.into()));
    }

    pub fn down(&self, part: Part, reason: impl Into<String>) {
        self.set(part, State::Down, Some(reason.into()));
    }

    /// Sets a figure beside the part's state.
    pub fn figure(&self, part: Part, name: &'static str, value: u64) {
        if let Some(condition) = self.parts().get_mut(&part) {
            condition.figures.insert(name, value);
        }
    }

    #[cfg(test)]
    pub fn state(&self, part: Part) -> Option<State> {
        self.parts().get(&part).map(|c| c.state)
    }

    /// Why a part is not up.
    pub fn reason(&self, part: Part) -> Option<String> {
        self.parts().get(&part).and_then(|c| c.reason.clone())
    }

    /// The parts that are not up, as `welcome` names them.
    pub fn not_up(&self) -> Vec<&'static str> {
        let parts = self.parts();
        let not_up = parts.iter().filter(|(_, c)| c.state != State::Up);
        not_up.map(|(part, _)| part.as_str()).collect()
    }

    pub fn report(&self) -> Report {
        let parts = self.parts().clone();
        let broker = parts.get(&Part::Broker);
        let ready = self.0.has_started.load(Ordering::Relaxed)
            && !self.0.shutdown.is_draining()
            && broker.is_none_or(|b| b.state != State::Down);
        Report { ready, parts }
    }

    fn set(&self, part: Part, state: State, reason: Option<String>) {
        let (before, reason) = {
            let mut parts = self.parts();
            let Some(condition) = parts.get_mut(&part) else {
                return;
            };
            condition.reason = match (reason, &condition.at) {
                (Some(reason), Some(at)) => Some(format!("{reason} ({at})")),
                (reason, _) => reason,
            };
            let before = std::mem::replace(&mut condition.state, state);
            (before, condition.reason.clone())
        };
        let name = part.as_str();
        let is_up = f64::from(u8::from(state == State::Up));
        metrics::gauge!("lakechat_part_up", "part" => name).set(is_up);
        if before == state {
            return;
        }
        let reason = reason.as_deref().unwrap_or("it recovered");
        match state {
            State::Up => tracing::info!(part = name, "{name} is up"),
            State::Degraded => tracing::warn!(part = name, "{name} is degraded: {reason}"),
            State::Down => tracing::warn!(part = name, "{name} is down: {reason}"),
        }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<Part, Condition>> {
        self.0.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_from_its_start_to_its_drain_while_the_broker_is_there() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone(), &[Part::Broker, Part::Archiver]);
        readiness.up(Part::Broker);
        assert!(!readiness.report().ready, "starting");
        readiness.started();
        assert!(readiness.report().ready);
        readiness.down(Part::Broker, "no leader");
        assert!(!readiness.report().ready);
        readiness.degraded(Part::Broker, "clock skew");
        assert!(readiness.report().ready);
        assert_eq!(readiness.not_up(), ["broker", "archiver"]);
        shutdown.begin();
        assert!(!readiness.report().ready, "draining");
    }

    #[test]
    fn a_reason_says_where_its_part_is() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::Broker]);
        readiness.is_at(Part::Broker, "kafka.brokers = h:1".to_owned());
        readiness.down(Part::Broker, "refused");
        let reason = readiness.reason(Part::Broker);
        assert_eq!(reason.as_deref(), Some("refused (kafka.brokers = h:1)"));
        readiness.up(Part::Broker);
        assert_eq!(readiness.reason(Part::Broker), None);
    }

    #[test]
    fn the_report_has_the_shape_of_the_protocol() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::Broker, Part::Archiver]);
        readiness.up(Part::Broker);
        readiness.figure(Part::Archiver, "lag_records", 7);
        let text = serde_json::to_string(&readiness.report()).unwrap();
        assert_eq!(
            text,
            r#"{"ready":false,"parts":{"broker":{"state":"up"},"archiver":{"state":"down","reason":"starting","lag_records":7}}}"#
        );
    }
}
