//! The connections to HBase, each on a thread of its own: some for reads and as many for writes, so that
//! neither waits for the other.

use std::io;
use std::sync::Arc;

use super::health_check::HealthCheck;
use super::queue::Queue;
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
            reads: Arc::default(),
            writes: Arc::default(),
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
        for at in 0..settings.connections {
            let kinds = [("read", &pool.reads), ("write", &pool.writes)];
            for (kind, queue) in kinds {
                let (name, queue) = (format!("hbase-{kind}-{at}"), Arc::clone(queue));
                let servers = Arc::clone(&servers);
                let worker = Worker::start(name, queue, servers, at, timeout)?;
                pool.workers.push(worker);
            }
        }
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
