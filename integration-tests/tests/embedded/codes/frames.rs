//! Codes that come in frames.

use integration_tests::ws::send_frame;
use lakechat_core::domain::Code;
use serde_json::json;

use super::Case;

pub const CASES: &[Case] = &[
    (Code::BadFrame, 0, |s| {
        Box::pin(async move {
            let mut ws = s.ws().await;
            ws.raw("[1,2".into()).await;
            let error = ws.of_type("error").await;
            let code = error["error"]["code"].as_str();
            (0, code.expect("a code").to_owned())
        })
    }),
    (Code::UnknownType, 0, |s| {
        Box::pin(s.frame(json!({"type": "sparkle"})))
    }),
    (Code::FieldMissing, 0, |s| {
        Box::pin(s.frame(json!({"type": "join"})))
    }),
    (Code::FieldInvalid, 0, |s| {
        Box::pin(s.frame(json!({"type": "join", "channel": "anns", "after": "yesterday"})))
    }),
    (Code::CursorInvalid, 0, |s| {
        let after = "9000000000000000000";
        Box::pin(s.frame(json!({"type": "join", "channel": "anns", "after": after})))
    }),
    (Code::ChannelNotFound, 0, |s| {
        Box::pin(s.frame(json!({"type": "join", "channel": "no such name"})))
    }),
    (Code::NotAMember, 0, |s| {
        Box::pin(s.frame(send_frame("anns", "x-1", "hi")))
    }),
    (Code::MessageTooLarge, 0, |s| {
        Box::pin(s.frame(send_frame("general", "x-1", &"x".repeat(16_385))))
    }),
    (Code::IdempotencyConflict, 0, |s| {
        Box::pin(async move {
            let mut ws = s.ws().await;
            ws.say("general", "x-2", "one").await;
            (0, ws.refused(send_frame("general", "x-2", "another")).await)
        })
    }),
    (Code::ParentNotFound, 0, |s| {
        let mut send = send_frame("general", "x-3", "hi");
        send["reply_to"] = json!("1");
        Box::pin(s.frame(send))
    }),
    (Code::AttachmentInvalid, 0, |s| {
        let mut send = send_frame("general", "x-4", "hi");
        send["file_id"] = json!(uuid::Uuid::new_v4());
        Box::pin(s.frame(send))
    }),
    (Code::MessageNotFound, 0, |s| {
        let delete = json!({"type": "delete", "channel": "general", "id": "1"});
        Box::pin(s.frame(delete))
    }),
    (Code::NotAuthor, 0, |s| {
        Box::pin(async move {
            let mut ws = s.ws().await;
            let sent = ws.say("general", "x-5", "hi").await;
            let edit =
                json!({"type": "edit", "channel": "general", "id": sent["id"], "text": "ho"});
            let mut bob = s.bob.joined(&s.server, "general").await;
            (0, bob.refused(edit).await)
        })
    }),
    (Code::EmojiInvalid, 0, |s| {
        let react = json!({"type": "react", "channel": "general", "id": "1", "emoji": "yes"});
        Box::pin(s.frame(react))
    }),
    (Code::TooManyChannels, 0, |s| {
        Box::pin(async move {
            let mut ws = s.ws().await;
            let most = ws.welcome["limits"]["channels"].as_u64().expect("a limit");
            // General is the first of them.
            for n in 1..=most {
                let name = format!("many-{n}");
                s.bob.create_channel(&s.server, &name).await;
                if n < most {
                    ws.join(&name, None).await;
                }
            }
            let join = json!({"type": "join", "channel": format!("many-{most}")});
            (0, ws.refused(join).await)
        })
    }),
];
