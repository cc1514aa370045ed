//! One server's chat on a data folder, without its HTTP: what `app` runs, run by hand.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use integration_tests::within;
use lakechat_core::accounts::{self, Accounts};
use lakechat_core::chat::log::Log;
use lakechat_core::chat::log::record::{Body, Record};
use lakechat_core::chat::{
    self, BackgroundTask, Batching, Chat, DirectoryPorts, MemoryBounds, OutboxBounds,
    SessionLimits, Threads,
};
use lakechat_core::domain::{
    Channel, ChannelKind, ChannelName, ClientMsgId, Partition, Secret, UserName,
};
use lakechat_core::ports::broker::{Offset, OutgoingRecord};
use lakechat_core::ports::history::Mark;
use lakechat_core::ports::presence::ConnectionLimits;
use lakechat_core::ports::revocations::OnlyServer;
use lakechat_core::ports::{Broker, Directory, PerPartition};
use lakechat_embedded::MemoryPresence;
use lakechat_embedded::{Embedded, EmbeddedSettings};
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::fickle::FickleBroker;
use crate::gate::{GatedHistory, GatedUserRows};
use crate::held_channels::HeldChannels;

/// What a run leaves to chance about its server.
#[derive(Clone, Debug)]
pub struct Shape {
    pub partitions: u16,
    pub tail_bytes: usize,
    pub batch_rows: usize,
    pub linger_ms: u64,
    pub outbox_frames: usize,
}

pub struct Server {
    pub log: Arc<Log>,
    pub chat: Arc<Chat>,
    pub accounts: Arc<Accounts>,
    pub broker: Arc<dyn Broker>,
    /// The same log as the server under test has it.
    pub fickle: Arc<FickleBroker>,
    pub directory: Directory,
    /// The channels of the directory as the server under test has them.
    pub channels: Arc<HeldChannels>,
    pub history: Arc<GatedHistory>,
    threads: Threads,
    tasks: Vec<(CancellationToken, Task<()>)>,
    _embedded: Embedded,
}

impl Server {
    pub async fn start(folder: &Path, shape: &Shape) -> Server {
        Server::start_on(folder, shape, |_, _| {}).await
    }

    /// The same, with a log that does from the beginning as the test wants, and other settings.
    pub async fn start_on(
        folder: &Path,
        shape: &Shape,
        prepare: impl FnOnce(&FickleBroker, &mut chat::ChatSettings),
    ) -> Server {
        let settings = EmbeddedSettings {
            partitions: shape.partitions,
            ..EmbeddedSettings::default()
        };
        let embedded = Embedded::open(folder, settings).expect("the folder is ours");
        let broker = FickleBroker::new(embedded.broker());
        let mut chat_settings = chat_settings(shape);
        prepare(&broker, &mut chat_settings);
        let directory = embedded.directory();
        let channels = HeldChannels::new(directory.channels.clone());
        let history = GatedHistory::new(embedded.history());
        let ports = chat::Ports {
            broker: broker.clone(),
            history: history.clone(),
            directory: DirectoryPorts {
                channels: channels.clone(),
                user_rows: GatedUserRows::new(directory.user_rows.clone(), history.clone()),
                file_rows: directory.file_rows.clone(),
            },
            presence: Arc::new(MemoryPresence::new("a")),
        };
        let running = chat::start(ports, chat_settings).await;
        let running = running.expect("the back ends are there");
        let chat = running.chat;
        let spawn = |task: BackgroundTask| (task.stop, tokio::spawn(task.run));
        let ports = accounts::AccountsPorts {
            users: directory.users.clone(),
            login_sessions: directory.login_sessions.clone(),
            invites: directory.invites.clone(),
            revocations: Arc::new(OnlyServer),
        };
        let accounts = Accounts::new(ports, account_settings()).expect("threads");
        let server = Server {
            accounts: Arc::new(accounts),
            threads: running.threads,
            tasks: running.tasks.into_iter().map(spawn).collect(),
            broker: embedded.broker(),
            fickle: broker,
            _embedded: embedded,
            log: chat.log.clone(),
            chat,
            directory,
            channels,
            history,
        };
        server.chat.caught_up().await;
        server
    }

