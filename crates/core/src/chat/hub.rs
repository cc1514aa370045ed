//! The channels that somebody on this server is interested in, and the sessions that listen.

mod live_sessions;
pub mod outbox;
pub mod roster;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::task::Waker;

use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::clock::boot_ms;
use super::wire::{self, ChannelObject};
use crate::chat::log::entry::Entry;
use crate::chat::wire::close::Close;
use crate::domain::{Channel, ChannelKind, ChannelName, Id, Partition, Role, UserName};
use crate::ports::Presence;
use crate::ports::presence::{LiveSessions, SessionChange};
use outbox::Outbox;
use roster::Roster;

/// What the hub knows of one session.
#[derive(Debug)]
pub struct Listener {
    pub id: Uuid,
    pub user: UserName,
    /// Of the client.
    pub address: IpAddr,
    /// When it began, ms since 1970.
    pub since_ms: u64,
    pub outbox: Arc<Outbox>,
    /// Is told what becomes of the session.
    pub presence: Arc<dyn Presence>,
}

/// A session's place among a channel's listeners.
#[derive(Debug)]
pub struct Subscription {
    listener: Arc<Listener>,
    /// False once it was taken away: the membership ended.
    active: AtomicBool,
}

impl Subscription {
    pub fn new(listener: Arc<Listener>) -> Arc<Subscription> {
        Arc::new(Subscription {
            listener,
            active: AtomicBool::new(true),
        })
    }

    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// The session leaves: a resume that is under way stops.
    pub fn cancel(&self) {
        self.active.store(false, Relaxed);
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }
}

/// A subscription that is live: what has an id above `after` goes to it.
#[derive(Debug)]
pub struct Live {
    subscription: Arc<Subscription>,
    after: Id,
}

/// One channel on this server.
#[derive(Debug)]
pub struct HubChannel {
    pub name: ChannelName,
    pub partition: Partition,
    pub kind: ChannelKind,
    pub creator: Option<UserName>,
    pub created_at_ms: u64,
    /// Kept by the log; short reads and writes only.
    pub roster: RwLock<Roster>,
    live: Mutex<Vec<Live>>,
    /// ms since boot.
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

    /// Reads the roster.
    pub fn read<T>(&self, f: impl FnOnce(&Roster) -> T) -> T {
        f(&self.roster.read().expect("no panic while held"))
    }

    /// Registers a session as live. `last` runs under the channel's lock: it queues what is left to
    /// the session and tells the last id of that, or None if the session can't go live now.
    pub fn go_live(
        &self,
        subscription: &Arc<Subscription>,
        last: impl FnOnce() -> Option<Id>,
    ) -> bool {
        let mut live = self.live.lock().expect("no panic while held");
        let Some(after) = last() else { return false };
        live.push(Live {
            subscription: subscription.clone(),
            after,
        });
        // Under the lock: presence hears of coming and going in the order in which it happens.
        subscription
            .listener
            .tell(SessionChange::Joined(&self.name));
        true
    }

    pub fn unsubscribe(&self, listener: &Listener) {
        let mut live = self.live.lock().expect("no panic while held");
        if let Some(at) = live
            .iter()
            .position(|l| l.subscription.listener.id == listener.id)
        {
            live.swap_remove(at);
        }
        // Also one that was taken off as slow meanwhile.
        listener.tell(SessionChange::Left(&self.name));
    }

    /// Hands frames to every live session, in order, with one wake-up each, left to the caller.
    fn deliver(&self, frames: &[(Id, Utf8Bytes)], wakers: &mut Vec<Waker>) {
        let Some((first, _)) = frames.first() else {
            return;
        };
        let mut live = self.live.lock().expect("no panic while held");
        live.retain(|l| {
            let outbox = &l.subscription.listener.outbox;
            let (open, waker) = if l.after < *first {
                outbox.queue_all(frames.iter().map(|(_, frame)| frame.clone()))
            } else {
                let newer = frames.iter().filter(|(id, _)| *id > l.after);
                outbox.queue_all(newer.map(|(_, frame)| frame.clone()))
            };
            wakers.extend(waker);
            open
        });
        metrics::counter!("lakechat_deliveries_total")
            .increment((live.len() * frames.len()) as u64);
    }

    /// Takes in what the log says of the channel itself. Who is no member any more listens no more.
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
            let listener = &l.subscription.listener;
            if listener.user != user {
                return true;
            }
            l.subscription.active.store(false, Relaxed);
            listener.outbox.push(left.clone());
            listener.tell(SessionChange::Left(&self.name));
            false
        });
    }

    /// Private channels exist for their members only.
    pub fn is_visible_to(&self, user: &UserName) -> bool {
        !self.kind.is_private() || self.read(|roster| roster.is_member(user))
    }

    fn is_idle(&self, before_ms: u64) -> bool {
        // Whoever holds the list may be waiting for the map of channels: not waited for here.
        self.last_used_ms.load(Relaxed) < before_ms
            && self.live.try_lock().is_ok_and(|live| live.is_empty())
    }

    /// The channel as `reader` sees it.
    pub fn object(&self, reader: &UserName) -> ChannelObject {
        let role = self.read(|roster| roster.role(reader));
        ChannelObject {
            role: Some(role).filter(|r| *r != Role::None).map(Role::as_str),
            ..self.object_for_nobody()
        }
    }

    /// The channel without what depends on its reader.
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

