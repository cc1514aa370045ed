//! Access tokens: JWTs with a user and a login session, valid for some minutes.

mod hmac_sha256;

use std::borrow::Cow;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Identity;
use crate::domain::{Code, Problem, Secret, UserName};

/// Issuer and audience. Tokens that another service signs with the same key are refused.
const NAME: &str = "lakechat";

#[derive(Debug, Serialize, Deserialize)]
struct Claims<'a> {
    sub: UserName,
    sid: Uuid,
    /// In seconds since 1970, like `exp`.
    iat: u64,
    exp: u64,
    iss: Cow<'a, str>,
    aud: Cow<'a, str>,
}

/// Makes and verifies access tokens. The algorithm is always HMAC-SHA-256: a token whose header
/// names another one is refused.
pub struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

impl AccessTokens {
    pub fn new(key: &Secret<Vec<u8>>, lifetime: Duration) -> AccessTokens {
        hmac_sha256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[NAME]);
        validation.set_audience(&[NAME]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // `read` checks `exp` itself: the library would accept a token in the very second of its
        // `exp`.
        validation.validate_exp = false;
        AccessTokens {
            encoding: EncodingKey::from_secret(key.expose()),
            decoding: DecodingKey::from_secret(key.expose()),
            validation,
            lifetime,
        }
    }

    /// A token, and for how many seconds it is valid. It doesn't outlive its login session, which ends
    /// at `ends_at_ms`.
    pub fn make(
        &self,
        user: &UserName,
        session: Uuid,
        now_ms: u64,
        ends_at_ms: u64,
    ) -> (Secret<String>, u64) {
        let iat = now_ms / 1000;
        let left_s = (ends_at_ms / 1000).saturating_sub(iat);
        let lifetime_s = self.lifetime.as_secs().min(left_s);
        let claims = Claims {
            sub: user.clone(),
            sid: session,
            iat,
            exp: iat + lifetime_s,
            iss: NAME.into(),
            aud: NAME.into(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding);
        let token = token.expect("an HMAC key signs anything, and the claims are plain JSON");
        (Secret::new(token), lifetime_s)
    }

    /// The identity in a token, if this service has signed it and it has not expired. The caller
    /// checks whether its login session has ended.
    pub fn read(&self, token: &str, now_ms: u64) -> Result<Identity, Problem> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|e| not_authenticated().cause(e))?
            .claims;
        let expires_at_ms = claims.exp.saturating_mul(1000);
        if expires_at_ms <= now_ms {
            return Err(expired());
        }
        Ok(Identity {
            user: claims.sub,
            session: claims.sid,
            expires_at_ms,
        })
    }
}

fn not_authenticated() -> Problem {
    Problem::new(
        Code::NotAuthenticated,
        "The token was not issued by this service; log in to get one.",
    )
}

