//! `GET /channels/<c>/presence`: the members who are online.

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use super::call::Call;
use super::response::json;
use lakechat_core::chat::{ChannelPresence, PresentSession, PresentUser};
use lakechat_core::domain::{Problem, UserName};
use lakechat_core::limits::RequestKind;

#[derive(Serialize)]
struct PresenceObject {
    degraded: bool,
    members: Vec<PersonObject>,
}

#[derive(Serialize)]
struct PersonObject {
    user: UserName,
    /// Always `online`: users without a session are not listed.
    state: &'static str,
    sessions: Vec<SessionObject>,
}

#[derive(Serialize)]
struct SessionObject {
    server: String,
    since: u64,
}

/// Whoever may read the channel may ask.
pub async fn get(call: Call) -> Result<Response, Problem> {
    let user = call.identity_for(RequestKind::Page).await?.user;
    call.no_query()?;
    let chat = &call.context.chat;
    let channel = chat.find_as_known(&user, call.param("c")).await?;
    let found = chat.presence(&channel).await;
    Ok(json(StatusCode::OK, &PresenceObject::from(found)))
}

impl From<ChannelPresence> for PresenceObject {
    fn from(found: ChannelPresence) -> PresenceObject {
        PresenceObject {
            degraded: found.degraded,
            members: found.people.into_iter().map(PersonObject::from).collect(),
        }
    }
}

impl From<PresentUser> for PersonObject {
    fn from(person: PresentUser) -> PersonObject {
        let sessions = person.sessions.into_iter();
        PersonObject {
            user: person.user,
            state: "online",
            sessions: sessions
                .map(|PresentSession { since_ms, server }| SessionObject {
                    server: server.to_string(),
                    since: since_ms,
                })
                .collect(),
        }
    }
}
