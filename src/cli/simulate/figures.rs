//! What a run measures. Memory is bounded: histograms, and time slots of which there are at most some
//! hundreds.

mod latency;
mod timeline;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use self::latency::{Latency, Quantiles, milliseconds};
pub use self::timeline::{Slot, Timeline};

/// Lost connections that are kept one by one, for the plot.
const KEPT_OUTAGES: usize = 10_000;

/// Kinds of delays that are kept apart.
const KEPT_DELAYS: usize = 20;

/// The measurements of a run, which all people share.
#[derive(Debug)]
pub struct Figures {
    pub started: Instant,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
pub struct Tally {
    pub messages: Messages,
    /// People with a session; of these, those who talk and those who lost their connection.
    pub here: u64,
    pub talking: u64,
    pub cut: u64,
    pub ack: Latency,
    pub delivery: Latency,
    pub join: Latency,
    pub reconnect: Latency,
    pub timeline: Timeline,
    pub outages: Vec<Outage>,
    pub kills: Vec<Kill>,
    /// How often the server refused something for the moment, by what it said.
    pub delays: BTreeMap<String, u64>,
}

/// Counts of messages, as the report shows them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Messages {
    pub sent: u64,
    pub acked: u64,
    /// Acked as sent before: a retry found the first try stored.
    pub repeated: u64,
    pub received: u64,
    /// Received of what was due before the person came back.
    pub caught_up: u64,
    /// People who left their channels, and who came back.
    pub left: u64,
    pub came_back: u64,
}

/// A lost connection of one person.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outage {
    pub person: u32,
    /// Since the start of the run.
    #[serde(serialize_with = "as_seconds")]
    pub at: Duration,
    /// Until all channels were joined again.
    #[serde(serialize_with = "as_seconds")]
    pub took: Duration,
}

/// One run of the command that kills.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    #[serde(serialize_with = "as_seconds")]
    pub at: Duration,
    /// How long the command ran.
    #[serde(serialize_with = "as_seconds")]
    pub took: Duration,
    /// People who lost their connection.
    pub cut: u64,
    /// From the start of the command until nobody was disconnected, in seconds.
    pub all_back_after: Option<f64>,
}

fn as_seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

impl Figures {
    /// For a run that takes about so long.
    pub fn new(duration: Duration) -> Figures {
        let tally = Tally {
            messages: Messages::default(),
            here: 0,
            talking: 0,
            cut: 0,
            ack: Latency::new(),
            delivery: Latency::new(),
            join: Latency::new(),
            reconnect: Latency::new(),
            timeline: Timeline::new(duration),
            outages: Vec::new(),
            kills: Vec::new(),
            delays: BTreeMap::new(),
        };
        Figures {
            started: Instant::now(),
            tally: Mutex::new(tally),
        }
    }

    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nobody panics while counting")
    }
}

impl Tally {
    pub fn acked(&mut self, now: Duration, due: Duration, duplicate: bool) {
        let waited = now.saturating_sub(due);
        self.messages.acked += 1;
        self.messages.repeated += u64::from(duplicate);
        self.ack.record(waited);
        self.timeline.acked(now, waited);
    }

    /// A person who has been here since some time received a message.
    pub fn received(&mut self, now: Duration, due: Duration, here_since: Duration) {
        self.messages.received += 1;
        if due < here_since {
            self.messages.caught_up += 1;
            return;
        }
        let waited = now.saturating_sub(due);
        self.delivery.record(waited);
        self.timeline.received(now, waited);
    }

    pub fn delayed(&mut self, said: String) {
        if self.delays.len() < KEPT_DELAYS || self.delays.contains_key(&said) {
            *self.delays.entry(said).or_default() += 1;
        }
    }

    pub fn began_kill(&mut self, at: Duration) {
        self.kills.push(Kill {
            at,
            took: Duration::ZERO,
            cut: 0,
            all_back_after: None,
        });
    }

    pub fn ended_kill(&mut self, now: Duration) {
        if let Some(kill) = self.kills.last_mut() {
            kill.took = now.saturating_sub(kill.at);
        }
    }

    pub fn disconnected(&mut self) {
        self.cut += 1;
        if let Some(kill) = self.kills.last_mut() {
            kill.cut += 1;
        }
    }

    pub fn reconnected(&mut self, now: Duration, person: u32, at: Duration) {
        let took = now.saturating_sub(at);
        self.reconnect.record(took);
        if self.outages.len() < KEPT_OUTAGES {
            self.outages.push(Outage { person, at, took });
        }
        self.back(now);
    }

    /// A person who was cut is back, or gives up.
    pub fn back(&mut self, now: Duration) {
        self.cut = self.cut.saturating_sub(1);
        if self.cut > 0 {
            return;
        }
        let hit = self.kills.iter_mut().rev();
        let open = hit.take_while(|kill| kill.all_back_after.is_none());
        for kill in open.filter(|kill| kill.cut > 0) {
            kill.all_back_after = Some(now.saturating_sub(kill.at).as_secs_f64());
        }
    }
}
