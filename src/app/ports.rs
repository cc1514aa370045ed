//! The ports, as one mode fills them.

use std::sync::Arc;

use lakechat_core::ports::file_store::SweepGuard;
use lakechat_core::ports::{Broker, Directory, FileStore, History, Presence, Revocations};

/// The ports of one mode.
#[derive(Clone)]
pub struct Ports {
    pub broker: Arc<dyn Broker>,
    pub history: Arc<dyn History>,
    pub directory: Directory,
    pub files: Arc<dyn FileStore>,
    pub sweep_guard: Arc<dyn SweepGuard>,
    pub presence: Arc<dyn Presence>,
    pub revocations: Arc<dyn Revocations>,
}
