//! The caller's password and logins.

use std::net::IpAddr;

use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;
use warp::reply::Response;

use super::accounts::login_client;
use super::body::json_object;
use super::call::Call;
use super::response;
use lakechat_core::accounts::login_not_found;
use lakechat_core::domain::{LoginSession, Problem};

/// `POST /me/password`
pub async fn change_password(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let identity = call.identity().await?;
    let body = call.json().await?;
    let mut fields = json_object(&body, &["old", "new"])?;
    let (old, new) = (fields.required_str("old")?, fields.required_str("new")?);
    let accounts = &call.context.accounts;
    accounts
        .change_password(login_client(&call), &identity, &old, &new)
        .await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// `GET /me/logins`
pub async fn list(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Logins<'a> {
        logins: Vec<LoginObject<'a>>,
    }
    call.no_query()?;
    let identity = call.identity().await?;
    let logins = call.context.accounts.logins(&identity.user).await?;
    let logins = logins.iter().map(|login| LoginObject {
        current: Some(login.id == identity.session),
        ..LoginObject::of(login)
    });
    let logins = logins.collect();
    Ok(response::json(StatusCode::OK, &Logins { logins }))
}

/// `DELETE /me/logins/<id>`
pub async fn end(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let identity = call.identity().await?;
    let id = Uuid::try_parse(call.param("id")).map_err(|_| login_not_found())?;
    let accounts = &call.context.accounts;
    accounts.end_login(&identity.user, id).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// A login as its user sees it.
#[derive(Serialize)]
pub struct LoginObject<'a> {
    id: Uuid,
    created_at: u64,
    used_at: u64,
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    /// Whether the request came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<bool>,
}

impl LoginObject<'_> {
    pub fn of(login: &LoginSession) -> LoginObject<'_> {
        LoginObject {
            id: login.id,
            created_at: login.created_at_ms,
            used_at: login.used_at_ms(),
            expires_at: login.expires_at_ms,
            address: login.address,
            client: login.client.as_deref(),
            current: None,
        }
    }
}
