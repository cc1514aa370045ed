//! The writer of the log, which never makes its caller wait.
//!
//! The reader of standard error may stall: a stalled log driver of a container, a terminal after
//! Ctrl-S. Therefore lines go into a bounded queue, and one thread writes them. The lines of librdkafka
//! and other libraries, and those of panics, come the same way.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait. Some ten thousand lines.
const MOST_BYTES: usize = 4 << 20;

/// A handle on the queue of lines.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// A line was added, or the last one was written.
    changed: Condvar,
    most_bytes: usize,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread is writing a line that it has taken off the queue.
    is_writing: bool,
    /// Lines that were dropped since the last report.
    dropped: u64,
}

impl LogWriter {
    /// Starts the thread that writes lines to `to`. It runs until the process ends.
    pub fn start(to: impl Write + Send + 'static) -> io::Result<LogWriter> {
        LogWriter::with_capacity(to, MOST_BYTES)
    }

    fn with_capacity(to: impl Write + Send + 'static, most_bytes: usize) -> io::Result<LogWriter> {
        let writer = LogWriter(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            most_bytes,
        }));
        let shared = Arc::clone(&writer.0);
        // Nobody joins it: it may be blocked in a write for ever. `flush` is its orderly end.
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_lines(to))?;
        Ok(writer)
    }

    /// Queues a line. If the queue is full, drops and counts it.
    pub fn push(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes + line.len() > self.0.most_bytes {
            queue.dropped += 1;
            drop(queue);
            count_dropped();
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut queue = self.0.lock();
        while queue.is_writing || !queue.lines.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.0.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lines(&self, mut to: impl Write) {
        loop {
            let (line, dropped) = self.next();
            let written = to.write_all(&line).and_then(|()| to.flush());
            if written.is_err() {
                // Nobody reads standard error any more, or the disk behind it is full.
                count_dropped();
            }
            if dropped > 0 {
                tracing::warn!(
                    dropped_lines = dropped,
                    "lines of the log were dropped, because standard error did not accept them in time"
                );
            }
        }
    }

    /// Waits for the next line; also returns the number of lines dropped since the last call.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut queue = self.lock();
        queue.is_writing = false;
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.is_writing = true;
                return (line, std::mem::take(&mut queue.dropped));
            }
            self.changed.notify_all();
            let woken = self.changed.wait(queue);
            queue = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn count_dropped() {
    metrics::counter!("lakechat_log_lines_dropped_total").increment(1);
}

impl Write for LogWriter {
    /// The formatter writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = LogWriter;

    fn make_writer(&'w self) -> LogWriter {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A pipe that nobody reads from yet, and a writer into it with room for `bytes` of lines.
    fn stalled(bytes: usize) -> (io::PipeReader, LogWriter) {
        let (read, write) = io::pipe().expect("a pipe");
        let writer = LogWriter::with_capacity(write, bytes).expect("a thread");
        (read, writer)
    }

    #[test]
    fn lines_are_written_in_order_and_flush_waits_for_them() {
        let (mut read, writer) = stalled(1_000);
        for n in 0..10 {
            writer.push(format!("line {n}\n").as_bytes());
        }
        writer.flush(PATIENCE);
        let mut written = [0; 70];
        read.read_exact(&mut written).expect("all of it is there");
        assert!(written.starts_with(b"line 0\nline 1\n"));
        assert!(written.ends_with(b"line 9\n"));
    }

    #[test]
    fn stalled_reader_stops_nobody_and_what_does_not_fit_is_dropped() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let (_read, writer) = stalled(64 * 1024);
        metrics::with_local_recorder(&recorder, || {
            // The pipe takes 64 KiB and the queue as much again.
            for _ in 0..1_000 {
                writer.push(&[b'x'; 1024]);
            }
        });
        let metrics = recorder.handle().render();
        let dropped = metrics.lines().find_map(|line| {
            let count = line.strip_prefix("lakechat_log_lines_dropped_total ")?;
            count.parse::<u64>().ok()
        });
        assert!(dropped.is_some_and(|count| count >= 800), "{metrics}");
        let began = Instant::now();
        writer.flush(Duration::from_millis(10));
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn writing_goes_on_when_the_reader_does() {
        let (mut read, writer) = stalled(64 * 1024);
        for _ in 0..1_000 {
            writer.push(&[b'x'; 1024]);
        }
        let reading = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !text.ends_with(b"last\n") {
                let n = read.read(&mut buffer).expect("readable");
                text.extend_from_slice(&buffer[..n]);
            }
        });
        // Room for it appears at some point.
        let until = Instant::now() + PATIENCE;
        while !reading.is_finished() && Instant::now() < until {
            writer.push(b"last\n");
            writer.flush(PATIENCE);
        }
        reading.join().expect("it saw the last line");
    }
}
