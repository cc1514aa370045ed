//! Logs and metrics of the process.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::shutdown::Shutdown;

/// From the fsync of a fast disk to a file that takes a minute.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
    5.0, 10.0, 30.0, 60.0,
];

const BYTES: &[f64] = &[
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    8_388_608.0,
    67_108_864.0,
    536_870_912.0,
    4_294_967_296.0,
];

const ROWS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
];

/// How often what histograms have collected is folded into buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// How the log is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up the log of the process. `filter` is in the syntax of RUST_LOG, which counts when there
/// is none; without both it is `info`. Panics are logged too.
pub fn init_log(filter: Option<&str>, format: LogFormat) -> anyhow::Result<()> {
    let given = filter.map(str::to_owned);
    let given = given.or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok());
    let text = given.filter(|f| !f.trim().is_empty());
    let text = text.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(text).with_context(|| format!("not a log filter: {text:?}"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    }
    .context("the log is set up already")?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no text");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        place,
        thread = thread.name(),
        backtrace = backtrace.map(tracing::field::display),
        "panicked: {text}"
    );
}

/// Sets up the recorder behind the `metrics` macros. Histograms get their buckets by the unit at
/// the end of their name.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    recorder()?
        .install_recorder()
        .context("the metrics recorder can't be installed")
}

fn recorder() -> anyhow::Result<PrometheusBuilder> {
    let mut builder = PrometheusBuilder::new();
    let units = [
        ("_seconds", SECONDS),
        ("_bytes", BYTES),
        ("_bytes_per_second", BYTES),
        ("_rows", ROWS),
    ];
    for (unit, buckets) in units {
        builder = builder.set_buckets_for_metric(Matcher::Suffix(unit.to_owned()), buckets)?;
    }
    Ok(builder)
}

/// Keeps the recorder's memory bounded, until the process closes.
pub async fn keep_metrics(recorder: PrometheusHandle, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            // A tick that is lost costs nothing: the process ends.
            () = shutdown.closing() => return,
            _ = ticks.tick() => recorder.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let recorder = recorder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("lakechat_batch_rows").record(7.0);
            metrics::histogram!("lakechat_ack_seconds").record(0.0025);
        });
        let text = recorder.handle().render();
        assert!(
            text.contains(r#"lakechat_batch_rows_bucket{le="10"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"lakechat_ack_seconds_bucket{le="0.003"} 1"#),
            "{text}"
        );
    }
}
