//! The thread that calls a silent Thrift server until it answers.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::error::HBaseError;
use super::row;
use super::row_key::LOG;
use super::server::Server;
use super::socket_handle::SocketHandle;
use super::tables::{Table, Tables};
use lakechat_core::threads::OwnedThread;

/// A running health check. Dropping it interrupts its call and waits for its end.
pub(super) struct HealthCheck {
    server: Arc<Server>,
    socket: SocketHandle,
    _thread: OwnedThread,
}

impl HealthCheck {
    pub fn start(
        server: &Arc<Server>,
        tables: &Arc<Tables>,
        timeout: Duration,
    ) -> io::Result<HealthCheck> {
        let socket = SocketHandle::default();
        let probe = Probe {
            server: Arc::clone(server),
            tables: Arc::clone(tables),
            timeout,
            socket: socket.clone(),
        };
        Ok(HealthCheck {
            server: Arc::clone(server),
            socket,
            _thread: OwnedThread::restarting("hbase-probe", move || probe.run())?,
        })
    }
}

impl Drop for HealthCheck {
    fn drop(&mut self) {
        self.server.close();
        self.socket.shut_down();
    }
}

fn connect_error(error: io::Error) -> HBaseError {
    match error.kind() {
        ErrorKind::TimedOut => HBaseError::TimedOut(error.to_string()),
        _ => HBaseError::Unavailable(error.to_string()),
    }
}

struct Probe {
    server: Arc<Server>,
    tables: Arc<Tables>,
    timeout: Duration,
    socket: SocketHandle,
}

impl Probe {
    fn run(&self) {
        while self.server.wait_until_silent() {
            let outcome = self.call();
            self.socket.clear();
            if !matches!(outcome, Err(HBaseError::TimedOut(_))) {
                self.server.record_answer();
            }
        }
    }

    fn call(&self) -> Result<(), HBaseError> {
        let mut connection = Connection::open(&self.server, self.timeout).map_err(connect_error)?;
        self.socket.set(connection.handle().map_err(connect_error)?);
        // After the socket is set: a close of the server either finds the socket or is noticed here.
        if self.server.is_closed() {
            return Ok(());
        }
        let (log, columns) = (LOG.as_bytes(), &["d:v"]);
        row::get(&mut connection, &self.tables, Table::Meta, log, columns).map(drop)
    }
}
