//! What an operator has to look at while the server runs: a topic that changed under it.

use std::sync::Mutex;

use super::error::broken;
use lakechat_core::ports::PortError;

/// Why the log may not be used, if so. It goes when its cause does.
#[derive(Default)]
pub(super) struct Fault(Mutex<Option<String>>);

impl Fault {
    pub fn set(&self, found: Option<String>) {
        let mut known = self.0.lock().expect("nothing panics under it");
        if *known != found {
            match &found {
                Some(reason) => tracing::error!(%reason, "the log may not be used"),
                None => tracing::info!("the log may be used again"),
            }
            *known = found;
        }
    }

    pub fn reason(&self) -> Option<String> {
        self.0.lock().expect("nothing panics under it").clone()
    }

    pub fn check(&self) -> Result<(), PortError> {
        self.reason().map_or(Ok(()), |reason| Err(broken(reason)))
    }
}
