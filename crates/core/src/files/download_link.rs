//! Links to a file that need no token: anyone who has the link may download the file until it expires.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::{Code, FileId, Problem, Secret, UserName};

/// Separates these signatures from everything else that is signed with the same key.
const PURPOSE: &[u8] = b"lakechat download link 1";

/// What a link allows: to download a file in the name of the user who made it, until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadLink {
    pub file: FileId,
    pub user: UserName,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

/// Signs links and verifies them. All servers with the same signing key accept each other's.
pub struct LinkSigner {
    mac: Hmac<Sha256>,
}

impl LinkSigner {
    pub fn new(key: &Secret<Vec<u8>>) -> LinkSigner {
        LinkSigner {
            mac: hmac(key.expose()),
        }
    }

    /// The signature of a link, in hex.
    pub fn sign(&self, link: &DownloadLink) -> String {
        self.signature(PURPOSE, |mac| feed(link, mac))
    }

    /// Checks the signature and then the time: `signature_invalid`, `url_expired`.
    pub fn verify(&self, link: &DownloadLink, signature: &str, now_ms: u64) -> Result<(), Problem> {
        self.check(PURPOSE, |mac| feed(link, mac), signature)?;
        expect_valid(link.expires_at_ms, now_ms)
    }

    /// The signature, in hex, of what `feed` passes on.
    pub(super) fn signature(&self, purpose: &[u8], feed: impl FnOnce(&mut Hmac<Sha256>)) -> String {
        let mut mac = self.mac.clone().chain_update(purpose);
        feed(&mut mac);
        hex::encode(mac.finalize().into_bytes())
    }

    pub(super) fn check(
        &self,
        purpose: &[u8],
        feed: impl FnOnce(&mut Hmac<Sha256>),
        signature: &str,
    ) -> Result<(), Problem> {
        let mut mac = self.mac.clone().chain_update(purpose);
        feed(&mut mac);
        let is_genuine =
            hex::decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok());
        is_genuine.then_some(()).ok_or_else(signature_invalid)
    }
}

/// Each field before the last has one length.
fn feed(link: &DownloadLink, mac: &mut Hmac<Sha256>) {
    mac.update(link.file.to_string().as_bytes());
    mac.update(&link.expires_at_ms.to_be_bytes());
    mac.update(link.user.as_str().as_bytes());
}

/// `url_expired` for a link that is valid no longer.
pub(super) fn expect_valid(expires_at_ms: u64, now_ms: u64) -> Result<(), Problem> {
    if expires_at_ms > now_ms {
        return Ok(());
    }
    let text = "The URL has expired; ask whoever gave it to you for another one.";
    Err(Problem::new(Code::UrlExpired, text).field("expires"))
}

/// The problem of a URL that this service has not signed.
pub fn signature_invalid() -> Problem {
    let text = "This service did not sign the URL as it is; use it unchanged.";
    Problem::new(Code::SignatureInvalid, text).field("signature")
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_470_000_000;

    fn signer(byte: u8) -> LinkSigner {
        LinkSigner::new(&Secret::new(vec![byte; 32]))
    }

    fn link() -> DownloadLink {
        DownloadLink {
            file: FileId::random(),
            user: UserName::parse("ann").expect("a name"),
            expires_at_ms: NOW_MS + 1,
        }
    }

    fn code(signer: &LinkSigner, link: &DownloadLink, signature: &str, now_ms: u64) -> Code {
        let refused = signer.verify(link, signature, now_ms);
        refused.expect_err("refused").code
    }

    #[test]
    fn a_link_is_good_until_it_expires() {
        let (signer, link) = (signer(7), link());
        let signature = signer.sign(&link);
        assert_eq!(signature.len(), 64);
        assert!(signer.verify(&link, &signature, NOW_MS).is_ok());
        assert!(
            signer
                .verify(&link, &signature.to_uppercase(), NOW_MS)
                .is_ok()
        );
        assert_eq!(
            code(&signer, &link, &signature, NOW_MS + 1),
            Code::UrlExpired
        );
    }

    #[test]
    fn a_link_that_was_changed_or_signed_elsewhere_is_refused_also_when_it_has_expired() {
        let (good, link) = (signer(7), link());
        let signature = good.sign(&link);
        let other_file = DownloadLink {
            file: FileId::random(),
            ..link.clone()
        };
        let other_user = DownloadLink {
            user: UserName::parse("bob").expect("a name"),
            ..link.clone()
        };
        let longer = DownloadLink {
            expires_at_ms: link.expires_at_ms + 1,
            ..link.clone()
        };
        for now_ms in [NOW_MS, NOW_MS + 10] {
            for changed in [&other_file, &other_user, &longer] {
                let refused = code(&good, changed, &signature, now_ms);
                assert_eq!(refused, Code::SignatureInvalid);
            }
            for wrong in [
                "",
                "x",
                &signature[1..],
                &signature[2..],
                &signer(8).sign(&link),
            ] {
                assert_eq!(code(&good, &link, wrong, now_ms), Code::SignatureInvalid);
            }
        }
    }
}
