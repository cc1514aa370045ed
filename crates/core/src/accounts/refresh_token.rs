//! Refresh tokens: opaque to clients, each exchanged for the next one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::domain::{Secret, UserName};

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
        RefreshToken::new(user, session, rand::random())
    }

    fn new(user: &UserName, session: Uuid, secret: [u8; RANDOM_BYTES]) -> RefreshToken {
        let bytes = [session.as_bytes(), &secret[..], user.as_str().as_bytes()].concat();
        RefreshToken {
            user: user.clone(),
            session,
            text: Secret::new(format!("{PREFIX}{}", BASE64.encode(bytes))),
        }
    }

    /// The next token of the same session. It depends on this token and the seed alone, so that a
    /// lost answer can be repeated. Computing it takes both: the directory, which stores the seed,
    /// doesn't know this token, and an old token doesn't lead to the seeds.
    pub fn successor(&self, seed: &str) -> RefreshToken {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.text.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(seed.as_bytes());
        RefreshToken::new(&self.user, self.session, mac.finalize().into_bytes().into())
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

    /// Whether a stored hash is that of this token. Compares in constant time.
    pub fn has_hash(&self, stored: &str) -> bool {
        self.hash().as_bytes().ct_eq(stored.as_bytes()).into()
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
    fn successor_depends_on_the_token_and_the_seed() {
        let user = UserName::parse("ann").expect("a name");
        let token = RefreshToken::random(&user, Uuid::new_v4());
        let next = token.successor("seed");
        assert_eq!((&next.user, next.session), (&user, token.session));
        assert_eq!(next.hash(), token.successor("seed").hash());
        assert_ne!(next.hash(), token.successor("other seed").hash());
        let other = RefreshToken::random(&user, token.session);
        assert_ne!(next.hash(), other.successor("seed").hash());
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
