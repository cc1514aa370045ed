//! Accounts and their login sessions.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::UserName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: UserName,
    /// An argon2id hash in PHC string format.
    pub password_hash: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// A login of a user. Its access tokens contain its id, and its refresh token renews it. A chat
/// session is something else: one WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginSession {
    pub id: Uuid,
    pub user: UserName,
    /// Hex SHA-256 of the only refresh token that is valid.
    pub refresh_hash: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// When the refresh token expires. Each refresh sets it again.
    pub expires_at_ms: u64,
    /// The session was ended by a logout, or because a refresh token was used twice. Never reset.
    pub revoked: bool,
}
