//! Channels, their members and their history.

use std::ops::Not;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::Serialize;
use serde_json::value::RawValue;
use warp::reply::Response;

use super::body::json_object;
use super::call::Call;
use super::page_body::json_with_slot;
use super::query::Query;
use super::response::{empty, json};
use lakechat_core::chat::{ChannelObject, HubChannel, PAGE_BYTES, PageQuery, limit_invalid};
use lakechat_core::domain::{ChannelName, Code, Id, Member, Problem, UserName};
use lakechat_core::limits::RequestKind;

/// Rows per page of a list: the default, and the maximum.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// `GET /me`
pub async fn me(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Me {
        user: UserName,
        channels: Vec<ChannelObject>,
        next: Option<ChannelName>,
        #[serde(skip_serializing_if = "Not::not")]
        degraded: bool,
    }
    let user = call.identity_for(RequestKind::Page).await?.user;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, MAX_LIMIT)?;
    let after = after(&mut query, ChannelName::parse)?;
    query.finish()?;
    let chat = &call.context.chat;
    let page = chat.channels_of(&user, after.as_ref(), limit).await?;
    let me = Me {
        user,
        channels: page.channels,
        next: page.next,
        degraded: page.degraded,
    };
    Ok(json(StatusCode::OK, &me))
}

/// `GET /channels`
pub async fn list(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body {
        channels: Vec<ChannelObject>,
        next: Option<ChannelName>,
        #[serde(skip_serializing_if = "Not::not")]
        degraded: bool,
    }
    let user = call.identity_for(RequestKind::Page).await?.user;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, DEFAULT_LIMIT)?;
    let after = after(&mut query, ChannelName::parse)?;
    query.finish()?;
    let page = call
        .context
        .chat
        .list_channels(&user, after.as_ref(), limit)
        .await?;
    Ok(json(
        StatusCode::OK,
        &Body {
            channels: page.channels,
            next: page.next,
            degraded: page.degraded,
        },
    ))
}

/// `POST /channels`
pub async fn create(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let body = call.json().await?;
    let mut fields = json_object(&body, &["name", "kind", "topic"])?;
    let name = fields.required_str("name")?;
    if fields.required_str("kind")? != "public" {
        let text = "kind must be public: this release has no private channels.";
        return Err(Problem::new(Code::FieldInvalid, text).field("kind"));
    }
    let topic = fields.optional_str("topic")?;
    let channel = call
        .context
        .chat
        .create_channel(&user, &name, topic.as_deref())
        .await?;
    let location = HeaderValue::try_from(format!("/channels/{}", channel.name));
    let location = location.expect("names of channels are plain ASCII");
    let mut created = json(StatusCode::CREATED, &channel);
    created.headers_mut().insert(LOCATION, location);
    Ok(created)
}

/// `GET /channels/<c>`
pub async fn get(call: Call) -> Result<Response, Problem> {
    let (user, channel) = find(&call).await?;
    call.no_query()?;
    let members = channel.read(|roster| roster.count());
    let object = ChannelObject {
        members: Some(members),
        ..channel.object(&user)
    };
    Ok(json(StatusCode::OK, &object))
}

/// `PATCH /channels/<c>`
pub async fn change(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let (user, channel) = find(&call).await?;
    let body = call.json().await?;
    let topic = json_object(&body, &["topic"])?.required_str("topic")?;
    let object = call.context.chat.set_topic(&channel, &user, &topic).await?;
    Ok(json(StatusCode::OK, &object))
}

/// `DELETE /channels/<c>`
pub async fn archive(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let (user, channel) = find(&call).await?;
    call.context.chat.archive(&channel, &user).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Serialize)]
struct MemberObject {
    user: UserName,
    role: &'static str,
    joined_at: u64,
}

impl From<Member> for MemberObject {
    fn from(member: Member) -> MemberObject {
        let Member {
            user,
            role,
            joined_at_ms,
            ..
        } = member;
        MemberObject {
            user,
            role: role.as_str(),
            joined_at: joined_at_ms,
        }
    }
}

