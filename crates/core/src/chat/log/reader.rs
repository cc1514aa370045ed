//! The thread that reads the log. It folds the records, delivers the entries to the hub, and then
//! resolves this server's sends.

pub mod plan;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::fold::WARM_UP_MS;
use crate::chat::hub::Hub;
use crate::chat::log::Log;
use crate::chat::send_limits::SendLimits;
use crate::domain::Partition;
use crate::ports::broker::{LogReader, LogRecord, Offset};
use crate::ports::history::Mark;
use crate::ports::{Broker, PortError};
use plan::Planned;

/// How long a poll waits for the first record. The thread checks `stop` between polls.
const POLL: Duration = Duration::from_millis(200);

/// Up to this many sessions are woken directly from the reader's thread.
const DIRECT: usize = 2;

/// How long to wait after an error before reading again.
const RETRY: Duration = Duration::from_millis(500);

/// Returns the offset at which reading begins, for each partition. It lies far enough below the
/// mark that, from the mark on, the fold decides like one that has read the whole log.
pub async fn starts(
    broker: &dyn Broker,
    marks: &[(Partition, Mark)],
) -> Result<Vec<(Partition, Result<Offset, PortError>)>, PortError> {
    let kept = broker.start_offsets().await?;
    let times: Vec<_> = marks
        .iter()
        .map(|(p, mark)| (*p, mark.time_ms.saturating_sub(WARM_UP_MS)))
        .collect();
    let warm = broker.offsets_for_times(&times).await?;
    let start = |(p, mark): &(Partition, Mark), warm: Result<Offset, PortError>| {
        // 0 means that every record below the mark was late. Late records never enter the window,
        // so there is nothing to warm up.
        let start = match mark.time_ms {
            0 => mark.offset,
            _ => warm?.min(mark.offset),
        };
        Ok(start.max(*kept.get(*p).map_err(unknown)?))
    };
    let from = marks.iter().zip(warm);
    Ok(from.map(|(at, warm)| (at.0, start(at, warm))).collect())
}

fn unknown(error: &PortError) -> PortError {
    PortError::unavailable("log", error.to_string())
}

/// Describes the loss of records if reading has to begin above the mark.
pub fn lost(start: Offset, mark: Mark) -> Option<String> {
    (start > mark.offset).then(|| {
        format!(
            "the log begins at offset {start}, but history has it only up to {}: what was between \
             them is lost (`lakechat log adopt --help`)",
            mark.offset
        )
    })
}

/// Spawns the thread that reads the partitions that the plan gives it. Must be called within the runtime of
/// the sessions. `alive` is dropped when the thread ends.
pub fn spawn(
    log: Arc<Log>,
    (hub, limits): (Arc<Hub>, Arc<SendLimits>),
    planned: Arc<Planned>,
    stop: Arc<AtomicBool>,
    alive: oneshot::Sender<Infallible>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("lakechat-log".into());
    let runtime = Handle::current();
    thread.spawn(move || {
        Reading {
            log,
            hub,
            limits,
            runtime,
            planned,
            starts: Vec::new(),
            from: Vec::new(),
            stop,
        }
        .run();
        drop(alive);
    })
}

struct Reading {
    log: Arc<Log>,
    hub: Arc<Hub>,
    limits: Arc<SendLimits>,
    /// The runtime of the sessions.
    runtime: Handle,
    planned: Arc<Planned>,
    /// The offset at which reading began, per partition.
    starts: Vec<(Partition, Offset)>,
    /// The next offset to read, per partition.
    from: Vec<(Partition, Offset)>,
    stop: Arc<AtomicBool>,
}

impl Reading {
    fn run(mut self) {
        let mut records = Vec::new();
        while !self.stop.load(Relaxed) {
            self.log.note_read_attempt();
            self.begin_planned();
            if self.from.is_empty() {
                // Every partition is stopped, or can't be read yet. The thread stays: its end would end the
                // process.
                std::thread::park_timeout(POLL);
                continue;
            }
            match self.log.broker().reader(&self.from) {
                Ok(mut reader) => self.read(reader.as_mut(), &mut records),
                Err(error) => self.failed(&error),
            }
        }
    }

    fn begin_planned(&mut self) {
        let begins = self.planned.take();
        self.starts.extend_from_slice(&begins);
        self.from.extend(begins);
    }

