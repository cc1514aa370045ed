//! The loaded channels and the open sessions of this server.

mod live_memory;
mod live_sessions;
pub mod outbox;
pub mod roster;
mod session_counts;
mod subscription;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::task::Waker;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clock::boot_ms;
use super::wire::{self, ChannelObject, Frame};
use crate::chat::log::entry::Entry;
use crate::chat::wire::close::Close;
use crate::domain::{Channel, ChannelKind, ChannelName, Id, Partition, Role, UserName};
use crate::ports::Presence;
use crate::ports::presence::{ConnectionLimit, ConnectionLimits, LiveSessions, SessionChange};
use live_memory::LiveMemory;
use outbox::Outbox;
use roster::Roster;
use session_counts::SessionCounts;
use subscription::{Live, LiveBatch};

pub use subscription::Subscription;

/// A session as the hub and presence see it.
#[derive(Debug)]
pub struct Listener {
    pub id: Uuid,
    pub user: UserName,
    /// The client's address.
    pub address: IpAddr,
    /// When the session began, ms since 1970.
    pub since_ms: u64,
    pub outbox: Arc<Outbox>,
    /// Gets the session's changes: began, joined, left, ended.
    pub presence: Arc<dyn Presence>,
}

/// One channel on this server.
#[derive(Debug)]
pub struct HubChannel {
    pub name: ChannelName,
    pub partition: Partition,
    pub kind: ChannelKind,
    pub creator: Option<UserName>,
    pub created_at_ms: u64,
    /// Updated from the log. Locked only for short reads and writes.
    pub roster: RwLock<Roster>,
    live: Mutex<Vec<Live>>,
    /// When the channel was last looked up, ms since boot.
    last_used_ms: AtomicU64,
}

impl HubChannel {
    pub fn new(channel: Channel, partition: Partition, roster: Roster) -> HubChannel {
        HubChannel {
            name: channel.name,
            partition,
            kind: channel.kind,
            creator: channel.creator,
            created_at_ms: channel.created_at_ms,
            roster: RwLock::new(roster),
            live: Mutex::default(),
            last_used_ms: AtomicU64::new(boot_ms()),
        }
    }

    pub fn read<T>(&self, f: impl FnOnce(&Roster) -> T) -> T {
        f(&self.roster.read().expect("no panic while held"))
    }

    /// Registers a session as live; false if it can't go live yet.
    ///
    /// `last` runs under the lock of the live list. It queues the frames that the session still
    /// lacks and returns the last id that they cover, or None if the session can't go live.
    pub fn go_live(
        &self,
        subscription: &Arc<Subscription>,
        last: impl FnOnce() -> Option<Id>,
    ) -> bool {
        let mut live = self.live.lock().expect("no panic while held");
        let Some(after) = last() else { return false };
        live.push(Live::new(subscription.clone(), after));
        // Under the lock, so that presence gets joins and leaves in the order in which they happen.
        subscription
            .listener()
            .report(SessionChange::Joined(&self.name));
        true
    }

    pub fn unsubscribe(&self, listener: &Listener) {
        let mut live = self.live.lock().expect("no panic while held");
        if let Some(at) = live
            .iter()
            .position(|l| l.subscription.listener().id == listener.id)
        {
            live.swap_remove(at);
        }
        // Also for a session that isn't in the list: `deliver` removes closing ones without notifying
        // presence.
        listener.report(SessionChange::Left(&self.name));
    }

    /// Registers a session as live again after it had fallen behind; false if it can't go live yet,
    /// or isn't in the list any more. `last` is as for [`HubChannel::go_live`].
    pub fn go_live_again(
        &self,
        subscription: &Arc<Subscription>,
        last: impl FnOnce() -> Option<Id>,
    ) -> bool {
        let mut live = self.live.lock().expect("no panic while held");
        let mut live = live.iter_mut();
        let Some(own) = live.find(|l| Arc::ptr_eq(&l.subscription, subscription)) else {
            return false;
        };
        let Some(after) = last() else { return false };
        own.caught_up(after);
        true
    }

    /// Queues frames for every live session, in order. Collects one waker per session, which the
    /// caller wakes.
    fn deliver(&self, frames: &[(Id, Frame)], memory: &Arc<LiveMemory>, wakers: &mut Vec<Waker>) {
        let mut live = self.live.lock().expect("no panic while held");
        if live.is_empty() {
            return;
        }
        let Some(batch) = LiveBatch::new(frames, memory) else {
            return;
        };
        live.retain_mut(|l| l.deliver(&batch, wakers));
        metrics::counter!("lakechat_deliveries_total")
            .increment((live.len() * frames.len()) as u64);
    }

    /// Lets every live session get an event, and what follows, from the log, because there is no frame for
    /// all of them.
    fn fall_behind(&self, event: Id, wakers: &mut Vec<Waker>) {
        let mut live = self.live.lock().expect("no panic while held");
        live.iter_mut().for_each(|l| l.miss(event, wakers));
    }

