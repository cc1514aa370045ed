//! `/uploads`: uploads that can be resumed, by the protocol tus 1.0.0 (<https://tus.io>), and uploads to
//! signed URLs.

mod headers;
mod link;
mod metadata;

use std::sync::Arc;

use futures_util::StreamExt;
use http::header::{ALLOW, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use warp::reply::Response;

use self::headers::{Concat, TUS_RESUMABLE, TUS_VERSION, VERSION};
use self::metadata::Metadata;
use super::body::{RequestBody, require_length};
use super::call::Call;
use super::context::ServiceContext;
use super::files::{parse_id, uploaded};
use super::{refusal, response};
use lakechat_core::accounts::Identity;
use lakechat_core::domain::{Code, FileId, Problem, now_ms};
use lakechat_core::files::{Append, NewUpload, UploadStatus};

/// The status that tus has for bytes with another checksum than the declared one.
const CHECKSUM_MISMATCH: u16 = 460;

const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// `OPTIONS /uploads` and `/uploads/<id>`: what the server can do. Needs neither token nor version.
pub async fn options(call: Call) -> Result<Response, Problem> {
    let mut response = response::empty(StatusCode::NO_CONTENT);
    let max_bytes = call.context.files.max_bytes();
    headers::describe_server(response.headers_mut(), max_bytes);
    Ok(response)
}

/// `POST /uploads`: creates an upload, also with its first bytes, or makes a file of several uploads.
pub async fn create(call: Call) -> Result<Response, Problem> {
    answered(async {
        let identity = admitted(&call).await?;
        let context = Arc::clone(&call.context);
        let (files, user) = (&context.files, &identity.user);
        let base = context.public_url.as_ref().map(|url| url.join(""));
        let (lines, body) = call.into_headers_and_body();
        let metadata = Metadata::of(&lines)?;
        let concat = headers::concat(&lines)?;
        let is_partial = matches!(concat, Some(Concat::Partial));
        let new = |length| NewUpload {
            name: metadata.name.clone(),
            media_type: metadata.media_type.clone(),
            metadata: metadata.text.clone(),
            length,
            is_partial,
            expires_at_ms: None,
        };
        if let Some(Concat::Final(ids)) = concat {
            let file = files.concatenate(user, new(None), &ids).await?;
            return Ok(created(base.as_deref(), file.id));
        }
        let has_bytes = headers::has_bytes(&lines)?;
        let length = headers::new_length(&lines)?;
        let mut status = files.create_upload(user, new(length)).await?;
        if has_bytes {
            status = first_bytes(&context, &identity, status.id, &lines, body).await?;
        }
        let mut response = created(base.as_deref(), status.id);
        headers::describe_progress(response.headers_mut(), &status);
        Ok(response)
    })
    .await
}

/// Appends the body of the request that creates an upload. The client knows no URL until it is answered,
/// so after a failure nobody would resume the upload.
async fn first_bytes(
    context: &ServiceContext,
    identity: &Identity,
    id: FileId,
    lines: &HeaderMap,
    body: RequestBody,
) -> Result<UploadStatus, Problem> {
    let appended = append_body(context, identity, id, 0, lines, body).await;
    if appended.is_err() {
        // If this fails too, the upload expires.
        drop(context.files.end_upload(&identity.user, id).await);
    }
    appended
}

/// `HEAD /uploads/<id>`: how far an upload has come.
pub async fn status(call: Call) -> Result<Response, Problem> {
    answered(async {
        let user = admitted(&call).await?.user;
        let id = parse_id(call.param("id"))?;
        let status = call.context.files.upload_status(&user, id).await?;
        let mut response = response::empty(StatusCode::OK);
        headers::describe_upload(response.headers_mut(), &status);
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        Ok(response)
    })
    .await
}

/// `PATCH /uploads/<id>`: appends bytes.
pub async fn append(call: Call) -> Result<Response, Problem> {
    answered(async {
        let identity = admitted(&call).await?;
        let id = parse_id(call.param("id"))?;
        require_length(&call.request.headers)?;
        headers::expect_bytes(&call.request.headers)?;
        let offset = headers::offset(&call.request.headers)?;
        let context = Arc::clone(&call.context);
        let (lines, body) = call.into_headers_and_body();
        let status = append_body(&context, &identity, id, offset, &lines, body).await?;
        let mut response = response::empty(StatusCode::NO_CONTENT);
        headers::describe_progress(response.headers_mut(), &status);
        Ok(response)
    })
    .await
}

async fn append_body(
    context: &ServiceContext,
    identity: &Identity,
    id: FileId,
    offset: u64,
    lines: &HeaderMap,
    body: RequestBody,
) -> Result<UploadStatus, Problem> {
    let append = Append {
        offset,
        length: headers::length(lines)?,
        announced_bytes: headers::content_length(lines),
        checksum: headers::checksum(lines)?,
        is_whole: false,
    };
    let chunks = body.map(|chunk| chunk.map_err(Problem::from));
    let transfer = context.accounts.transfer(identity);
    let chunks = transfer.cut(chunks, std::convert::identity);
    let files = &context.files;
    files.append(&identity.user, id, append, chunks).await
}

/// `DELETE /uploads/<id>`: ends an upload, or removes the file that it has become.
pub async fn end(call: Call) -> Result<Response, Problem> {
    answered(async {
        let user = admitted(&call).await?.user;
        let id = parse_id(call.param("id"))?;
        call.context.files.end_upload(&user, id).await?;
        Ok(response::empty(StatusCode::NO_CONTENT))
    })
    .await
}

/// `POST /uploads/<id>`: for clients that can't send the other methods.
pub async fn overridden(call: Call) -> Result<Response, Problem> {
    let named = call.request.headers.get(METHOD_OVERRIDE);
    match named.and_then(|method| Method::from_bytes(method.as_bytes()).ok()) {
        Some(Method::PATCH) => append(call).await,
        Some(Method::DELETE) => end(call).await,
        Some(Method::HEAD) => status(call).await,
        _ => {
            let text =
                "POST here needs the header X-HTTP-Method-Override with PATCH, DELETE or HEAD.";
            let mut response = refusal::refused(Problem::new(Code::MethodNotAllowed, text));
            let allow = HeaderValue::from_static("HEAD, PATCH, DELETE, OPTIONS");
            response.headers_mut().insert(ALLOW, allow);
            Ok(response)
        }
    }
}

/// `POST /uploads/sign`: a URL to which one file can be uploaded without a token.
pub async fn sign(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let body = call.json().await?;
    let wanted = link::Wanted::of(&body)?;
    let link = wanted.reserve(&call.context.files, user, now_ms()).await?;
    let base = call.context.public_url.as_ref().map(|url| url.join(""));
    let base = base.unwrap_or_default();
    Ok(link::signed(&link, &call.context.links, &base))
}

/// `PUT /uploads/<id>`: the file, to a signed URL
pub async fn put(call: Call) -> Result<Response, Problem> {
    let id = parse_id(call.param("id"))?;
    let link = link::verified(id, call.query()?, &call.context.links, now_ms())?;
    let user = call.admit(link.user)?;
    require_length(&call.request.headers)?;
    headers::expect_no_encoding(&call.request.headers)?;
    let context = Arc::clone(&call.context);
    let base = context.public_url.as_ref().map(|url| url.join(""));
    let (lines, body) = call.into_headers_and_body();
    let announced = headers::content_length(&lines);
    let transfer = context.accounts.transfer_by_link(&user).await?;
    let chunks = body.map(|chunk| chunk.map_err(Problem::from));
    let chunks = transfer.cut(chunks, std::convert::identity);
    let files = &context.files;
    let file = files.upload_once(&user, id, announced, chunks).await?;
    Ok(uploaded(&file, &base.unwrap_or_default()))
}

/// The caller of a request in the protocol's version.
async fn admitted(call: &Call) -> Result<Identity, Problem> {
    headers::expect_version(&call.request.headers)?;
    call.no_query()?;
    call.identity().await
}

/// A response as tus wants it, of a refusal too.
async fn answered(
    work: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let mut response = work.await.unwrap_or_else(refused);
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    Ok(response)
}

fn refused(problem: Problem) -> Response {
    let code = problem.code;
    let mut response = refusal::refused(problem);
    match code {
        Code::ChecksumMismatch => {
            let status = StatusCode::from_u16(CHECKSUM_MISMATCH);
            *response.status_mut() = status.expect("it has three digits");
        }
        Code::TusVersionUnsupported => {
            response.headers_mut().insert(TUS_VERSION, VERSION);
        }
        _ => {}
    }
    response
}

fn created(base: Option<&str>, id: FileId) -> Response {
    let base = base.unwrap_or_default().trim_end_matches('/');
    let mut response = response::empty(StatusCode::CREATED);
    let location = HeaderValue::try_from(format!("{base}/uploads/{id}"));
    let location = location.expect("a configured URL is ASCII");
    response.headers_mut().insert(LOCATION, location);
    response
}
