//! Signed URLs of downloads: `POST /download/<id>/sign` makes one, `GET` and `HEAD /download/<id>`
//! take it instead of a token.

use http::header::HeaderValue;
use warp::reply::Response;

use crate::http::body::json_object;
use crate::http::query::Query;
use crate::http::signed_url;
use lakechat_core::domain::{Code, FileId, Problem, UserName};
use lakechat_core::files::{DownloadLink, LinkSigner, signature_invalid};

/// When a link that is made now expires, by the call's body. Milliseconds since 1970.
pub(super) fn expiry(body: Option<&[u8]>, now_ms: u64) -> Result<u64, Problem> {
    let seconds = match body {
        Some(body) => signed_url::validity_s(&mut json_object(body, &["expires_in"])?)?,
        None => signed_url::DEFAULT_S,
    };
    Ok(now_ms + seconds * 1_000)
}

/// The answer to `POST /download/<id>/sign`. `base` is the configured prefix of the URL.
pub(super) fn signed(link: &DownloadLink, signer: &LinkSigner, base: &str) -> Response {
    let DownloadLink {
        file,
        user,
        expires_at_ms,
    } = link;
    let (base, signature) = (base.trim_end_matches('/'), signer.sign(link));
    let url =
        format!("{base}/download/{file}?user={user}&expires={expires_at_ms}&signature={signature}");
    signed_url::created(*file, "GET", url, *expires_at_ms)
}

/// The link that a URL with a query carries, if it is genuine and has not expired.
pub(super) fn verified(
    file: FileId,
    mut query: Query,
    signer: &LinkSigner,
    now_ms: u64,
) -> Result<DownloadLink, Problem> {
    let (user, expires) = (query.take("user"), query.take("expires"));
    let signature = query.take("signature");
    query.finish()?;
    let missing = || {
        let text = "A signed URL has the parameters user, expires and signature; use it unchanged.";
        Problem::new(Code::SignatureInvalid, text).field("signature")
    };
    let signature = signature.ok_or_else(missing)?;
    let user = UserName::parse(&user.ok_or_else(missing)?).map_err(|_| signature_invalid())?;
    let expires = expires.ok_or_else(missing)?.parse();
    let link = DownloadLink {
        file,
        user,
        expires_at_ms: expires.map_err(|_| signature_invalid())?,
    };
    signer.verify(&link, &signature, now_ms)?;
    Ok(link)
}

/// How caches may keep what was downloaded with a link: anyone with the URL may have the bytes, and
/// they never change.
pub(super) fn caching(link: &DownloadLink, now_ms: u64) -> HeaderValue {
    let seconds = link.expires_at_ms.saturating_sub(now_ms) / 1_000;
    let text = format!("public, max-age={seconds}, immutable");
    HeaderValue::try_from(text).expect("it is ASCII")
}
