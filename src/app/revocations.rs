//! The end of accesses on all servers: what others say, and the check behind it.

use std::convert::Infallible;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ports::Ports;
use crate::shutdown::{Shutdown, Stage, Tasks};
use lakechat_core::accounts::Accounts;

/// Spawns both. They may be cut at any time: the directory has what they would say.
pub fn spawn(accounts: &Arc<Accounts>, ports: &Ports, shutdown: &Shutdown, tasks: &mut Tasks) {
    let (checked, until) = (accounts.clone(), shutdown.clone());
    tasks.spawn(Stage::Back, "checks of logins", async move {
        tokio::select! {
            () = checked.check_forever() => {}
            () = until.closing() => {}
        }
        Ok::<_, Infallible>(())
    });
    let (accounts, until) = (accounts.clone(), shutdown.clone());
    let revocations = ports.revocations.clone();
    tasks.spawn(Stage::Back, "revocations", async move {
        let stop = CancellationToken::new();
        let on_event = |event| accounts.apply_revocation(event);
        let stopping = async {
            until.closing().await;
            stop.cancel();
        };
        tokio::join!(revocations.run(&on_event, stop.clone()), stopping);
        Ok::<_, Infallible>(())
    });
}
