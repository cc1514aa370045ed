//! Codes of channels and their history.

use lakechat_core::domain::Code;
use reqwest::Method;
use serde_json::json;

use super::{Case, refusal};

pub const CASES: &[Case] = &[
    (Code::ChannelExists, 409, |s| {
        Box::pin(async move {
            let body = json!({"name": "anns", "kind": "public"});
            refusal(&s.http().post("/channels", s.bob.token(), body).await)
        })
    }),
    (Code::ChannelNameInvalid, 400, |s| {
        Box::pin(s.post("/channels", json!({"name": "No Name", "kind": "public"})))
    }),
    (Code::ChannelNotFound, 404, |s| {
        Box::pin(s.get("/channels/nowhere"))
    }),
    (Code::ChannelArchived, 409, |s| {
        Box::pin(async move {
            s.ann.create_channel(&s.server, "gone").await;
            let token = s.ann.token();
            s.http().call(Method::DELETE, "/channels/gone", token).await;
            let request = s.http().request(Method::PATCH, "/channels/gone");
            let request = request.bearer_auth(token).json(&json!({"topic": "late"}));
            refusal(&integration_tests::http::send(request).await)
        })
    }),
    (Code::RoleRequired, 403, |s| {
        Box::pin(s.bob(Method::DELETE, "/channels/anns"))
    }),
    (Code::LastOwner, 409, |s| {
        Box::pin(async move {
            s.ann.create_channel(&s.server, "shared").await;
            let (put, bob) = (Method::PUT, s.bob.token());
            let joined = s
                .http()
                .call(put, "/channels/shared/members/bob", bob)
                .await;
            joined.expect(200);
            let me = "/channels/shared/members/ann";
            refusal(&s.http().call(Method::DELETE, me, s.ann.token()).await)
        })
    }),
    (Code::ParamsExclusive, 400, |s| {
        Box::pin(s.get("/channels/general/messages?before=1&after=1"))
    }),
    (Code::LimitInvalid, 400, |s| {
        Box::pin(s.get("/channels/general/messages?limit=201"))
    }),
    (Code::CursorInvalid, 400, |s| {
        Box::pin(s.get("/channels/general/messages?cursor=nonsense"))
    }),
];
