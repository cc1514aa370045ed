//! What the log means, the plain way: every record in order, nothing forgotten.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lakechat_core::chat::log::fold::LATE_MS;
use lakechat_core::chat::log::partition;
use lakechat_core::chat::log::record::{Body, Digest, Record};
use lakechat_core::domain::id::{EPOCH_MS, MAX_STEP};
use lakechat_core::domain::{ChannelName, ClientMsgId, Id, Member, Partition, Role, UserName};
use lakechat_core::ports::broker::{LogRecord, Offset};
use lakechat_core::ports::{Broker, PerPartition};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub id: Id,
    pub sender: UserName,
    pub text: String,
    pub client_msg_id: Option<ClientMsgId>,
}

#[derive(Debug, Default)]
pub struct ChannelModel {
    pub said: Vec<Said>,
    pub topic: Option<String>,
    pub archived: bool,
    members: BTreeMap<UserName, Member>,
}

impl ChannelModel {
    /// Messages with an id above a cursor.
    pub fn after(&self, cursor: Id) -> &[Said] {
        &self.said[self.said.partition_point(|said| said.id <= cursor)..]
    }

    pub fn is_member(&self, user: &UserName) -> bool {
        self.members.get(user).is_some_and(|m| m.role.is_member())
    }

    /// Members by name, with the role that each has in effect.
    pub fn members(&self) -> Vec<Member> {
        let mut all: Vec<_> = self.members.values().cloned().collect();
        all.retain(|m| m.role.is_member());
        if all.iter().all(|m| m.role != Role::Owner) {
            let heir = all.iter_mut().min_by_key(|m| {
                let rank = u8::from(m.role != Role::Admin);
                (rank, m.joined_at_ms, m.user.clone())
            });
            heir.into_iter().for_each(|m| m.role = Role::Owner);
        }
        all
    }

    fn apply(&mut self, id: Id, record: Record) {
        match record.body {
            Body::Message { text, .. } => self.said.push(Said {
                id,
                sender: record.sender,
                text,
                client_msg_id: record.client_msg_id,
            }),
            Body::Topic { topic } => self.topic = Some(topic),
            Body::Archive => self.archived = true,
            Body::Member { user, role } => {
                let before = self.members.get(&user).map_or(0, |m| m.joined_at_ms);
                let joins = role.is_member() && user == record.sender;
                let joined_at_ms = if joins { id.ms() } else { before };
                let member = Member {
                    user: user.clone(),
                    role,
                    joined_at_ms,
                    changed: id,
                };
                self.members.insert(user, member);
            }
            Body::Edit { .. } | Body::Delete { .. } | Body::React { .. } => {}
        }
    }
}

#[derive(Clone, Copy)]
struct Clock {
    ms: u64,
    step: u16,
    at: Offset,
}

/// All that the log says. Runs shorter than the fold's window, so nothing ever leaves it.
pub struct Model {
    clocks: Vec<Clock>,
    first: HashMap<(ChannelName, UserName, ClientMsgId), Digest>,
    pub channels: BTreeMap<ChannelName, ChannelModel>,
}

impl Model {
    pub fn new(partitions: u16) -> Model {
        let clock = Clock {
            ms: EPOCH_MS,
            step: 0,
            at: 0,
        };
        Model {
            clocks: vec![clock; usize::from(partitions)],
            first: HashMap::new(),
            channels: BTreeMap::new(),
        }
    }

    /// Reads on, to the log's end.
    pub async fn read(&mut self, broker: &dyn Broker) {
        let ends = broker.end_offsets().await.and_then(PerPartition::all);
        let ends = ends.expect("the log tells its end");
        let places = (0..).map(Partition).zip(&self.clocks);
        let from: Vec<_> = places.map(|(p, clock)| (p, clock.at)).collect();
        let mut reader = broker.reader(&from).expect("the log is readable");
        let mut records = Vec::new();
        while from
            .iter()
            .any(|&(p, _)| reader.position(p) < ends[p.index()])
        {
            let polled = reader.poll(Duration::ZERO, &mut records);
            polled.expect("the log is readable");
        }
        records.into_iter().for_each(|record| self.take(&record));
    }

    pub fn last_id(&self, partition: Partition) -> Id {
        let clock = &self.clocks[partition.index()];
        Id::mint(clock.ms, partition, clock.step)
    }

    pub fn is_empty(&self, partition: Partition) -> bool {
        self.clocks[partition.index()].at == 0
    }

    pub fn of(&mut self, channel: &ChannelName) -> &ChannelModel {
        self.channels.entry(channel.clone()).or_default()
    }

    fn take(&mut self, of_log: &LogRecord) {
        let count = u16::try_from(self.clocks.len()).expect("partitions are few");
        let partition = of_log.partition;
        self.clocks[partition.index()].at = of_log.offset + 1;
        let record = Record::decode(&of_log.key, &of_log.value)
            .ok()
            .filter(|r| partition::of(&r.channel, count) == partition)
            .filter(|r| r.received_at_ms.abs_diff(of_log.append_ms) <= LATE_MS);
        let Some(record) = record else {
            self.mint(partition, 0);
            return;
        };
        let id = self.mint(partition, of_log.append_ms);
        if let Some(client_msg_id) = record.client_msg_id.clone() {
            let key = (record.channel.clone(), record.sender.clone(), client_msg_id);
            if self.first.contains_key(&key) {
                return;
            }
            self.first.insert(key, record.digest);
        }
        let channel = self.channels.entry(record.channel.clone()).or_default();
        channel.apply(id, record);
    }

    fn mint(&mut self, partition: Partition, append_ms: u64) -> Id {
        let clock = &mut self.clocks[partition.index()];
        (clock.ms, clock.step) = match append_ms {
            later if later > clock.ms => (later, 0),
            _ if clock.step == MAX_STEP => (clock.ms + 1, 0),
            _ => (clock.ms, clock.step + 1),
        };
        self.last_id(partition)
    }
}
