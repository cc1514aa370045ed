//! Registering, logging in and out, and looking up users.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue, USER_AGENT};
use serde::Serialize;
use warp::reply::Response;

use super::body::json_object;
use super::call::Call;
use super::response;
use lakechat_core::accounts::{Accounts, Identity, Login, LoginClient};
use lakechat_core::domain::{Code, Problem, UserName};

/// `POST /register`
pub async fn register(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json().await?;
    create_account(&call.context.accounts, login_client(&call), &body).await
}

async fn create_account(
    accounts: &Accounts,
    client: LoginClient,
    body: &[u8],
) -> Result<Response, Problem> {
    let mut fields = json_object(body, &["username", "password", "invite"])?;
    let username = fields.required_str("username")?;
    let password = fields.required_str("password")?;
    let invite = fields.optional_str("invite")?;
    let login = accounts
        .register(client, &username, &password, invite.as_deref())
        .await?;
    Ok(tokens(StatusCode::CREATED, &login))
}

/// `POST /login`
pub async fn login(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json().await?;
    log_in(&call.context.accounts, login_client(&call), &body).await
}

async fn log_in(
    accounts: &Accounts,
    client: LoginClient,
    body: &[u8],
) -> Result<Response, Problem> {
    let mut fields = json_object(body, &["username", "password"])?;
    let username = fields.required_str("username")?;
    let password = fields.required_str("password")?;
    let login = accounts.login(client, &username, &password).await?;
    Ok(tokens(StatusCode::OK, &login))
}

/// `POST /token/refresh`
pub async fn refresh(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let body = call.json().await?;
    renew(&call.context.accounts, login_client(&call), &body).await
}

async fn renew(accounts: &Accounts, client: LoginClient, body: &[u8]) -> Result<Response, Problem> {
    let mut fields = json_object(body, &["refresh_token"])?;
    let token = fields.required_str("refresh_token")?;
    let login = accounts.refresh(client, &token).await?;
    Ok(tokens(StatusCode::OK, &login))
}

/// `POST /logout`
pub async fn logout(mut call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let identity = call.identity().await?;
    let body = call.optional_json().await?;
    log_out(&call.context.accounts, &identity, body.as_deref()).await
}

async fn log_out(
    accounts: &Accounts,
    identity: &Identity,
    body: Option<&[u8]>,
) -> Result<Response, Problem> {
    let all = match body {
        Some(body) => json_object(body, &["all"])?.optional_bool("all")?,
        None => None,
    };
    if all == Some(true) {
        accounts.end_logins(&identity.user, |_| true).await?;
    }
    accounts.logout(identity).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Who logs in, for the list of the user's logins.
pub(super) fn login_client(call: &Call) -> LoginClient {
    let name = call.request.headers.get(USER_AGENT);
    let name = name.and_then(|name| name.to_str().ok());
    LoginClient::new(call.request.client.0, name)
}

/// `GET /users/<u>`
pub async fn user(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    call.identity().await?;
    find_user(&call.context.accounts, call.param("u")).await
}

async fn find_user(accounts: &Accounts, name: &str) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct UserObject<'a> {
        user: &'a UserName,
        created_at: u64,
    }
    let name = UserName::parse(name)
        .map_err(|_| Problem::new(Code::UserNotFound, "There is no such user."))?;
    let user = accounts.user(&name).await?;
    let object = UserObject {
        user: &user.name,
        created_at: user.created_at_ms,
    };
    Ok(response::json(StatusCode::OK, &object))
}

fn tokens(status: StatusCode, login: &Login) -> Response {
    #[derive(Serialize)]
    struct TokensObject<'a> {
        user: &'a UserName,
        token: &'a str,
        expires_in: u64,
        refresh_token: &'a str,
    }
    let object = TokensObject {
        user: &login.user,
        token: login.token.expose(),
        expires_in: login.expires_in_s,
        refresh_token: login.refresh_token.expose(),
    };
    let mut response = response::json(status, &object);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use lakechat_core::accounts::test_directory::TestDirectory;
    use lakechat_core::accounts::{AccountsPorts, AccountsSettings, Registration};
    use lakechat_core::domain::Secret;
    use lakechat_core::ports::revocations::OnlyServer;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn accounts() -> Accounts {
        let settings = AccountsSettings {
            signing_key: Secret::new(vec![7; 32]),
            access_token: Duration::from_secs(900),
            refresh_token: Duration::from_secs(3600),
            login_max: Duration::from_secs(90 * 24 * 3600),
            logins_per_address: 0,
            registration: Registration::Open,
        };
        let directory = Arc::new(TestDirectory::default());
        let ports = AccountsPorts {
            users: directory.clone(),
            login_sessions: directory.clone(),
            invites: directory,
            revocations: Arc::new(OnlyServer),
        };
        Accounts::new(ports, settings).expect("threads")
    }

    async fn body(answer: Response) -> Value {
        let bytes = answer.into_body().collect().await.expect("a body");
        serde_json::from_slice(&bytes.to_bytes()).expect("JSON")
    }

    #[tokio::test]
    async fn answers_have_the_status_and_fields_that_clients_rely_on() {
        let accounts = accounts();
        let ann = r#"{"username":"ann","password":"correct horse"}"#;
        let made = create_account(&accounts, HOME.into(), ann.as_bytes())
            .await
            .expect("made");
        assert_eq!(made.status(), StatusCode::CREATED);
        assert_eq!(made.headers()[CACHE_CONTROL], "no-store");
        let made = body(made).await;
        assert_eq!(
            (&made["user"], &made["expires_in"]),
            (&"ann".into(), &900.into())
        );

        let again = log_in(&accounts, HOME.into(), ann.as_bytes())
            .await
            .expect("in");
        assert_eq!(again.status(), StatusCode::OK);
        let token = body(again).await["token"]
            .as_str()
            .expect("text")
            .to_owned();
        let identity = accounts.authenticate(&token).await.expect("good");
        let out = log_out(&accounts, &identity, None).await.expect("out");
        assert_eq!(out.status(), StatusCode::NO_CONTENT);

        let text = format!(r#"{{"refresh_token":{}}}"#, made["refresh_token"]);
        let next = renew(&accounts, HOME.into(), text.as_bytes())
            .await
            .expect("next");
        assert_eq!(next.status(), StatusCode::OK);
        assert_ne!(body(next).await["refresh_token"], made["refresh_token"]);

        let shown = find_user(&accounts, "ann").await.expect("there");
        let shown = body(shown).await;
        assert!(
            shown["created_at"].is_u64() && shown["user"] == "ann",
            "{shown}"
        );
    }

    #[tokio::test]
    async fn a_user_that_is_not_there_or_can_not_be_is_not_found() {
        for name in ["bob", "No Name"] {
            let problem = find_user(&accounts(), name).await.expect_err("nobody");
            assert_eq!(problem.code, Code::UserNotFound);
        }
    }
}
