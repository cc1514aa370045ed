//! The composition root: the only place that picks adapters and joins the parts.

mod backends;
#[cfg(feature = "cluster")]
mod cluster;
mod listen;
mod ports;
mod probes;
pub mod settings;
mod upkeep;
mod waiting;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::backends::Backends;
use self::ports::Ports;
use self::waiting::once_there;
use crate::config::{Config, Mode};
use crate::http::address_limits::AddressLimits;
use crate::http::context::ServiceContext;
use crate::readiness::{Part, Readiness};
use crate::shutdown::{Deadlines, Outcome, Shutdown, Stage, Tasks, signals};
use lakechat_core::accounts::{self, Accounts};
use lakechat_core::chat::archive::{self, Batching};
use lakechat_core::chat::clock::Pulse;
use lakechat_core::chat::hub::Hub;
use lakechat_core::chat::hub::outbox;
use lakechat_core::chat::log::barrier::Barrier;
use lakechat_core::chat::log::reader;
use lakechat_core::chat::log::{self, Log};
use lakechat_core::chat::service::{self, Chat};
use lakechat_core::chat::wire::SessionLimits;
use lakechat_core::chat::wire::close::Close;
use lakechat_core::files::{self, Files};
use lakechat_core::ports::Presence;

/// Bytes of frames that wait for one session.
const OUTBOX_BYTES: usize = 4 * 1024 * 1024;

/// How long a session without a token has for `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// What is kept of the drain for closing the back ends.
const CLOSE: Duration = Duration::from_secs(5);

/// The threads that are no tasks of the runtime.
struct Threads {
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<()>>,
}

/// Serves until a signal or a failure, and tells how it ended.
pub async fn serve(config: Config, recorder: PrometheusHandle) -> anyhow::Result<Outcome> {
    // The signals are heard from here on: a start that takes long can be interrupted.
    let mut heard = signals().context("signals can't be heard")?;
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
        if let Some(at) = backends::whereabouts(&config, part) {
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
        _ = heard.next() => anyhow::bail!("interrupted while starting"),
    };
    router.open(context.clone());
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
        tokio::task::spawn_blocking(move || drop(threads)).await?;
        backends.close().await
    });
    let drain = Duration::from_secs(config.server.drain_seconds);
    let deadlines = Deadlines {
        drain: drain.saturating_sub(CLOSE),
        close: CLOSE.min(drain),
    };
    Ok(tasks.run(heard, deadlines).await)
}

