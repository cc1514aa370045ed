//! Reads partitions from given offsets on: without a group or commits, and never past missing records.
//!
//! What brokers say about the topic and its offsets is believed when it is repeated ([`Doubts`]). Until then
//! the partitions concerned are left out, and everybody else's records are read. After any error that may
//! leave a partition unfetched the reader goes on with another client.

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
use super::error::{broken, call_failed, stops, unavailable};
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
            span: debug_span!("kafka_reader", topic = settings.messages_topic()),
        }
    }

    /// Asks the brokers for the topic and the log's edges, and fetches every partition whose offset the log
    /// holds. An error says which one it does not hold; the others are fetched all the same.
    ///
    /// A client that fetches already isn't asked: its connections answer one request after the other, and a
    /// fetch waits for records.
    fn connect(&mut self) -> Result<(), PortError> {
        if let Some(client) = &mut self.client {
            client.check_again(Some(self.doubts.believe_after() / 30));
        }
        let mut fresh = FetchClient::new(&self.settings).map_err(unavailable)?;
        let edges = self.edges(&fresh)?;
        let (mut held, mut missing) = (Vec::new(), Vec::new());
        for (position, (start, end)) in self.positions.iter().zip(edges) {
            if (start..=end).contains(&position.next) {
                self.doubts.clear(|claim| claim == position.missing());
                held.push((position.partition, position.fetch_from(start)));
            } else {
                missing.push((position, start, end));
            }
        }
        let verdict = self.judge(&missing);
        let check = (!missing.is_empty()).then(|| self.doubts.believe_after() / 30);
        match &mut self.client {
            Some(client) if client.fetches(&held) => client.check_again(check),
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
    fn edges(&self, client: &FetchClient) -> Result<Vec<(Offset, Offset)>, PortError> {
        let failed = |error: KafkaError| call_failed(error, &client.events);
        let count = client.shape().map_err(failed)?.map(|s| s.partitions);
        if let Some(change) = topics::changed_to(count, &self.settings, &self.doubts)? {
            return Err(broken(change));
        }
        let partitions: Vec<_> = self.positions.iter().map(|p| p.partition).collect();
        let at = |edge| client.edge(&partitions, edge).map_err(failed);
        let starts = at(rdkafka::Offset::Beginning)?;
        Ok(starts.into_iter().zip(at(rdkafka::Offset::End)?).collect())
    }

    /// Fails if there are missing offsets: with `Stops` for one that has been missing for long enough.
    fn judge(&self, missing: &[(&Position, Offset, Offset)]) -> Result<(), PortError> {
        let mut result = Ok(());
        for (position, start, end) in missing {
            let Position {
                partition, next, ..
            } = position;
            let topic = self.settings.messages_topic();
            let reason = format!(
                "partition {partition} of topic {topic} keeps offsets {start} to {end}, and {next} was to \
                 be read: {ADVICE}"
            );
            if self.doubts.note(position.missing()) {
                result = Err(stops(*partition, reason));
            } else if result.is_ok() {
                result = Err(self.doubts.unconfirmed(&reason));
            }
        }
        result
    }

    fn read(
        &mut self,
        client: &FetchClient,
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
                    let record = self.positions.advance(&message, &self.settings);
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
        if into.len() == begin || self.noted_at.elapsed() > POSITION_LAG {
            client.note_consumed(&mut self.positions);
            self.noted_at = Instant::now();
        }
        Ok(())
    }

    /// `Ok` for an error that librdkafka recovers from by itself.
    fn check_error(&self, error: KafkaError, client: &FetchClient) -> Result<(), ReadError> {
        match meaning(&error) {
            PollError::Passes => {
                tracing::debug!(%error, "Kafka's consumer reported an error and recovers by itself");
                Ok(())
            }
            PollError::Away => Err(ReadError::Away(call_failed(error, &client.events))),
            PollError::Fetching(code) => {
                metrics::counter!("lakechat_log_readers_replaced_total").increment(1);
                Err(ReadError::Ends(self.fetch_error(code, error, client)))
            }
        }
    }

    /// `Broken` for an error that the next client meets again and again.
    fn fetch_error(
        &self,
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
        match self.doubts.note(Claim::FetchFails(code)) {
            true => broken(reason),
            false => self.doubts.unconfirmed(&reason),
        }
    }
}

const ADVICE: &str = "retention or somebody deleted records that were not read, or the topic was made \
                    anew. If they are lost for good, `lakechat log adopt` goes on with what is there";

/// Why reading ended.
enum ReadError {
    /// No broker answers; the client finds them again.
    Away(PortError),
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
        let client = self.client.take().expect("connected");
        match self.read(&client, timeout, into) {
            Ok(()) => {
                self.client = Some(client);
                Ok(())
            }
            Err(ReadError::Away(error)) => {
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
