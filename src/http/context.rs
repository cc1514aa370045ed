//! What the handlers of the service work with.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::config::{Origin, PublicUrl};
use crate::http::address_limits::AddressLimits;
use lakechat_core::accounts::{Accounts, Administration};
use lakechat_core::chat::Chat;
use lakechat_core::files::{Files, LinkSigner};

pub struct ServiceContext {
    pub accounts: Arc<Accounts>,
    pub administration: Administration,
    pub chat: Arc<Chat>,
    pub files: Arc<Files>,
    pub links: LinkSigner,
    /// How many WebSockets each client address may open.
    pub addresses: AddressLimits,
    pub public_url: Option<PublicUrl>,
    /// Origins that may open a chat, beside the server's own.
    pub allowed_origins: Vec<Origin>,
    /// The tasks of the WebSockets, which outlive their HTTP connections.
    pub sessions: TaskTracker,
}
