//! The services for one test alone, which may kill them and make them stand still.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::Cluster;
use crate::stack;

/// A cluster whose test may do to the services what it likes: all of them run again when it ends,
/// whatever became of it.
pub struct Alone {
    pub cluster: Arc<Cluster>,
    _turn: MutexGuard<'static, ()>,
}

impl Alone {
    /// Waits until no other test of this program has the services. Cargo runs one program at a time.
    pub async fn fresh() -> Result<Alone> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        Ok(Alone {
            cluster: Cluster::fresh().await?,
            _turn: turn,
        })
    }
}

impl Drop for Alone {
    // Before the cluster's own things go, which takes services.
    fn drop(&mut self) {
        if let Err(error) = stack::run(&["up"]) {
            eprintln!("services stay away: {error:#}");
        }
    }
}
