//! The server loop: accepts connections up to a limit, serves HTTP/1.1 on each, and drains.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::http::address_slots::AddressSlots;
use crate::http::allowed_hosts::AllowedHosts;
use crate::http::client_addr::TrustedProxies;
use crate::http::connection::{ClientSocket, ConnectionPermit, SocketLimits};
use crate::http::guard::Guard;
use crate::http::listener::pause_after;
use crate::http::min_rate::MinRate;
use crate::http::router::Router;
use crate::shutdown::Shutdown;

/// The most that hyper buffers of one connection in each direction.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// A connection as hyper serves it.
type Connection<C> = http1::UpgradeableConnection<TokioIo<ClientSocket>, Guard<C>>;

/// The limits of a listener.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Open connections, WebSockets included. Further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// Open connections of one address (IPv6: one /64) that is not a trusted proxy; 0: unlimited.
    /// Further ones are closed without a response. Of a client behind a trusted proxy, as many
    /// requests may be in progress; further ones are refused with 429.
    pub max_connections_per_peer: usize,
    /// How long the headers of a request may take, including the idle time before them.
    pub header_timeout: Duration,
    /// The request line and the headers together. A larger request is refused with 431.
    pub max_header_bytes: usize,
    /// How long a handler waits for the next bytes of a body before the request ends with 408.
    pub body_timeout: Duration,
    /// How long a client may read nothing of a response before the connection is cut.
    pub write_timeout: Duration,
    /// The minimum rate of a body and of a response, averaged over `body_timeout` and
    /// `write_timeout` of waiting for the client; 0 turns it off.
    pub min_bytes_per_second: u64,
    /// How long the input of a client that is still sending is read after its response, so that it
    /// receives the response.
    pub linger: Duration,
    /// The proxies whose X-Forwarded-For is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The hosts that the service answers for.
    pub allowed_hosts: AllowedHosts,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            max_connections: 20_000,
            max_connections_per_peer: 2000,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 16 * 1024,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            min_bytes_per_second: 1024,
            linger: Duration::from_secs(5),
            trusted_proxies: Vec::new(),
            allowed_hosts: AllowedHosts::default(),
        }
    }
}

/// One listener and its routes.
pub struct Server<C> {
    listener: TcpListener,
    router: Router<C>,
    settings: ServerSettings,
    proxies: Arc<TrustedProxies>,
    hosts: Arc<AllowedHosts>,
    slots: Arc<Semaphore>,
    peers: AddressSlots,
    clients: AddressSlots,
    hyper: http1::Builder,
    shutdown: Shutdown,
    connections: TaskTracker,
    /// Connections accepted during the drain, for probes.
    late: TaskTracker,
    cut: Arc<AtomicUsize>,
    /// Connections so far: the number of the next one in the log.
    accepted: AtomicU64,
}

