//! The operations of chat that sessions and HTTP requests call.

mod acked;
mod changing;
mod channel_loader;
mod channels;
mod connecting;
mod file_rights;
pub(in crate::chat) mod health;
mod history;
mod membership;
mod missed;
mod presence;
mod sending;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::archive::Batching;
use super::clock::Pulse;
use super::hub::{Hub, HubChannel};
use super::log::{Log, MemoryBounds};
use super::read::Reads;
use super::send_limits::SendLimits;
use super::wire::SessionLimits;
use super::wire::close::Close;
use crate::chat::hub::outbox::OutboxBounds;
use crate::chat::log::barrier::Barrier;
use crate::domain::{ChannelName, Code, Problem, UserName};
use crate::keyed_memory::{KeyedMemory, ReservedMemory};
use crate::limits::{RequestKind, RequestLimit};
use crate::ports::presence::ConnectionLimits;
use crate::ports::{Channels, Directory, FileRows, UserRows};

use channel_loader::ChannelLoader;
use connecting::UserRowLoads;
use membership::MembershipLoads;

pub use acked::NewMessage;
pub use changing::MessageChange;
pub use channels::{ChannelPage, MemberPage};
pub(in crate::chat) use connecting::ConnectedUser;
pub use health::{Health, PartHealth};
pub use history::{
    FRAME_PAGE_BYTES, MAX_LIMIT, PAGE_BYTES, Page, PageQuery, limit_invalid, page_limit,
};
pub(in crate::chat) use membership::StoredMemberships;
pub use presence::{ChannelPresence, PresentSession, PresentUser};
pub use sending::{Admission, References, Send, not_a_member};

/// The longest topic, in bytes.
pub const MAX_TOPIC_BYTES: usize = 1024;

/// Memory for WebSockets whose user isn't known yet. An address may hold an eighth of it.
const HELLO_BYTES: usize = 64 * 1024 * 1024;

/// The memory of such a WebSocket beside a frame.
const SOCKET_BYTES: usize = 16 * 1024;

/// How often a read of channel state is tried while the tail evicts records that it needs.
const TRIES: usize = 4;

/// The configuration of chat.
#[derive(Clone, Debug)]
pub struct ChatSettings {
    /// The name of this server, for clients.
    pub server_id: String,
    pub limits: SessionLimits,
    pub ping: Duration,
    /// How long a session without a token may take to send `hello`.
    pub hello: Duration,
    pub outbox: OutboxBounds,
    pub memory: MemoryBounds,
    /// Memory for pages of history and for resumed messages that clients have not received yet, in
    /// bytes.
    pub read_bytes: usize,
    /// Memory for live frames that wait for sessions, of all sessions together, in bytes.
    pub live_bytes: usize,
    pub archive: Batching,
    /// Messages per second of one user, on average; 0: no limit.
    pub sends_per_user: u32,
    /// Messages per second in one channel, on average; 0: no limit.
    pub sends_per_channel: u32,
    /// HTTP calls and reading frames of one user per second, on average; 0: no limit.
    pub requests_per_user: u32,
    /// Channels that one user may have joined or created, those left included.
    pub channels_per_user: usize,
    /// Concurrent sessions of one user, and from one network.
    pub connections: ConnectionLimits,
    /// For how long the sender of a message may change it; zero: for ever.
    pub edit_window: Duration,
}

/// The ports of the directory that chat uses.
#[derive(Clone)]
pub struct DirectoryPorts {
    pub channels: Arc<dyn Channels>,
    pub user_rows: Arc<dyn UserRows>,
    pub file_rows: Arc<dyn FileRows>,
}

impl From<&Directory> for DirectoryPorts {
    fn from(directory: &Directory) -> DirectoryPorts {
        DirectoryPorts {
            channels: directory.channels.clone(),
            user_rows: directory.user_rows.clone(),
            file_rows: directory.file_rows.clone(),
        }
    }
}

/// The chat of one server.
pub struct Chat {
    pub settings: ChatSettings,
    pub log: Arc<Log>,
    pub hub: Arc<Hub>,
    pub pulse: Arc<Pulse>,
    reads: Arc<Reads>,
    loader: ChannelLoader,
    membership_loads: MembershipLoads,
    user_row_loads: UserRowLoads,
    read_memory: KeyedMemory<UserName>,
    hello_memory: KeyedMemory<IpAddr>,
    directory: DirectoryPorts,
    send_limits: Arc<SendLimits>,
    requests_per_user: RequestLimit,
    degraded: Mutex<Vec<&'static str>>,
}

