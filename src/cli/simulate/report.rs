//! The report of a run.

mod page;
mod plot;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

pub use self::page::page;
pub use self::text::text;
use super::check::Fault;
use super::figures::{Kill, Messages, Outage, Quantiles, Slot};
use super::limits;
use super::run::Run;

/// Everything that a run showed. Its fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    pub passed: bool,
    /// The first message that is wrong, or else the first failure of another kind.
    pub first: Option<String>,
    /// Numbers of messages by what is wrong with them.
    pub faults: BTreeMap<String, u64>,
    /// The first faults of messages, in the order in which they were found.
    pub fault_list: Vec<String>,
    /// What went wrong other than with a message; the first ones.
    pub failures: Vec<String>,
    pub failures_count: u64,
    pub scene: Scene,
    pub seconds: f64,
    pub interrupted: bool,
    pub messages: Messages,
    pub latency_ms: Latencies,
    pub kills: Vec<Kill>,
    pub delays: Vec<Delay>,
    pub timeline: Vec<Slot>,
    /// Lost connections; the first 10,000.
    pub outages: Vec<Outage>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct Scene {
    pub urls: Vec<String>,
    pub users: u32,
    pub channels: u32,
    pub joins: u32,
    pub rate: f64,
    pub size: u32,
    pub duration_s: f64,
    pub seed: u64,
    pub prefix: String,
    pub reconnect_within_s: f64,
    pub kill: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    /// From when a message was due to its ack.
    pub ack: Quantiles,
    /// From when a message was due to its arrival at each person who was there.
    pub delivery: Quantiles,
    /// From the start of a session until its channels are joined.
    pub join: Quantiles,
    /// From the loss of a connection until all channels are joined again.
    pub reconnect: Quantiles,
}

/// What the server refused for the moment.
#[derive(Clone, Debug, Serialize)]
pub struct Delay {
    pub said: String,
    pub count: u64,
    pub advice: Option<String>,
}

impl RunReport {
    /// The report of a run that is over.
    pub fn of(run: &Run, scene: Scene, interrupted: bool, took: Duration) -> RunReport {
        let mut faults: BTreeMap<String, u64> = BTreeMap::new();
        let mut list: Vec<Fault> = Vec::new();
        for channel in run.channels() {
            let check = run.check(channel);
            for (kind, count) in check.faults.counts() {
                *faults.entry(kind.to_string()).or_default() += count;
            }
            list.extend_from_slice(check.faults.kept());
        }
        list.sort_by_key(|fault| fault.found);
        let described = list.iter().map(|fault| fault.describe(&run.script));
        let fault_list: Vec<_> = described.collect();
        let failures = run.failures().clone();
        let first = fault_list.first().or(failures.kept.first()).cloned();
        let tally = run.figures.tally();
        RunReport {
            passed: first.is_none(),
            first,
            faults,
            fault_list,
            failures: failures.kept,
            failures_count: failures.count,
            scene,
            seconds: took.as_secs_f64(),
            interrupted,
            messages: tally.messages,
            latency_ms: Latencies {
                ack: tally.ack.quantiles(),
                delivery: tally.delivery.quantiles(),
                join: tally.join.quantiles(),
                reconnect: tally.reconnect.quantiles(),
            },
            kills: tally.kills.clone(),
            delays: delays(&tally.delays),
            timeline: tally.timeline.slots(),
            outages: tally.outages.clone(),
        }
    }

    /// How many messages and other things are wrong.
    fn faults_count(&self) -> u64 {
        self.faults.values().sum::<u64>() + self.failures_count
    }
}

fn delays(counted: &BTreeMap<String, u64>) -> Vec<Delay> {
    let delays = counted.iter().map(|(said, count)| Delay {
        said: said.clone(),
        count: *count,
        advice: limits::advice(said),
    });
    delays.collect()
}
