//! Reads partitions from given offsets on: without a group or commits, and never past missing records.
//!
//! What brokers say about the topic and its offsets is believed when it is repeated ([`Doubts`]). Until then
//! the partitions concerned are left out, and everybody else's records are read. librdkafka doesn't say which
//! partition an error of a fetch concerns: the one that is not read on. After such an error the reader soon
//! goes on with another client.

mod client;
mod positions;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{Span, debug_span};

use self::client::{FetchClient, PollError, meaning};
use self::positions::{Position, Positions};
use super::doubts::{Claim, Doubts};
use super::error::{broken, call_failed, call_failed_for, stops, unavailable};
use super::settings::KafkaSettings;
use super::topics;
use lakechat_core::domain::Partition;
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{LogReader, LogRecord, Offset};

/// Limits of a poll: records, and their bytes (which the last record may exceed).
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

/// How long a position may lag behind what librdkafka has consumed without returning a record.
const POSITION_LAG: Duration = Duration::from_millis(100);

pub(super) struct KafkaReader {
    settings: Arc<KafkaSettings>,
    doubts: Arc<Doubts>,
    positions: Positions,
    noted_at: Instant,
    /// `None` until the first poll, so that an unused reader takes no memory, and after an error that the
    /// client may not survive.
    client: Option<FetchClient>,
    failure: Option<FetchFailure>,
    span: Span,
}

impl KafkaReader {
    /// A reader that connects when it is polled.
    pub fn new(
        settings: &Arc<KafkaSettings>,
        doubts: &Arc<Doubts>,
        from: &[(Partition, Offset)],
    ) -> KafkaReader {
        KafkaReader {
            settings: Arc::clone(settings),
            doubts: Arc::clone(doubts),
            positions: Positions::new(from, settings.partitions),
            noted_at: Instant::now(),
            client: None,
            failure: None,
            span: debug_span!("kafka_reader", topic = settings.messages_topic()),
        }
    }

    /// Asks the brokers for the topic and the log's edges, and fetches every partition whose offset the log
    /// holds. The others are left out, and asked for again. Fails if a partition stops, or none can be
    /// fetched.
    ///
    /// A client that fetches already isn't asked: its connections answer one request after the other, and a
    /// fetch waits for records.
    fn connect(&mut self) -> Result<(), PortError> {
        let soon = self.doubts.believe_after() / 30;
        if let Some(client) = &mut self.client {
            client.check_again(Some(soon));
        }
        let mut fresh = FetchClient::new(&self.settings).map_err(unavailable)?;
        let edges = self.edges(&fresh)?;
        let failure = self.failure.take();
        let (mut held, mut left_out, mut stopped) = (Vec::new(), None, None);
        for (position, edges) in self.positions.iter().zip(edges) {
            let checked = edges.and_then(|edges| self.check(position, edges, failure.as_ref()));
            match checked {
                Ok(from) => held.push((position.partition, from)),
                Err(error @ PortError::Stops { .. }) => stopped = Some(error),
                Err(error) => {
                    tracing::warn!(%error, "a partition is left out");
                    left_out = Some(error);
                }
            }
        }
        let check = left_out.is_some().then_some(soon);
        let verdict = match (stopped, left_out) {
            (Some(error), _) => Err(error),
            (None, Some(error)) if held.is_empty() => Err(error),
            _ => Ok(()),
        };
        match &mut self.client {
            Some(client) if client.fetches(&held) && !client.has_failed() => {
                client.check_again(check);
            }
            _ => {
                let fetching = fresh.fetch(&held);
                fetching.map_err(|error| call_failed(error, &fresh.events))?;
                fresh.check_again(check);
                self.client = Some(fresh);
            }
        }
        verdict
    }

    /// The start and end offsets of all partitions that are read.
    fn edges(&self, client: &FetchClient) -> Result<Vec<Result<Edges, PortError>>, PortError> {
        let failed = |error: KafkaError| call_failed(error, &client.events);
        let count = client.shape().map_err(failed)?.map(|s| s.partitions);
        if let Some(change) = topics::changed_to(count, &self.settings, &self.doubts)? {
            return Err(broken(change));
        }
        let partitions: Vec<_> = self.positions.iter().map(|p| p.partition).collect();
        let at = |edge| client.edge(&partitions, edge).map_err(failed);
        let starts = at(rdkafka::Offset::Beginning)?.into_iter();
        let edges = |(start, end)| Ok((start?, end?));
        let both = starts.zip(at(rdkafka::Offset::End)?).map(edges);
        let named = both.zip(partitions).map(|(edges, partition)| {
            edges.map_err(|error| call_failed_for(partition, error, &client.events))
        });
        Ok(named.collect())
    }

