//! Loads channels into the hub.

use std::slice;
use std::sync::Arc;

use super::TRIES;
use crate::chat::hub::roster::Roster;
use crate::chat::hub::{Hub, HubChannel};
use crate::chat::log::Log;
use crate::chat::read::{Reads, behind};
use crate::domain::{ChannelName, Id, Member, Problem};
use crate::ports::problem::{directory_unavailable, history_unavailable};
use crate::ports::{Caller, Channels};
use crate::single_flight::SingleFlight;

/// Members per page when a roster is read from history.
const MEMBERS_PAGE: usize = 1000;

/// The channels of this server: those in the hub, and those that are being loaded into it.
#[derive(Clone)]
pub(super) struct ChannelLoader {
    sources: Arc<Sources>,
    /// Sessions that reconnect after a restart all want the same few channels.
    loads: Arc<SingleFlight<ChannelName, Loaded>>,
}

type Loaded = Result<Option<Arc<HubChannel>>, Problem>;

struct Sources {
    log: Arc<Log>,
    hub: Arc<Hub>,
    reads: Arc<Reads>,
    channels: Arc<dyn Channels>,
}

impl ChannelLoader {
    pub fn new(
        log: Arc<Log>,
        hub: Arc<Hub>,
        reads: Arc<Reads>,
        channels: Arc<dyn Channels>,
    ) -> ChannelLoader {
        ChannelLoader {
            sources: Arc::new(Sources {
                log,
                hub,
                reads,
                channels,
            }),
            loads: Arc::default(),
        }
    }

    /// The loaded channel. Loads it first if necessary: the directory's row, its state in history,
    /// then the events of the tail. None if the directory doesn't have it.
    pub async fn open(&self, name: &ChannelName) -> Loaded {
        if let Some(open) = self.sources.hub.channel(name) {
            return Ok(Some(open));
        }
        let load = || {
            let (sources, name) = (Arc::clone(&self.sources), name.clone());
            // Nobody waits for the turn of the user who happened to begin the load.
            Caller::several().scope(async move { sources.load(&name).await })
        };
        self.loads.find(name.clone(), load).await
    }
}

impl Sources {
    async fn load(&self, name: &ChannelName) -> Loaded {
        // Another load may have ended since the caller looked.
        if let Some(open) = self.hub.channel(name) {
            return Ok(Some(open));
        }
        let row = self.channels.find(name).await;
        let Some(mut row) = row.map_err(directory_unavailable)? else {
            return Ok(None);
        };
        let partition = self.log.partition_of(name);
        for _ in 0..TRIES {
            // The mark is taken before history is read: every event up to it is in history by then,
            // and the tail has the rest unless it evicts some.
            let mark = self.log.mark(partition);
            let history = self.reads.history();
            let described = history.fill_channel_state(slice::from_mut(&mut row)).await;
            described.map_err(history_unavailable)?;
            let members = self.members(name).await?;
            let state = self.log.lock(partition);
            if state.lacks_above(mark.id) {
                continue;
            }
            let mut roster = Roster::new(&row, members);
            for entry in state.tail.within(name, Id::ZERO, Id::MAX) {
                roster.apply(entry);
            }
            // Under the partition's lock: the reader delivers later events to the hub, and finds
            // the channel there.
            let channel = self.hub.add(HubChannel::new(row, partition, roster));
            drop(state);
            return Ok(Some(channel));
        }
        Err(behind())
    }

    async fn members(&self, name: &ChannelName) -> Result<Vec<Member>, Problem> {
        let mut all: Vec<Member> = Vec::new();
        loop {
            let after = all.last().map(|m| m.user.clone());
            let history = self.reads.history();
            let page = history.members(name, after.as_ref(), MEMBERS_PAGE).await;
            let page = page.map_err(history_unavailable)?;
            let is_last = page.len() < MEMBERS_PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}
