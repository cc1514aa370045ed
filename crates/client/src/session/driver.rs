//! The task behind a session: connects, carries frames and commands, waits, and connects again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::command::Command;
use super::ending::Ending;
use super::options::Options;
use crate::api::CallError;
use crate::backoff::Backoff;
use crate::conversation::Conversation;
use crate::credentials::Credentials;
use crate::event::Event;
use crate::frame::{Closing, Incoming, Welcome};
use crate::socket::{self, OpenError, Reader, Writer};

/// Frames on their way to the socket. More than fit an outbox' window and all joins of a session:
/// full means that the server takes nothing, and the connection is given up.
const UNWRITTEN_FRAMES: usize = 1_024;

/// How long to wait for the other side of a good-bye.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) struct Driver {
    credentials: Arc<Credentials>,
    options: Options,
    commands: mpsc::Receiver<Command>,
    told: mpsc::Sender<Event>,
    conversation: Conversation,
    backoff: Backoff,
    renewal: Option<Renewal>,
    welcomed_before: bool,
}

/// Runs to its end even if the session doesn't: see [`Credentials::renew`].
type Renewal = JoinHandle<Result<String, CallError>>;

/// What a running connection is like.
struct Connection {
    queue: mpsc::Sender<String>,
    token: String,
    /// How long the server may be silent.
    patience: Duration,
    silent_until: Instant,
    /// What the server said of the close to come.
    closing: Option<Closing>,
}

impl Driver {
    pub fn new(
        credentials: Arc<Credentials>,
        options: Options,
        commands: mpsc::Receiver<Command>,
        told: mpsc::Sender<Event>,
    ) -> Driver {
        Driver {
            conversation: Conversation::new(options.window, options.stale_after),
            backoff: Backoff::new(options.backoff_base, options.backoff_cap, options.seed),
            credentials,
            options,
            commands,
            told,
            renewal: None,
            welcomed_before: false,
        }
    }

    pub async fn run(mut self) {
        let mut used: Option<String> = None;
        loop {
            let ending = self.connect_and_talk(&mut used).await;
            let now = self.now();
            self.conversation.disconnected(now);
            if !self.tell_all().await {
                return;
            }
            match ending {
                Ending::Finished => return,
                Ending::Stop(stop) => {
                    // Whoever owned the events may have gone.
                    let _ = self.told.send(Event::Stopped(stop)).await;
                    return;
                }
                Ending::Return { reason, after, .. } => {
                    let retry_in = after.unwrap_or_else(|| self.backoff.next_wait());
                    let told = Event::Disconnected { reason, retry_in };
                    if self.told.send(told).await.is_err() || !self.idle_for(retry_in).await {
                        return;
                    }
                }
            }
        }
    }

    /// One connection from its beginning to its end. `used` is the token that the next one can't use.
    async fn connect_and_talk(&mut self, used: &mut Option<String>) -> Ending {
        if let Some(token) = used.as_deref() {
            if let Err(ending) = self.renew(token).await {
                return ending;
            }
            *used = None;
        }
        let token = self.credentials.token();
        let ending = match self.open(&token).await {
            Ok((writer, reader, welcome)) => {
                self.talk(writer, reader, welcome, token.clone()).await
            }
            Err(ending) => ending,
        };
        if matches!(ending, Ending::Return { renew: true, .. }) {
            *used = Some(token);
        }
        ending
    }

    async fn renew(&mut self, used: &str) -> Result<(), Ending> {
        let renewal = self
            .renewal
            .take()
            .unwrap_or_else(|| self.begin_renewal(used));
        match self.busy_with(renewal).await {
            None => Err(Ending::Finished),
            Some(Ok(Ok(_))) => Ok(()),
            Some(Ok(Err(error))) => Err(Ending::not_renewed(&error)),
            Some(Err(_)) => Err(Ending::lost("the renewal of the token was cut off")),
        }
    }

    fn begin_renewal(&self, used: &str) -> Renewal {
        let (credentials, used) = (self.credentials.clone(), used.to_owned());
        tokio::spawn(async move { credentials.renew(&used).await })
    }

    /// Opens a connection and waits for the server's `welcome`.
    async fn open(&mut self, token: &str) -> Result<(Writer, Reader, Box<Welcome>), Ending> {
        let base = self.credentials.api().base().clone();
        let (token, patience) = (token.to_owned(), self.options.connect_timeout);
        let opening = async move {
            let opened = socket::open(&base, &token, patience).await;
            let (writer, mut reader) = opened.map_err(|e| Ending::unopened(&e))?;
            match timeout(patience, welcome(&mut reader)).await {
                Ok(welcome) => Ok((writer, reader, welcome?)),
                Err(_) => Err(Ending::unopened(&OpenError::TimedOut(patience))),
            }
        };
        self.busy_with(opening)
            .await
            .unwrap_or(Err(Ending::Finished))
    }

