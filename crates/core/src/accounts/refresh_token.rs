//! Refresh tokens: opaque to clients, each valid for one use.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::domain::{LoginSession, Secret, UserName};

/// Lets people and secret scanners recognise a refresh token.
const PREFIX: &str = "lakechat-refresh-";

const UUID_BYTES: usize = 16;
const RANDOM_BYTES: usize = 32;

/// Contains a user, a login session, and 256 random bits that prove the token's origin. The
/// directory stores only its hash.
pub struct RefreshToken {
    pub user: UserName,
    pub session: Uuid,
    text: Secret<String>,
}

impl RefreshToken {
    pub fn random(user: &UserName, session: Uuid) -> RefreshToken {
        let random: [u8; RANDOM_BYTES] = rand::random();
        let bytes = [session.as_bytes(), &random[..], user.as_str().as_bytes()].concat();
        RefreshToken {
            user: user.clone(),
            session,
            text: Secret::new(format!("{PREFIX}{}", BASE64.encode(bytes))),
        }
    }

    /// `None` if the text doesn't have the form of a refresh token.
    pub fn parse(text: &str) -> Option<RefreshToken> {
        let bytes = BASE64.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (session, rest) = bytes.split_at_checked(UUID_BYTES)?;
        let (_random, user) = rest.split_at_checked(RANDOM_BYTES)?;
        Some(RefreshToken {
            user: UserName::parse(str::from_utf8(user).ok()?).ok()?,
            session: Uuid::from_slice(session).ok()?,
            text: Secret::new(text.to_owned()),
        })
    }

    /// The hash that the directory stores: the SHA-256 of the token's text, in hex.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.text.expose()))
    }

    /// Whether this is the valid refresh token of a session. Compares in constant time.
    pub fn is_current(&self, session: &LoginSession) -> bool {
        let kept = session.refresh_hash.as_bytes();
        self.hash().as_bytes().ct_eq(kept).into()
    }

    pub fn into_text(self) -> Secret<String> {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_text() {
        let user = UserName::parse(&"u".repeat(32)).expect("a name");
        let token = RefreshToken::random(&user, Uuid::new_v4());
        let again = RefreshToken::parse(token.text.expose()).expect("one of ours");
        assert_eq!((&again.user, again.session), (&user, token.session));
        assert_eq!(again.hash(), token.hash());
        assert_ne!(
            RefreshToken::random(&user, token.session).hash(),
            token.hash()
        );
    }

    #[test]
    fn nonsense_is_none() {
        let short = format!("{PREFIX}{}", BASE64.encode([0; 47]));
        let nameless = format!("{PREFIX}{}", BASE64.encode([0; 48]));
        let binary = format!("{PREFIX}{}", BASE64.encode([0xff; 50]));
        for text in ["", PREFIX, "lakechat-refresh-!", &short, &nameless, &binary] {
            assert!(RefreshToken::parse(text).is_none(), "{text}");
        }
    }
}
