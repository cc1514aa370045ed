//! The task behind a session: it connects, passes frames and commands on, waits, and reconnects.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::command::Command;
use super::ending::{Ending, TokenState};
use super::options::Options;
use crate::api::{Api, CallError};
use crate::backoff::Backoff;
use crate::conversation::Conversation;
use crate::credentials::Credentials;
use crate::event::{Event, Stop};
use crate::frame::{Closing, Incoming, Welcome};
use crate::socket::{self, OpenError, Reader, Writer};

/// Frames on their way to the socket: more than a full window and the joins of all channels. If the
/// queue is full, the server has stopped reading and the connection is given up.
const UNWRITTEN_FRAMES: usize = 1_024;

/// Timeout of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    credentials: Arc<Credentials>,
    options: Options,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    conversation: Conversation,
    backoff: Backoff,
    renewal: Option<Renewal>,
    welcomed_before: bool,
    /// The server has rejected a token, and no connection has lasted since.
    token_rejected: bool,
}

/// A task, because a renewal has to complete even if the session ends: see [`Credentials::renew`].
type Renewal = JoinHandle<Result<String, CallError>>;

/// A running connection.
struct Connection {
    queue: mpsc::Sender<String>,
    token: String,
    /// How long the server may be silent.
    silence_limit: Duration,
    silence_deadline: Instant,
    /// The server's `closing` frame, if it came.
    closing: Option<Closing>,
}

