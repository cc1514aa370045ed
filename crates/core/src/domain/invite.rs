//! Invites: with one, somebody may register.

use uuid::Uuid;

use super::UserName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub id: Uuid,
    /// Hex SHA-256 of the code that the invited people have.
    pub hash: String,
    /// How many people may still register with it.
    pub uses_left: u32,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    pub created_by: UserName,
    /// Random, and another one after each change: two people who use an invite at the same time never
    /// write the same value.
    pub revision: Uuid,
}

impl Invite {
    /// The invite with another number of uses.
    pub fn with_uses(&self, uses_left: u32) -> Invite {
        Invite {
            uses_left,
            revision: Uuid::new_v4(),
            ..self.clone()
        }
    }

    /// Whether somebody may register with it.
    pub fn is_usable(&self, now_ms: u64) -> bool {
        self.uses_left > 0 && self.expires_at_ms > now_ms
    }
}
