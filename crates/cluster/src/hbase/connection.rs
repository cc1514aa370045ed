//! One connection to a Thrift server: buffered, binary, with a deadline for each call.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hbase_thrift::hbase::HbaseSyncClient;
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};

use super::error::Fault;
use super::server::Server;

/// Large enough for a page or a batch in few system calls.
const BUFFER_BYTES: usize = 64 << 10;

/// The server closes connections after 60 s without a call.
const MAX_IDLE: Duration = Duration::from_secs(50);

pub(super) type Client = HbaseSyncClient<
    TBinaryInputProtocol<TBufferedReadTransport<Half>>,
    TBinaryOutputProtocol<TBufferedWriteTransport<Half>>,
>;

/// No attributes: what every call of HBase's Thrift1 takes and lakechat never needs.
pub(super) fn plain() -> BTreeMap<Vec<u8>, Vec<u8>> {
    BTreeMap::new()
}

pub(super) struct Connection {
    server: Arc<Server>,
    client: Client,
    stream: TcpStream,
    timeout: Duration,
    deadline: Rc<Cell<Instant>>,
    last_used: Instant,
    /// Scanners that are open on the server and no longer needed.
    pub(super) done_scanners: Vec<i32>,
}

impl Connection {
    /// Connects to a server, trying each of its addresses.
    pub fn open(server: &Arc<Server>, timeout: Duration) -> io::Result<Connection> {
        let began = Instant::now();
        let stream = connect(&server.address, timeout).inspect_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                let reason = format!("{} took no connection in time", server.address);
                server.late(began, &reason);
            }
        })?;
        stream.set_nodelay(true)?;
        let deadline = Rc::new(Cell::new(Instant::now()));
        let half = || -> io::Result<Half> {
            let stream = stream.try_clone()?;
            let deadline = Rc::clone(&deadline);
            Ok(Half { stream, deadline })
        };
        let reading = TBufferedReadTransport::with_capacity(BUFFER_BYTES, half()?);
        let writing = TBufferedWriteTransport::with_capacity(BUFFER_BYTES, half()?);
        let client = Client::new(
            TBinaryInputProtocol::new(reading, true),
            TBinaryOutputProtocol::new(writing, true),
        );
        Ok(Connection {
            server: Arc::clone(server),
            client,
            stream,
            timeout,
            deadline,
            last_used: Instant::now(),
            done_scanners: Vec::new(),
        })
    }

    /// Makes one call, named as in HBase's IDL.
    pub fn call<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Client) -> thrift::Result<T>,
    ) -> Result<T, Fault> {
        let began = Instant::now();
        self.deadline.set(began + self.timeout);
        let answer = call(&mut self.client);
        self.last_used = Instant::now();
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        let labels = [("call", name), ("outcome", outcome)];
        metrics::histogram!("lakechat_hbase_call_seconds", &labels).record(began.elapsed());
        let answer = answer.map_err(|error| Fault::of_call(name, &self.server.address, error));
        match &answer {
            Err(Fault::Late(reason)) => self.server.late(began, reason),
            Err(Fault::Lost(_)) => {}
            Ok(_) | Err(Fault::Away(_) | Fault::Broken(_) | Fault::Stops(_)) => {
                self.server.answered();
            }
        }
        answer
    }

    /// Whether it is of no use: the server is silent, or closed it, or is about to. An answer that
    /// nobody waits for counts as such: it would be taken for the next call's.
    pub fn is_stale(&self) -> bool {
        if self.last_used.elapsed() > MAX_IDLE || self.server.silent().is_some() {
            return true;
        }
        let quiet = || -> io::Result<bool> {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            Ok(matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock))
        };
        !quiet().unwrap_or(false)
    }

    /// A handle by which another thread can end what this connection waits for.
    pub fn handle(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }
}

fn connect(server: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(ErrorKind::NotFound, "no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// One direction of a connection. A socket's own time-out counts from byte to byte; here a whole
/// call has to end by the deadline.
pub(super) struct Half {
    stream: TcpStream,
    deadline: Rc<Cell<Instant>>,
}

impl Half {
    fn left(&self) -> io::Result<Duration> {
        let left = self
            .deadline
            .get()
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// Linux says "would block" when a socket's time is up.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer).map_err(late)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
