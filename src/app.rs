//! The composition root: the only place that picks adapters and joins the parts.

mod backends;
#[cfg(feature = "cluster")]
mod cluster;
pub mod existing;
mod listen;
pub mod offline;
mod ports;
mod probes;
mod revocations;
pub mod settings;
mod upkeep;
mod waiting;

#[cfg(feature = "cluster")]
pub use cluster::places;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use self::backends::Backends;
use self::ports::Ports;
use self::waiting::retry_while_unavailable;
use crate::config::{Config, Mode, Registration};
use crate::http::address_limits::AddressLimits;
use crate::http::context::ServiceContext;
use crate::readiness::{Part, Readiness};
use crate::shutdown::{Deadlines, Outcome, Shutdown, Stage, Tasks, signals};
use lakechat_core::accounts::{self, Accounts, Administration, KeyError, KeyFile};
use lakechat_core::chat::{
    self, BackgroundTask, Batching, MemoryBounds, OutboxBounds, SessionLimits, Threads,
};
use lakechat_core::domain::Secret;
use lakechat_core::files::{self, Files, LinkSigner};
use lakechat_core::ports::presence::ConnectionLimits;

/// The least bound of a session's outbox, in bytes.
const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// The bound is at least this many times the longest text. A byte of a text may take six in a frame,
/// as in `\u0001`, and half of an outbox has to hold a frame.
const OUTBOX_TEXTS: usize = 16;

/// How long a session without a token has for `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// What is kept of the drain for closing the back ends.
const CLOSE: Duration = Duration::from_secs(5);

/// Serves until a signal or a failure, and returns how it ended.
pub async fn serve(config: Config, recorder: PrometheusHandle) -> anyhow::Result<Outcome> {
    // From here on signals are handled, so that a start that takes long can be interrupted.
    let mut signals = signals().context("can't install the signal handlers")?;
    let shutdown = Shutdown::new();
    let mut tasks = Tasks::new(shutdown.clone());
    let backends = Backends::open(&config)?;
    let parts = [
        Part::Broker,
        Part::History,
        Part::Directory,
        Part::Files,
        Part::Presence,
        Part::Archiver,
    ];
    let readiness = Readiness::new(shutdown.clone(), &parts);
    for part in parts {
        if let Some(at) = backends::configured_address(&config, part) {
            readiness.set_location(part, at);
        }
    }
    let router = listen::spawn(&config, &recorder, &readiness, &shutdown, &mut tasks)?;
    let starting = async {
        let ports = backends.ports(&readiness).await?;
        start(&config, ports, &shutdown, &mut tasks, &readiness).await
    };
    let (context, threads) = tokio::select! {
        // Nothing was promised to anybody yet: a start that is cut short loses nothing.
        started = starting => started?,
        _ = signals.next() => anyhow::bail!("interrupted while starting"),
    };
    log_registration(&config);
    router.open(context.clone());
    let files = context.files.clone();
    let sessions = drain_sessions(context, shutdown.clone());
    tasks.spawn(Stage::Front, "sessions", sessions);
    readiness.set_started();
    tracing::info!("ready");

    let until = shutdown.clone();
    tasks.spawn(Stage::Back, "back ends", async move {
        tokio::select! {
            // Whichever comes first ends the process; the other has nothing to lose.
            reason = backends.failed() => anyhow::bail!(reason),
            () = until.closing() => {}
        }
        files.close_uploads().await;
        tokio::task::spawn_blocking(move || drop(threads)).await?;
        backends.close().await
    });
    let drain = Duration::from_secs(config.server.drain_seconds);
    let deadlines = Deadlines {
        drain: drain.saturating_sub(CLOSE),
        close: CLOSE.min(drain),
    };
    Ok(tasks.run(signals, deadlines).await)
}

fn log_registration(config: &Config) {
    if config.auth.registration.is_none() && config.registration() == Registration::Closed {
        tracing::warn!(
            listen = %config.listen,
            "registration is closed, because listen is not a loopback address and auth.registration is \
             not set: create the first account with `lakechat admin create <name>`, or set \
             auth.registration = \"open\" to let anyone who can reach this address register"
        );
    }
}

/// Starts chat and files on their back ends; returns when the log was read up to its end.
async fn start(
    config: &Config,
    ports: Ports,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
    readiness: &Readiness,
) -> anyhow::Result<(Arc<ServiceContext>, Threads)> {
    let starting = async || Ok(chat::start(chat_ports(&ports), chat_settings(config)).await?);
    let chat::Running {
        chat,
        mut threads,
        tasks: background,
    } = retry_while_unavailable(readiness, Part::Broker, starting).await?;
    for (name, ended) in threads.take_ended() {
        watch(name, ended, shutdown, tasks);
    }
    for task in background {
        spawn(task, shutdown, tasks);
    }
    let key = signing_key(config)?;
    let links = LinkSigner::new(&key);
    let accounts = Arc::new(accounts(config, &ports, key)?);
    let files = Arc::new(Files::new(
        ports.directory.file_rows.clone(),
        ports.directory.upload_rows.clone(),
        ports.files.clone(),
        files::FilesSettings {
            max_bytes: config.files.max_bytes,
            inline_bytes: config.files.inline_bytes,
            part_bytes: config.files.part_bytes,
            upload_expiry: Duration::from_secs(config.files.upload_expiry_seconds),
            transfers_per_user: config.limits.transfers_per_user,
            transfers: config.files.transfers,
        },
    ));
    let general = || async { Ok(chat.ensure_general().await?) };
    retry_while_unavailable(readiness, Part::Directory, general).await?;
    chat.caught_up().await;
    upkeep::spawn(&chat, &files, &ports, readiness, shutdown, tasks).await;
    revocations::spawn(&accounts, &ports, shutdown, tasks);

    let limits = &config.limits;
    let addresses = AddressLimits::new(limits.connects_per_address, limits.connections_per_address);
    let audit_trail = ports.directory.audit_trail.clone();
    let context = ServiceContext {
        administration: Administration::new(accounts.clone(), audit_trail),
        accounts,
        chat,
        files,
        links,
        addresses,
        public_url: config.server.public_url.clone(),
        allowed_origins: config.server.allowed_origins.clone(),
        sessions: TaskTracker::new(),
    };
    Ok((Arc::new(context), threads))
}

