//! The log and the metrics of the process.

mod escaped;
mod log_writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::escaped::escaped_fields;
pub use self::log_writer::LogWriter;
use crate::shutdown::Shutdown;

/// Histogram buckets: from the fsync of a fast disk to the upload of a large file.
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

/// How often the recorder sorts collected values into buckets, if it is not scraped more often.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The format of the log on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Sets up the log of the process, panics included, and returns its writer. `filter` is in the syntax
/// of `EnvFilter`.
pub fn init_log(filter: &str, format: LogFormat) -> anyhow::Result<LogWriter> {
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("not a valid log filter: {filter:?}"))?;
    let writer =
        LogWriter::start(io::stderr()).context("can't start the thread that writes the log")?;
    tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(may_be_logged))
        .with(lines(format, writer.clone(), io::stderr().is_terminal()))
        .try_init()
        .context("the log is already set up")?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(writer)
}

/// Other crates are logged from info on, whatever the filter says: below that, they write what passes
/// through them, such as tokens and the texts of messages.
fn may_be_logged(event: &Metadata<'_>) -> bool {
    *event.level() <= Level::INFO || event.target().starts_with("lakechat")
}

/// The layer that formats log lines. Both formats show the fields of every open span, outermost
/// first: as text `request{id=…}: target: …`, in JSON as the list `spans`.
fn lines<S, W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours);
    match format {
        LogFormat::Text => layer.fmt_fields(escaped_fields()).boxed(),
        // Without the field `span`, which would repeat the last item of `spans`.
        LogFormat::Json => layer.json().with_current_span(false).boxed(),
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Some(Backtrace::capture()).filter(|b| b.status() == BacktraceStatus::Captured);
    tracing::error!(
        place,
        thread = thread.name(),
        backtrace = backtrace.map(tracing::field::display),
        "panicked: {text}"
    );
}

/// Sets up the recorder behind the `metrics` macros. The unit at the end of a histogram's name
/// decides its buckets.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    recorder()?
        .install_recorder()
        .context("can't install the recorder of metrics")
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

/// Keeps the recorder's memory bounded until the process closes.
pub async fn keep_metrics(recorder: PrometheusHandle, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            // A lost tick does no harm: the process ends.
            () = shutdown.closing() => return,
            _ = ticks.tick() => recorder.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged for an event with a field within two spans.
    fn logged(format: LogFormat) -> String {
        let written = Lines::default();
        let writer = written.clone();
        let layer = lines(format, move || writer.clone(), false);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let _connection = tracing::info_span!("connection", client = "::1").entered();
            let _request = tracing::info_span!("request", id = 7).entered();
            let file = "a\nb";
            tracing::warn!(size_bytes = 3, %file, "too large");
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_shows_the_fields_of_spans() {
        let text = logged(LogFormat::Text);
        let spans = "WARN connection{client=\"::1\"}:request{id=7}: ";
        assert!(text.contains(spans), "{text}");
        assert!(
            text.ends_with(": too large size_bytes=3 file=a\\nb\n"),
            "{text}"
        );
    }

    #[test]
    fn json_shows_the_fields_of_spans_once() {
        let line: Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(
            line["fields"],
            json!({"message": "too large", "size_bytes": 3, "file": "a\nb"})
        );
        assert_eq!(
            line["spans"],
            json!([{"name": "connection", "client": "::1"}, {"name": "request", "id": 7}])
        );
        assert_eq!(line.get("span"), None);
    }

    #[test]
    fn other_crates_are_logged_from_info_on() {
        let written = Lines::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new("trace"))
            .with(FilterFn::new(may_be_logged))
            .with(lines(LogFormat::Text, move || writer.clone(), false));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "lakechat_core::chat", "own");
            tracing::info!(target: "tungstenite::protocol", "foreign");
            tracing::debug!(target: "tungstenite::protocol", "secret");
            tracing::trace!(target: "hyper", "secret");
        });
        let bytes = written.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("own") && text.contains("foreign"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

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
