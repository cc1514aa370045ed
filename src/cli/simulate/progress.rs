//! The progress of a run, on standard error if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::figures::milliseconds;
use super::run::Run;

pub struct Progress(ProgressBar);

impl Progress {
    pub fn accounts(users: u32) -> Progress {
        Progress::new(u64::from(users), "accounts: {bar:30} {pos} of {len} {msg}")
    }

    pub fn run(duration: Duration) -> Progress {
        Progress::new(duration.as_millis() as u64, "{bar:20} {wide_msg}")
    }

    fn new(length: u64, template: &str) -> Progress {
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        Progress(ProgressBar::new(length).with_style(style))
    }

    pub fn one_more(&self) {
        self.0.inc(1);
    }

    pub fn note(&self, text: String) {
        self.0.set_message(text);
    }

    pub fn show(&self, run: &Run) {
        let now = run.figures.now();
        self.0.set_position(now.as_millis() as u64);
        let faults = run.fault_count();
        let tally = run.figures.tally();
        let p99 = milliseconds(tally.ack.quantiles().p99);
        let text = format!(
            "{} s: {} here, {} cut, {} sent, {} acked, {} received, p99 {p99}, {faults} faults",
            now.as_secs(),
            tally.here,
            tally.cut,
            tally.messages.sent,
            tally.messages.acked,
            tally.messages.received,
        );
        drop(tally);
        self.0.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