impl Driver {
    pub fn new(
        credentials: Arc<Credentials>,
        options: Options,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Driver {
        Driver {
            conversation: Conversation::new(options.window, options.stale_after),
            backoff: Backoff::new(options.backoff_base, options.backoff_cap, options.seed),
            credentials,
            options,
            commands,
            events,
            renewal: None,
            welcomed_before: false,
            token_rejected: false,
        }
    }

    pub async fn run(mut self) {
        let mut used: Option<String> = None;
        loop {
            let ending = self.connect_and_run(&mut used).await;
            let now = self.now();
            self.conversation.disconnected(now);
            if !self.deliver_events().await {
                return;
            }
            match ending {
                Ending::Dropped => return,
                Ending::Stop(stop) => {
                    // The owner may have dropped the events.
                    let _ = self.events.send(Event::Stopped(stop)).await;
                    return;
                }
                Ending::Reconnect { reason, after, .. } => {
                    let retry_in = after.unwrap_or_else(|| self.backoff.next_wait());
                    let event = Event::Disconnected { reason, retry_in };
                    if self.events.send(event).await.is_err() || !self.wait_for(retry_in).await {
                        return;
                    }
                }
            }
        }
    }

    /// Runs one connection, and goes on to the next server if it ends. `used` is set to its token if the
    /// next connection needs another one.
    async fn connect_and_run(&mut self, used: &mut Option<String>) -> Ending {
        let api = self.credentials.api().clone();
        let ending = self.run_at(&api, used).await;
        if matches!(ending, Ending::Reconnect { .. }) {
            self.credentials.leave_server(&api);
        }
        ending
    }

    async fn run_at(&mut self, api: &Api, used: &mut Option<String>) -> Ending {
        if let Some(token) = used.as_deref() {
            if let Err(ending) = self.renew(token).await {
                return ending;
            }
            *used = None;
        }
        let token = self.credentials.token();
        let ending = match self.open(api, &token).await {
            Ok((writer, reader, welcome)) => {
                self.run_connection(writer, reader, welcome, token.clone())
                    .await
            }
            Err(ending) => ending,
        };
        let ending = self.renew_rejected_once(ending);
        if let Ending::Reconnect { token: state, .. } = &ending
            && *state != TokenState::Usable
        {
            *used = Some(token);
        }
        ending
    }

    /// A rejected token is renewed, but not a second time if the server rejects the new one too.
    fn renew_rejected_once(&mut self, ending: Ending) -> Ending {
        match ending {
            Ending::Reconnect {
                token: TokenState::Rejected,
                reason,
                ..
            } if std::mem::replace(&mut self.token_rejected, true) => {
                Ending::Stop(Stop::TokenRejected(reason))
            }
            ending => ending,
        }
    }

    async fn renew(&mut self, used: &str) -> Result<(), Ending> {
        let renewal = self
            .renewal
            .take()
            .unwrap_or_else(|| self.begin_renewal(used));
        match self.run_beside_commands(renewal).await {
            None => Err(Ending::Dropped),
            Some(Ok(Ok(_))) => Ok(()),
            Some(Ok(Err(error))) => Err(Ending::not_renewed(&error)),
            Some(Err(_)) => Err(Ending::lost("the renewal of the token was interrupted")),
        }
    }

    fn begin_renewal(&self, used: &str) -> Renewal {
        let (credentials, used) = (self.credentials.clone(), used.to_owned());
        tokio::spawn(async move { credentials.renew(&used).await })
    }

    /// Opens a connection and waits for the server's `welcome`.
    async fn open(
        &mut self,
        api: &Api,
        token: &str,
    ) -> Result<(Writer, Reader, Box<Welcome>), Ending> {
        let api = api.clone();
        let (token, limit) = (token.to_owned(), self.options.connect_timeout);
        let channel = self.options.channel.clone();
        let opening = async move {
            let opened =
                socket::open(api.base(), channel.as_ref(), api.proxy(), &token, limit).await;
            let (writer, mut reader) = opened.map_err(|e| Ending::not_opened(&e))?;
            match timeout(limit, read_welcome(&mut reader)).await {
                Ok(welcome) => Ok((writer, reader, welcome?)),
                Err(_) => Err(Ending::not_opened(&OpenError::TimedOut(limit))),
            }
        };
        self.run_beside_commands(opening)
            .await
            .unwrap_or(Err(Ending::Dropped))
    }

    async fn run_connection(
        &mut self,
        writer: Writer,
        mut reader: Reader,
        welcome: Box<Welcome>,
        token: String,
    ) -> Ending {
        let (queue, unwritten) = mpsc::channel(UNWRITTEN_FRAMES);
        let mut writing = pin!(socket::write(writer, unwritten));
        let silence_limit = Duration::from_millis(welcome.ping_ms) * 2 + self.options.silence_slack;
        let began = Instant::now();
        let mut connection = Connection {
            queue,
            token,
            silence_limit,
            silence_deadline: began + silence_limit,
            closing: None,
        };
        self.welcomed(welcome);
        let ending = loop {
            if !self.deliver_events().await {
                break Ending::Dropped;
            }
            if !self.queue_frames(&connection) {
                break Ending::lost("the server accepts no more frames");
            }
            let now = self.now();
            let due = self.conversation.next_due();
            // The branches that lose keep their input in the socket, a queue or a timer.
            tokio::select! {
                frame = reader.next() => {
                    connection.silence_deadline = Instant::now() + connection.silence_limit;
                    if let Some(ending) = self.receive(frame, &mut connection) {
                        break ending;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.execute(command),
                    None => break Ending::Dropped,
                },
                written = &mut writing => {
                    break Ending::lost(written.err().map_or_else(String::new, |e| e.to_string()));
                }
                renewed = renewal_result(&mut self.renewal) => {
                    self.renewal = None;
                    self.finish_renewal(renewed, &mut connection);
                }
                () = sleep_until(connection.silence_deadline) => {
                    break Ending::lost("the server has gone silent");
                }
                () = sleep_until_due(due, now) => self.conversation.advance(self.now()),
            }
        };
        if began.elapsed() >= self.options.steady_after {
            self.backoff.reset();
            self.token_rejected = false;
        }
        if ending == Ending::Dropped {
            drop(connection);
            // Best effort: without it the server notices the end of the connection.
            let closing = async { tokio::join!(writing, reader.for_each(|_| async {})) };
            let _ = timeout(CLOSE_TIMEOUT, closing).await;
        }
        ending
    }

    fn welcomed(&mut self, welcome: Box<Welcome>) {
        self.conversation.connected(&welcome, self.now());
        let reconnected = std::mem::replace(&mut self.welcomed_before, true);
        let event = if reconnected {
            Event::Reconnected(welcome)
        } else {
            Event::Connected(welcome)
        };
        self.conversation.events.push_front(event);
    }

    fn receive(
        &mut self,
        frame: Option<Result<Message, WsError>>,
        connection: &mut Connection,
    ) -> Option<Ending> {
        match frame {
            Some(Ok(Message::Text(text))) => match Incoming::parse(&text) {
                Incoming::Closing(closing) => connection.closing = Some(closing),
                Incoming::TokenExpiring if self.renewal.is_none() => {
                    self.renewal = Some(self.begin_renewal(&connection.token));
                }
                frame => self.conversation.receive(frame, self.now()),
            },
            // tungstenite answers pings with the next read. The protocol uses text frames only.
            Some(Ok(
                Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
            )) => {}
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((None, String::new()), |f| {
                    (Some(u16::from(f.code)), f.reason.to_string())
                });
                return Some(Ending::closed(code, reason, connection.closing.take()));
            }
            Some(Err(_)) | None if connection.closing.is_some() => {
                let announced = connection.closing.take();
                return Some(Ending::closed(None, String::new(), announced));
            }
            Some(Err(error)) => return Some(Ending::lost(error.to_string())),
            None => return Some(Ending::lost("the connection broke")),
        }
        None
    }

    /// Hands a renewed token to the running connection. If the renewal failed, the server will close
    /// the connection, and the next one tries again.
    fn finish_renewal(&mut self, renewed: Result<String, CallError>, connection: &mut Connection) {
        if let Ok(token) = renewed {
            self.conversation.refresh(&token);
            connection.token = token;
        }
    }

    fn execute(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Join(channel, after) => self.conversation.join(channel, after, now),
            Command::Leave(channel) => self.conversation.leave(&channel),
            Command::Post(pending) => self.conversation.post(pending, now),
            Command::History {
                channel,
                before,
                limit,
                answer,
            } => self.conversation.history(&channel, before, limit, answer),
        }
    }