impl<C: Send + Sync + 'static> Server<C> {
    pub fn new(
        listener: TcpListener,
        router: Router<C>,
        settings: ServerSettings,
        shutdown: Shutdown,
    ) -> Server<C> {
        let max_connections = settings.max_connections.min(Semaphore::MAX_PERMITS);
        let mut hyper = http1::Builder::new();
        hyper
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout)
            // A client that has sent its request may close its sending side (RFC 9112, 9.6).
            .half_close(true)
            .max_header_size(settings.max_header_bytes)
            .max_buf_size(MAX_BUFFER_BYTES.max(settings.max_header_bytes));
        Server {
            listener,
            router,
            proxies: Arc::new(TrustedProxies::new(settings.trusted_proxies.clone())),
            hosts: Arc::new(settings.allowed_hosts.clone()),
            slots: Arc::new(Semaphore::new(max_connections)),
            peers: AddressSlots::new(settings.max_connections_per_peer),
            clients: AddressSlots::new(settings.max_connections_per_peer),
            settings,
            hyper,
            shutdown,
            connections: TaskTracker::new(),
            late: TaskTracker::new(),
            cut: Arc::default(),
            accepted: AtomicU64::new(0),
        }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Resolves when the requests in progress at the drain have ended or were cut at the deadline,
    /// to the number of connections that were cut. Does not wait for upgraded connections: they
    /// belong to the sessions.
    pub fn drained(&self) -> impl Future<Output = usize> + Send + use<C> {
        let (shutdown, cut) = (self.shutdown.clone(), Arc::clone(&self.cut));
        let connections = self.connections.clone();
        async move {
            shutdown.draining().await;
            connections.close();
            connections.wait().await;
            let cut = cut.load(Ordering::Relaxed);
            if cut > 0 {
                tracing::warn!(cut, "{cut} connections were cut during a request");
            }
            cut
        }
    }

    /// Serves until the process closes: during the drain it still serves probes.
    pub async fn run(self) {
        tokio::select! {
            // Cancels an accept at most: nothing was read from that connection.
            () = self.shutdown.closing() => {}
            () = self.accept() => {}
        }
        drop(self.listener);
        for connections in [self.connections, self.late] {
            connections.close();
            connections.wait().await;
        }
    }

    async fn accept(&self) {
        loop {
            let slot = self.slot().await;
            match self.listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer, slot),
                Err(e) => {
                    metrics::counter!("lakechat_accept_errors_total").increment(1);
                    let Some(pause) = pause_after(&e) else {
                        continue;
                    };
                    tracing::warn!(error = %e, "cannot accept connections, retrying");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// If all slots are taken, clients wait in the backlog until a connection ends.
    async fn slot(&self) -> OwnedSemaphorePermit {
        if self.slots.available_permits() == 0 {
            metrics::counter!("lakechat_accept_waits_total").increment(1);
            tracing::debug!("connection limit reached, further connections wait");
        }
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await;
        slot.expect("the semaphore is never closed")
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let address = peer.ip().to_canonical();
        let mut peer_slot = None;
        if !self.proxies.trusts(address) {
            peer_slot = self.peers.take(address);
            if peer_slot.is_none() {
                let reason = "peer_limit";
                metrics::counter!("lakechat_connections_cut_total", "reason" => reason)
                    .increment(1);
                tracing::debug!(client = %address, "the address has too many connections");
                return;
            }
        }
        self.serve(stream, peer, ConnectionPermit::new(slot, peer_slot));
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: ConnectionPermit) {
        // Fails only if the connection is gone, which the first read will report.
        let _ = stream.set_nodelay(true);
        let settings = &self.settings;
        let (body_timeout, write_timeout) = (settings.body_timeout, settings.write_timeout);
        let rate = |window| MinRate::new(settings.min_bytes_per_second, window);
        let limits = SocketLimits {
            write_timeout,
            write_rate: rate(write_timeout),
            linger: settings.linger,
        };
        let socket = ClientSocket::new(stream, permit, limits);
        let guard = Guard {
            router: self.router.clone(),
            proxies: Arc::clone(&self.proxies),
            hosts: Arc::clone(&self.hosts),
            peer: peer.ip(),
            clients: self.clients.clone(),
            fully_read: socket.fully_read(),
            seen: socket.request_seen(),
            body_timeout,
            body_rate: rate(body_timeout),
            shutdown: self.shutdown.clone(),
        };
        let connection = self.hyper.serve_connection(TokioIo::new(socket), guard);
        // An upgrade ends this future: hyper has handed over the socket.
        let connection = connection.with_upgrades();
        let shutdown = self.shutdown.clone();
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let span = tracing::debug_span!("connection", %peer, number);
        if shutdown.is_draining() {
            let serving = serve_probe(connection, peer, shutdown);
            self.late.spawn(serving.instrument(span));
        } else {
            let cut = Arc::clone(&self.cut);
            let serving = serve_requests(connection, peer, shutdown, cut);
            self.connections.spawn(serving.instrument(span));
        }
    }
}

/// Serves a connection until the drain, then finishes the request in progress.
async fn serve_requests<C: Send + Sync + 'static>(
    connection: Connection<C>,
    peer: SocketAddr,
    shutdown: Shutdown,
    cut: Arc<AtomicUsize>,
) {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The connection is polled further below.
        () = shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = over(&shutdown) => {
                    cut.fetch_add(1, Ordering::Relaxed);
                    Ok(())
                }
            }
        }
    };
    record(ended, peer);
}

/// Serves a connection that was accepted during the drain. The guard closes it after its first
/// response.
async fn serve_probe<C: Send + Sync + 'static>(
    connection: Connection<C>,
    peer: SocketAddr,
    shutdown: Shutdown,
) {
    tokio::select! {
        ended = connection => record(ended, peer),
        // A probe at the very end sees a closed connection, which means the same.
        () = over(&shutdown) => {}
    }
}

/// When connections must end.
async fn over(shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.cutting() => {}
        () = shutdown.closing() => {}
    }
}

/// Counts and logs how a connection failed. hyper has responded if it could (400, 431).
fn record(ended: hyper::Result<()>, peer: SocketAddr) {
    let Err(error) = ended else { return };
    let kind = match &error {
        e if e.is_timeout() => "header_timeout",
        e if e.is_parse() => "not_http",
        e if e.is_incomplete_message() => "client_left",
        e if e.is_user() || e.is_body_write_aborted() => "answer_broke_off",
        _ => "io",
    };
    metrics::counter!("lakechat_connection_errors_total", "kind" => kind).increment(1);
    tracing::debug!(client = %peer.ip(), kind, error = %error, "connection failed");
}

#[cfg(test)]
mod tests;
