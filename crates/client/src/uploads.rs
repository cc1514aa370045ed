//! Resumable uploads, by tus 1.0.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use http::{Method, StatusCode, header};
use reqwest::{Body, RequestBuilder, Response};

use super::api::{Api, CALL_TIMEOUT, CallError, checked};
use super::wire::Refusal;
use lakechat_core::domain::FileId;

const UPLOAD_OFFSET: &str = "upload-offset";

impl Api {
    /// Creates an upload whose length is sent with its last bytes. Its id becomes that of the file.
    pub async fn create_upload(&self, token: &str, name: &str) -> Result<FileId, CallError> {
        let metadata = format!("filename {}", BASE64_STANDARD.encode(name));
        let request = self.tus(Method::POST, "uploads".to_owned(), token);
        let request = request
            .header("upload-defer-length", 1)
            .header("upload-metadata", metadata)
            .header(header::CONTENT_LENGTH, 0);
        let response = checked(request.timeout(CALL_TIMEOUT).send().await?).await?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|url| url.to_str().ok());
        let id = location.and_then(|url| FileId::parse(url.rsplit('/').next()?));
        id.ok_or(CallError::Foreign { status })
    }

    /// How many bytes of an upload the server has stored.
    pub async fn upload_offset(&self, token: &str, upload: FileId) -> Result<u64, CallError> {
        let request = self.tus(Method::HEAD, format!("uploads/{upload}"), token);
        let response = request.timeout(CALL_TIMEOUT).send().await?;
        match response.status() {
            // A response to HEAD has no body that would say so.
            status @ StatusCode::UNAUTHORIZED => Err(CallError::Refused {
                status,
                refusal: Refusal::own("token_expired", "The token is not accepted."),
            }),
            status => {
                let offset = offset(&checked(response).await?);
                offset.ok_or(CallError::Foreign { status })
            }
        }
    }

    /// Appends bytes to an upload at an offset; the next offset. `length` is that of the whole file, once
    /// it is known: an upload of so many bytes is complete.
    pub async fn append<S, E>(
        &self,
        token: &str,
        upload: FileId,
        at: u64,
        length: Option<u64>,
        bytes: S,
    ) -> Result<u64, CallError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut request = self
            .tus(Method::PATCH, format!("uploads/{upload}"), token)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header(UPLOAD_OFFSET, at)
            .body(Body::wrap_stream(bytes));
        if let Some(length) = length {
            request = request.header("upload-length", length);
        }
        let response = checked(request.send().await?).await?;
        let status = response.status();
        offset(&response).ok_or(CallError::Foreign { status })
    }

    fn tus(&self, method: Method, path: String, token: &str) -> RequestBuilder {
        self.request(method, &path)
            .bearer_auth(token)
            .header("tus-resumable", "1.0.0")
    }
}

fn offset(response: &Response) -> Option<u64> {
    let offset = response.headers().get(UPLOAD_OFFSET)?;
    offset.to_str().ok()?.parse().ok()
}