/// Starts chat and files on their back ends; returns when the log was read up to its end.
async fn start(
    config: &Config,
    ports: Ports,
    shutdown: &Shutdown,
    tasks: &mut Tasks,
    readiness: &Readiness,
) -> anyhow::Result<(Arc<ServiceContext>, Threads)> {
    let bounds = log::Bounds {
        tail_bytes: config.chat.tail_bytes,
        window_bytes: config.chat.window_bytes,
    };
    let log = Log::new(ports.broker.clone(), bounds);
    let hub = Hub::new(ports.presence.clone());
    let pulse = Arc::new(Pulse::new());
    let barrier = Barrier::new(log.clone());

    let stop = Arc::new(AtomicBool::new(false));
    let marks = || async { Ok(ports.history.marks().await?) };
    let marks = once_there(readiness, Part::History, marks).await?;
    let read = || async {
        let (alive, ended) = oneshot::channel();
        let reading = reader::start(log.clone(), hub.clone(), &marks, stop.clone(), alive);
        Ok((reading.await?, ended))
    };
    let (reading, reader_ended) = once_there(readiness, Part::Broker, read).await?;
    let (alive, pulse_ended) = oneshot::channel();
    let running = vec![reading, pulse.start(stop.clone(), alive)?];
    let threads = Threads { stop, running };
    watch("log reader", reader_ended, shutdown, tasks);
    watch("pulse", pulse_ended, shutdown, tasks);

    let (asks, until) = (barrier.clone(), shutdown.clone());
    tasks.spawn(Stage::Back, "barrier", async move {
        tokio::select! {
            // A question that is cut is one that nobody waits for.
            () = asks.run() => {}
            () = until.closing() => {}
        }
        Ok::<_, Infallible>(())
    });
    let accounts = Arc::new(accounts(config, &ports)?);
    let chat = Arc::new(Chat::new(
        chat_settings(config),
        log.clone(),
        hub,
        pulse,
        barrier.clone(),
        ports.directory.channels.clone(),
        ports.directory.file_rows.clone(),
        ports.history.clone(),
    ));
    let files = Arc::new(Files::new(
        ports.directory.file_rows.clone(),
        ports.files.clone(),
        files::Settings {
            max_bytes: config.files.max_bytes,
            inline_bytes: config.files.inline_bytes,
        },
    ));
    archive(config, &log, &ports, shutdown, tasks);
    speak(ports.presence.clone(), shutdown, tasks);
    let general = || async { Ok(chat.ensure_general().await?) };
    once_there(readiness, Part::Directory, general).await?;
    barrier.pass_running().await;
    upkeep::spawn(&chat, &files, &ports, readiness, shutdown, tasks).await;

    let limits = &config.limits;
    let addresses = AddressLimits::new(limits.connects_per_address, limits.connections_per_address);
    let context = ServiceContext {
        accounts,
        chat,
        files,
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

fn accounts(config: &Config, ports: &Ports) -> anyhow::Result<Accounts> {
    // Each server of a cluster would make another one, and refuse the others' tokens.
    let make_key = config.mode == Mode::Embedded;
    let settings = accounts::Settings {
        signing_key: accounts::signing_key(&config.secret_file(), make_key)?,
        access_token: Duration::from_secs(config.auth.access_token_seconds),
        refresh_token: Duration::from_secs(config.auth.refresh_token_seconds),
        logins_per_address: config.limits.logins_per_address,
    };
    let directory = &ports.directory;
    Ok(Accounts::new(
        directory.users.clone(),
        directory.login_sessions.clone(),
        settings,
    )?)
}

fn chat_settings(config: &Config) -> service::Settings {
    let chat = &config.chat;
    service::Settings {
        server_id: config.server_id().as_str().to_owned(),
        limits: SessionLimits {
            frame_bytes: chat.frame_bytes,
            text_bytes: chat.text_bytes,
            channels: chat.channels,
        },
        ping: Duration::from_millis(chat.ping_ms),
        hello: HELLO,
        outbox: outbox::Bounds {
            frames: chat.queue_frames,
            bytes: OUTBOX_BYTES,
        },
        sends_per_user: config.limits.sends_per_user,
        sends_per_channel: config.limits.sends_per_channel,
        connections_per_user: config.limits.connections_per_user as usize,
    }
}

fn archive(config: &Config, log: &Arc<Log>, ports: &Ports, shutdown: &Shutdown, tasks: &mut Tasks) {
    let batching = Batching {
        rows: config.chat.archive_batch_rows,
        linger: Duration::from_millis(config.chat.archive_batch_ms),
    };
    let stop = CancellationToken::new();
    let archiving = archive::run(log.clone(), ports.history.clone(), batching, stop.clone());
    let until = shutdown.clone();
    tasks.spawn(Stage::Back, "archiver", async move {
        let stopping = async {
            until.closing().await;
            stop.cancel();
        };
        tokio::join!(archiving, stopping);
        Ok::<_, Infallible>(())
    });
}

/// Keeps what others are told of this server's sessions alive, and takes it back at the end.
fn speak(presence: Arc<dyn Presence>, shutdown: &Shutdown, tasks: &mut Tasks) {
    let stop = CancellationToken::new();
    let until = shutdown.clone();
    tasks.spawn(Stage::Back, "presence", async move {
        let stopping = async {
            until.closing().await;
            stop.cancel();
        };
        tokio::join!(presence.run(stop.clone()), stopping);
        Ok::<_, Infallible>(())
    });
}

/// Tells every session to come back, spread in time, and waits until they are gone.
async fn drain_sessions(
    context: Arc<ServiceContext>,
    shutdown: Shutdown,
) -> Result<(), Infallible> {
    shutdown.draining().await;
    for listener in context.chat.hub.close() {
        listener.outbox.close(Close::server_shutdown());
    }
    context.sessions.close();
    context.sessions.wait().await;
    Ok(())
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.running.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the server has panicked");
            }
        }
    }
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
