//! What broker, history and directory share: the writer's queue, the read pool, the log's end and
//! the caches.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::clock::LogClock;
use super::columns::{ReadColumn, invalid_value};
use super::folder::{DataFolder, OpenError};
use super::health::Health;
use super::maintenance::signal::Signal;
use super::queue::Queue;
use super::read_pool::ReadPool;
use super::recent_records::RecentRecords;
use super::row_cache::RowCache;
use super::settings::EmbeddedSettings;
use lakechat_core::domain::{LoginSession, Membership, UserName};
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{Offset, PublishFailureHandler};

pub(super) struct Engine {
    pub partitions: u16,
    /// Another process may write to the database: this one's memory doesn't tell where the log ends.
    pub is_read_only: bool,
    /// How far before a partition's mark the log is kept.
    pub warm_up: Duration,
    pub clock: LogClock,
    pub queue: Queue,
    pub recent_records: RecentRecords,
    pub read_pool: ReadPool,
    // Every chat session reads both when it starts.
    pub session_cache: Arc<RowCache<(UserName, Uuid), Option<LoginSession>>>,
    pub membership_cache: Arc<RowCache<UserName, Vec<Membership>>>,
    pub health: Health,
    pub maintenance: Signal,
    pub on_publish_failure: OnceLock<PublishFailureHandler>,
}

impl Engine {
    pub fn new(
        folder: &DataFolder,
        settings: &EmbeddedSettings,
        db: &Connection,
    ) -> Result<Engine, OpenError> {
        let log = LogState::read(db).map_err(|source| OpenError::Database {
            path: folder.database(),
            source,
        })?;
        Ok(Engine {
            partitions: log.partitions,
            is_read_only: false,
            warm_up: settings.warm_up,
            clock: LogClock::starting_after(log.last_append_ms),
            queue: Queue::new(settings.queue_bytes),
            recent_records: RecentRecords::new(log.end, settings.recent_bytes),
            read_pool: ReadPool::new(folder, settings),
            session_cache: RowCache::new(session_bytes),
            membership_cache: RowCache::new(|rows: &Vec<_>| membership_bytes(rows)),
            health: Health::healthy(),
            maintenance: Signal::default(),
            on_publish_failure: OnceLock::new(),
        })
    }

    /// Reads where the log ends, and lets readers read up to there.
    pub async fn follow_log_end(self: &Arc<Self>, part: &'static str) -> Result<(), PortError> {
        let log = self.read(part, LogState::read).await?;
        self.recent_records.move_end_to(log.end);
        Ok(())
    }

    /// Runs `work` in the writer's next transaction and returns after the commit.
    ///
    /// Dropping the future leaves it open whether the work happens.
    pub async fn write<T, F>(&self, part: &'static str, work: F) -> Result<T, PortError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let answer = self.queue.send(work).await;
        let written = answer.wait().await;
        written.map_err(|fault| fault.into_port_error(part))
    }

    /// Runs `work` on one snapshot of the database, on a blocking thread.
    pub async fn read<T, F>(self: &Arc<Self>, part: &'static str, work: F) -> Result<T, PortError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let permit = self.read_pool.permit().await;
        let engine = Arc::clone(self);
        let job = tokio::task::spawn_blocking(move || {
            // The job keeps the permit even if the caller stops waiting for it.
            let _permit = permit;
            engine.read_blocking(part, work)
        });
        job.await
            .unwrap_or_else(|error| Err(PortError::unavailable(part, error)))
    }

    /// As `read`, for a thread that may block; takes no permit.
    pub fn read_blocking<T>(
        &self,
        part: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        let read = self.health.check().and_then(|()| self.read_pool.read(work));
        read.map_err(|fault| {
            self.health.report(&fault);
            fault.into_port_error(part)
        })
    }
}

/// Where the log ends when the database is opened.
struct LogState {
    partitions: u16,
    end: Offset,
    last_append_ms: u64,
}

impl LogState {
    fn read(db: &Connection) -> rusqlite::Result<LogState> {
        let meta = |name: &str| {
            db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.number(0)
            })
        };
        let last_record = db
            .query_row(
                "SELECT offset, append_ms FROM log ORDER BY offset DESC LIMIT 1",
                [],
                |row| Ok((row.number(0)? + 1, row.number(1)?)),
            )
            .optional()?;
        let (end, last_append_ms) = last_record.unwrap_or_default();
        let partitions = meta("partitions")?;
        // `meta` is ahead of the table where trimming removed the last record: neither offsets nor
        // append times may be used twice.
        Ok(LogState {
            partitions: u16::try_from(partitions)
                .map_err(|_| invalid_value(0, "partition count"))?,
            end: end.max(meta("log_end")?),
            last_append_ms: last_append_ms.max(meta("log_time")?),
        })
    }
}

/// Approximate memory of a cached row and its key.
fn session_bytes(session: &Option<LoginSession>) -> usize {
    let replaced = |s: &LoginSession| {
        let token = s.replaced.as_ref();
        token.map_or(0, |token| token.hash.len() + token.seed.len())
    };
    let texts = |s: &LoginSession| 2 * s.user.as_str().len() + s.refresh_hash.len() + replaced(s);
    size_of::<((UserName, Uuid), LoginSession)>() + session.as_ref().map_or(0, texts)
}

fn membership_bytes(memberships: &[Membership]) -> usize {
    let texts = |membership: &Membership| membership.channel.as_str().len();
    let own = size_of::<UserName>() + size_of_val(memberships);
    own + memberships.iter().map(texts).sum::<usize>()
}