/// The problem for a channel that doesn't exist or isn't visible to the caller.
pub fn channel_not_found() -> Problem {
    Problem::new(Code::ChannelNotFound, "There is no such channel.")
}

/// The problem of whoever would add something to an archived channel.
fn archived() -> Problem {
    let text = "The channel is archived: its history stays, and nothing is added to it.";
    Problem::new(Code::ChannelArchived, text)
}

impl Chat {
    pub fn new(
        settings: ChatSettings,
        log: Arc<Log>,
        hub: Arc<Hub>,
        pulse: Arc<Pulse>,
        reads: Reads,
        directory: DirectoryPorts,
        send_limits: Arc<SendLimits>,
    ) -> Chat {
        let reads = Arc::new(reads);
        let channels = directory.channels.clone();
        let loader = ChannelLoader::new(log.clone(), hub.clone(), reads.clone(), channels);
        Chat {
            send_limits,
            requests_per_user: RequestLimit::new(settings.requests_per_user),
            read_memory: KeyedMemory::new(settings.read_bytes),
            hello_memory: KeyedMemory::new(HELLO_BYTES),
            degraded: Mutex::default(),
            settings,
            log,
            hub,
            pulse,
            reads,
            loader,
            membership_loads: MembershipLoads::default(),
            user_row_loads: UserRowLoads::default(),
            directory,
        }
    }

    /// Finds a channel as far as this server has read the log. An invalid name gives
    /// `channel_not_found`, too.
    pub async fn find(&self, name: &str) -> Result<Arc<HubChannel>, Problem> {
        let name = ChannelName::parse(name).map_err(|_| channel_not_found())?;
        self.open(&name).await?.ok_or_else(channel_not_found)
    }

    /// Like [`Chat::find`], after the barrier: the channel has every event that was acked before
    /// the call.
    pub async fn find_up_to_date(&self, name: &str) -> Result<Arc<HubChannel>, Problem> {
        let name = ChannelName::parse(name).map_err(|_| channel_not_found())?;
        self.reads
            .barrier()
            .pass(self.log.partition_of(&name))
            .await?;
        self.open(&name).await?.ok_or_else(channel_not_found)
    }

    /// The loaded channel; loads it first if necessary. None if the directory doesn't have it.
    pub async fn open(&self, name: &ChannelName) -> Result<Option<Arc<HubChannel>>, Problem> {
        self.loader.open(name).await
    }

    /// Counts a request of a user, over HTTP or in a frame; `rate_limited` if there are too many.
    pub fn admit_request(&self, user: &UserName, kind: RequestKind) -> Result<(), Problem> {
        self.requests_per_user.admit(user, kind)
    }

    /// Reserves the memory of a WebSocket that will send its token in `hello`.
    pub fn admit_hello(&self, address: IpAddr) -> Result<ReservedMemory, Problem> {
        let bytes = self.settings.limits.frame_bytes + SOCKET_BYTES;
        let reserved = self.hello_memory.try_reserve(&address, bytes);
        reserved.map_err(|_| {
            let text = "Too many connections are waiting for hello; send it at once, or send the \
                        token with the upgrade.";
            Problem::new(Code::RateLimited, text).retry_after_ms(1_000)
        })
    }

    pub fn barrier(&self) -> &Barrier {
        self.reads.barrier()
    }

    /// The degraded parts, for `welcome`.
    pub fn degraded(&self) -> Vec<&'static str> {
        self.degraded.lock().expect("no panic while held").clone()
    }

    /// Sets the degraded parts. The application's upkeep calls it.
    pub fn set_degraded(&self, parts: Vec<&'static str>) {
        *self.degraded.lock().expect("no panic while held") = parts;
    }

    /// Refuses further sessions and closes the open ones. Each client gets its own random delay for
    /// the reconnect, which spreads the load on the other servers.
    pub fn close_sessions(&self) {
        for listener in self.hub.close() {
            listener.outbox.close(Close::server_shutdown());
        }
    }
}
