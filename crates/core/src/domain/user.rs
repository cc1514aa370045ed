//! Accounts and their login sessions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::UserName;

/// An account as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: UserName,
    /// An argon2id hash in PHC form.
    pub password_hash: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// One login of one user: what its access tokens name and its refresh token renews. Not to be
/// confused with a chat session, which is one WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginSession {
    pub id: Uuid,
    pub user: UserName,
    /// Hex SHA-256 of the one refresh token that is good now.
    pub refresh_hash: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// When the refresh token stops being good; each rotation moves it.
    pub expires_at_ms: u64,
    /// Ended by a logout, or because a refresh token came twice. For good.
    pub revoked: bool,
}