/// All channels that were opened on this server, and how many sessions each user has.
#[derive(Debug)]
pub struct Hub {
    /// Who is there, on this server and on others.
    pub presence: Arc<dyn Presence>,
    channels: RwLock<HashMap<ChannelName, Arc<HubChannel>>>,
    sessions: Mutex<Sessions>,
    per_user: Mutex<HashMap<UserName, usize>>,
    /// Cancelled when the hub is closed.
    draining: CancellationToken,
}

impl Hub {
    /// A hub without sessions, that `presence` asks about them.
    pub fn new(presence: Arc<dyn Presence>) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            presence,
            channels: RwLock::default(),
            sessions: Mutex::default(),
            per_user: Mutex::default(),
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

    /// Adds a channel, unless another reader of it was faster. To be called under the lock of its
    /// partition, with a roster that knows all that is folded: then no event is missed.
    pub fn add(&self, channel: HubChannel) -> Arc<HubChannel> {
        let mut channels = self.channels.write().expect("no panic while held");
        channels
            .entry(channel.name.clone())
            .or_insert_with(|| Arc::new(channel))
            .clone()
    }

    /// Gives what was folded to those whom it concerns: to a channel's roster each event, to its
    /// sessions each frame. The sessions that wait for frames are to be woken by the caller.
    pub fn deliver(&self, entries: &[Arc<Entry>], wakers: &mut Vec<Waker>) {
        let mut frames: HashMap<&ChannelName, Vec<(Id, Utf8Bytes)>> = HashMap::new();
        for entry in entries {
            let Some(record) = entry.accepted() else {
                continue;
            };
            match &entry.frame {
                Some(frame) => {
                    frames
                        .entry(&record.channel)
                        .or_default()
                        .push((entry.id, frame.clone()));
                }
                None => {
                    // Frames from before the event go to those who listened before it.
                    if let Some(before) = frames.remove(&record.channel) {
                        self.deliver_frames(&record.channel, &before, wakers);
                    }
                    let channel = self.loaded(&record.channel);
                    channel.into_iter().for_each(|c| c.apply(entry));
                }
            }
        }
        for (channel, frames) in frames {
            self.deliver_frames(channel, &frames, wakers);
        }
    }

    fn deliver_frames(
        &self,
        channel: &ChannelName,
        frames: &[(Id, Utf8Bytes)],
        wakers: &mut Vec<Waker>,
    ) {
        if let Some(channel) = self.loaded(channel) {
            channel.deliver(frames, wakers);
        }
    }

    fn loaded(&self, name: &ChannelName) -> Option<Arc<HubChannel>> {
        self.channels
            .read()
            .expect("no panic while held")
            .get(name)
            .cloned()
    }

    /// Lets go of channels in which nobody listens and that nobody has asked for since a time.
    pub fn forget_idle(&self, before_ms: u64) {
        let mut channels = self.channels.write().expect("no panic while held");
        // Somebody who holds it may be about to listen.
        channels.retain(|_, c| Arc::strong_count(c) > 1 || !c.is_idle(before_ms));
        metrics::gauge!("lakechat_channels_loaded").set(channels.len() as f64);
    }

    /// Takes in a session, if its user has fewer than `most` (0 is no limit) and the server does not
    /// shut down; else why to close it.
    pub fn add_session(&self, listener: Arc<Listener>, most: usize) -> Result<(), Close> {
        let mut sessions = self.sessions.lock().expect("no panic while held");
        if self.draining.is_cancelled() {
            return Err(Close::server_shutdown());
        }
        let mut per_user = self.per_user.lock().expect("no panic while held");
        let count = per_user.entry(listener.user.clone()).or_insert(0);
        if most > 0 && *count >= most {
            return Err(Close::ConnectionLimit);
        }
        *count += 1;
        sessions.all.insert(listener.id, listener.clone());
        listener.tell(SessionChange::Began);
        metrics::gauge!("lakechat_sessions").set(sessions.all.len() as f64);
        Ok(())
    }

    pub fn remove_session(&self, listener: &Listener) {
        let mut sessions = self.sessions.lock().expect("no panic while held");
        sessions.all.remove(&listener.id);
        listener.tell(SessionChange::Ended);
        metrics::gauge!("lakechat_sessions").set(sessions.all.len() as f64);
        drop(sessions);
        let mut per_user = self.per_user.lock().expect("no panic while held");
        if let Some(count) = per_user.get_mut(&listener.user) {
            *count -= 1;
            if *count == 0 {
                per_user.remove(&listener.user);
            }
        }
    }

    /// Resolves when the hub was closed.
    pub(in crate::chat) async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Admits no further session, and returns those that are connected.
    pub fn close(&self) -> Vec<Arc<Listener>> {
        // Under the lock, so that no session is added after the list was made.
        let sessions = self.sessions.lock().expect("no panic while held");
        self.draining.cancel();
        sessions.all.values().cloned().collect()
    }
}
