//! Says to Redis what this server's sessions do, and that they still live.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::entries::{Entries, Told};
use super::keys::Keys;
use super::link::{Away, Link};
use super::origin::{Entry, Origin};
use super::scripts::call;
use lakechat_core::ports::presence::LiveSessions;

/// How long the first change of a batch waits for others.
const GATHER: Duration = Duration::from_millis(5);

/// Changes in a batch.
const BATCH: usize = 4096;

/// How often Redis is looked after: a ping if it was up, else a try to connect.
const LOOK: Duration = Duration::from_secs(1);

/// How much of the deadline may pass before everything is said again: two refreshes may fail.
const REFRESHES: u32 = 3;

/// Members that one call of a script takes, and what one pipeline holds of calls and members: Redis
/// serves nobody else for that long.
const MEMBERS_A_CALL: usize = 200;
const PIPELINE: usize = 1_000;

/// How long taking everything back may take.
const CLEAR: Duration = Duration::from_secs(3);

/// The only one who writes.
pub struct Writer {
    link: Arc<Link>,
    keys: Arc<Keys>,
    heard: mpsc::Receiver<Told>,
    deadline: Duration,
    entries: Entries,
    /// When everything was last said.
    refreshed: Instant,
}

impl Writer {
    pub fn new(
        link: Arc<Link>,
        keys: Arc<Keys>,
        heard: mpsc::Receiver<Told>,
        deadline: Duration,
    ) -> Writer {
        Writer {
            link,
            keys,
            heard,
            deadline,
            entries: Entries::default(),
            refreshed: Instant::now(),
        }
    }

    /// Writes until `stop`, then takes everything back.
    pub async fn run(mut self, own: &dyn LiveSessions, origin: &Origin, stop: CancellationToken) {
        // What is cut may have been written or not: taking it back is right in both cases.
        stop.run_until_cancelled(self.speak(own, origin)).await;
        // In vain: the deadline does it.
        let _ = timeout(CLEAR, self.take_back()).await;
    }

    /// Also over a connection that was cut while everything was said over it.
    async fn take_back(&mut self) -> Result<(), Away> {
        self.entries.clear();
        let connection = match self.link.connection() {
            Ok(connection) => connection,
            Err(_) => self.link.connect().await?,
        };
        self.say(connection).await
    }

    async fn speak(&mut self, own: &dyn LiveSessions, origin: &Origin) {
        let mut looks = interval(LOOK.min(self.deadline / (2 * REFRESHES)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                // Both lose nothing while they wait: what is received is in `batch`, and a look that
                // was not taken comes next.
                _ = self.heard.recv_many(&mut batch, BATCH) => self.write_changes(&mut batch).await,
                _ = looks.tick() => self.look(own, origin).await,
            }
        }
    }

    async fn write_changes(&mut self, batch: &mut Vec<Told>) {
        sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(told) = self.heard.try_recv()
        {
            batch.push(told);
        }
        match self.link.connection() {
            Ok(connection) => {
                batch.drain(..).for_each(|told| self.entries.apply(told));
                // A failure stands in the link, and is made up for once Redis is back.
                let _ = self.say(connection).await;
            }
            // Redis will be told what is, and not what was.
            Err(_) => batch.clear(),
        }
    }

    async fn look(&mut self, own: &dyn LiveSessions, origin: &Origin) {
        // Failures stand in the link; the next look tries again.
        let _ = match self.link.connection() {
            Ok(connection) if self.refreshed.elapsed() < self.deadline / REFRESHES => {
                self.ping(connection).await
            }
            Ok(connection) => self.refresh(connection, own, origin).await,
            Err(_) => self.recover(own, origin).await,
        };
    }

    /// Redis may have been restarted while nobody looked.
    async fn ping(&self, mut connection: MultiplexedConnection) -> Result<(), Away> {
        let mut ping = Pipeline::new();
        ping.cmd("PING");
        self.link.write(&mut connection, &ping).await
    }

    async fn recover(&mut self, own: &dyn LiveSessions, origin: &Origin) -> Result<(), Away> {
        let connection = self.link.connect().await?;
        self.refresh(connection.clone(), own, origin).await?;
        self.link.up(connection);
        Ok(())
    }

    async fn refresh(
        &mut self,
        connection: MultiplexedConnection,
        own: &dyn LiveSessions,
        origin: &Origin,
    ) -> Result<(), Away> {
        let began = Instant::now();
        self.entries.refresh(own, origin);
        metrics::gauge!("lakechat_presence_entries").set(self.entries.len() as f64);
        self.say(connection).await?;
        self.refreshed = began;
        metrics::histogram!("lakechat_presence_refresh_seconds")
            .record(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Writes what is unsaid. What fails stays unsaid.
    async fn say(&mut self, mut connection: MultiplexedConnection) -> Result<(), Away> {
        let mut pipeline = Pipeline::new();
        let mut weight = 0;
        for (command, weighs) in self.commands() {
            pipeline.add_command(command);
            weight += weighs;
            if weight >= PIPELINE {
                self.link.write(&mut connection, &pipeline).await?;
                pipeline.clear();
                weight = 0;
            }
        }
        if weight > 0 {
            self.link.write(&mut connection, &pipeline).await?;
        }
        self.entries.said();
        Ok(())
    }

    /// What is unsaid, as commands and what each weighs.
    fn commands(&self) -> impl Iterator<Item = (Cmd, usize)> {
        let unsaid = self.entries.unsaid();
        let began = unsaid
            .began
            .iter()
            .map(|(id, entry)| (self.keep_session(*id, entry), 1));
        let ended = unsaid.ended.iter().flat_map(|(id, user)| {
            let forget = redis::cmd("DEL").arg(self.keys.session(*id)).take();
            let of_user = zrem(&self.keys.user(user), &[id.to_string()]);
            [(forget, 1), (of_user, 1)]
        });
        let joined = unsaid.joined.iter().flat_map(move |(channel, members)| {
            let key = self.keys.channel(channel);
            chunks(members).map(move |members| (self.keep_places(&key, &members), members.len()))
        });
        let left = unsaid.left.iter().flat_map(|(channel, members)| {
            let key = self.keys.channel(channel);
            chunks(members).map(move |members| (zrem(&key, &members), members.len()))
        });
        began.chain(ended).chain(joined).chain(left)
    }

    fn keep_session(&self, id: Uuid, entry: &Entry) -> Cmd {
        let (session, user) = (self.keys.session(id), self.keys.user(&entry.user));
        let mut cmd = call(&self.link.scripts.keep_session, &[&session, &user]);
        cmd.arg(self.deadline_ms())
            .arg(id.to_string())
            .arg(entry.user.as_str())
            .arg(&*entry.server)
            .arg(entry.address.to_string())
            .arg(entry.since_ms);
        cmd
    }

    fn keep_places(&self, channel: &str, members: &[&str]) -> Cmd {
        let mut cmd = call(&self.link.scripts.keep_places, &[channel]);
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
        let chunk: Vec<_> = members.by_ref().take(MEMBERS_A_CALL).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