    /// Lets go of everything, as the end of the process would.
    pub async fn stop(self) {
        for (stop, task) in self.tasks {
            stop.cancel();
            within(task).await.expect("the task ends");
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(|| threads.join());
        let panicked = within(joined).await.expect("a thread that waits");
        assert_eq!(panicked, [""; 0]);
    }

    pub async fn register(&self, name: &UserName) -> Secret<String> {
        let here = std::net::IpAddr::from([127, 0, 0, 1]);
        let login = self.accounts.register(
            here,
            name.as_str(),
            integration_tests::people::PASSWORD,
            None,
        );
        login.await.expect("the name is free").token
    }

    pub async fn make_channel(&self, name: &ChannelName) {
        let row = Channel {
            name: name.clone(),
            kind: ChannelKind::Public,
            creator: None,
            created_at_ms: self.broker.now_ms(),
            topic: None,
            archived: None,
        };
        self.directory.channels.create(&row).await.expect("made");
    }

    /// Puts a record into the log, as any server might; `age_ms` ago it was received.
    pub fn publish(
        &self,
        channel: &ChannelName,
        sender: &UserName,
        client_msg_id: Option<ClientMsgId>,
        body: Body,
        age_ms: u64,
    ) {
        let record = Record {
            channel: channel.clone(),
            private: false,
            sender: sender.clone(),
            client_msg_id,
            digest: body.digest(),
            received_at_ms: self.broker.now_ms() - age_ms,
            body,
        };
        self.publish_raw(channel, record.encode());
    }

    pub fn publish_raw(&self, channel: &ChannelName, value: Vec<u8>) {
        let outgoing = OutgoingRecord {
            partition: self.log.partition_of(channel),
            key: channel.as_str().to_owned().into(),
            value: value.into(),
            ticket: 0,
        };
        self.broker.publish(outgoing).expect("the queue has room");
    }

    /// Waits until what was published is in the log and folded. The data folder's writer takes such a
    /// mark, which changes nothing, into the transaction that is under way; what waited then is in
    /// the next, and so is the second mark.
    pub async fn settle(&self) {
        for _ in 0..2 {
            let history = &self.history.inner;
            let written = history.advance_mark(Partition(0), Mark::default()).await;
            written.expect("written");
        }
        self.chat.caught_up().await;
    }

    /// The log-end offsets.
    pub async fn ends(&self) -> Vec<Offset> {
        let ends = self.broker.end_offsets().await.and_then(PerPartition::all);
        ends.expect("the log is there")
    }

    /// Whether a tail let go of something that history does not have.
    pub fn lacks(&self, channel: &ChannelName) -> bool {
        let partition = self.log.partition_of(channel);
        let above = self.log.lock(partition).tail.above();
        above > self.log.mark(partition).id
    }

    pub fn assert_nothing_stopped(&self) {
        assert_eq!(self.log.stopped(), None);
        assert_eq!(self.log.archive_stopped(), None);
    }
}

pub fn chat_settings(shape: &Shape) -> chat::ChatSettings {
    chat::ChatSettings {
        server_id: "model".into(),
        limits: SessionLimits {
            frame_bytes: 65_536,
            text_bytes: 16_384,
            channels: 128,
        },
        ping: Duration::from_secs(25),
        hello: Duration::from_secs(10),
        outbox: OutboxBounds {
            frames: shape.outbox_frames,
            bytes: 4 << 20,
        },
        memory: MemoryBounds {
            tail_bytes: shape.tail_bytes,
            window_bytes: 1 << 30,
        },
        read_bytes: 64 << 20,
        live_bytes: 64 << 20,
        archive: Batching {
            rows: shape.batch_rows,
            linger: Duration::from_millis(shape.linger_ms),
        },
        sends_per_user: 0,
        sends_per_channel: 0,
        requests_per_user: 0,
        channels_per_user: 10_000,
        connections: ConnectionLimits::default(),
        edit_window: Duration::ZERO,
    }
}

fn account_settings() -> accounts::AccountsSettings {
    accounts::AccountsSettings {
        signing_key: Secret::new(vec![7; 32]),
        access_token: Duration::from_secs(900),
        refresh_token: Duration::from_secs(86_400),
        login_max: Duration::from_secs(90 * 24 * 3600),
        logins_per_address: 0,
        registration: accounts::Registration::Open,
    }
}