/// `GET /channels/<c>/members`
pub async fn members(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body {
        members: Vec<MemberObject>,
        next: Option<UserName>,
    }
    let (_, channel) = find(&call).await?;
    let mut query = call.query()?;
    let limit = list_limit(&mut query, DEFAULT_LIMIT)?;
    let after = after(&mut query, UserName::parse)?;
    query.finish()?;
    let page = call
        .context
        .chat
        .list_members(&channel, after.as_ref(), limit);
    let members = page.members.into_iter().map(MemberObject::from).collect();
    Ok(json(
        StatusCode::OK,
        &Body {
            members,
            next: page.next,
        },
    ))
}

/// `PUT /channels/<c>/members/<u>`: the caller joins.
pub async fn join(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let (user, channel) = find(&call).await?;
    only_oneself(&call, &user).await?;
    if let Some(body) = call.optional_json().await?
        && json_object(&body, &["role"])?
            .optional_str("role")?
            .is_some_and(|role| role != "member")
    {
        let text = "You can only join with the role member.";
        return Err(Problem::new(Code::RoleRequired, text).field("role"));
    }
    call.context.chat.ensure_member(&channel, &user).await?;
    let member = channel.read(|roster| roster.members().find(|m| m.user == user));
    let member = member.ok_or_else(|| Problem::internal("a member left while joining"))?;
    Ok(json(StatusCode::OK, &MemberObject::from(member)))
}

/// `DELETE /channels/<c>/members/<u>`: the caller leaves.
pub async fn leave(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let (user, channel) = find(&call).await?;
    only_oneself(&call, &user).await?;
    call.context.chat.leave(&channel, &user).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `GET /channels/<c>/messages`
pub async fn messages(call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body {
        messages: Vec<Box<RawValue>>,
        next: Option<String>,
    }
    let user = call.identity_for(RequestKind::Page).await?.user;
    let mut query = call.query()?;
    let id = "an id of 1 to 20 decimal digits";
    let id_param = |query: &mut Query, name| query.take_as::<IdText>(name, Code::FieldInvalid, id);
    let before = id_param(&mut query, "before")?;
    let after = id_param(&mut query, "after")?;
    let around = id_param(&mut query, "around")?;
    let cursor = query.take("cursor");
    let limit = query
        .take("limit")
        .map(|l| l.parse().map_err(|_| limit_invalid()))
        .transpose()?;
    query.finish()?;
    let id = |text: Option<IdText>| text.map(|t| t.0);
    let asked = PageQuery::new(id(before), id(after), id(around), cursor.as_deref(), limit)?;
    let chat = &call.context.chat;
    let channel = chat.find_for(&user, call.param("c")).await?;
    // A page stays in memory until its client has read it.
    let slot = call.context.files.transfer_slot(&user)?;
    let page = chat.history(&channel, &user, asked, PAGE_BYTES).await?;
    let body = Body {
        messages: page.messages,
        next: page.next,
    };
    Ok(json_with_slot(&body, slot))
}

/// An id that `take_as` can parse.
struct IdText(Id);

impl std::str::FromStr for IdText {
    type Err = ();

    fn from_str(text: &str) -> Result<IdText, ()> {
        text.parse().map(IdText).map_err(|_| ())
    }
}

async fn find(call: &Call) -> Result<(UserName, Arc<HubChannel>), Problem> {
    let user = call.identity().await?.user;
    let channel = call.context.chat.find_for(&user, call.param("c")).await?;
    Ok((user, channel))
}

/// In this release users change only their own membership.
async fn only_oneself(call: &Call, user: &UserName) -> Result<(), Problem> {
    let member = call.param("u");
    if user.as_str() == member {
        return Ok(());
    }
    let not_found = || Problem::new(Code::UserNotFound, "There is no such user.");
    let member = UserName::parse(member).map_err(|_| not_found())?;
    call.context.accounts.user(&member).await?;
    let text = "You can only change your own membership.";
    Err(Problem::new(Code::RoleRequired, text))
}

pub(super) fn list_limit(query: &mut Query, default: usize) -> Result<usize, Problem> {
    let Some(text) = query.take("limit") else {
        return Ok(default);
    };
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(limit_invalid)
}

pub(super) fn after<T, E>(
    query: &mut Query,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    let Some(text) = query.take("after") else {
        return Ok(None);
    };
    parse(&text).map(Some).map_err(|_| {
        Problem::new(
            Code::FieldInvalid,
            "after must be a name, as returned in next.",
        )
        .field("after")
    })
}
