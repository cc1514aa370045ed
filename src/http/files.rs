//! `/upload` and `/download/<id>`.

mod conditions;
mod digest;
mod disposition;
mod download;
mod multipart;
mod range;
#[cfg(test)]
mod tests;
mod upload;

use futures_util::StreamExt;
use http::Method;
use warp::reply::Response;

use super::body::require_length;
use super::call::Call;
use lakechat_core::domain::{Code, Problem};

/// `POST /upload`
pub async fn upload(call: Call) -> Result<Response, Problem> {
    let user = call.identity().await?.user;
    require_length(&call.request.headers)?;
    let query = call.query()?;
    let context = call.context.clone();
    let base = context.public_url.as_ref().map(|url| url.join(""));
    let (headers, body) = call.into_headers_and_body();
    let chunks = body.map(|chunk| chunk.map_err(Problem::from));
    let files = &context.files;
    upload::receive(files, &user, base.as_deref(), &headers, query, chunks).await
}

/// `GET` and `HEAD /download/<id>`
pub async fn download(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let context = &call.context;
    let file = download::find(&context.files, call.param("id")).await?;
    if !context.chat.may_read_file(&user, &file).await? {
        let text =
            "Only its uploader and readers of a channel in which it was posted may read this file.";
        return Err(Problem::new(Code::Forbidden, text));
    }
    let is_head = call.request.method == Method::HEAD;
    let conditions = &call.request.headers;
    download::send(&context.files, &file, &user, conditions, is_head).await
}