    /// Reads until the server stops, a partition stops, begins, or has to be read again. `Unavailable`
    /// loses nothing, so the same reader continues.
    fn read(&mut self, reader: &mut dyn LogReader, records: &mut Vec<LogRecord>) {
        while !self.stop.load(Relaxed) {
            self.log.note_read_attempt();
            let polled = reader.poll(POLL, records);
            // Before the positions advance: below a position everything is delivered and acked.
            self.hand_out(records);
            for (partition, position) in &mut self.from {
                let reached = reader.position(*partition);
                if reached > *position {
                    *position = reached;
                    self.log.advance(*partition, reached);
                }
            }
            if let Err(error) = polled {
                self.failed(&error);
                if !matches!(error, PortError::Unavailable { .. }) {
                    return;
                }
            }
            if self.rewind() || self.planned.has_more() {
                return;
            }
        }
    }

    /// Moves the partitions that have to be read again back to their starts. Returns whether there
    /// were any; they need a reader that begins at the new offsets.
    fn rewind(&mut self) -> bool {
        let mut any = false;
        for ((partition, position), (_, start)) in self.from.iter_mut().zip(&self.starts) {
            if self.log.lock(*partition).take_rewind() {
                *position = *start;
                any = true;
            }
        }
        any
    }

    /// Folds and delivers the records of one poll, then resolves this server's sends among them.
    fn hand_out(&self, records: &mut Vec<LogRecord>) {
        if records.is_empty() {
            return;
        }
        let began = Instant::now();
        metrics::histogram!("lakechat_log_batch_rows").record(records.len() as f64);
        // Only the order within a partition matters. The sort is stable and keeps it.
        records.sort_by_key(|r| r.partition);
        let (mut outcomes, mut wakers) = (Vec::new(), Vec::new());
        let now_ms = self.log.broker().now_ms();
        let mut rest = records.drain(..).peekable();
        while let Some(first) = rest.next() {
            let partition = first.partition;
            let _batch = tracing::info_span!("log_batch", partition = partition.0).entered();
            let mut run = vec![first];
            while let Some(next) = rest.next_if(|r| r.partition == partition) {
                run.push(next);
            }
            let (entries, of_partition) = self.log.fold(partition, run);
            self.hub.deliver(&entries, &mut wakers);
            self.limits.count_others(&entries, &of_partition, now_ms);
            outcomes.push((partition, of_partition));
        }
        for (partition, of_partition) in outcomes {
            self.log.resolve(partition, of_partition);
        }
        self.wake(wakers);
        metrics::histogram!("lakechat_log_batch_seconds").record(began.elapsed().as_secs_f64());
    }

    /// Wakes sessions from a task of the runtime. A wake from this thread would put each session's
    /// task into the runtime's global queue, mostly with a system call.
    fn wake(&self, wakers: Vec<Waker>) {
        if wakers.len() <= DIRECT {
            wakers.into_iter().for_each(Waker::wake);
        } else {
            // The task never awaits, so it ends by itself and needs no owner.
            let wake = async move { wakers.into_iter().for_each(Waker::wake) };
            drop(self.runtime.spawn(wake));
        }
    }

    fn failed(&mut self, error: &PortError) {
        metrics::counter!("lakechat_log_read_failures_total").increment(1);
        match error {
            PortError::Unavailable { .. } => {
                tracing::warn!(%error, "cannot read the log; retrying");
            }
            PortError::Broken { .. } => self.stop_reading(None, error),
            PortError::Stops { partition, .. } => self.stop_reading(*partition, error),
        }
        // A fixed delay is enough: the embedded log is never unavailable for long, and a cluster's
        // client reconnects by itself.
        std::thread::park_timeout(RETRY);
    }

    /// Stops one partition, or all of them if `only` is `None`. The next reader leaves them out.
    fn stop_reading(&mut self, only: Option<Partition>, error: &PortError) {
        let ends = |partition: Partition| only.is_none_or(|only| only == partition);
        for (partition, _) in self.from.iter().filter(|(p, _)| ends(*p)) {
            self.log.stop(*partition, error.to_string());
        }
        self.from.retain(|(partition, _)| !ends(*partition));
        self.starts.retain(|(partition, _)| !ends(*partition));
    }
}