fn expired() -> Problem {
    Problem::new(
        Code::TokenExpired,
        "The token has expired; get a new one with the refresh token.",
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::{Value, json};
    use sha2::{Sha256, Sha512};

    use super::*;

    const NOW_MS: u64 = 1_795_470_000_000;
    const KEY: [u8; 32] = [7; 32];

    fn tokens() -> AccessTokens {
        AccessTokens::new(&Secret::new(KEY.to_vec()), Duration::from_secs(900))
    }

    fn claims() -> Value {
        json!({
            "sub": "ann", "sid": Uuid::nil(), "iat": NOW_MS / 1000, "exp": NOW_MS / 1000 + 900,
            "iss": "lakechat", "aud": "lakechat",
        })
    }

    /// Signed by hand, so that it also shows that the library's tokens are standard JWTs.
    fn signed(claims: &Value, key: &[u8]) -> String {
        signed_with::<Hmac<Sha256>>("HS256", claims, key)
    }

    fn signed_with<M: Mac + KeyInit>(algorithm: &str, claims: &Value, key: &[u8]) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let message = format!("{}.{}", part(&header), part(claims));
        let mac = <M as KeyInit>::new_from_slice(key).expect("a key of any length");
        let signature = mac.chain_update(&message).finalize().into_bytes();
        format!("{message}.{}", BASE64.encode(signature))
    }

    fn refusal(token: &str) -> Code {
        let refused = tokens().read(token, NOW_MS);
        refused.expect_err(token).code
    }

    #[test]
    fn a_token_names_its_user_and_session_until_it_expires() {
        let (tokens, session) = (tokens(), Uuid::new_v4());
        let ann = UserName::parse("ann").expect("a name");
        let (token, lifetime_s) = tokens.make(&ann, session, NOW_MS, u64::MAX);
        assert_eq!(lifetime_s, 900);
        let identity = tokens.read(token.expose(), NOW_MS).expect("good");
        assert_eq!((&identity.user, identity.session), (&ann, session));
        assert_eq!(identity.expires_at_ms, NOW_MS + 900_000);

        assert!(tokens.read(token.expose(), NOW_MS + 899_999).is_ok());
        let late = tokens.read(token.expose(), NOW_MS + 900_000);
        assert_eq!(late.expect_err("over").code, Code::TokenExpired);

        let (token, lifetime_s) = tokens.make(&ann, session, NOW_MS, NOW_MS + 5_000);
        assert_eq!(lifetime_s, 5, "as long as the login session");
        assert!(tokens.read(token.expose(), NOW_MS + 5_000).is_err());
    }

    #[test]
    fn the_claims_as_they_should_be_are_taken() {
        let token = signed(&claims(), &KEY);
        assert!(tokens().read(&token, NOW_MS).is_ok());
    }

    #[test]
    fn another_key_or_algorithm_is_not_authenticated() {
        let other = signed(&claims(), &[8; 32]);
        let stronger = signed_with::<Hmac<Sha512>>("HS512", &claims(), &KEY);
        let part = |v: Value| BASE64.encode(v.to_string());
        let body = part(claims());
        let none = format!("{}.{body}.", part(json!({"alg": "none", "typ": "JWT"})));
        let rsa = format!("{}.{body}.AAAA", part(json!({"alg": "RS256"})));
        for token in [other, stronger, none, rsa] {
            assert_eq!(refusal(&token), Code::NotAuthenticated);
        }
    }

    #[test]
    fn another_audience_or_issuer_or_a_missing_claim_is_not_authenticated() {
        for (claim, value) in [
            ("aud", json!("other")),
            ("aud", json!(["other", "more"])),
            ("iss", json!("other")),
            ("sub", json!("Not A Name")),
            ("sid", json!("7")),
            ("exp", json!("soon")),
        ] {
            let mut changed = claims();
            changed[claim] = value;
            let token = signed(&changed, &KEY);
            assert_eq!(refusal(&token), Code::NotAuthenticated, "{claim}");
        }
        for claim in ["sub", "sid", "exp", "iss", "aud"] {
            let mut changed = claims();
            changed.as_object_mut().expect("an object").remove(claim);
            let token = signed(&changed, &KEY);
            assert_eq!(refusal(&token), Code::NotAuthenticated, "without {claim}");
        }
    }

    #[test]
    fn nonsense_is_not_authenticated() {
        for token in ["", ".", "..", "a.b.c", "ünïcode", &"x".repeat(100_000)] {
            assert_eq!(refusal(token), Code::NotAuthenticated);
        }
    }

    #[test]
    fn an_expired_token_with_a_wrong_signature_is_not_authenticated() {
        let mut old = claims();
        old["exp"] = json!(NOW_MS / 1000 - 1);
        let forged = signed(&old, &[8; 32]);
        assert_eq!(refusal(&forged), Code::NotAuthenticated);
        assert_eq!(refusal(&signed(&old, &KEY)), Code::TokenExpired);
    }
}