    /// Applies a channel event to the roster. If it ends a membership, removes that user's sessions
    /// from the live list.
    fn apply(&self, entry: &Entry) {
        let ended = self
            .roster
            .write()
            .expect("no panic while held")
            .apply(entry);
        let Some(user) = ended else { return };
        let left = wire::left(None, self.name.as_str());
        let mut live = self.live.lock().expect("no panic while held");
        live.retain(|l| {
            let listener = l.subscription.listener();
            if listener.user != user {
                return true;
            }
            l.subscription.cancel();
            listener.outbox.push(left.clone());
            listener.report(SessionChange::Left(&self.name));
            false
        });
    }

    /// Whether its creation ended before the record that makes its creator the owner. Only the creator
    /// can finish it. If others could join, the first of them would inherit it.
    pub fn is_unfinished(&self) -> bool {
        self.creator.is_some() && self.read(Roster::is_untouched)
    }

    /// Public channels are visible to everybody, private ones only to their members. An unfinished
    /// channel is visible to nobody.
    pub fn is_visible_to(&self, user: &UserName) -> bool {
        if self.is_unfinished() {
            return false;
        }
        !self.kind.is_private() || self.read(|roster| roster.is_member(user))
    }

    fn is_idle(&self, before_ms: u64) -> bool {
        // `try_lock`, because the lock order is live list, partition, map of channels. The caller
        // holds the map, so waiting for the list could deadlock.
        self.last_used_ms.load(Relaxed) < before_ms
            && self.live.try_lock().is_ok_and(|live| live.is_empty())
    }

    /// The channel with the role of `reader`.
    pub fn object(&self, reader: &UserName) -> ChannelObject {
        let role = self.read(|roster| roster.role(reader));
        ChannelObject {
            role: Some(role).filter(|r| *r != Role::None).map(Role::as_str),
            ..self.object_for_nobody()
        }
    }

    /// The channel without the reader's role.
    pub fn object_for_nobody(&self) -> ChannelObject {
        self.read(|roster| ChannelObject {
            name: self.name.clone(),
            kind: self.kind.as_str(),
            topic: roster.topic().map(str::to_owned),
            state: if roster.is_archived() {
                "archived"
            } else {
                "active"
            },
            created_at: self.created_at_ms,
            role: None,
            members: None,
        })
    }
}

#[derive(Debug, Default)]
struct Sessions {
    all: HashMap<Uuid, Arc<Listener>>,
}

/// The loaded channels and open sessions of this server, and the number of sessions per user.
#[derive(Debug)]
pub struct Hub {
    /// Which users are in a channel, over all servers.
    pub presence: Arc<dyn Presence>,
    live_memory: Arc<LiveMemory>,
    channels: RwLock<HashMap<ChannelName, Arc<HubChannel>>>,
    sessions: Mutex<Sessions>,
    counts: Mutex<SessionCounts>,
    /// Cancelled by [`Hub::close`].
    draining: CancellationToken,
}

