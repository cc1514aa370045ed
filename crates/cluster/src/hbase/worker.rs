//! A thread with a connection of its own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::HBaseError;
use super::queue::{Job, Queue};
use super::server::Server;
use super::socket_handle::SocketHandle;

/// How long nobody is asked after none of the servers could be reached: doubles from the one to the
/// other. What comes meanwhile is refused at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A running worker. Dropping it cuts its call short and waits for its end; its queue has to be
/// closed before.
pub(super) struct Worker {
    socket: SocketHandle,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts with the `first` of the servers; the others follow when it does not answer.
    pub fn start(
        name: String,
        queue: Arc<Queue>,
        servers: Arc<[Arc<Server>]>,
        first: usize,
        timeout: Duration,
    ) -> std::io::Result<Worker> {
        let socket = SocketHandle::default();
        let kept = socket.clone();
        let line = move || Line {
            queue,
            next: first % servers.len(),
            servers,
            timeout,
            connection: None,
            socket: kept,
            pause: FIRST_PAUSE,
            away: None,
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || line().work())?;
        Ok(Worker {
            socket,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.socket.shut_down();
        let thread = self.thread.take().expect("taken once");
        if thread.join().is_err() {
            tracing::error!("a thread of the HBase client has panicked");
        }
    }
}

struct Line {
    queue: Arc<Queue>,
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
        while let Some(mut job) = self.queue.take() {
            if job.is_abandoned() {
                continue;
            }
            let outcome = if job.waited() > self.timeout {
                Err(HBaseError::TimedOut(
                    "HBase is too slow for all who ask".to_owned(),
                ))
            } else {
                self.perform(&mut *job)
            };
            job.answer(outcome);
            self.tidy_up();
        }
    }

    /// A connection that turns out to be dead though it worked before is replaced once, in silence:
    /// every job leaves the same when it runs twice.
    fn perform(&mut self, job: &mut dyn Job) -> Result<(), HBaseError> {
        if self.connection.as_ref().is_some_and(Connection::is_stale) {
            self.hang_up();
        }
        let used_before = self.connection.is_some();
        match self.attempt(job) {
            Err(HBaseError::ConnectionLost(reason)) if used_before && !self.queue.is_closed() => {
                tracing::debug!(%reason, "a connection to HBase broke; trying another one");
                self.attempt(job)
            }
            outcome => outcome,
        }
    }

    fn attempt(&mut self, job: &mut dyn Job) -> Result<(), HBaseError> {
        let outcome = job.run(self.connected()?);
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
            return Err(HBaseError::Unavailable("the server is stopping".to_owned()));
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
                reasons.push(format!("{reason}, and is asked until it does; is it HBase's Thrift1 server, and does HBase answer it?"));
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
