//! Invites: codes with which people register where registration isn't open.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::Accounts;
use super::refusals::{changed_meanwhile, invite_invalid};
use super::sessions::TRIES;
use crate::domain::{Invite, Problem, Secret, UserName, now_ms};
use crate::ports::problem::directory_unavailable;

/// Lets people and secret scanners recognise a code.
const PREFIX: &str = "lakechat-invite-";

const UUID_BYTES: usize = 16;
const RANDOM_BYTES: usize = 16;

/// What an invited person has: the id of the invite, and random bits. The directory stores only its hash.
pub struct InviteCode {
    pub id: Uuid,
    text: Secret<String>,
}

impl InviteCode {
    pub fn random() -> InviteCode {
        let id = Uuid::new_v4();
        let random: [u8; RANDOM_BYTES] = rand::random();
        let bytes = [&id.as_bytes()[..], &random].concat();
        InviteCode {
            id,
            text: Secret::new(format!("{PREFIX}{}", BASE64.encode(bytes))),
        }
    }

    fn parse(text: &str) -> Option<InviteCode> {
        let bytes = BASE64.decode(text.strip_prefix(PREFIX)?).ok()?;
        let id = bytes.get(..UUID_BYTES)?;
        Some(InviteCode {
            id: Uuid::from_slice(id).ok()?,
            text: Secret::new(text.to_owned()),
        })
    }

    fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.text.expose()))
    }

    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// The invite with this code.
    pub fn invite(&self, uses: u32, expires_at_ms: u64, created_by: &UserName) -> Invite {
        Invite {
            id: self.id,
            hash: self.hash(),
            uses_left: uses,
            expires_at_ms,
            created_at_ms: now_ms(),
            created_by: created_by.clone(),
            revision: Uuid::new_v4(),
        }
    }
}

impl Accounts {
    /// Whether somebody may register with a code; it isn't used up by that.
    pub(super) async fn check_invite(&self, code: Option<&str>) -> Result<InviteCode, Problem> {
        let code = code
            .and_then(InviteCode::parse)
            .ok_or_else(invite_invalid)?;
        self.usable(&code).await?;
        Ok(code)
    }

    /// Uses an invite up by one.
    pub(super) async fn use_invite(&self, code: &InviteCode) -> Result<(), Problem> {
        for _ in 0..TRIES {
            let invite = self.usable(code).await?;
            let used = invite.with_uses(invite.uses_left - 1);
            if self.replace_invite(&invite, &used).await? {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    /// Takes a use back, after the registration failed. Without an answer of the directory the use is lost.
    pub(super) async fn give_back(&self, code: &InviteCode) -> Result<(), Problem> {
        for _ in 0..TRIES {
            let found = self.ports.invites.find(code.id).await;
            let Some(invite) = found.map_err(directory_unavailable)? else {
                return Ok(());
            };
            let returned = invite.with_uses(invite.uses_left + 1);
            if self.replace_invite(&invite, &returned).await? {
                return Ok(());
            }
        }
        Err(changed_meanwhile())
    }

    async fn usable(&self, code: &InviteCode) -> Result<Invite, Problem> {
        let found = self.ports.invites.find(code.id).await;
        let invite = found.map_err(directory_unavailable)?;
        let is_right = |invite: &Invite| {
            let right: bool = code.hash().as_bytes().ct_eq(invite.hash.as_bytes()).into();
            right && invite.is_usable(now_ms())
        };
        invite.filter(is_right).ok_or_else(invite_invalid)
    }

    async fn replace_invite(&self, old: &Invite, new: &Invite) -> Result<bool, Problem> {
        let replaced = self.ports.invites.replace(old, new).await;
        replaced.map_err(directory_unavailable)
    }
}