impl Hub {
    /// Creates an empty hub and attaches it to `presence`, which asks it for the live sessions.
    ///
    /// `live_bytes` limits the live frames that wait for all sessions together.
    pub fn new(presence: Arc<dyn Presence>, live_bytes: usize) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            presence,
            live_memory: LiveMemory::new(live_bytes),
            channels: RwLock::default(),
            sessions: Mutex::default(),
            counts: Mutex::default(),
            draining: CancellationToken::new(),
        });
        let own: Arc<dyn LiveSessions> = hub.clone();
        hub.presence.attach(Arc::downgrade(&own));
        hub
    }

    pub fn channel(&self, name: &ChannelName) -> Option<Arc<HubChannel>> {
        let channel = self
            .channels
            .read()
            .expect("no panic while held")
            .get(name)
            .cloned()?;
        channel.last_used_ms.store(boot_ms(), Relaxed);
        Some(channel)
    }

    /// Adds a channel; if it is loaded already, returns the loaded one.
    ///
    /// The caller holds the lock of the partition, and the roster contains every event folded so
    /// far. Later events then find the channel here, so it misses no event.
    pub fn add(&self, channel: HubChannel) -> Arc<HubChannel> {
        let mut channels = self.channels.write().expect("no panic while held");
        channels
            .entry(channel.name.clone())
            .or_insert_with(|| Arc::new(channel))
            .clone()
    }

    /// Applies folded events to the rosters, and queues folded messages for the live sessions. The
    /// caller wakes the wakers.
    pub fn deliver(&self, entries: &[Arc<Entry>], wakers: &mut Vec<Waker>) {
        let mut frames: HashMap<&ChannelName, Vec<(Id, Frame)>> = HashMap::new();
        for entry in entries {
            let Some(record) = entry.accepted() else {
                continue;
            };
            if let Some(frame) = &entry.frame {
                let frame = (entry.id, frame.clone());
                frames.entry(&record.channel).or_default().push(frame);
            }
            let changes_roster = record.body.changes_roster();
            if !changes_roster && !entry.lacks_frame() {
                continue;
            }
            // An event may end a membership. So the frames up to it are queued first, to the sessions
            // that were live then.
            if let Some(before) = frames.remove(&record.channel) {
                self.deliver_frames(&record.channel, &before, wakers);
            }
            let Some(channel) = self.loaded(&record.channel) else {
                continue;
            };
            if changes_roster {
                channel.apply(entry);
            } else {
                channel.fall_behind(entry.id, wakers);
            }
        }
        for (channel, frames) in frames {
            self.deliver_frames(channel, &frames, wakers);
        }
    }

    fn deliver_frames(
        &self,
        channel: &ChannelName,
        frames: &[(Id, Frame)],
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(channel) = self.loaded(channel) {
            channel.deliver(frames, &self.live_memory, wakers);
        }
    }

    fn loaded(&self, name: &ChannelName) -> Option<Arc<HubChannel>> {
        self.channels
            .read()
            .expect("no panic while held")
            .get(name)
            .cloned()
    }

    /// Unloads channels without live sessions that were last looked up before `before_ms`.
    pub fn forget_idle(&self, before_ms: u64) {
        let mut channels = self.channels.write().expect("no panic while held");
        // A caller that holds a reference may be about to subscribe a session.
        channels.retain(|_, c| Arc::strong_count(c) > 1 || !c.is_idle(before_ms));
        metrics::gauge!("lakechat_channels_loaded").set(channels.len() as f64);
        let waiting = self.live_memory.used_bytes();
        metrics::gauge!("lakechat_live_frames_bytes").set(waiting as f64);
    }

    /// Refuses a session with a reason to close if its user or its client's network has as many on all
    /// servers as the limits allow. The limits of this server alone are others' to check.
    pub async fn admit_session(
        &self,
        listener: &Listener,
        limits: ConnectionLimits,
    ) -> Result<(), Close> {
        let counts = || self.counts.lock().expect("no panic while held");
        if !counts().may_exceed(listener, limits) {
            return Ok(());
        }
        let admitted = self.presence.admit(listener.as_live(), limits).await;
        admitted.map_err(|_: ConnectionLimit| Close::ConnectionLimit)
    }

    /// Adds a session. Refuses it with a reason to close if the hub is closed, or if its user has
    /// `most` sessions already (0: no limit).
    pub fn add_session(&self, listener: Arc<Listener>, most: usize) -> Result<(), Close> {
        let mut sessions = self.sessions.lock().expect("no panic while held");
        if self.draining.is_cancelled() {
            return Err(Close::server_shutdown());
        }
        let mut counts = self.counts.lock().expect("no panic while held");
        if most > 0 && counts.of_user(&listener.user) >= most {
            return Err(Close::ConnectionLimit);
        }
        counts.add(&listener);
        sessions.all.insert(listener.id, listener.clone());
        listener.report(SessionChange::Began);
        metrics::gauge!("lakechat_sessions").set(sessions.all.len() as f64);
        Ok(())
    }

    pub fn remove_session(&self, listener: &Listener) {
        let mut sessions = self.sessions.lock().expect("no panic while held");
        sessions.all.remove(&listener.id);
        listener.report(SessionChange::Ended);
        metrics::gauge!("lakechat_sessions").set(sessions.all.len() as f64);
        drop(sessions);
        let mut counts = self.counts.lock().expect("no panic while held");
        counts.remove(listener);
    }

    /// Closes the live sessions of a partition once it is stopped: they would get nothing more, and on
    /// another server they might. Runs until its future is dropped.
    pub async fn close_sessions_of(&self, mut stopped: watch::Receiver<BTreeSet<Partition>>) {
        let mut closed = BTreeSet::new();
        loop {
            let all = stopped.borrow_and_update().clone();
            for partition in all.difference(&closed) {
                self.close_live_in(*partition);
            }
            closed = all;
            if stopped.changed().await.is_err() {
                // Not reached: the log owns the sender for as long as the server runs.
                std::future::pending::<()>().await;
            }
        }
    }

    fn close_live_in(&self, partition: Partition) {
        let channels = self.channels.read().expect("no panic while held");
        let there = channels.values().filter(|c| c.partition == partition);
        let there: Vec<_> = there.cloned().collect();
        drop(channels);
        let mut sessions = HashMap::new();
        for listener in there.iter().flat_map(|channel| channel.listeners()) {
            sessions.insert(listener.id, listener);
        }
        let (partition, sessions_closed) = (partition.0, sessions.len());
        tracing::warn!(
            partition,
            sessions_closed,
            "the sessions of a stopped partition are closed"
        );
        for listener in sessions.values() {
            listener.outbox.close(Close::InternalError);
        }
    }

    /// Resolves when [`Hub::close`] has been called.
    pub(in crate::chat) async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Refuses further sessions and returns the open ones.
    pub fn close(&self) -> Vec<Arc<Listener>> {
        // Under the lock, so that no session is added after the list is made.
        let sessions = self.sessions.lock().expect("no panic while held");
        self.draining.cancel();
        sessions.all.values().cloned().collect()
    }
}
