//! The calls to a server, as an admin.

use anyhow::{Context, Result, bail};
use clap::Args;
use http::Method;
use reqwest::{RequestBuilder, Url};
use serde_json::Value;

use crate::cli::chat::{check_privacy, plain, server, user_name};
use crate::cli::password::PasswordArgs;
use lakechat_client::{Api, Login};
use lakechat_core::domain::UserName;

/// The largest page of a list.
const PAGE: usize = 200;

#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// The URL of a server; on other hosts it must begin with https://
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = server, value_name = "URL")]
    url: Url,
    /// The admin's user name; the name of the user on this machine unless given
    #[arg(long, env = "USER", hide_env_values = true, value_parser = user_name, value_name = "NAME")]
    user: UserName,
    #[command(flatten)]
    password: PasswordArgs,
    /// Allow http:// to other hosts: everybody on the way can read the passwords
    #[arg(long)]
    insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A login of the admin, for the time of one command.
pub struct ServerSession {
    api: Api,
    login: Login,
}

impl ServerSession {
    pub async fn open(args: &ServerArgs) -> Result<ServerSession> {
        check_privacy(&args.url, args.insecure)?;
        let password = args.password.read(&args.user, false).await?;
        let api = Api::new(args.url.clone())?;
        let login = api.login(args.user.as_str(), &password).await;
        let login = login.map_err(|error| {
            let (user, url) = (&args.user, &args.url);
            anyhow::anyhow!(plain(&format!("{user} can't log in at {url}: {error}")))
        })?;
        Ok(ServerSession { api, login })
    }

    /// The answer to a call; null if it has no body.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let request = self.api.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send(request).await
    }

    /// Up to `limit` items of a list that is read by pages.
    pub async fn list(&self, path: &str, items: &str, limit: usize) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        while all.len() < limit {
            let count = PAGE.min(limit - all.len()).to_string();
            let after_last = after.as_deref().map(|after| ("after", after));
            let query: Vec<_> = [("limit", &*count)].into_iter().chain(after_last).collect();
            let mut page = self
                .send(self.api.request_with(Method::GET, path, &query))
                .await?;
            if let Value::Array(more) = page[items].take() {
                all.extend(more);
            }
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(all)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value> {
        let request = request.bearer_auth(self.login.token.expose());
        let answer = request
            .send()
            .await
            .context("no response from the server")?;
        let status = answer.status();
        let text = answer.text().await.context("no complete response")?;
        if status.is_success() {
            let json = if text.is_empty() { "null" } else { &text };
            return serde_json::from_str(json).context("the response is not lakechat's");
        }
        let refusal: Value = serde_json::from_str(&text).unwrap_or_default();
        let (code, message) = (&refusal["error"]["code"], &refusal["error"]["message"]);
        match (code.as_str(), message.as_str()) {
            // A server may say anything.
            (Some(code), Some(message)) => bail!(plain(&format!("{code}: {message}"))),
            _ => bail!("HTTP {status}, with a response that is not lakechat's"),
        }
    }

    /// One call by a login of its own.
    pub async fn one_call(
        server: &ServerArgs,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let session = ServerSession::open(server).await?;
        let answer = session.call(method, path, body).await;
        // The call may have ended this very login.
        let closed = session.close().await;
        let answer = answer?;
        if let Err(error) = closed {
            eprintln!(
                "lakechat: could not log out; the login session of this command stays valid: {error:#}"
            );
        }
        Ok(answer)
    }

    /// Ends the login.
    pub async fn close(self) -> Result<()> {
        Ok(self.api.logout(self.login.token.expose()).await?)
    }
}
