//! A thread with a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::HBaseError;
use super::queue::{Queue, Takes, Thrift, stopping};
use super::server::Server;
use super::socket_handle::SocketHandle;
use lakechat_core::threads::{Call, OwnedThread, catch_panic};

/// The pause before the next attempt after none of the servers could be reached: doubles from the one to the
/// other. What comes meanwhile is refused at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A running worker. Dropping it cuts its call short and waits for its end; its queue has to be
/// closed before.
pub(super) struct Worker {
    socket: SocketHandle,
    _thread: OwnedThread,
}

impl Worker {
    /// Starts with the `first` of the servers; the others follow when it does not answer.
    pub fn start(
        name: String,
        queue: Arc<Queue>,
        takes: Takes,
        servers: Arc<[Arc<Server>]>,
        first: usize,
        timeout: Duration,
    ) -> std::io::Result<Worker> {
        let socket = SocketHandle::default();
        let kept = socket.clone();
        // Made on the thread, and made anew after a panic.
        let line = move || Line {
            queue: Arc::clone(&queue),
            takes,
            next: first % servers.len(),
            servers: Arc::clone(&servers),
            timeout,
            connection: None,
            socket: kept.clone(),
            pause: FIRST_PAUSE,
            away: None,
        };
        let thread = OwnedThread::restarting(name, move || line().work())?;
        Ok(Worker {
            socket,
            _thread: thread,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.socket.shut_down();
    }
}

struct Line {
    queue: Arc<Queue>,
    takes: Takes,
    servers: Arc<[Arc<Server>]>,
    /// The server to be tried next.
    next: usize,
    timeout: Duration,
    connection: Option<Connection>,
    socket: SocketHandle,
    pause: Duration,
    /// Until when no server is tried, and why.
    away: Option<(Instant, String)>,
}

impl Line {
    fn work(&mut self) {
        // The socket of a connection that was lost in a panic.
        self.socket.clear();
        while let Some(mut call) = self.queue.take(self.takes) {
            if call.is_abandoned() {
                continue;
            }
            let outcome = if call.waited() > self.timeout {
                Err(HBaseError::TimedOut(
                    "HBase can't keep up with the calls that are waiting".to_owned(),
                ))
            } else {
                self.perform_guarded(&mut call)
            };
            call.answer(outcome);
            self.tidy_up();
        }
    }

    /// A call that panics fails, and its connection with it.
    fn perform_guarded(&mut self, call: &mut Call<Thrift>) -> Result<(), HBaseError> {
        catch_panic(|| self.perform(call)).unwrap_or_else(|| {
            self.hang_up();
            Err(HBaseError::Broken("a call to HBase panicked".to_owned()))
        })
    }

    /// A connection that turns out to be dead though it worked before is replaced once, in silence:
    /// every call leaves the same when it runs twice.
    fn perform(&mut self, call: &mut Call<Thrift>) -> Result<(), HBaseError> {
        if self.connection.as_ref().is_some_and(Connection::is_stale) {
            self.hang_up();
        }
        let used_before = self.connection.is_some();
        match self.attempt(call) {
            Err(HBaseError::ConnectionLost(reason)) if used_before && !self.queue.is_closed() => {
                tracing::debug!(%reason, "a connection to HBase broke; trying another one");
                self.attempt(call)
            }
            outcome => outcome,
        }
    }

    fn attempt(&mut self, call: &mut Call<Thrift>) -> Result<(), HBaseError> {
        let outcome = call.run(self.connected()?);
        if outcome.as_ref().is_err_and(HBaseError::ends_connection) {
            self.hang_up();
            self.next = (self.next + 1) % self.servers.len();
        }
        outcome
    }

    fn tidy_up(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let Err(reason) = connection.close_scanners() {
            tracing::debug!(%reason, "a scanner was not closed");
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.socket.clear();
    }

    fn connected(&mut self) -> Result<&mut Connection, HBaseError> {
        if self.connection.is_none() {
            self.refuse_while_away()?;
            let connection = self.connect()?;
            self.connection = Some(connection);
        }
        // Looked at after the socket was shown: one who stops either is seen here or sees it.
        if self.queue.is_closed() {
            return Err(stopping());
        }
        Ok(self.connection.as_mut().expect("made above"))
    }

    fn refuse_while_away(&self) -> Result<(), HBaseError> {
        match &self.away {
            Some((until, reason)) if Instant::now() < *until => {
                Err(HBaseError::Unavailable(reason.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Tries each server once that is not silent, beginning with the one that is next.
    fn connect(&mut self) -> Result<Connection, HBaseError> {
        let (mut reasons, mut any_silent) = (Vec::new(), false);
        for _ in 0..self.servers.len() {
            let server = Arc::clone(&self.servers[self.next]);
            if let Some(reason) = server.silence() {
                any_silent = true;
                reasons.push(format!(
                    "{reason}; retrying until it does. Check that this is HBase's Thrift1 server and that \
                     HBase itself responds"
                ));
                self.next = (self.next + 1) % self.servers.len();
                continue;
            }
            match self.open(&server) {
                Ok(connection) => {
                    metrics::counter!("lakechat_hbase_connects_total", "outcome" => "ok")
                        .increment(1);
                    (self.pause, self.away) = (FIRST_PAUSE, None);
                    return Ok(connection);
                }
                Err(error) => reasons.push(format!("{}: {error}", server.address)),
            }
            self.next = (self.next + 1) % self.servers.len();
        }
        let reason = reasons.join("; ");
        if any_silent {
            // Nobody is to wait longer than its silence lasts.
            return Err(HBaseError::Unavailable(reason));
        }
        metrics::counter!("lakechat_hbase_connects_total", "outcome" => "error").increment(1);
        if self.away.is_none() {
            tracing::warn!(%reason, "no Thrift server of HBase can be reached");
        }
        self.away = Some((Instant::now() + self.pause, reason.clone()));
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        Err(HBaseError::Unavailable(reason))
    }

    fn open(&self, server: &Arc<Server>) -> std::io::Result<Connection> {
        let connection = Connection::open(server, self.timeout)?;
        self.socket.set(connection.handle()?);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn call_that_panics_fails_and_the_next_one_runs_over_another_connection() {
        // The kernel takes the connections, and the calls send nothing.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let servers: Arc<[_]> = Arc::new([Arc::new(Server::new(&address))]);
        let queue = Arc::new(Queue::new());
        let name = "hbase-test-0".to_owned();
        let worker = Worker::start(name, queue.clone(), Takes::All, servers, 0, TIMEOUT);
        let worker = worker.expect("a thread");
        let panics = queue.call(|_| -> Result<(), _> { panic!("as a bug would") });
        let failed = panics.await.expect_err("it panicked");
        assert!(matches!(failed, HBaseError::Broken(_)), "{failed}");
        assert_eq!(queue.call(|_| Ok(7)).await.expect("it runs"), 7);
        listener.accept().expect("the first connection");
        listener.accept().expect("the second connection");
        queue.close();
        drop(worker);
        queue.call(|_| Ok(())).await.expect_err("it is closed");
    }
}