    /// Returns the offset from which a partition is to be fetched. Fails if the log doesn't hold it, or a
    /// fetch has failed and the partition has records that were not read: with `Stops` if that has been so
    /// for long enough. `failure`: of the client before this one.
    fn check(
        &self,
        position: &Position,
        (start, end): Edges,
        failure: Option<&FetchFailure>,
    ) -> Result<Offset, PortError> {
        let Position {
            partition, next, ..
        } = *position;
        let topic = self.settings.messages_topic();
        if !(start..=end).contains(&next) {
            let reason = format!(
                "partition {partition} of topic {topic} keeps offsets {start} to {end}, and {next} was to \
                 be read: {ADVICE}"
            );
            return Err(match self.doubts.note(position.missing()) {
                true => stops(partition, reason),
                false => self.doubts.unconfirmed(&reason),
            });
        }
        self.doubts.clear(|claim| claim == position.missing());
        // A partition that was read on since the last failure is at another offset: another claim.
        if let Some(FetchFailure { code, reason }) = failure.filter(|_| next < end)
            && self.doubts.note(Claim::FetchFails(partition, next, *code))
        {
            let reason = format!("partition {partition} isn't read beyond {next}: {reason}");
            return Err(stops(partition, reason));
        }
        Ok(position.fetch_from(start))
    }

    fn read(
        &mut self,
        client: &mut FetchClient,
        timeout: Duration,
        into: &mut Vec<LogRecord>,
    ) -> Result<(), ReadError> {
        let deadline = Instant::now() + timeout;
        let (begin, full) = (into.len(), into.len() + BATCH_RECORDS);
        let (mut bytes, mut wait) = (0, timeout);
        while into.len() < full && bytes < BATCH_BYTES {
            match client.consumer().poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    // librdkafka goes on behind a record that is damaged.
                    let gaps = !client.has_failed();
                    let record = self.positions.advance(&message, &self.settings, gaps);
                    if let Some(record) = record.map_err(ReadError::Ends)? {
                        bytes += record.key.len() + record.value.len();
                        into.push(record);
                        wait = Duration::ZERO;
                    }
                }
                Some(Err(error)) => {
                    self.check_error(error, client)?;
                    wait = wait.min(deadline.saturating_duration_since(Instant::now()));
                }
            }
        }
        client.events.clear_error();
        // Asking costs a round trip to librdkafka's thread, so not for each record.
        let is_due = into.len() == begin || self.noted_at.elapsed() > POSITION_LAG;
        if is_due && !client.has_failed() {
            client.note_consumed(&mut self.positions);
            self.noted_at = Instant::now();
        }
        Ok(())
    }

    /// `Ok` for an error that librdkafka recovers from by itself.
    fn check_error(
        &mut self,
        error: KafkaError,
        client: &mut FetchClient,
    ) -> Result<(), ReadError> {
        match meaning(&error) {
            PollError::Passes => {
                tracing::debug!(%error, "Kafka's consumer reported an error and recovers by itself");
                Ok(())
            }
            PollError::Away => Err(ReadError::Passes(call_failed(error, &client.events))),
            PollError::Fetching(code) => {
                metrics::counter!("lakechat_log_readers_replaced_total").increment(1);
                client.fail(self.doubts.believe_after() / 30);
                Err(ReadError::Passes(self.fetch_error(code, error, client)))
            }
        }
    }

    /// Keeps an error that may be that of the log for the next client's start.
    fn fetch_error(
        &mut self,
        code: RDKafkaErrorCode,
        error: KafkaError,
        client: &FetchClient,
    ) -> PortError {
        let topic = self.settings.messages_topic();
        let reason = match code {
            // Reported only because auto.offset.reset is "error": no record is skipped silently. The next
            // client asks for the edges of the log.
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation => {
                format!("an offset of topic {topic} is gone ({code}): {ADVICE}")
            }
            RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::BadCompression => {
                let events = client.events.last_error().unwrap_or_default();
                format!(
                    "a record of topic {topic} is damaged ({events}): look at the disks of its brokers"
                )
            }
            _ => return call_failed(error, &client.events),
        };
        let error = self.doubts.unconfirmed(&reason);
        self.failure = Some(FetchFailure { code, reason });
        error
    }
}

/// The start and end offsets of a partition.
type Edges = (Offset, Offset);

/// A fetch that failed, in some partition.
struct FetchFailure {
    code: RDKafkaErrorCode,
    reason: String,
}

const ADVICE: &str = "retention or somebody deleted records that were not read, or the topic was made \
                    anew. If they are lost for good, `lakechat log adopt` goes on with what is there";

/// Why a poll failed.
enum ReadError {
    /// The client is polled again.
    Passes(PortError),
    /// The client is not used any more.
    Ends(PortError),
}

impl Position {
    fn missing(&self) -> Claim {
        Claim::OffsetMissing(self.partition, self.next)
    }
}

impl LogReader for KafkaReader {
    fn poll(&mut self, timeout: Duration, into: &mut Vec<LogRecord>) -> Result<(), PortError> {
        let _entered = self.span.clone().entered();
        if self.client.as_ref().is_none_or(FetchClient::check_is_due) {
            self.connect()?;
        }
        let mut client = self.client.take().expect("connected");
        match self.read(&mut client, timeout, into) {
            Ok(()) => {
                self.client = Some(client);
                Ok(())
            }
            Err(ReadError::Passes(error)) => {
                self.client = Some(client);
                Err(error)
            }
            Err(ReadError::Ends(error)) => Err(error),
        }
    }

    fn position(&self, partition: Partition) -> Offset {
        self.positions.next(partition).unwrap_or(0)
    }
}
