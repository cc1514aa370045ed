//! The ports by the names that a [`PortError`](lakechat_core::ports::PortError) carries.

pub(super) const BROKER: &str = "broker";
pub(super) const HISTORY: &str = "history";
pub(super) const DIRECTORY: &str = "directory";
pub(super) const FILES: &str = "files";
