//! Codes of any call, and those of accounts.

use integration_tests::http::send;
use integration_tests::people::PASSWORD;
use lakechat_core::domain::Code;
use reqwest::Method;
use serde_json::json;

use super::{Case, refusal};

pub const CASES: &[Case] = &[
    (Code::BadJson, 400, |s| {
        Box::pin(async move {
            let request = s.http().request(Method::POST, "/login");
            let request = request.header("content-type", "application/json").body("{");
            refusal(&send(request).await)
        })
    }),
    (Code::FieldMissing, 400, |s| {
        Box::pin(async move {
            let body = json!({"username": "ann"});
            refusal(&s.http().open(Method::POST, "/login", body).await)
        })
    }),
    (Code::FieldInvalid, 400, |s| {
        Box::pin(async move {
            let body = json!({"name": "secret", "kind": "private"});
            s.post("/channels", body).await
        })
    }),
    (Code::ParamUnknown, 400, |s| {
        Box::pin(s.get("/channels?colour=red"))
    }),
    (Code::BadRequest, 400, |s| {
        Box::pin(s.raw("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()))
    }),
    (Code::HeadersTooLarge, 431, |s| {
        let many = "x: y\r\n".repeat(101);
        Box::pin(s.raw(format!("GET /me HTTP/1.1\r\nhost: localhost\r\n{many}\r\n")))
    }),
    (Code::HostNotAllowed, 421, |s| {
        Box::pin(
            s.raw("GET /me HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_owned()),
        )
    }),
    (Code::NotAuthenticated, 401, |s| {
        Box::pin(async move { refusal(&s.http().get("/me", "nonsense").await) })
    }),
    (Code::TokenRevoked, 401, |s| {
        Box::pin(async move {
            let login = s.ann.api().login("ann", PASSWORD).await.expect("she may");
            let token = login.token.expose();
            s.ann.api().logout(token).await.expect("she may");
            let body = json!({"refresh_token": login.refresh_token.expose()});
            refusal(&s.http().open(Method::POST, "/token/refresh", body).await)
        })
    }),
    (Code::UpgradeRequired, 426, |s| Box::pin(s.get("/chat"))),
    (Code::NotFound, 404, |s| Box::pin(s.get("/nowhere"))),
    (Code::MethodNotAllowed, 405, |s| {
        Box::pin(async move {
            let answer = s
                .http()
                .call(Method::DELETE, "/healthz", s.ann.token())
                .await;
            assert!(
                answer
                    .header("allow")
                    .is_some_and(|allow| allow.contains("GET"))
            );
            refusal(&answer)
        })
    }),
    (Code::LengthRequired, 411, |s| {
        Box::pin(
            s.raw(
                "POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\n\r\n"
                    .to_owned(),
            ),
        )
    }),
    (Code::TransferCodingUnsupported, 501, |s| {
        Box::pin(
            s.raw(
                "POST /login HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\
                 connection: close\r\n\r\n0\r\n\r\n"
                    .to_owned(),
            ),
        )
    }),
    (Code::BodyTooLarge, 413, |s| {
        Box::pin(async move { s.register("eve", &"x".repeat(70_000)).await })
    }),
    (Code::MediaTypeUnsupported, 415, |s| {
        Box::pin(async move {
            let request = s.http().request(Method::POST, "/login");
            let request = request.header("content-type", "text/plain").body("{}");
            refusal(&send(request).await)
        })
    }),
    (Code::UsernameTaken, 409, |s| {
        Box::pin(s.register("ann", PASSWORD))
    }),
    (Code::UsernameInvalid, 400, |s| {
        Box::pin(s.register("Ann", PASSWORD))
    }),
    (Code::PasswordTooShort, 400, |s| {
        Box::pin(s.register("eve", "seven77"))
    }),
    (Code::PasswordTooLong, 400, |s| {
        Box::pin(async move { s.register("eve", &"x".repeat(1_025)).await })
    }),
    (Code::PasswordTooCommon, 400, |s| {
        Box::pin(s.register("eve", "Password1"))
    }),
    (Code::InvalidCredentials, 401, |s| {
        Box::pin(async move {
            let body = json!({"username": "ann", "password": "wrong horse"});
            refusal(&s.http().open(Method::POST, "/login", body).await)
        })
    }),
    (Code::AdminRequired, 403, |s| {
        Box::pin(s.get("/admin/users"))
    }),
    (Code::LoginNotFound, 404, |s| {
        Box::pin(s.bob(
            Method::DELETE,
            "/me/logins/00000000-0000-4000-8000-000000000000",
        ))
    }),
    (Code::UserNotFound, 404, |s| {
        Box::pin(s.get("/users/nobody"))
    }),
];
