//! Links to which a file can be uploaded once, without a token.

use hmac::Mac;

use super::download_link::LinkSigner;
use crate::domain::{FileId, Problem, UserName};

/// Separates these signatures from everything else that is signed with the same key.
const PURPOSE: &[u8] = b"lakechat upload link 1";

/// What a link allows: to upload one file of this size and type in the name of the user who made it,
/// until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadLink {
    /// Of the upload, whose row has the file's name.
    pub file: FileId,
    pub user: UserName,
    /// In bytes.
    pub size: u64,
    pub media_type: String,
    /// Milliseconds since 1970.
    pub expires_at_ms: u64,
}

impl LinkSigner {
    /// The signature of a link, in hex.
    pub fn sign_upload(&self, link: &UploadLink) -> String {
        self.signature(PURPOSE, |mac| feed(link, mac))
    }

    /// Checks the signature and then the time: `signature_invalid`, `url_expired`.
    pub fn verify_upload(
        &self,
        link: &UploadLink,
        signature: &str,
        now_ms: u64,
    ) -> Result<(), Problem> {
        self.check(PURPOSE, |mac| feed(link, mac), signature)?;
        super::download_link::expect_valid(link.expires_at_ms, now_ms)
    }
}

/// Each field before the last has one length, or ends with a byte that it never has.
fn feed(link: &UploadLink, mac: &mut impl Mac) {
    mac.update(b"PUT\0");
    mac.update(link.file.to_string().as_bytes());
    mac.update(&link.expires_at_ms.to_be_bytes());
    mac.update(&link.size.to_be_bytes());
    mac.update(link.user.as_str().as_bytes());
    mac.update(b"\0");
    mac.update(link.media_type.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Code, Secret};

    const NOW_MS: u64 = 1_795_470_000_000;

    fn link() -> UploadLink {
        UploadLink {
            file: FileId::random(),
            user: UserName::parse("ann").expect("a name"),
            size: 5,
            media_type: "text/plain".to_owned(),
            expires_at_ms: NOW_MS + 1,
        }
    }

    #[test]
    fn link_allows_what_it_says_until_it_expires_and_nothing_else() {
        let signer = LinkSigner::new(&Secret::new(vec![1; 32]));
        let good = link();
        let signature = signer.sign_upload(&good);
        let verify = |link: &UploadLink, now_ms| {
            let verified = signer.verify_upload(link, &signature, now_ms);
            verified.map_err(|problem| problem.code)
        };
        assert_eq!(verify(&good, NOW_MS), Ok(()));
        assert_eq!(verify(&good, NOW_MS + 1), Err(Code::UrlExpired));
        let bob = UserName::parse("bob").expect("a name");
        for changed in [
            UploadLink {
                file: FileId::random(),
                ..good.clone()
            },
            UploadLink {
                user: bob,
                ..good.clone()
            },
            UploadLink {
                size: 6,
                ..good.clone()
            },
            UploadLink {
                media_type: "text/html".to_owned(),
                ..good.clone()
            },
            UploadLink {
                expires_at_ms: NOW_MS + 2,
                ..good.clone()
            },
        ] {
            assert_eq!(verify(&changed, NOW_MS), Err(Code::SignatureInvalid));
        }
    }
}
