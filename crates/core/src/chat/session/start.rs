//! Turns an upgraded connection into a session: authenticates it and sends `welcome`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use uuid::Uuid;

use super::socket::{Ended, Socket, SocketEvent, websocket};
use super::{Clock, Session};
use crate::accounts::{Access, AccessEnd, Accounts};
use crate::chat::hub::Listener;
use crate::chat::hub::outbox::Outbox;
use crate::chat::service::health::part_of;
use crate::chat::service::{Chat, ConnectedUser, StoredMemberships};
use crate::chat::wire::close::Close;
use crate::chat::wire::{self, About, Incoming, Request, Welcome};
use crate::domain::{Code, Problem};
use crate::keyed_memory::ReservedMemory;
use crate::ports::Caller;

/// Where the access token comes from.
pub enum TokenSource {
    Upgrade(String),
    /// A `hello` frame. The memory is freed when it has come.
    Hello(ReservedMemory),
}

/// What is available from the upgrade request.
pub struct Arrival {
    pub token: TokenSource,
    /// The client's address.
    pub address: IpAddr,
}

impl Access for Outbox {
    fn end(&self, why: AccessEnd) {
        self.close(match why {
            AccessEnd::LoginEnded => Close::NotAuthenticated,
            AccessEnd::AccountDisabled => Close::AccountDisabled,
        });
    }
}

/// Serves one session to its end, over TCP. `read` is what the client sent directly after its upgrade
/// request.
///
/// The future is boxed so that it is compiled here, and optimised as this crate is.
pub fn run_on_tcp(
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    stream: TcpStream,
    read: Bytes,
    arrival: Arrival,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let socket = websocket(stream, read, chat.settings.limits.frame_bytes).await;
        run(chat, accounts, socket, arrival).await;
    })
}

/// Serves one session to its end.
pub async fn run<S>(
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    mut socket: Socket<S>,
    arrival: Arrival,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let epoch = chat.pulse.epoch();
    let outbox = Arc::new(Outbox::new(chat.settings.outbox));
    let identify = async {
        match arrival.token {
            TokenSource::Upgrade(token) => connect(&chat, &accounts, &token).await,
            TokenSource::Hello(_memory) => hello(&chat, &accounts, &mut socket, &outbox).await,
        }
    };
    let identified = tokio::select! {
        identified = identify => identified,
        // The client loses nothing: none of its requests has been accepted yet.
        () = chat.hub.draining() => Err(Ended::Close(Close::server_shutdown())),
    };
    let ConnectedUser {
        identity,
        memberships,
    } = match identified {
        Ok(user) => user,
        Err(ended) => return socket.end(&ended).await,
    };
    let listener = Arc::new(Listener {
        id: Uuid::new_v4(),
        user: identity.user.clone(),
        address: arrival.address,
        since_ms: chat.log.broker().now_ms(),
        outbox,
        presence: chat.hub.presence.clone(),
    });
    tracing::Span::current()
        .record("session", tracing::field::display(listener.id))
        .record("user", listener.user.as_str());
    let limits = chat.settings.connections;
    let admitted = chat.hub.admit_session(&listener, limits).await;
    let added = admitted.and_then(|()| chat.hub.add_session(listener.clone(), limits.per_user));
    if let Err(why) = added {
        return socket.end(&Ended::Close(why)).await;
    }
    let access = accounts.hold(&identity, listener.outbox.clone());
    let mut session = Session {
        access,
        clock: Clock::new(chat.settings.ping, &identity),
        chat,
        accounts,
        listener,
        socket,
        identity,
        joined: HashMap::new(),
        first: None,
        beside: Vec::new(),
        pages: 0,
        page_turn: Arc::default(),
        resume_turn: Arc::default(),
        unread_since_ms: None,
        epoch,
    };
    let hub = session.chat.hub.clone();
    let caller = Caller::user(session.listener.user.clone());
    let served = async {
        tokio::select! {
            () = session.welcome(memberships) => {}
            // `welcome` only reads: losing the race loses nothing. The drain closes the outbox,
            // which ends `serve`.
            () = hub.draining() => {}
        }
        session.serve().await
    };
    let ended = caller.scope(served).await;
    let (id, user) = (session.listener.id, session.listener.user.clone());
    if let Ended::Close(why) = &ended {
        metrics::counter!("lakechat_sessions_closed_total", "reason" => why.reason()).increment(1);
    }
    tracing::debug!(session = %id, %user, ?ended, "session ended");
    // Before the close, which may take seconds: deliveries to this session end at once.
    session.leave_all();
    session.socket.end(&ended).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn welcome(&mut self, memberships: Result<Arc<StoredMemberships>, Problem>) {
        let settings = &self.chat.settings;
        let mut degraded = self.chat.degraded();
        // The list of `degraded` may be a second old.
        let mut blame = |part| {
            if !degraded.contains(&part) {
                degraded.push(part);
            }
        };
        let user = &self.listener.user;
        let page = match self.chat.first_channels_of(user, memberships).await {
            Ok(page) => {
                if page.degraded {
                    blame("broker");
                }
                Some(page)
            }
            Err(problem) => {
                let session = self.listener.id;
                tracing::warn!(%session, %problem, "cannot read the user's channels; welcome was sent without them");
                blame(part_of(&problem));
                None
            }
        };
        let (channels, channels_next) = page.map_or((None, None), |p| (Some(p.channels), p.next));
        let id = self.listener.id.hyphenated().to_string();
        let welcome = wire::welcome(&Welcome {
            session: &id,
            server: &settings.server_id,
            user: &self.listener.user,
            ping_ms: u64::try_from(settings.ping.as_millis()).unwrap_or(u64::MAX),
            degraded,
            limits: settings.limits,
            channels,
            channels_next,
        });
        self.listener.outbox.push(welcome);
    }
}

