//! `/admin`: what admins do with accounts.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use warp::reply::Response;

use super::body::json_object;
use super::call::Call;
use super::channels::{after, list_limit};
use super::logins::LoginObject;
use super::response;
use lakechat_core::accounts::{AccountChange, Admin};
use lakechat_core::domain::{AuditEntry, AuditId, Code, Problem, User, UserName};
use lakechat_core::limits::RequestKind;

pub(super) const DEFAULT_LIMIT: usize = 50;

#[derive(Serialize)]
struct AccountObject<'a> {
    user: &'a UserName,
    created_at: u64,
    admin: bool,
    disabled: bool,
    /// Only in the answer that creates the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logins: Option<Vec<LoginObject<'a>>>,
}

impl AccountObject<'_> {
    fn of(user: &User) -> AccountObject<'_> {
        AccountObject {
            user: &user.name,
            created_at: user.created_at_ms,
            admin: user.is_admin,
            disabled: user.is_disabled,
            password: None,
            logins: None,
        }
    }
}

/// `GET /admin/users`
pub async fn list_users(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Users<'a> {
        users: Vec<AccountObject<'a>>,
        next: Option<&'a UserName>,
    }
    let admin = admin(&call, RequestKind::Page).await?;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, DEFAULT_LIMIT)?;
    let after = after(&mut query, UserName::parse)?;
    query.finish()?;
    let administration = &call.context.administration;
    let users = administration.users(&admin, after.as_ref(), limit).await?;
    let next = users.last().filter(|_| users.len() == limit);
    let body = Users {
        users: users.iter().map(AccountObject::of).collect(),
        next: next.map(|user| &user.name),
    };
    Ok(response::json(StatusCode::OK, &body))
}

/// `POST /admin/users`
pub async fn create_user(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let body = call.json().await?;
    let mut fields = json_object(&body, &["username", "password", "admin"])?;
    let name = fields.required_str("username")?;
    let password = fields.optional_str("password")?;
    let is_admin = fields.optional_bool("admin")?.unwrap_or_default();
    let administration = &call.context.administration;
    let created = administration.create(&admin, &name, password.as_deref(), is_admin);
    let (user, made_up) = created.await?;
    let body = AccountObject {
        password: made_up.as_ref().map(|made| made.expose().as_str()),
        ..AccountObject::of(&user)
    };
    let mut created = response::json(StatusCode::CREATED, &body);
    let no_store = HeaderValue::from_static("no-store");
    created.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(created)
}

/// `GET /admin/users/<u>`
pub async fn show_user(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let name = name(&call)?;
    let (user, logins) = call.context.administration.user(&admin, &name).await?;
    let body = AccountObject {
        logins: Some(logins.iter().map(LoginObject::of).collect()),
        ..AccountObject::of(&user)
    };
    Ok(response::json(StatusCode::OK, &body))
}

/// `PATCH /admin/users/<u>`
pub async fn change_user(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let name = name(&call)?;
    let body = call.json().await?;
    let mut fields = json_object(&body, &["disabled", "admin", "password"])?;
    let change = AccountChange {
        disabled: fields.optional_bool("disabled")?,
        admin: fields.optional_bool("admin")?,
        password: fields.optional_str("password")?.map(Into::into),
    };
    let administration = &call.context.administration;
    let user = administration.change(&admin, &name, &change).await?;
    Ok(response::json(StatusCode::OK, &AccountObject::of(&user)))
}

/// `DELETE /admin/users/<u>/logins`
pub async fn end_logins(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let name = name(&call)?;
    call.context
        .administration
        .end_logins(&admin, &name)
        .await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// `GET /admin/audit`
pub async fn audit(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Entries<'a> {
        entries: &'a [AuditEntry],
        next: Option<&'a AuditId>,
    }
    let admin = admin(&call, RequestKind::Page).await?;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, DEFAULT_LIMIT)?;
    let after = after(&mut query, |text| AuditId::parse(text).ok_or(()))?;
    query.finish()?;
    let administration = &call.context.administration;
    let entries = administration.audit(&admin, after.as_ref(), limit).await?;
    let next = entries.last().filter(|_| entries.len() == limit);
    let body = Entries {
        entries: &entries,
        next: next.map(|entry| &entry.id),
    };
    Ok(response::json(StatusCode::OK, &body))
}

pub(super) async fn admin(call: &Call, kind: RequestKind) -> Result<Admin, Problem> {
    let identity = call.identity_for(kind).await?;
    let administration = &call.context.administration;
    administration.admin(&identity, call.request.client.0).await
}

fn name(call: &Call) -> Result<UserName, Problem> {
    UserName::parse(call.param("u"))
        .map_err(|_| Problem::new(Code::UserNotFound, "There is no such user."))
}
