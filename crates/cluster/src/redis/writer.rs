//! Writes this server's sessions to Redis: changes at once, and all of them before they expire.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::entries::{PendingChange, SessionEntries};
use super::keys::Keys;
use super::link::{Link, Unavailable};
use super::origin::{Origin, SessionEntry};
use super::scripts::call;
use crate::owner::Installation;
use lakechat_core::ports::presence::LiveSessions;

/// How long the first change of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// Changes in a batch.
const BATCH: usize = 4096;

/// How often the link is checked: a ping while it is up, an attempt to connect while it is down.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Refreshes within an entry's lifetime: two in a row may fail.
const REFRESHES: u32 = 3;

/// Members in a call of a script, and calls and members in a pipeline. Bounded, as Redis serves no other
/// client meanwhile.
const MAX_CALL_MEMBERS: usize = 200;
const MAX_PIPELINE_WEIGHT: usize = 1_000;

/// How long the removal of all entries may take at the end.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The only writer of this server's entries.
pub(super) struct Writer {
    link: Arc<Link>,
    keys: Arc<Keys>,
    changes: mpsc::Receiver<PendingChange>,
    deadline: Duration,
    ours: Installation,
    entries: SessionEntries,
    /// When all entries were last written.
    refreshed: Instant,
}

impl Writer {
    pub fn new(
        link: Arc<Link>,
        keys: Arc<Keys>,
        changes: mpsc::Receiver<PendingChange>,
        deadline: Duration,
        ours: Installation,
    ) -> Writer {
        Writer {
            link,
            keys,
            changes,
            deadline,
            ours,
            entries: SessionEntries::default(),
            refreshed: Instant::now(),
        }
    }

    /// Writes until `stop`, then removes all entries.
    pub async fn run(mut self, own: &dyn LiveSessions, origin: &Origin, stop: CancellationToken) {
        // A write that is cancelled may have happened or not: removing its entries is right in both cases.
        stop.run_until_cancelled(self.write_forever(own, origin))
            .await;
        // After a time-out the entries expire.
        let _ = timeout(REMOVE_TIMEOUT, self.remove_all()).await;
    }

    /// Reconnects if necessary: a cancelled refresh leaves entries on a connection that was never set up.
    async fn remove_all(&mut self) -> Result<(), Unavailable> {
        self.entries.clear();
        let connection = match self.link.connection() {
            Ok(connection) => connection,
            Err(_) => self.connect().await?,
        };
        self.write_pending(connection).await
    }