    async fn talk(
        &mut self,
        writer: Writer,
        mut reader: Reader,
        welcome: Box<Welcome>,
        token: String,
    ) -> Ending {
        let (queue, unwritten) = mpsc::channel(UNWRITTEN_FRAMES);
        let mut writing = pin!(socket::write(writer, unwritten));
        let patience = Duration::from_millis(welcome.ping_ms) * 2 + self.options.silence_slack;
        let began = Instant::now();
        let mut connection = Connection {
            queue,
            token,
            patience,
            silent_until: began + patience,
            closing: None,
        };
        self.greet(welcome);
        let ending = loop {
            if !self.tell_all().await {
                break Ending::Finished;
            }
            if !self.write_all(&connection) {
                break Ending::lost("the server takes no frames");
            }
            let now = self.now();
            let due = self.conversation.next_due();
            // What is not taken this time waits in its socket, queue or timer.
            tokio::select! {
                frame = reader.next() => {
                    connection.silent_until = Instant::now() + connection.patience;
                    if let Some(ending) = self.hear(frame, &mut connection) {
                        break ending;
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => break Ending::Finished,
                },
                written = &mut writing => {
                    break Ending::lost(written.err().map_or_else(String::new, |e| e.to_string()));
                }
                renewed = finished(&mut self.renewal) => {
                    self.renewal = None;
                    self.renewed(renewed, &mut connection);
                }
                () = sleep_until(connection.silent_until) => {
                    break Ending::lost("nothing heard from the server");
                }
                () = until(due, now) => self.conversation.advance(self.now()),
            }
        };
        if began.elapsed() >= self.options.steady_after {
            self.backoff.reset();
        }
        if ending == Ending::Finished {
            drop(connection);
            // Best effort: the server finds out in any case.
            let farewell = async { tokio::join!(writing, reader.for_each(|_| async {})) };
            let _ = timeout(FAREWELL, farewell).await;
        }
        ending
    }

    fn greet(&mut self, welcome: Box<Welcome>) {
        self.conversation.connected(&welcome, self.now());
        let again = std::mem::replace(&mut self.welcomed_before, true);
        let event = if again {
            Event::Reconnected(welcome)
        } else {
            Event::Connected(welcome)
        };
        self.conversation.events.push_front(event);
    }

    fn hear(
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
            // The answer to a ping goes out with the next read; nothing else is for us.
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
                let said = connection.closing.take();
                return Some(Ending::closed(None, String::new(), said));
            }
            Some(Err(error)) => return Some(Ending::lost(error.to_string())),
            None => return Some(Ending::lost("the server is gone")),
        }
        None
    }

    /// A new token for the running connection. Without one the server will close it, and the next
    /// connection tries again.
    fn renewed(&mut self, renewed: Result<String, CallError>, connection: &mut Connection) {
        if let Ok(token) = renewed {
            self.conversation.refresh(&token);
            connection.token = token;
        }
    }

    fn obey(&mut self, command: Command) {
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

    /// Does something else and obeys commands meanwhile; None if the owner goes.
    async fn busy_with<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            if !self.tell_all().await {
                return None;
            }
            // A command that loses waits in its queue; the work goes on where it was.
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.commands.recv() => self.obey(command?),
            }
        }
    }

    async fn idle_for(&mut self, time: Duration) -> bool {
        self.busy_with(sleep(time)).await.is_some()
    }

    /// Hands out events; false if nobody takes them any more.
    async fn tell_all(&mut self) -> bool {
        while let Some(event) = self.conversation.events.pop_front() {
            if self.told.send(event).await.is_err() {
                return false;
            }
        }
        !self.told.is_closed()
    }

    /// Hands frames to the writer; false if it can't take them.
    fn write_all(&mut self, connection: &Connection) -> bool {
        self.conversation
            .frames
            .drain(..)
            .all(|frame| connection.queue.try_send(frame).is_ok())
    }

    fn now(&self) -> Duration {
        (self.options.clock)()
    }
}

/// Reads up to the server's first words.
async fn welcome(reader: &mut Reader) -> Result<Box<Welcome>, Ending> {
    let mut said = None;
    loop {
        match reader.next().await {
            Some(Ok(Message::Text(text))) => match Incoming::parse(&text) {
                Incoming::Welcome(welcome) => return Ok(welcome),
                Incoming::Closing(closing) => said = Some(closing),
                _ => {}
            },
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|f| u16::from(f.code));
                return Err(Ending::closed(code, String::new(), said));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Ending::lost(error.to_string())),
            None => return Err(Ending::closed(None, String::new(), said)),
        }
    }
}

/// The result of a renewal that is under way; never, if none is.
async fn finished(renewal: &mut Option<Renewal>) -> Result<String, CallError> {
    match renewal {
        Some(handle) => handle
            .await
            .expect("a renewal neither panics nor is aborted"),
        None => std::future::pending().await,
    }
}

/// Until a time of the session's clock; for ever, if there is none.
async fn until(due: Option<Duration>, now: Duration) {
    match due {
        Some(due) => sleep(due.saturating_sub(now)).await,
        None => std::future::pending().await,
    }
}
