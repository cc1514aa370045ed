//! A row of the soak's table.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::scene::Account;

pub const HEAD: &str = "\
| fault | runs | acked | lost | doubled | out of order | files | all up again: median, longest | people cut | reconnect: median, p99 | longest wait for an ack |
|---|---|---|---|---|---|---|---|---|---|---|";

pub struct Row {
    name: String,
    recoveries: Vec<Duration>,
    report: Value,
    files: usize,
    pub wrong: Vec<String>,
}

impl Row {
    pub fn of(name: String, recoveries: Vec<Duration>, account: Account) -> Row {
        Row {
            name,
            recoveries,
            report: account.report,
            files: account.files,
            wrong: account.wrong,
        }
    }

    fn faults(&self, kind: &str) -> u64 {
        self.report["faults"][kind].as_u64().unwrap_or_default()
    }

    fn latency(&self, of: &str, which: &str) -> Duration {
        let ms = self.report["latency_ms"][of][which].as_f64();
        Duration::from_secs_f64(ms.unwrap_or_default() / 1_000.0)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = [
            self.name.clone(),
            self.recoveries.len().to_string(),
            self.report["messages"]["acked"].to_string(),
            self.faults("lost").to_string(),
            self.faults("doubled").to_string(),
            self.faults("out of order").to_string(),
            self.files.to_string(),
            format!(
                "{:.1?}, {:.1?}",
                median(&self.recoveries),
                longest(&self.recoveries)
            ),
            self.report["latency_ms"]["reconnect"]["count"].to_string(),
            format!(
                "{:.1?}, {:.1?}",
                self.latency("reconnect", "median"),
                self.latency("reconnect", "p99")
            ),
            format!("{:.1?}", self.latency("ack", "max")),
        ];
        write!(f, "| {} |", cells.join(" | "))
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn longest(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}
