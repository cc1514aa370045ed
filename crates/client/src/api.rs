//! HTTP calls: one function and one request each. Nothing is retried here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{Method, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Body, RequestBuilder, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::proxy::{Proxy, ProxyUnsupported};
use super::wire::{ChannelInfo, ErrorBody, Page, Refusal};
use lakechat_core::domain::{ChannelName, FileId, Id, Secret, UserName};

/// Timeout of every call except transfers, which have none.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The tokens of one login.
#[derive(Clone, Debug, Deserialize)]
pub struct Login {
    pub user: UserName,
    pub token: Secret<String>,
    pub refresh_token: Secret<String>,
    /// Lifetime of the access token, in seconds.
    pub expires_in: u64,
}

/// A file that the server has stored.
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

/// A file, as the server describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredFile {
    pub id: FileId,
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub sha256: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server refused the request.
    #[error("{refusal} (HTTP {})", status.as_u16())]
    Refused {
        status: StatusCode,
        refusal: Refusal,
    },
    /// No response, or not a complete one. The request may have been executed.
    #[error("no response from the server")]
    Unreachable(#[from] reqwest::Error),
    /// Redirects are not followed: the next server would get the request with its token or password,
    /// and a POST would become a GET.
    #[error("the server redirects to {location}; use that address instead (HTTP {})", status.as_u16())]
    Redirected {
        status: StatusCode,
        location: String,
    },
    /// A response that does not come from lakechat, for example from a proxy.
    #[error("HTTP {}, with a response that is not lakechat's", status.as_u16())]
    Foreign { status: StatusCode },
}

/// Why there is no client for a server.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Proxy(#[from] ProxyUnsupported),
    #[error("can't create the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Sends HTTP requests to one server.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    proxy: Option<Arc<Proxy>>,
}

impl Api {
    /// `base` is the URL in front of the server's routes, such as `http://127.0.0.1:8080`. Does no
    /// I/O.
    pub fn new(base: Url) -> Result<Api, ApiError> {
        // Fails only if the process has a provider already; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let proxy = Proxy::of(&base)?.map(Arc::new);
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(Policy::none())
            .no_proxy();
        if let Some(proxy) = &proxy {
            http = http.proxy(proxy.for_calls()?);
        }
        let http = http.build()?;
        Ok(Api { http, base, proxy })
    }

    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_deref()
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A request to a route that has no function here.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(method, path, &[])
    }

    /// The same with a query.
    pub fn request_with(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> RequestBuilder {
        self.http.request(method, self.url(path, query))
    }

    pub async fn register(&self, user: &str, password: &str) -> Result<Login, CallError> {
        self.post("register", credentials(user, password)).await
    }

    /// The same where registering takes an invite.
    pub async fn register_invited(
        &self,
        user: &str,
        password: &str,
        invite: &str,
    ) -> Result<Login, CallError> {
        let mut body = credentials(user, password);
        body["invite"] = invite.into();
        self.post("register", body).await
    }

    pub async fn login(&self, user: &str, password: &str) -> Result<Login, CallError> {
        self.post("login", credentials(user, password)).await
    }

    /// Exchanges a refresh token for new tokens. For 60 s the same token gets the same successor, so
    /// that a lost answer can be asked for again; used later, it ends the login.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Login, CallError> {
        self.post("token/refresh", json!({ "refresh_token": refresh_token }))
            .await
    }

    pub async fn logout(&self, token: &str) -> Result<(), CallError> {
        let request = self.request(Method::POST, "logout").bearer_auth(token);
        checked(request.timeout(CALL_TIMEOUT).send().await?).await?;
        Ok(())
    }

    /// The first page of the channels that the user may see, sorted by name.
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

    /// The last `limit` messages of a channel before the id `before`, oldest first.
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

    /// Uploads a file. `bytes` is polled only as fast as the server receives. If its size is known,
    /// the server can refuse too large a file at once; `bytes` must then have that size.
    pub async fn upload<S, E>(
        &self,
        token: &str,
        name: &str,
        size: impl Into<Option<u64>>,
        bytes: S,
    ) -> Result<Uploaded, CallError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut request = self
            .http
            .post(self.url("upload", &[("name", name)]))
            .bearer_auth(token)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Body::wrap_stream(bytes));
        if let Some(size) = size.into() {
            request = request.header(header::CONTENT_LENGTH, size);
        }
        parsed(checked(request.send().await?).await?).await
    }

    /// Downloads a file: its size, if the server says it, and its bytes. The file is complete if the
    /// stream ends without an error.
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
        let response = checked(request.send().await?).await?;
        let size = response.content_length();
        Ok((
            size,
            response.bytes_stream().map_err(CallError::Unreachable),
        ))
    }

    /// The properties of a file.
    pub async fn file(&self, token: &str, file: FileId) -> Result<StoredFile, CallError> {
        let request = self.request(Method::GET, &format!("files/{file}"));
        call(request.bearer_auth(token)).await
    }

    /// The bytes of a file from an offset within it on. They are complete if the stream ends without an
    /// error.
    pub async fn download_from(
        &self,
        token: &str,
        file: FileId,
        offset: u64,
    ) -> Result<impl Stream<Item = Result<Bytes, CallError>> + use<>, CallError> {
        let request = self.request(Method::GET, &format!("download/{file}"));
        let request = request
            .bearer_auth(token)
            .header(header::RANGE, format!("bytes={offset}-"));
        let response = checked(request.send().await?).await?;
        let status = response.status();
        if status != StatusCode::PARTIAL_CONTENT {
            return Err(CallError::Foreign { status });
        }
        Ok(response.bytes_stream().map_err(CallError::Unreachable))
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

async fn parsed<T: DeserializeOwned>(response: Response) -> Result<T, CallError> {
    let status = response.status();
    let body = response.bytes().await?;
    serde_json::from_slice(&body).map_err(|_| CallError::Foreign { status })
}

/// The response if its status is 2xx, otherwise the refusal that it contains.
pub(super) async fn checked(response: Response) -> Result<Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if let Some(location) = response.headers().get(header::LOCATION)
        && status.is_redirection()
    {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return Err(CallError::Redirected { status, location });
    }
    let body = response.bytes().await?;
    Err(match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error: refusal }) => CallError::Refused { status, refusal },
        Err(_) => CallError::Foreign { status },
    })
}