async fn connect(chat: &Chat, accounts: &Accounts, token: &str) -> Result<ConnectedUser, Ended> {
    chat.connect(accounts, token).await.map_err(|problem| {
        Ended::Close(match problem.code {
            Code::TokenExpired => Close::TokenExpired,
            Code::NotAuthenticated | Code::TokenRevoked => Close::NotAuthenticated,
            _ => {
                tracing::warn!(%problem, "cannot authenticate a session");
                Close::InternalError
            }
        })
    })
}

/// Waits for `hello` with a token and refuses every other frame, until `ChatSettings::hello` has
/// passed.
async fn hello<S>(
    chat: &Chat,
    accounts: &Accounts,
    socket: &mut Socket<S>,
    outbox: &Outbox,
) -> Result<ConnectedUser, Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + chat.settings.hello;
    loop {
        let text = match timeout_at(deadline, next_text(socket, outbox)).await {
            Ok(text) => text?,
            Err(_) => return Err(Ended::Close(Close::NotAuthenticated)),
        };
        let incoming = text.as_deref().map(Incoming::parse);
        let (reference, problem) = match incoming {
            Some(Incoming {
                request: Ok(Request::Hello { token }),
                ..
            }) => {
                return connect(chat, accounts, &token).await;
            }
            Some(Incoming {
                r#ref,
                request: Ok(_),
            }) => (r#ref, hello_first()),
            Some(Incoming {
                r#ref,
                request: Err(problem),
            }) => (r#ref, problem),
            None => (
                None,
                Problem::new(Code::BadFrame, "Frames are text; this one is binary."),
            ),
        };
        outbox.refuse(reference, &problem, About::default());
    }
}

fn hello_first() -> Problem {
    Problem::new(
        Code::NotAuthenticated,
        "The first frame must be hello, with a token.",
    )
}

/// The next text message; None for a binary one. It also writes the frames of the outbox.
async fn next_text<S>(socket: &mut Socket<S>, outbox: &Outbox) -> Result<Option<Utf8Bytes>, Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let read = std::future::poll_fn(|cx| {
            if let Poll::Ready(ended) = socket.poll_write(cx, outbox) {
                return Poll::Ready(SocketEvent::Ended(ended));
            }
            // Whoever doesn't receive an answer gets no other one, so that only one is in memory.
            if socket.is_blocked() {
                return Poll::Pending;
            }
            socket.poll_read(cx)
        });
        match read.await {
            SocketEvent::Message(Message::Text(text)) => return Ok(Some(text)),
            SocketEvent::Message(Message::Binary(_)) => return Ok(None),
            SocketEvent::Message(_) => {}
            SocketEvent::Ended(ended) => return Err(ended),
        }
    }
}
