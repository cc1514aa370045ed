//! HTTP calls, one function each. Each is one request: nothing is retried here.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{Method, StatusCode, header};
use reqwest::{Body, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::wire::{ChannelInfo, Page, Refusal};
use lakechat_core::domain::{ChannelName, FileId, Id, Secret, UserName};

/// How long an answer to a small call may take; transfers have no limit as a whole.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The tokens of one login.
#[derive(Clone, Debug, Deserialize)]
pub struct Login {
    pub user: UserName,
    pub token: Secret<String>,
    pub refresh_token: Secret<String>,
    /// Seconds for which the access token is good.
    pub expires_in: u64,
}

/// What the server says of a file that it took.
#[derive(Clone, Debug, Deserialize)]
pub struct Uploaded {
    pub id: FileId,
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub sha256: String,
    #[serde(rename = "type")]
    pub media_type: String,
    pub url: String,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no, and why.
    #[error("{refusal} (HTTP {})", status.as_u16())]
    Refused {
        status: StatusCode,
        refusal: Refusal,
    },
    /// Nothing came, or not the whole of it; what was asked may have been done.
    #[error("no answer from the server")]
    Unreachable(#[from] reqwest::Error),
    /// An answer that is none of lakechat's.
    #[error("HTTP {}, not an answer of lakechat's", status.as_u16())]
    Foreign { status: StatusCode },
}

/// A server's HTTP calls.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
}

impl Api {
    /// `base` is where the server's routes begin, such as `http://127.0.0.1:8080`. Does no I/O.
    pub fn new(base: Url) -> Result<Api, reqwest::Error> {
        // Fails only if a provider was chosen before: then that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .build()?;
        Ok(Api { http, base })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A request to a route, for calls that have no function here.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path, &[]))
    }

    pub async fn register(&self, user: &str, password: &str) -> Result<Login, CallError> {
        self.post("register", credentials(user, password)).await
    }

    pub async fn login(&self, user: &str, password: &str) -> Result<Login, CallError> {
        self.post("login", credentials(user, password)).await
    }

    /// Trades a refresh token for new tokens. It works once: using it again ends the login.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Login, CallError> {
        self.post("token/refresh", json!({ "refresh_token": refresh_token }))
            .await
    }

    pub async fn logout(&self, token: &str) -> Result<(), CallError> {
        let request = self.request(Method::POST, "logout").bearer_auth(token);
        checked(request.timeout(CALL_TIMEOUT).send().await?).await?;
        Ok(())
    }

    /// The first page of the channels that one may see, by name.
    pub async fn channels(&self, token: &str) -> Result<Vec<ChannelInfo>, CallError> {
        #[derive(Deserialize)]
        struct Channels {
            channels: Vec<ChannelInfo>,
        }
        let request = self.request(Method::GET, "channels").bearer_auth(token);
        Ok(call::<Channels>(request).await?.channels)
    }

    pub async fn create_channel(
        &self,
        token: &str,
        name: &ChannelName,
    ) -> Result<ChannelInfo, CallError> {
        let body = json!({ "name": name, "kind": "public" });
        call(
            self.request(Method::POST, "channels")
                .bearer_auth(token)
                .json(&body),
        )
        .await
    }

    /// The newest messages of a channel before an id, oldest first.
    pub async fn newest(
        &self,
        token: &str,
        channel: &ChannelName,
        before: Id,
        limit: usize,
    ) -> Result<Page, CallError> {
        let (before, limit) = (before.to_string(), limit.to_string());
        let url = self.url(
            &format!("channels/{channel}/messages"),
            &[("before", &before), ("limit", &limit)],
        );
        call(self.http.get(url).bearer_auth(token)).await
    }

    /// Streams a file of `size` bytes to the server, at the server's pace.
    pub async fn upload<S, E>(
        &self,
        token: &str,
        name: &str,
        size: u64,
        bytes: S,
    ) -> Result<Uploaded, CallError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let request = self
            .http
            .post(self.url("upload", &[("name", name)]))
            .bearer_auth(token)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header(header::CONTENT_LENGTH, size)
            .body(Body::wrap_stream(bytes));
        parsed(checked(request.send().await?).await?).await
    }

    /// A file's size and its bytes. A stream that ends without an error is the whole file.
    pub async fn download(
        &self,
        token: &str,
        file: FileId,
    ) -> Result<
        (
            Option<u64>,
            impl Stream<Item = Result<Bytes, CallError>> + use<>,
        ),
        CallError,
    > {
        let request = self
            .request(Method::GET, &format!("download/{file}"))
            .bearer_auth(token);
        let answer = checked(request.send().await?).await?;
        let size = answer.content_length();
        Ok((size, answer.bytes_stream().map_err(CallError::Unreachable)))
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> Result<T, CallError> {
        call(self.request(Method::POST, path).json(&body)).await
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

fn credentials(user: &str, password: &str) -> Value {
    json!({ "username": user, "password": password })
}

async fn call<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CallError> {
    parsed(checked(request.timeout(CALL_TIMEOUT).send().await?).await?).await
}

async fn parsed<T: DeserializeOwned>(answer: Response) -> Result<T, CallError> {
    let status = answer.status();
    let body = answer.bytes().await?;
    serde_json::from_slice(&body).map_err(|_| CallError::Foreign { status })
}

/// The answer, if it is a good one; the refusal in it otherwise.
async fn checked(answer: Response) -> Result<Response, CallError> {
    #[derive(Deserialize)]
    struct Shape {
        error: Refusal,
    }
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let body = answer.bytes().await?;
    Err(match serde_json::from_slice::<Shape>(&body) {
        Ok(Shape { error: refusal }) => CallError::Refused { status, refusal },
        Err(_) => CallError::Foreign { status },
    })
}
