//! The properties of a file as JSON.

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use crate::http::response;
use lakechat_core::domain::{File, FileId, UserName};

/// The answer to `GET /files/<id>`. `base` is the configured prefix of the file's URL.
pub(super) fn of(file: &File, base: &str) -> Response {
    #[derive(Serialize)]
    struct Description<'a> {
        id: FileId,
        name: &'a str,
        size: u64,
        sha256: String,
        r#type: &'a str,
        uploader: &'a UserName,
        created_at: u64,
        url: String,
    }
    let description = Description {
        id: file.id,
        name: &file.name,
        size: file.size,
        sha256: hex::encode(file.sha256),
        r#type: &file.media_type,
        uploader: &file.uploader,
        created_at: file.created_at_ms,
        url: format!("{}/download/{}", base.trim_end_matches('/'), file.id),
    };
    response::json(StatusCode::OK, &description)
}
