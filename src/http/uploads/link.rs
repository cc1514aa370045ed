//! Signed URLs of uploads: `POST /uploads/sign` makes one, `PUT /uploads/<id>` takes it instead of a
//! token.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use warp::reply::Response;

use crate::http::body::json_object;
use crate::http::query::Query;
use crate::http::signed_url;
use lakechat_core::domain::{Code, FileId, Problem, UserName};
use lakechat_core::files::{
    FileName, Files, LinkSigner, MediaType, NewUpload, UploadLink, signature_invalid,
};
use lakechat_core::json_object::field_invalid;

const FIELDS: &[&str; 4] = &["name", "size", "type", "expires_in"];

/// The upload that the body of `POST /uploads/sign` asks for.
pub(super) struct Wanted {
    name: FileName,
    size: u64,
    media_type: Option<MediaType>,
    seconds: u64,
}

impl Wanted {
    pub fn of(body: &[u8]) -> Result<Wanted, Problem> {
        let mut fields = json_object(body, FIELDS)?;
        let name = FileName::parse(fields.required_str("name")?)?;
        let allowed = "a whole number of bytes, at least 1";
        let size = fields.optional_integer("size", allowed)?;
        let size =
            size.ok_or_else(|| Problem::new(Code::FieldMissing, "size is missing.").field("size"))?;
        if size == 0 {
            return Err(field_invalid("size", allowed));
        }
        let media_type = fields.optional_str("type")?;
        let media_type = media_type.map(|text| MediaType::parse(&text)).transpose()?;
        let seconds = signed_url::validity_s(&mut fields)?;
        Ok(Wanted {
            name,
            size,
            media_type,
            seconds,
        })
    }

    /// Creates the upload, which waits for its bytes as long as the link is valid.
    pub async fn reserve(
        self,
        files: &Files,
        user: UserName,
        now_ms: u64,
    ) -> Result<UploadLink, Problem> {
        let media_type = self.media_type.as_ref().map(MediaType::as_str);
        let media_type = media_type.unwrap_or_default().to_owned();
        let expires_at_ms = now_ms + self.seconds * 1_000;
        let new = NewUpload {
            name: self.name,
            media_type: self.media_type,
            metadata: String::new(),
            length: Some(self.size),
            is_partial: false,
            expires_at_ms: Some(expires_at_ms),
        };
        let upload = files.create_upload(&user, new).await?;
        Ok(UploadLink {
            file: upload.id,
            user,
            size: self.size,
            media_type,
            expires_at_ms,
        })
    }
}

/// The answer to `POST /uploads/sign`. `base` is the configured prefix of the URL.
pub(super) fn signed(link: &UploadLink, signer: &LinkSigner, base: &str) -> Response {
    let UploadLink {
        file,
        user,
        size,
        media_type,
        expires_at_ms,
    } = link;
    let (base, signature) = (base.trim_end_matches('/'), signer.sign_upload(link));
    let media_type = utf8_percent_encode(media_type, NON_ALPHANUMERIC);
    let url = format!(
        "{base}/uploads/{file}?user={user}&size={size}&type={media_type}&expires={expires_at_ms}\
         &signature={signature}"
    );
    signed_url::created(*file, "PUT", url, *expires_at_ms)
}

/// The link that a URL carries, if it is genuine and has not expired.
pub(super) fn verified(
    file: FileId,
    mut query: Query,
    signer: &LinkSigner,
    now_ms: u64,
) -> Result<UploadLink, Problem> {
    let taken = ["user", "size", "type", "expires", "signature"].map(|name| query.take(name));
    query.finish()?;
    let [
        Some(user),
        Some(size),
        Some(media_type),
        Some(expires),
        Some(signature),
    ] = taken
    else {
        let text = "A signed URL has the parameters user, size, type, expires and signature; use it \
                    unchanged.";
        return Err(Problem::new(Code::SignatureInvalid, text).field("signature"));
    };
    let link = UploadLink {
        file,
        user: UserName::parse(&user).map_err(|_| signature_invalid())?,
        size: size.parse().map_err(|_| signature_invalid())?,
        media_type,
        expires_at_ms: expires.parse().map_err(|_| signature_invalid())?,
    };
    signer.verify_upload(&link, &signature, now_ms)?;
    Ok(link)
}
