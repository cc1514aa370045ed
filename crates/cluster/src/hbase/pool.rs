//! The connections to HBase, each on a thread of its own: some for reads and as many for writes, so that
//! neither waits for the other, and one for the server's own reads, so that nobody's login
//! waits for others' pages of history.

use std::io;
use std::sync::Arc;

use super::health_check::HealthCheck;
use super::queue::{Queue, Takes};
use super::server::Server;
use super::settings::HBaseSettings;
use super::tables::Tables;
use super::worker::Worker;

pub(super) struct ConnectionPool {
    pub reads: Arc<Queue>,
    pub writes: Arc<Queue>,
    /// How many writes run at once.
    pub parallel_writes: usize,
    workers: Vec<Worker>,
    /// One for each server: each blocks on its own.
    health_checks: Vec<HealthCheck>,
}

impl ConnectionPool {
    /// Starts the threads. They connect when there is something to do.
    pub fn start(settings: &HBaseSettings, tables: &Arc<Tables>) -> io::Result<ConnectionPool> {
        let mut pool = ConnectionPool {
            reads: Arc::new(Queue::new()),
            writes: Arc::new(Queue::new()),
            parallel_writes: settings.connections,
            workers: Vec::new(),
            health_checks: Vec::new(),
        };
        let addresses = settings.servers.iter();
        let servers: Arc<[Arc<Server>]> = addresses
            .map(|address| Arc::new(Server::new(address)))
            .collect();
        let timeout = settings.timeout;
        for server in &*servers {
            let health_check = HealthCheck::start(server, tables, timeout)?;
            pool.health_checks.push(health_check);
        }
        let start = |kind, at, queue: &Arc<Queue>, takes| {
            let (name, queue) = (format!("hbase-{kind}-{at}"), Arc::clone(queue));
            Worker::start(name, queue, takes, Arc::clone(&servers), at, timeout)
        };
        for at in 0..settings.connections {
            let read = start("read", at, &pool.reads, Takes::All)?;
            let write = start("write", at, &pool.writes, Takes::All)?;
            pool.workers.extend([read, write]);
        }
        // While users' reads take all the other connections, for as long as HBase is slow.
        let own = start("own", 0, &pool.reads, Takes::OnlyOwn)?;
        pool.workers.push(own);
        Ok(pool)
    }
}

impl Drop for ConnectionPool {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
        self.workers.clear();
        self.health_checks.clear();
    }
}