    /// Runs `work` and executes commands meanwhile. None if the owner drops the session.
    async fn run_beside_commands<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            if !self.deliver_events().await {
                return None;
            }
            // A command that loses stays in its queue, and `work` is not dropped.
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.commands.recv() => self.execute(command?),
            }
        }
    }

    async fn wait_for(&mut self, time: Duration) -> bool {
        self.run_beside_commands(sleep(time)).await.is_some()
    }

    /// Delivers the pending events. False if the owner has dropped the session.
    async fn deliver_events(&mut self) -> bool {
        while let Some(event) = self.conversation.events.pop_front() {
            if self.events.send(event).await.is_err() {
                return false;
            }
        }
        !self.events.is_closed()
    }

    /// Queues the pending frames for the writer. False if its queue is full.
    fn queue_frames(&mut self, connection: &Connection) -> bool {
        self.conversation
            .frames
            .drain(..)
            .all(|frame| connection.queue.try_send(frame).is_ok())
    }

    fn now(&self) -> Duration {
        (self.options.clock)()
    }
}

/// Reads up to the `welcome` frame.
async fn read_welcome(reader: &mut Reader) -> Result<Box<Welcome>, Ending> {
    let mut announced = None;
    loop {
        match reader.next().await {
            Some(Ok(Message::Text(text))) => match Incoming::parse(&text) {
                Incoming::Welcome(welcome) => return Ok(welcome),
                Incoming::Closing(closing) => announced = Some(closing),
                _ => {}
            },
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|f| u16::from(f.code));
                return Err(Ending::closed(code, String::new(), announced));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Ending::lost(error.to_string())),
            None => return Err(Ending::closed(None, String::new(), announced)),
        }
    }
}

/// The result of the running renewal. Never completes if there is none.
async fn renewal_result(renewal: &mut Option<Renewal>) -> Result<String, CallError> {
    match renewal {
        Some(handle) => handle
            .await
            .expect("a renewal neither panics nor is aborted"),
        None => std::future::pending().await,
    }
}

/// Sleeps until `due`, by the session's clock. Never completes if it is None.
async fn sleep_until_due(due: Option<Duration>, now: Duration) {
    match due {
        Some(due) => sleep(due.saturating_sub(now)).await,
        None => std::future::pending().await,
    }
}
