//! One server's chat on a data folder, without its HTTP: what `app` joins, joined by hand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use integration_tests::within;
use lakechat_core::accounts::{self, Accounts};
use lakechat_core::chat::archive::{self, Batching};
use lakechat_core::chat::clock::Pulse;
use lakechat_core::chat::hub::Hub;
use lakechat_core::chat::hub::outbox;
use lakechat_core::chat::log::barrier::Barrier;
use lakechat_core::chat::log::reader;
use lakechat_core::chat::log::record::{Body, Record};
use lakechat_core::chat::log::{Bounds, Log};
use lakechat_core::chat::service::{self, Chat};
use lakechat_core::chat::wire::SessionLimits;
use lakechat_core::domain::{
    Channel, ChannelKind, ChannelName, ClientMsgId, Partition, Secret, UserName,
};
use lakechat_core::ports::broker::OutgoingRecord;
use lakechat_core::ports::history::Mark;
use lakechat_core::ports::{Broker, Directory, History};
use lakechat_embedded::MemoryPresence;
use lakechat_embedded::{Embedded, Settings};
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::fickle::FickleBroker;
use crate::gate::GatedHistory;

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
    pub barrier: Arc<Barrier>,
    pub broker: Arc<dyn Broker>,
    /// The same log as the server under test has it.
    pub fickle: Arc<FickleBroker>,
    pub directory: Directory,
    pub history: Arc<GatedHistory>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    archiving: (CancellationToken, Task<()>),
    asking: Task<()>,
    _embedded: Embedded,
}

impl Server {
    pub async fn start(folder: &Path, shape: &Shape) -> Server {
        let settings = Settings {
            partitions: shape.partitions,
            ..Settings::default()
        };
        let embedded = Embedded::open(folder, settings).expect("the folder is ours");
        let broker = FickleBroker::new(embedded.broker());
        let directory = embedded.directory();
        let history = GatedHistory::new(embedded.history());
        let bounds = Bounds {
            tail_bytes: shape.tail_bytes,
            window_bytes: 1 << 30,
        };
        let log = Log::new(broker.clone(), bounds);
        let hub = Hub::new(Arc::new(MemoryPresence::new("a")));
        let barrier = Barrier::new(log.clone());
        let marks = history.marks().await.expect("history is there");
        let stop = Arc::new(AtomicBool::new(false));
        // Nobody here watches whether the threads are alive.
        let alive = || tokio::sync::oneshot::channel().0;
        let reading = reader::start(log.clone(), hub.clone(), &marks, stop.clone(), alive()).await;
        let pulse = Arc::new(Pulse::new());
        let ticking = pulse.start(stop.clone(), alive()).expect("a thread");
        let asks = barrier.clone();
        let asking = tokio::spawn(async move { asks.run().await });
        let chat = Arc::new(Chat::new(
            chat_settings(shape),
            log.clone(),
            hub,
            pulse.clone(),
            barrier.clone(),
            directory.channels.clone(),
            directory.file_rows.clone(),
            history.clone(),
        ));
        let accounts = Accounts::new(
            directory.users.clone(),
            directory.login_sessions.clone(),
            account_settings(),
        )
        .expect("threads");
        let server = Server {
            archiving: archive(&log, &history, shape),
            accounts: Arc::new(accounts),
            threads: vec![reading.expect("the log is there"), ticking],
            broker: embedded.broker(),
            fickle: broker,
            _embedded: embedded,
            log,
            chat,
            barrier,
            directory,
            history,
            stop,
            asking,
        };
        server.barrier.pass_running().await;
        server
    }

    /// Lets go of everything, as the end of the process would.
    pub async fn stop(self) {
        let (token, archiving) = self.archiving;
        token.cancel();
        within(archiving).await.expect("the archiver ends");
        self.asking.abort();
        self.stop.store(true, Relaxed);
        for thread in self.threads {
            thread.thread().unpark();
            let joined = tokio::task::spawn_blocking(move || thread.join());
            let joined = within(joined).await.expect("a thread that waits");
            joined.expect("the thread does not panic");
        }
    }

    pub async fn register(&self, name: &UserName) -> Secret<String> {
        let here = [127, 0, 0, 1].into();
        let login = self.accounts.register(here, name.as_str(), "password1");
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
        self.barrier.pass_running().await;
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

fn archive(
    log: &Arc<Log>,
    history: &Arc<GatedHistory>,
    shape: &Shape,
) -> (CancellationToken, Task<()>) {
    let stop = CancellationToken::new();
    let batching = Batching {
        rows: shape.batch_rows,
        linger: Duration::from_millis(shape.linger_ms),
    };
    let run = archive::run(log.clone(), history.clone(), batching, stop.clone());
    (stop, tokio::spawn(run))
}

fn chat_settings(shape: &Shape) -> service::Settings {
    service::Settings {
        server_id: "model".into(),
        limits: SessionLimits {
            frame_bytes: 65_536,
            text_bytes: 16_384,
            channels: 128,
        },
        ping: Duration::from_secs(25),
        hello: Duration::from_secs(10),
        outbox: outbox::Bounds {
            frames: shape.outbox_frames,
            bytes: 4 << 20,
        },
        sends_per_user: 0,
        sends_per_channel: 0,
        connections_per_user: 0,
    }
}

fn account_settings() -> accounts::Settings {
    accounts::Settings {
        signing_key: Secret::new(vec![7; 32]),
        access_token: Duration::from_secs(900),
        refresh_token: Duration::from_secs(86_400),
        logins_per_address: 0,
    }
}
