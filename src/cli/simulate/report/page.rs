//! The report as one page: no scripts, and nothing from elsewhere.

use super::super::figures::{Quantiles, Slot};
use super::plot::{Plot, Series};
use super::{RunReport, text};

const STYLE: &str = "\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em }
.passed { color: #17692f } .failed { color: #b3261e }
pre { background: #8881; padding: 1em; overflow-x: auto; white-space: pre-wrap }
figure { margin: 2em 0 } figcaption { font-weight: 600 } figcaption span { margin-left: 1em }
svg { width: 100%; height: auto } text { font-size: 11px; fill: #777 }
.grid { stroke: #8883 } line.kill { stroke: #b3261e; stroke-dasharray: 4 3 } span.kill { color: #b3261e }
polyline { fill: none; stroke-width: 1.5 }
polyline.median { stroke: #1565c0 } span.median { color: #1565c0 }
polyline.p99 { stroke: #ef6c00 } span.p99 { color: #ef6c00 }
polyline.max { stroke: #999 } span.max { color: #777 }
circle.reconnect { fill: #6a1b9a } span.reconnect { color: #6a1b9a }";

pub fn page(report: &RunReport) -> String {
    let (verdict, class) = match report.passed {
        true => ("Passed".to_owned(), "passed"),
        false => (
            format!("Failed: {} faults", report.faults_count()),
            "failed",
        ),
    };
    let plots = [
        latency(report, "From due to ack", |slot| slot.ack_ms),
        latency(report, "From due to delivery", |slot| slot.delivery_ms),
        reconnects(report),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>lakechat simulate</title>\n\
         <style>\n{STYLE}\n</style></head><body>\n\
         <h1>lakechat simulate: <span class=\"{class}\">{verdict}</span></h1>\n\
         <pre>{}</pre>\n{}</body></html>\n",
        escaped(&text(report)),
        plots.concat()
    )
}

fn latency(report: &RunReport, title: &str, of: impl Fn(&Slot) -> Quantiles) -> String {
    let slots: Vec<_> = report
        .timeline
        .iter()
        .map(|slot| (slot.at, of(slot)))
        .collect();
    let line = |name, class, value: fn(&Quantiles) -> f64| {
        let filled = slots.iter().filter(|(_, q)| q.count > 0);
        Series {
            name,
            class,
            points: filled.map(|(at, q)| (*at, value(q))).collect(),
            has_line: true,
        }
    };
    let plot = Plot {
        title,
        seconds: report.seconds,
        series: vec![
            line("longest", "max", |q| q.max),
            line("99 %", "p99", |q| q.p99),
            line("median", "median", |q| q.median),
        ],
        marks: kills(report),
    };
    plot.svg()
}

fn reconnects(report: &RunReport) -> String {
    let points = report
        .outages
        .iter()
        .map(|outage| (outage.at.as_secs_f64(), outage.took.as_secs_f64() * 1_000.0));
    let plot = Plot {
        title: "Time to reconnect, by when the connection was lost",
        seconds: report.seconds,
        series: vec![Series {
            name: "a person",
            class: "reconnect",
            points: points.collect(),
            has_line: false,
        }],
        marks: kills(report),
    };
    plot.svg()
}

fn kills(report: &RunReport) -> Vec<f64> {
    report
        .kills
        .iter()
        .map(|kill| kill.at.as_secs_f64())
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