    async fn write_forever(&mut self, own: &dyn LiveSessions, origin: &Origin) {
        let mut checks = interval(CHECK_INTERVAL.min(self.deadline / (2 * REFRESHES)));
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // Neither loses anything by losing: `recv_many` is cancel safe, and a missed tick is ready at
                // once the next time.
                _ = self.changes.recv_many(&mut batch, BATCH) => self.write_changes(&mut batch).await,
                _ = checks.tick() => self.check(own, origin).await,
            }
        }
    }

    async fn write_changes(&mut self, batch: &mut Vec<PendingChange>) {
        sleep(BATCH_DELAY).await;
        while batch.len() < BATCH
            && let Ok(change) = self.changes.try_recv()
        {
            batch.push(change);
        }
        match self.link.connection() {
            Ok(connection) => {
                batch
                    .drain(..)
                    .for_each(|change| self.entries.apply(change));
                // An error has set the link down. The refresh after reconnecting makes up for it.
                let _ = self.write_pending(connection).await;
            }
            // The refresh after reconnecting writes the sessions of that time.
            Err(_) => batch.clear(),
        }
    }

    async fn check(&mut self, own: &dyn LiveSessions, origin: &Origin) {
        // An error has set the link down; the next check tries again.
        let _ = match self.link.connection() {
            Ok(connection) if self.refreshed.elapsed() < self.deadline / REFRESHES => {
                self.ping(connection).await
            }
            Ok(connection) => self.refresh(connection, own, origin).await,
            Err(_) => self.reconnect(own, origin).await,
        };
    }

    /// Notices a Redis that was restarted while nothing was written.
    async fn ping(&self, mut connection: MultiplexedConnection) -> Result<(), Unavailable> {
        let mut ping = Pipeline::new();
        ping.cmd("PING");
        self.link.write(&mut connection, &ping).await
    }

    async fn reconnect(
        &mut self,
        own: &dyn LiveSessions,
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        let connection = self.link.connect().await?;
        self.refresh(connection.clone(), own, origin).await?;
        self.link.set_up(connection);
        Ok(())
    }

    /// Connects to keys that are ours.
    async fn connect(&self) -> Result<MultiplexedConnection, Unavailable> {
        let mut connection = self.link.connect().await?;
        self.link
            .claim(&mut connection, &self.keys, &self.ours)
            .await?;
        Ok(connection)
    }

    /// Claims the keys again, as an operator may have emptied Redis, and writes all entries.
    async fn refresh(
        &mut self,
        mut connection: MultiplexedConnection,
        own: &dyn LiveSessions,
        origin: &Origin,
    ) -> Result<(), Unavailable> {
        let began = Instant::now();
        self.link
            .claim(&mut connection, &self.keys, &self.ours)
            .await?;
        self.entries.refresh(own, origin);
        metrics::gauge!("lakechat_presence_entries").set(self.entries.len() as f64);
        self.write_pending(connection).await?;
        self.refreshed = began;
        metrics::histogram!("lakechat_presence_refresh_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Writes all pending changes. After an error all of them stay pending.
    async fn write_pending(
        &mut self,
        mut connection: MultiplexedConnection,
    ) -> Result<(), Unavailable> {
        let mut pipeline = Pipeline::new();
        let mut weight = 0;
        for (command, command_weight) in self.commands() {
            pipeline.add_command(command);
            weight += command_weight;
            if weight >= MAX_PIPELINE_WEIGHT {
                self.link.write(&mut connection, &pipeline).await?;
                pipeline.clear();
                weight = 0;
            }
        }
        if weight > 0 {
            self.link.write(&mut connection, &pipeline).await?;
        }
        self.entries.mark_written();
        Ok(())
    }

    /// The pending changes as commands, each with its weight in a pipeline.
    fn commands(&self) -> impl Iterator<Item = (Cmd, usize)> {
        let pending = self.entries.pending();
        let began = pending
            .began
            .iter()
            .map(|(id, entry)| (self.keep_session(*id, entry), 1));
        let ended = pending.ended.iter().flat_map(|(id, entry)| {
            let forget = redis::cmd("DEL").arg(self.keys.session(*id)).take();
            let id = [id.to_string()];
            let of_user = zrem(&self.keys.user(&entry.user), &id);
            let of_network = zrem(&self.keys.network(entry.address), &id);
            [(forget, 1), (of_user, 1), (of_network, 1)]
        });
        let joined = pending.joined.iter().flat_map(move |(channel, members)| {
            let key = self.keys.channel(channel);
            chunks(members).map(move |members| (self.keep_members(&key, &members), members.len()))
        });
        let left = pending.left.iter().flat_map(|(channel, members)| {
            let key = self.keys.channel(channel);
            chunks(members).map(move |members| (zrem(&key, &members), members.len()))
        });
        began.chain(ended).chain(joined).chain(left)
    }

    fn keep_session(&self, id: Uuid, entry: &SessionEntry) -> Cmd {
        let (session, user) = (self.keys.session(id), self.keys.user(&entry.user));
        let network = self.keys.network(entry.address);
        let mut cmd = call(
            &self.link.scripts.keep_session,
            &[&session, &user, &network],
        );
        cmd.arg(self.deadline_ms())
            .arg(id.to_string())
            .arg(entry.user.as_str())
            .arg(&*entry.server)
            .arg(entry.address.to_string())
            .arg(entry.since_ms);
        cmd
    }

    fn keep_members(&self, channel: &str, members: &[&str]) -> Cmd {
        let mut cmd = call(&self.link.scripts.keep_members, &[channel]);
        cmd.arg(self.deadline_ms()).arg(members);
        cmd
    }

    fn deadline_ms(&self) -> u64 {
        u64::try_from(self.deadline.as_millis()).unwrap_or(u64::MAX)
    }
}

fn zrem<S: AsRef<str>>(key: &str, members: &[S]) -> Cmd {
    let mut cmd = redis::cmd("ZREM");
    cmd.arg(key);
    for member in members {
        cmd.arg(member.as_ref());
    }
    cmd
}

fn chunks<'a>(
    members: impl IntoIterator<Item = &'a Arc<str>>,
) -> impl Iterator<Item = Vec<&'a str>> {
    let mut members = members.into_iter().map(|member| &**member);
    std::iter::from_fn(move || {
        let chunk: Vec<_> = members.by_ref().take(MAX_CALL_MEMBERS).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
