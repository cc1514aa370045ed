//! The thread that asks a silent Thrift server until it answers.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::Connection;
use super::error::Fault;
use super::row;
use super::row_key::LOG;
use super::server::Server;
use super::socket_handle::Shown;
use super::tables::{Table, Tables};

/// A running prober. Dropping it cuts its question short and waits for its end.
pub(super) struct Prober {
    server: Arc<Server>,
    shown: Shown,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    pub fn start(
        server: &Arc<Server>,
        tables: &Arc<Tables>,
        timeout: Duration,
    ) -> io::Result<Prober> {
        let shown = Shown::default();
        let asking = Asking {
            server: Arc::clone(server),
            tables: Arc::clone(tables),
            timeout,
            shown: shown.clone(),
        };
        let thread = thread::Builder::new().name("hbase-probe".to_owned());
        Ok(Prober {
            server: Arc::clone(server),
            shown,
            thread: Some(thread.spawn(move || asking.run())?),
        })
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.server.close();
        self.shown.cut();
        let thread = self.thread.take().expect("taken once");
        if thread.join().is_err() {
            tracing::error!("a thread of the HBase client has panicked");
        }
    }
}

fn unconnected(error: io::Error) -> Fault {
    match error.kind() {
        ErrorKind::TimedOut => Fault::Late(error.to_string()),
        _ => Fault::Away(error.to_string()),
    }
}

struct Asking {
    server: Arc<Server>,
    tables: Arc<Tables>,
    timeout: Duration,
    shown: Shown,
}

impl Asking {
    fn run(&self) {
        while self.server.wait_until_silent() {
            let outcome = self.ask();
            self.shown.hide();
            if !matches!(outcome, Err(Fault::Late(_))) {
                self.server.answered();
            }
        }
    }

    fn ask(&self) -> Result<(), Fault> {
        let mut connection = Connection::open(&self.server, self.timeout).map_err(unconnected)?;
        self.shown.show(connection.handle().map_err(unconnected)?);
        // Looked at after the socket was shown: one who stops it is seen here or sees it.
        if self.server.is_closed() {
            return Ok(());
        }
        let (log, columns) = (LOG.as_bytes(), &["d:v"]);
        row::get(&mut connection, &self.tables, Table::Meta, log, columns).map(drop)
    }
}
