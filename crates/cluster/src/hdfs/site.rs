//! What all parts of a store share.

use std::sync::Arc;

use super::HdfsSettings;
use super::client::HdfsClient;
use super::exceptions::broken;
use super::heartbeat::Heartbeat;
use super::layout::Layout;
use super::run::{OpenDrafts, Run};
use lakechat_core::ports::PortError;

pub(super) struct Site {
    pub client: Arc<dyn HdfsClient>,
    pub layout: Layout,
    pub settings: HdfsSettings,
    pub run: Run,
    pub open_drafts: OpenDrafts,
    pub heartbeat: Heartbeat,
}

impl Site {
    pub fn new(settings: HdfsSettings, client: Arc<dyn HdfsClient>) -> Site {
        Site {
            client,
            layout: Layout::new(&settings.root),
            run: Run::begin(&settings.server),
            open_drafts: OpenDrafts::default(),
            heartbeat: Heartbeat::default(),
            settings,
        }
    }

    /// The absolute path of a stored file. A path that this store did not give out is refused, wherever
    /// it comes from.
    pub fn stored_path(&self, path: &str) -> Result<String, PortError> {
        let stored = self.layout.stored_path(path);
        stored.ok_or_else(|| broken(format!("{path:?} is not a path of this store")))
    }
}