/// A thread that ends by itself takes the process down.
fn watch(
    name: &'static str,
    ended: oneshot::Receiver<Infallible>,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
) {
    let until = shutdown.clone();
    tasks.spawn(Stage::Back, name, async move {
        tokio::select! {
            // It sends nothing: the channel closes when the thread is gone.
            _ = ended => anyhow::bail!("the thread has ended"),
            () = until.closing() => Ok(()),
        }
    });
}

/// The key of access tokens and download links.
fn signing_key(config: &Config) -> Result<Secret<Vec<u8>>, KeyError> {
    accounts::signing_key(KeyFile {
        path: &config.secret_file(),
        // Each server of a cluster would make another one, and refuse the others' tokens.
        create: config.mode == Mode::Embedded,
        // Nobody but the server puts a key into its data folder.
        follow_link: config.mode == Mode::Cluster || config.auth.secret_file.is_some(),
    })
}

fn accounts(
    config: &Config,
    ports: &Ports,
    signing_key: Secret<Vec<u8>>,
) -> anyhow::Result<Accounts> {
    let settings = accounts::AccountsSettings {
        signing_key,
        access_token: Duration::from_secs(config.auth.access_token_seconds),
        refresh_token: Duration::from_secs(config.auth.refresh_token_seconds),
        login_max: Duration::from_secs(config.auth.login_max_seconds),
        logins_per_address: config.limits.logins_per_address,
        registration: config.registration(),
    };
    let directory = &ports.directory;
    let ports = accounts::AccountsPorts {
        users: directory.users.clone(),
        login_sessions: directory.login_sessions.clone(),
        invites: directory.invites.clone(),
        revocations: ports.revocations.clone(),
    };
    Ok(Accounts::new(ports, settings)?)
}

fn chat_ports(ports: &Ports) -> chat::Ports {
    chat::Ports {
        broker: ports.broker.clone(),
        history: ports.history.clone(),
        directory: (&ports.directory).into(),
        presence: ports.presence.clone(),
    }
}

fn chat_settings(config: &Config) -> chat::ChatSettings {
    let chat = &config.chat;
    chat::ChatSettings {
        server_id: config.server_id().as_str().to_owned(),
        limits: SessionLimits {
            frame_bytes: chat.frame_bytes,
            text_bytes: chat.text_bytes,
            channels: chat.channels,
        },
        ping: Duration::from_millis(chat.ping_ms),
        hello: HELLO,
        outbox: OutboxBounds {
            frames: chat.queue_frames,
            bytes: OUTBOX_BYTES.max(OUTBOX_TEXTS * chat.text_bytes),
        },
        memory: MemoryBounds {
            tail_bytes: chat.tail_bytes,
            window_bytes: chat.window_bytes,
        },
        read_bytes: chat.read_bytes,
        live_bytes: chat.live_bytes,
        archive: Batching {
            rows: chat.archive_batch_rows,
            linger: Duration::from_millis(chat.archive_batch_ms),
        },
        sends_per_user: config.limits.sends_per_user,
        sends_per_channel: config.limits.sends_per_channel,
        requests_per_user: config.limits.requests_per_user,
        channels_per_user: chat.channels_per_user,
        connections: ConnectionLimits {
            per_user: config.limits.connections_per_user as usize,
            per_network: config.limits.connections_per_address as usize,
        },
        edit_window: Duration::from_secs(chat.edit_window_seconds),
    }
}

/// Runs a task of chat until the back ends are about to close.
fn spawn(task: BackgroundTask, shutdown: &Shutdown, tasks: &mut Tasks) {
    let BackgroundTask { name, stop, run } = task;
    let until = shutdown.clone();
    tasks.spawn(Stage::Back, name, async move {
        let stopping = async {
            until.closing().await;
            stop.cancel();
        };
        tokio::join!(run, stopping);
        Ok::<_, Infallible>(())
    });
}

/// Closes every session, with reconnects spread in time, and waits until they are gone.
async fn drain_sessions(
    context: Arc<ServiceContext>,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    shutdown.draining().await;
    context.chat.close_sessions();
    context.sessions.close();
    context.sessions.wait().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Reason;

    #[tokio::test]
    async fn a_thread_that_ends_by_itself_takes_the_process_down() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let (alive, ended) = oneshot::channel();
        watch("log reader", ended, &shutdown, &mut tasks);
        let thread = std::thread::spawn(move || {
            let _alive = alive;
            panic!("as a bug would");
        });
        let never = futures_util::stream::pending();
        let outcome = tasks.run(never, Deadlines::default()).await;
        assert_eq!(outcome.reason, Reason::Died("log reader"));
        assert_eq!(outcome.exit_code(), 1);
        thread.join().expect_err("it panicked");
    }

    #[tokio::test]
    async fn a_thread_that_lives_to_the_end_is_no_failure() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let (_alive, ended) = oneshot::channel();
        watch("pulse", ended, &shutdown, &mut tasks);
        shutdown.begin();
        let never = futures_util::stream::pending();
        let outcome = tasks.run(never, Deadlines::default()).await;
        assert_eq!(outcome.reason, Reason::Requested);
        assert_eq!(outcome.exit_code(), 0);
    }
}
