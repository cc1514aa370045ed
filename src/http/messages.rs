//! Messages over HTTP: what the frames `send`, `edit`, `delete` and `react` do, for callers without a session.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use super::body::json_object;
use super::call::Call;
use super::response::json;
use lakechat_core::chat::{
    AckLevel, HubChannel, MessageChange, NewMessage, emoji, parse_ack_level, parse_client_msg_id,
    parse_file_id,
};
use lakechat_core::domain::{ChangeKind, ClientMsgId, Code, Id, Problem, UserName};
use lakechat_core::json_object::field_invalid;

/// Stands for the field `client_msg_id`.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `POST /channels/<c>/messages`
pub async fn send(mut call: Call) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Sent {
        id: Id,
        duplicate: bool,
        level: &'static str,
    }
    let (user, channel) = find(&call).await?;
    let body = call.json().await?;
    let names = &["text", "client_msg_id", "reply_to", "file_id", "ack"];
    let mut fields = json_object(&body, names)?;
    let level: AckLevel = parse_ack_level(fields.optional_str("ack")?.as_deref())?;
    let file = fields.optional_str("file_id")?;
    let message = NewMessage {
        text: fields
            .optional_str("text")?
            .unwrap_or_default()
            .into_owned(),
        client_msg_id: client_msg_id(&call, fields.optional_str("client_msg_id")?.as_deref())?,
        reply_to: fields.optional_id("reply_to")?,
        file: file.as_deref().map(parse_file_id).transpose()?,
        level,
    };
    let sent = call
        .context
        .chat
        .send_acked(&channel, &user, message)
        .await?;
    let status = match sent.duplicate {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    let sent = Sent {
        id: sent.id,
        duplicate: sent.duplicate,
        level: level.as_str(),
    };
    Ok(json(status, &sent))
}

/// `PATCH /channels/<c>/messages/<id>`
pub async fn edit(mut call: Call) -> Result<Response, Problem> {
    let (user, channel) = find(&call).await?;
    let body = call.json().await?;
    let mut fields = json_object(&body, &["text", "client_msg_id"])?;
    let text = fields.required_str("text")?.into_owned();
    let given = fields.optional_str("client_msg_id")?;
    let client_msg_id = client_msg_id(&call, given.as_deref())?;
    change(
        &call,
        &user,
        &channel,
        client_msg_id,
        ChangeKind::Edit { text },
    )
    .await
}

/// `DELETE /channels/<c>/messages/<id>`
pub async fn delete(call: Call) -> Result<Response, Problem> {
    let (user, channel) = find(&call).await?;
    let client_msg_id = client_msg_id(&call, None)?;
    change(&call, &user, &channel, client_msg_id, ChangeKind::Delete).await
}

/// `PUT /channels/<c>/messages/<id>/reactions/<emoji>`
pub async fn react(call: Call) -> Result<Response, Problem> {
    reaction(call, true).await
}

/// `DELETE /channels/<c>/messages/<id>/reactions/<emoji>`
pub async fn take_back(call: Call) -> Result<Response, Problem> {
    reaction(call, false).await
}

async fn reaction(call: Call, on: bool) -> Result<Response, Problem> {
    let (user, channel) = find(&call).await?;
    let client_msg_id = client_msg_id(&call, None)?;
    let emoji = emoji(call.param("emoji"))?;
    let kind = ChangeKind::React { emoji, on };
    change(&call, &user, &channel, client_msg_id, kind).await
}

async fn change(
    call: &Call,
    user: &UserName,
    channel: &HubChannel,
    client_msg_id: Option<ClientMsgId>,
    kind: ChangeKind,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Changed {
        id: Id,
        event: Id,
        duplicate: bool,
    }
    let target = call.param("id").parse().map_err(|_| {
        let text = "The id of a message has 1 to 20 decimal digits.";
        Problem::new(Code::IdInvalid, text).field("id")
    })?;
    let change = MessageChange {
        target,
        client_msg_id,
        kind,
    };
    let sent = call
        .context
        .chat
        .change_acked(channel, user, change)
        .await?;
    let changed = Changed {
        id: target,
        event: sent.id,
        duplicate: sent.duplicate,
    };
    Ok(json(StatusCode::OK, &changed))
}

async fn find(call: &Call) -> Result<(UserName, Arc<HubChannel>), Problem> {
    call.no_query()?;
    let user = call.identity().await?.user;
    let channel = call.context.chat.find_for(&user, call.param("c")).await?;
    Ok((user, channel))
}

/// From the header or from the body; both may be there if they are equal.
fn client_msg_id(call: &Call, in_body: Option<&str>) -> Result<Option<ClientMsgId>, Problem> {
    let in_header = call.request.headers.get(IDEMPOTENCY_KEY);
    let in_header = in_header.map(|value| value.to_str().unwrap_or_default());
    match (in_header, in_body) {
        (Some(header), Some(body)) if header != body => {
            let allowed = "the same as the header Idempotency-Key, or absent";
            Err(field_invalid("client_msg_id", allowed))
        }
        (header, body) => header.or(body).map(parse_client_msg_id).transpose(),
    }
}
