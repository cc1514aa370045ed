//! `/upload`, `/download/<id>`, `/files/<id>` and signed URLs.

mod conditions;
mod description;
mod digest;
mod disposition;
mod download;
mod link;
mod multipart;
mod range;
#[cfg(test)]
mod tests;
mod upload;

use futures_util::StreamExt;
use http::{Method, StatusCode};
use warp::reply::Response;

pub(super) use self::download::parse_id;
pub(super) use self::upload::created as uploaded;
use super::body::require_length;
use super::call::Call;
use super::response;
use lakechat_core::domain::{Code, File, FileId, Problem, UserName, now_ms};
use lakechat_core::files::DownloadLink;
use lakechat_core::ports::PortError;
use lakechat_core::ports::file_store::ByteStream;

/// `POST /upload`
pub async fn upload(call: Call) -> Result<Response, Problem> {
    let identity = call.identity().await?;
    require_length(&call.request.headers)?;
    let query = call.query()?;
    let context = call.context.clone();
    let base = context.public_url.as_ref().map(|url| url.join(""));
    let (headers, body) = call.into_headers_and_body();
    let chunks = body.map(|chunk| chunk.map_err(Problem::from));
    let transfer = context.accounts.transfer(&identity);
    let chunks = transfer.cut(chunks, std::convert::identity);
    let (files, user) = (&context.files, identity.user);
    upload::receive(files, &user, base.as_deref(), &headers, query, chunks).await
}

/// `GET` and `HEAD /download/<id>`, with a token or as a signed URL
pub async fn download(call: Call) -> Result<Response, Problem> {
    let (query, now_ms) = (call.query()?, now_ms());
    let id = parse_id(call.param("id"))?;
    let accounts = &call.context.accounts;
    let (user, caching, transfer) = if query.is_empty() {
        let identity = call.identity().await?;
        let transfer = accounts.transfer(&identity);
        (identity.user, download::PRIVATE, transfer)
    } else {
        let link = link::verified(id, query, &call.context.links, now_ms)?;
        let caching = link::caching(&link, now_ms);
        let user = call.admit(link.user)?;
        let transfer = accounts.transfer_by_link(&user).await?;
        (user, caching, transfer)
    };
    let file = readable(&call, id, &user).await?;
    let is_head = call.request.method == Method::HEAD;
    let conditions = &call.request.headers;
    let files = &call.context.files;
    let cut = |bytes| -> ByteStream { Box::pin(transfer.cut(bytes, access_ended)) };
    download::send(files, &file, &user, conditions, caching, is_head, cut).await
}

/// It cuts the response.
fn access_ended(problem: Problem) -> PortError {
    PortError::unavailable("accounts", problem)
}

/// `POST /download/<id>/sign`
pub async fn sign(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let id = parse_id(call.param("id"))?;
    let body = call.optional_json().await?;
    let expires_at_ms = link::expiry(body.as_deref(), now_ms())?;
    readable(&call, id, &user).await?;
    let link = DownloadLink {
        file: id,
        user,
        expires_at_ms,
    };
    let base = call.context.public_url.as_ref().map(|url| url.join(""));
    let base = base.unwrap_or_default();
    Ok(link::signed(&link, &call.context.links, &base))
}

/// `GET /files/<id>`: the properties of a file.
pub async fn describe(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let file = readable(&call, parse_id(call.param("id"))?, &user).await?;
    let base = call.context.public_url.as_ref().map(|url| url.join(""));
    let base = base.unwrap_or_default();
    Ok(description::of(&file, &base))
}

/// `DELETE /files/<id>`, by the uploader
pub async fn delete(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let id = parse_id(call.param("id"))?;
    call.context.files.delete(&user, id).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// A file, if the user may read it at this moment.
async fn readable(call: &Call, id: FileId, user: &UserName) -> Result<File, Problem> {
    let context = &call.context;
    let file = context.files.find(id).await?;
    if !context.chat.may_read_file(user, &file).await? {
        let text =
            "Only its uploader and readers of a channel in which it was posted may read this file.";
        return Err(Problem::new(Code::Forbidden, text));
    }
    Ok(file)
}
