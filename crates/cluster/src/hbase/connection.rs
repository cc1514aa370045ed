//! A connection to a Thrift server (buffered transport, binary protocol), with a deadline for each call.

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

use super::error::HBaseError;
use super::server::Server;

/// Large enough that a page or a batch takes few system calls.
const BUFFER_BYTES: usize = 64 << 10;

/// Below the 60 s after which the server closes an idle connection.
const MAX_IDLE: Duration = Duration::from_secs(50);

pub(super) type ThriftClient = HbaseSyncClient<
    TBinaryInputProtocol<TBufferedReadTransport<Half>>,
    TBinaryOutputProtocol<TBufferedWriteTransport<Half>>,
>;

/// The attributes that every call of HBase's Thrift1 takes: none.
pub(super) fn no_attributes() -> BTreeMap<Vec<u8>, Vec<u8>> {
    BTreeMap::new()
}

pub(super) struct Connection {
    server: Arc<Server>,
    client: ThriftClient,
    stream: TcpStream,
    timeout: Duration,
    deadline: Rc<Cell<Instant>>,
    last_used: Instant,
    /// Scanners that are open on the server and no longer needed.
    pub(super) finished_scanners: Vec<i32>,
}

impl Connection {
    /// Connects to a server, trying each of its addresses.
    pub fn open(server: &Arc<Server>, timeout: Duration) -> io::Result<Connection> {
        let began = Instant::now();
        let stream = connect(&server.address, timeout).inspect_err(|error| {
            if error.kind() == ErrorKind::TimedOut {
                let reason = format!("{} did not accept a connection in time", server.address);
                server.record_timeout(began, &reason);
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
        let client = ThriftClient::new(
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
            finished_scanners: Vec::new(),
        })
    }

    /// Makes a call; `name` is the one in HBase's IDL.
    pub fn call<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut ThriftClient) -> thrift::Result<T>,
    ) -> Result<T, HBaseError> {
        let began = Instant::now();
        self.deadline.set(began + self.timeout);
        let answer = call(&mut self.client);
        self.last_used = Instant::now();
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        let labels = [("call", name), ("outcome", outcome)];
        metrics::histogram!("lakechat_hbase_call_seconds", &labels).record(began.elapsed());
        let answer =
            answer.map_err(|error| HBaseError::from_thrift(name, &self.server.address, error));
        match &answer {
            Err(HBaseError::TimedOut(reason)) => self.server.record_timeout(began, reason),
            Err(HBaseError::ConnectionLost(_)) => {}
            Ok(_)
            | Err(HBaseError::Unavailable(_) | HBaseError::Broken(_) | HBaseError::Stops(_)) => {
                self.server.record_answer();
            }
        }
        answer
    }

    /// Whether the connection must not be used again: the server is silent, has closed it, or is about to.
    /// The same if there is something to read: it would be taken for the answer to the next call.
    pub fn is_stale(&self) -> bool {
        if self.last_used.elapsed() > MAX_IDLE || self.server.silence().is_some() {
            return true;
        }
        let is_quiet = || -> io::Result<bool> {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            Ok(matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock))
        };
        !is_quiet().unwrap_or(false)
    }

    /// A handle by which another thread can interrupt a call.
    pub fn handle(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }
}

fn connect(server: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last_error = io::Error::new(ErrorKind::NotFound, "no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

/// One direction of a connection. A socket's own time-out restarts with each byte; here the whole call has
/// to end by the deadline.
pub(super) struct Half {
    stream: TcpStream,
    deadline: Rc<Cell<Instant>>,
}

impl Half {
    fn time_left(&self) -> io::Result<Duration> {
        let time_left = self
            .deadline
            .get()
            .saturating_duration_since(Instant::now());
        if time_left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(time_left)
    }
}

/// Linux reports a time-out of a socket as "would block".
fn as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        self.stream.read(buffer).map_err(as_timeout)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.time_left()?))?;
        self.stream.write(bytes).map_err(as_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
