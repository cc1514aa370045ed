//! The connections to HBase: some threads for reads and as many for writes, so that neither waits
//! for the other.

use std::io;
use std::sync::Arc;

use super::health_check::Prober;
use super::queue::Queue;
use super::server::Server;
use super::settings::Settings;
use super::tables::Tables;
use super::worker::Worker;

pub(super) struct Lines {
    pub reads: Arc<Queue>,
    pub writes: Arc<Queue>,
    /// How many writes go side by side.
    pub width: usize,
    workers: Vec<Worker>,
    /// One for each server, since any of them may keep its prober waiting.
    probers: Vec<Prober>,
}

impl Lines {
    /// Starts the threads. They connect when there is something to do.
    pub fn start(settings: &Settings, tables: &Arc<Tables>) -> io::Result<Lines> {
        let mut lines = Lines {
            reads: Arc::default(),
            writes: Arc::default(),
            width: settings.connections,
            workers: Vec::new(),
            probers: Vec::new(),
        };
        let servers = settings
            .servers
            .iter()
            .map(|address| Server::new(address))
            .map(Arc::new);
        let servers: Arc<[Arc<Server>]> = servers.collect();
        let timeout = settings.timeout;
        for server in &*servers {
            let prober = Prober::start(server, tables, timeout)?;
            lines.probers.push(prober);
        }
        for at in 0..settings.connections {
            let kinds = [("read", &lines.reads), ("write", &lines.writes)];
            for (kind, queue) in kinds {
                let (name, queue) = (format!("hbase-{kind}-{at}"), Arc::clone(queue));
                let servers = Arc::clone(&servers);
                let worker = Worker::start(name, queue, servers, at, timeout)?;
                lines.workers.push(worker);
            }
        }
        Ok(lines)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.reads.close();
        self.writes.close();
        self.workers.clear();
        self.probers.clear();
    }
}
