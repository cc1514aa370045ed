//! The rules by which a refresh token is exchanged for the next one.
//!
//! The answer to a refresh may be lost, for example because a server was killed. The client then
//! sends the same token again, perhaps to another server. For 60 s it gets the same successor; the
//! session keeps what is needed to derive it. After that, the same token in a second request means
//! that somebody has copied it.

use std::time::Duration;

use super::login_client::LoginClient;
use super::refresh_token::RefreshToken;
use crate::domain::{LoginSession, ReplacedToken};

/// How long a token that was replaced still gets its successor.
const REPEATABLE_FOR: Duration = Duration::from_secs(60);

const SEED_BYTES: usize = 32;

/// What a refresh token is to its login session.
pub enum TokenStatus {
    /// The valid one.
    Valid,
    /// The one before the valid one, in the time in which it may be repeated. Contains the valid
    /// one.
    Repeated(RefreshToken),
    /// The one before the valid one, after that time.
    Copied,
    /// Neither. It may be older, or forged by somebody who knows the session's id.
    Unknown,
}

pub fn token_status(token: &RefreshToken, session: &LoginSession, now_ms: u64) -> TokenStatus {
    if token.has_hash(&session.refresh_hash) {
        return TokenStatus::Valid;
    }
    let replaced = session.replaced.as_ref();
    let Some(replaced) = replaced.filter(|replaced| token.has_hash(&replaced.hash)) else {
        return TokenStatus::Unknown;
    };
    // The clock of the server that replaced it may be ahead of this one's.
    let age = Duration::from_millis(now_ms.saturating_sub(replaced.at_ms));
    if age >= REPEATABLE_FOR {
        return TokenStatus::Copied;
    }
    let successor = token.successor(&replaced.seed);
    match successor.has_hash(&session.refresh_hash) {
        true => TokenStatus::Repeated(successor),
        // The session was changed by hand, or by a release that doesn't derive successors.
        false => TokenStatus::Unknown,
    }
}

/// When and where a token is exchanged, and when the next one expires.
#[derive(Clone)]
pub struct Renewal {
    pub at_ms: u64,
    pub expires_at_ms: u64,
    pub client: LoginClient,
}

/// The session after its valid token was exchanged, and the next token.
pub fn rotate(
    token: &RefreshToken,
    session: &LoginSession,
    renewal: Renewal,
) -> (LoginSession, RefreshToken) {
    let seed = hex::encode(rand::random::<[u8; SEED_BYTES]>());
    let next = token.successor(&seed);
    let session = LoginSession {
        refresh_hash: next.hash(),
        replaced: Some(ReplacedToken {
            hash: token.hash(),
            seed,
            at_ms: renewal.at_ms,
        }),
        expires_at_ms: renewal.expires_at_ms,
        address: Some(renewal.client.address),
        client: renewal.client.name,
        ..session.clone()
    };
    (session, next)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use uuid::Uuid;

    use super::*;
    use crate::domain::UserName;

    const NOW_MS: u64 = 1_795_470_000_000;

    const RENEWAL: Renewal = Renewal {
        at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 1,
        client: LoginClient {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            name: None,
        },
    };

    fn started() -> (LoginSession, RefreshToken) {
        let (id, user) = (Uuid::new_v4(), UserName::parse("ann").expect("a name"));
        let token = RefreshToken::random(&user, id);
        let session = LoginSession {
            id,
            user,
            refresh_hash: token.hash(),
            replaced: None,
            address: None,
            client: None,
            created_at_ms: NOW_MS,
            expires_at_ms: NOW_MS,
            revoked: false,
        };
        (session, token)
    }

    #[test]
    fn each_token_is_valid_until_it_is_exchanged() {
        let (session, first) = started();
        assert!(matches!(
            token_status(&first, &session, NOW_MS),
            TokenStatus::Valid
        ));
        let (session, second) = rotate(&first, &session, RENEWAL);
        assert_eq!(session.expires_at_ms, RENEWAL.expires_at_ms);
        assert_eq!(session.address, Some(RENEWAL.client.address));
        assert!(matches!(
            token_status(&second, &session, NOW_MS),
            TokenStatus::Valid
        ));
        // A valid token has no such limit.
        let late = NOW_MS + 1_000_000_000;
        assert!(matches!(
            token_status(&second, &session, late),
            TokenStatus::Valid
        ));
    }

    #[test]
    fn exchanged_token_gets_its_successor_for_sixty_seconds_and_is_a_copy_later() {
        let (session, first) = started();
        let (session, second) = rotate(&first, &session, RENEWAL);
        for at_ms in [NOW_MS - 5_000, NOW_MS, NOW_MS + 59_999] {
            let TokenStatus::Repeated(again) = token_status(&first, &session, at_ms) else {
                panic!("{at_ms}");
            };
            assert_eq!(again.hash(), second.hash());
        }
        for at_ms in [NOW_MS + 60_000, NOW_MS + 1_000_000] {
            let late = token_status(&first, &session, at_ms);
            assert!(matches!(late, TokenStatus::Copied), "{at_ms}");
        }
    }

    #[test]
    fn older_and_forged_tokens_are_unknown() {
        let (session, first) = started();
        let (session, second) = rotate(&first, &session, RENEWAL);
        let (session, _) = rotate(&second, &session, RENEWAL);
        let forged = RefreshToken::random(&session.user, session.id);
        for token in [first, forged] {
            let found = token_status(&token, &session, NOW_MS + 1_000_000);
            assert!(matches!(found, TokenStatus::Unknown));
        }
    }

    #[test]
    fn each_exchange_has_a_successor_of_its_own() {
        let (session, first) = started();
        let (_, a) = rotate(&first, &session, RENEWAL);
        let (_, b) = rotate(&first, &session, RENEWAL);
        assert_ne!(a.hash(), b.hash());
    }
}
