//! The report as text.

use std::fmt::Write;

use super::super::figures::Kill;
use super::super::limits;
use super::RunReport;

/// Faults and failures shown beside the first one.
const SHOWN: usize = 10;

pub fn text(report: &RunReport) -> String {
    let mut lines = Lines(String::new());
    verdict(&mut lines, report);
    scene(&mut lines, report);
    figures(&mut lines, report);
    for kill in &report.kills {
        lines.field("kill", &shown_kill(kill));
    }
    for delay in &report.delays {
        let advice = delay.advice.as_ref();
        let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
        lines.field(
            "slowed down",
            &format!("{} times: {}{advice}", delay.count, delay.said),
        );
    }
    lines.0
}

fn verdict(lines: &mut Lines, report: &RunReport) {
    let Some(first) = &report.first else {
        let within = report.scene.reconnect_within_s;
        lines.line(&format!(
            "PASSED: nothing lost, nothing doubled, one order per channel for all, everybody back within \
             {within} s"
        ));
        return;
    };
    lines.line(&format!("FAILED: {first}"));
    if let Some(advice) = limits::advice(first) {
        lines.field("advice", &advice);
    }
    for (kind, count) in &report.faults {
        lines.field(kind, &count.to_string());
    }
    if report.failures_count > 0 {
        lines.field("other failures", &report.failures_count.to_string());
    }
    let all = report.fault_list.iter().chain(&report.failures);
    let others = all.filter(|fault| *fault != first).take(SHOWN);
    others.for_each(|fault| lines.field("also", fault));
}

fn scene(lines: &mut Lines, report: &RunReport) {
    let scene = &report.scene;
    let ended = match report.interrupted {
        true => ", interrupted",
        false => "",
    };
    lines.field(
        "run",
        &format!(
            "{} people in {} channels at {}, {:.1} s{ended}, seed {}, names {}-…",
            scene.users,
            scene.channels,
            scene.urls.join(" and "),
            report.seconds,
            scene.seed,
            scene.prefix
        ),
    );
}

fn figures(lines: &mut Lines, report: &RunReport) {
    let m = &report.messages;
    lines.field(
        "messages",
        &format!(
            "{} sent, {} acked, {} of them by a retry",
            m.sent, m.acked, m.repeated
        ),
    );
    lines.field(
        "deliveries",
        &format!(
            "{}, {} of them missed at first and resumed",
            m.received, m.caught_up
        ),
    );
    lines.field(
        "people",
        &format!(
            "left their channels {} times, came back {} times",
            m.left, m.came_back
        ),
    );
    let l = &report.latency_ms;
    lines.field("ack", &l.ack.to_string());
    lines.field("delivery", &l.delivery.to_string());
    lines.field("join", &l.join.to_string());
    lines.field(
        "reconnect",
        &format!("{} times; {}", l.reconnect.count, l.reconnect),
    );
}

fn shown_kill(kill: &Kill) -> String {
    let (at, took) = (kill.at.as_secs_f64(), kill.took.as_secs_f64());
    let back = match kill.all_back_after {
        Some(after) => format!("all back after {after:.1} s"),
        None if kill.cut == 0 => "nobody was connected there".to_owned(),
        None => "not all came back".to_owned(),
    };
    let cut = kill.cut;
    format!("at {at:.1} s; the command took {took:.1} s; {cut} people cut, {back}")
}

struct Lines(String);

impl Lines {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    fn field(&mut self, name: &str, text: &str) {
        writeln!(self.0, "  {name:<14} {text}").expect("a String takes all");
    }
}
