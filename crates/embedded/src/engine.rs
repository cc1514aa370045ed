//! What the embedded back ends share: the way to the writer, the readers, the log's end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::clock::Clock;
use super::columns::Column;
use super::fault::Health;
use super::folder::{DataFolder, OpenError};
use super::maintenance::signal::Signal;
use super::queue::Queue;
use super::read_pool::Readers;
use super::recent_records::Recent;
use super::row_cache::Known;
use super::settings::Settings;
use lakechat_core::domain::{ChannelName, LoginSession, Member, UserName};
use lakechat_core::ports::PortError;
use lakechat_core::ports::broker::{Offset, PublishFailureHandler};

pub(super) struct Core {
    pub partitions: u16,
    pub window: Duration,
    pub clock: Clock,
    pub queue: Queue,
    pub recent: Recent,
    pub readers: Readers,
    /// What each chat session that begins asks for.
    pub sessions: Arc<Known<(UserName, Uuid), Option<LoginSession>>>,
    pub memberships: Arc<Known<UserName, Vec<(ChannelName, Member)>>>,
    pub health: Health,
    pub maintenance: Signal,
    pub on_publish_failure: OnceLock<PublishFailureHandler>,
}

impl Core {
    pub fn new(
        folder: &DataFolder,
        settings: &Settings,
        db: &Connection,
    ) -> Result<Core, OpenError> {
        let log = LogState::of(db).map_err(|source| OpenError::Database {
            path: folder.database(),
            source,
        })?;
        Ok(Core {
            partitions: log.partitions,
            window: settings.window,
            clock: Clock::after(log.last_ms),
            queue: Queue::new(settings.queue_bytes),
            recent: Recent::new(log.end, settings.recent_bytes),
            readers: Readers::new(folder, settings),
            sessions: Known::new(session_bytes),
            memberships: Known::new(|of: &Vec<_>| membership_bytes(of)),
            health: Health::good(),
            maintenance: Signal::default(),
            on_publish_failure: OnceLock::new(),
        })
    }

    /// Writes in the writer's transaction; returns after the commit.
    pub async fn write<T, F>(&self, part: &'static str, work: F) -> Result<T, PortError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let written = self.queue.send(work).await;
        written
            .wait()
            .await
            .map_err(|fault| fault.into_port_error(part))
    }

    /// Reads one state of the database, on a thread that may block.
    pub async fn read<T, F>(self: &Arc<Self>, part: &'static str, work: F) -> Result<T, PortError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let place = self.readers.wait().await;
        let core = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let _place = place;
            core.read_blocking(part, work)
        });
        read.await.unwrap_or_else(|gone| {
            Err(PortError::Unavailable {
                part,
                reason: gone.to_string(),
            })
        })
    }

    pub fn read_blocking<T>(
        &self,
        part: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        let read = self.health.check().and_then(|()| self.readers.read(work));
        read.map_err(|fault| {
            self.health.note(&fault);
            fault.into_port_error(part)
        })
    }
}

/// What a database says of its log when it is opened.
struct LogState {
    partitions: u16,
    end: Offset,
    last_ms: u64,
}

impl LogState {
    fn of(db: &Connection) -> rusqlite::Result<LogState> {
        let meta = |name: &str| {
            db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
                row.number(0)
            })
        };
        let last = db
            .query_row(
                "SELECT offset, append_ms FROM log ORDER BY offset DESC LIMIT 1",
                [],
                |row| Ok((row.number(0)? + 1, row.number(1)?)),
            )
            .optional()?;
        let (end, last_ms) = last.unwrap_or_default();
        let partitions = meta("partitions")?;
        Ok(LogState {
            partitions: u16::try_from(partitions)
                .map_err(|_| super::columns::not_a(0, "partition count"))?,
            end: end.max(meta("log_end")?),
            last_ms: last_ms.max(meta("log_time")?),
        })
    }
}

/// About what a kept row and its key take.
fn session_bytes(session: &Option<LoginSession>) -> usize {
    let texts = |s: &LoginSession| 2 * s.user.as_str().len() + s.refresh_hash.len();
    size_of::<((UserName, Uuid), LoginSession)>() + session.as_ref().map_or(0, texts)
}

fn membership_bytes(memberships: &[(ChannelName, Member)]) -> usize {
    let texts = |(name, m): &(ChannelName, Member)| name.as_str().len() + m.user.as_str().len();
    let own = size_of::<UserName>() + size_of_val(memberships);
    own + memberships.iter().map(texts).sum::<usize>()
}
