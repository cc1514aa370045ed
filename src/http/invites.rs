//! `/invites`: what admins give to those who may register.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use uuid::Uuid;
use warp::reply::Response;

use super::admin::{DEFAULT_LIMIT, admin};
use super::body::json_object;
use super::call::Call;
use super::channels::{after, list_limit};
use super::response;
use lakechat_core::accounts::invite_not_found;
use lakechat_core::domain::{Invite, Problem, UserName, now_ms};
use lakechat_core::json_object::field_invalid;
use lakechat_core::limits::RequestKind;

const MOST_USES: u32 = 10_000;

/// How long an invite is valid: unless the admin says so, and at most. In seconds.
const DEFAULT_S: u64 = 7 * 24 * 3_600;
const MOST_S: u64 = 365 * 24 * 3_600;

#[derive(Serialize)]
struct InviteObject<'a> {
    id: Uuid,
    /// Only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<&'a str>,
    uses_left: u32,
    expires_at: u64,
    created_at: u64,
    created_by: &'a UserName,
}

impl InviteObject<'_> {
    fn of(invite: &Invite) -> InviteObject<'_> {
        InviteObject {
            id: invite.id,
            invite: None,
            uses_left: invite.uses_left,
            expires_at: invite.expires_at_ms,
            created_at: invite.created_at_ms,
            created_by: &invite.created_by,
        }
    }
}

/// `POST /invites`
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let (mut uses, mut seconds) = (1, DEFAULT_S);
    if let Some(body) = call.optional_json().await? {
        let mut fields = json_object(&body, &["uses", "expires_in"])?;
        let allowed = format!("a whole number from 1 to {MOST_USES}");
        uses = fields.optional_integer("uses", &allowed)?.unwrap_or(uses);
        if !(1..=MOST_USES).contains(&uses) {
            return Err(field_invalid("uses", &allowed).limit(u64::from(MOST_USES)));
        }
        let allowed = format!("a whole number of seconds from 1 to {MOST_S}");
        let asked = fields.optional_integer("expires_in", &allowed)?;
        seconds = asked.unwrap_or(seconds);
        if !(1..=MOST_S).contains(&seconds) {
            return Err(field_invalid("expires_in", &allowed).limit(MOST_S));
        }
    }
    let administration = &call.context.administration;
    let expires_at_ms = now_ms() + seconds * 1_000;
    let (invite, code) = administration.invite(&admin, uses, expires_at_ms).await?;
    let body = InviteObject {
        invite: Some(code.expose()),
        ..InviteObject::of(&invite)
    };
    let mut created = response::json(StatusCode::CREATED, &body);
    let no_store = HeaderValue::from_static("no-store");
    created.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(created)
}

/// `GET /invites`
pub async fn list(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Invites<'a> {
        invites: Vec<InviteObject<'a>>,
        next: Option<Uuid>,
    }
    let admin = admin(&call, RequestKind::Page).await?;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, DEFAULT_LIMIT)?;
    let after = after(&mut query, Uuid::try_parse)?;
    query.finish()?;
    let administration = &call.context.administration;
    let invites = administration.invites(&admin, after, limit).await?;
    let last = invites.last().filter(|_| invites.len() == limit);
    let body = Invites {
        invites: invites.iter().map(InviteObject::of).collect(),
        next: last.map(|invite| invite.id),
    };
    Ok(response::json(StatusCode::OK, &body))
}

/// `DELETE /invites/<id>`
pub async fn end(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let admin = admin(&call, RequestKind::Call).await?;
    let id = Uuid::try_parse(call.param("id")).map_err(|_| invite_not_found())?;
    call.context.administration.end_invite(&admin, id).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}
