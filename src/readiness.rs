//! Whether the server is ready, and the state of each of its parts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::shutdown::Shutdown;

/// A part of the server whose state `/readyz` shows.
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
pub enum PartState {
    Up,
    /// It works, but not fully.
    Degraded,
    Down,
}

/// The state of a part, as `/readyz` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PartStatus {
    pub state: PartState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The configured address, which is added to `reason`.
    #[serde(skip)]
    location: Option<String>,
    /// Numbers such as `lag_records`.
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ReadinessReport {
    pub ready: bool,
    pub parts: BTreeMap<Part, PartStatus>,
}

/// The last reported state of each part. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Register>);

#[derive(Debug)]
struct Register {
    shutdown: Shutdown,
    has_started: AtomicBool,
    parts: Mutex<BTreeMap<Part, PartStatus>>,
}

impl Readiness {
    /// Every part is down (`starting`) until it is reported otherwise.
    pub fn new(shutdown: Shutdown, parts: &[Part]) -> Readiness {
        let starting = || PartStatus {
            state: PartState::Down,
            reason: Some("starting".to_owned()),
            location: None,
            figures: BTreeMap::new(),
        };
        Readiness(Arc::new(Register {
            shutdown,
            has_started: AtomicBool::new(false),
            parts: Mutex::new(parts.iter().map(|p| (*p, starting())).collect()),
        }))
    }

    /// Sets the configured address of a part, such as `kafka.brokers = 127.0.0.1:9092`.
    pub fn set_location(&self, part: Part, location: String) {
        if let Some(status) = self.parts().get_mut(&part) {
            status.location = Some(location);
        }
    }

    /// Ends the start: from here on the state of the parts decides.
    pub fn set_started(&self) {
        self.0.has_started.store(true, Ordering::Relaxed);
    }

    pub fn set_up(&self, part: Part) {
        self.set(part, PartState::Up, None);
    }

    pub fn set_degraded(&self, part: Part, reason: impl Into<String>) {
        self.set(part, PartState::Degraded, Some(reason.into()));
    }

    pub fn set_down(&self, part: Part, reason: impl Into<String>) {
        self.set(part, PartState::Down, Some(reason.into()));
    }

    /// Sets a number that `/readyz` shows with the part.
    pub fn set_figure(&self, part: Part, name: &'static str, value: u64) {
        if let Some(status) = self.parts().get_mut(&part) {
            status.figures.insert(name, value);
        }
    }

    #[cfg(test)]
    pub fn state(&self, part: Part) -> Option<PartState> {
        self.parts().get(&part).map(|c| c.state)
    }

    /// Why a part is not up. None if it is up.
    pub fn reason(&self, part: Part) -> Option<String> {
        self.parts().get(&part).and_then(|c| c.reason.clone())
    }

    /// The names of the parts that are not up.
    pub fn not_up(&self) -> Vec<&'static str> {
        let parts = self.parts();
        let not_up = parts.iter().filter(|(_, c)| c.state != PartState::Up);
        not_up.map(|(part, _)| part.as_str()).collect()
    }

    pub fn report(&self) -> ReadinessReport {
        let parts = self.parts().clone();
        let broker = parts.get(&Part::Broker);
        let ready = self.0.has_started.load(Ordering::Relaxed)
            && !self.0.shutdown.is_draining()
            && broker.is_none_or(|b| b.state != PartState::Down);
        ReadinessReport { ready, parts }
    }

    fn set(&self, part: Part, state: PartState, reason: Option<String>) {
        let (before, reason) = {
            let mut parts = self.parts();
            let Some(status) = parts.get_mut(&part) else {
                return;
            };
            status.reason = match (reason, &status.location) {
                (Some(reason), Some(location)) => Some(format!("{reason} ({location})")),
                (reason, _) => reason,
            };
            let before = std::mem::replace(&mut status.state, state);
            (before, status.reason.clone())
        };
        let name = part.as_str();
        let is_up = f64::from(u8::from(state == PartState::Up));
        metrics::gauge!("lakechat_part_up", "part" => name).set(is_up);
        if before == state {
            return;
        }
        let reason = reason.as_deref().unwrap_or_default();
        match state {
            PartState::Up => tracing::info!(part = name, "{name} is up"),
            PartState::Degraded => tracing::warn!(part = name, "{name} is degraded: {reason}"),
            PartState::Down => tracing::warn!(part = name, "{name} is down: {reason}"),
        }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<Part, PartStatus>> {
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
        readiness.set_up(Part::Broker);
        assert!(!readiness.report().ready, "starting");
        readiness.set_started();
        assert!(readiness.report().ready);
        readiness.set_down(Part::Broker, "no leader");
        assert!(!readiness.report().ready);
        readiness.set_degraded(Part::Broker, "clock skew");
        assert!(readiness.report().ready);
        assert_eq!(readiness.not_up(), ["broker", "archiver"]);
        shutdown.begin();
        assert!(!readiness.report().ready, "draining");
    }

    #[test]
    fn a_reason_contains_the_location_of_its_part() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::Broker]);
        readiness.set_location(Part::Broker, "kafka.brokers = h:1".to_owned());
        readiness.set_down(Part::Broker, "refused");
        let reason = readiness.reason(Part::Broker);
        assert_eq!(reason.as_deref(), Some("refused (kafka.brokers = h:1)"));
        readiness.set_up(Part::Broker);
        assert_eq!(readiness.reason(Part::Broker), None);
    }

    #[test]
    fn the_report_has_the_shape_of_the_protocol() {
        let readiness = Readiness::new(Shutdown::new(), &[Part::Broker, Part::Archiver]);
        readiness.set_up(Part::Broker);
        readiness.set_figure(Part::Archiver, "lag_records", 7);
        let text = serde_json::to_string(&readiness.report()).unwrap();
        assert_eq!(
            text,
            r#"{"ready":false,"parts":{"broker":{"state":"up"},"archiver":{"state":"down","reason":"starting","lag_records":7}}}"#
        );
    }
}
