//! The embedded adapters keep the ports' contracts.

use std::sync::Arc;

use integration_tests::contract::presence::PresenceStore;
use integration_tests::on_disk::fresh;
use lakechat_core::ports::Presence;
use lakechat_embedded::MemoryPresence;

integration_tests::broker_contract!(crate::embedded::fresh);
integration_tests::history_contract!(crate::embedded::fresh);
integration_tests::directory_contract!(crate::embedded::fresh);
integration_tests::uploads_contract!(crate::embedded::fresh);
integration_tests::file_store_contract!(crate::embedded::fresh);
integration_tests::presence_contract!(crate::embedded::in_memory);

struct InMemory;

async fn in_memory() -> anyhow::Result<InMemory> {
    Ok(InMemory)
}

impl PresenceStore for InMemory {
    fn presence(&self, server: &str) -> anyhow::Result<Arc<dyn Presence>> {
        Ok(Arc::new(MemoryPresence::new(server)))
    }
}
