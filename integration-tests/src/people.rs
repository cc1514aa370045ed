//! People who have an account.

use std::sync::Arc;
use std::time::Duration;

use lakechat_client::{Api, Credentials, Events, Login, Options, Session};
use lakechat_core::domain::ChannelName;
use serde_json::json;

use crate::{Server, Ws};

/// A user who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    pub login: Login,
    api: Api,
}

pub const PASSWORD: &str = "correct horse";

impl Person {
    pub async fn register(server: &Server, name: &str) -> Person {
        Person::register_at(&server.url(), name).await
    }

    /// Through what is in front of the servers.
    pub async fn register_at(url: &str, name: &str) -> Person {
        let api = Api::new(url.parse().expect("a URL")).expect("a client");
        let login = api.register(name, PASSWORD).await.expect("a free name");
        Person { login, api }
    }

    pub fn name(&self) -> &str {
        self.login.user.as_str()
    }

    pub fn token(&self) -> &str {
        self.login.token.expose()
    }

    pub fn refresh_token(&self) -> &str {
        self.login.refresh_token.expose()
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A raw WebSocket that has read its welcome.
    pub async fn connect(&self, server: &Server) -> Ws {
        Ws::connect(server.address(), self.token()).await
    }

    /// The same, joined to a channel.
    pub async fn joined(&self, server: &Server, channel: &str) -> Ws {
        let mut ws = self.connect(server).await;
        ws.join(channel, None).await;
        ws
    }

    /// The reconnecting client; it comes back soon rather than considerately.
    pub fn session(&self) -> (Session, Events) {
        self.session_with(|_| ())
    }

    pub fn session_with(&self, adjust: impl FnOnce(&mut Options)) -> (Session, Events) {
        let mut options = Options {
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(500),
            ..Options::default()
        };
        adjust(&mut options);
        let credentials = Credentials::new(self.api.clone(), self.login.clone());
        Session::start(Arc::new(credentials), options)
    }

    pub async fn create_channel(&self, server: &Server, name: &str) {
        let body = json!({"name": name, "kind": "public"});
        server
            .http()
            .post("/channels", self.token(), body)
            .await
            .expect(201);
    }

    /// All of a channel's messages by way of its pages, oldest first.
    pub async fn history(&self, server: &Server, channel: &str) -> Vec<serde_json::Value> {
        let mut messages = Vec::new();
        let first = format!("/channels/{channel}/messages?after=0&limit=200");
        let mut page = server
            .http()
            .get(&first, self.token())
            .await
            .expect(200)
            .json();
        loop {
            messages.extend(
                page["messages"]
                    .as_array()
                    .expect("messages")
                    .iter()
                    .cloned(),
            );
            let Some(cursor) = page["next"].as_str() else {
                return messages;
            };
            let next = format!("/channels/{channel}/messages?cursor={cursor}");
            page = server
                .http()
                .get(&next, self.token())
                .await
                .expect(200)
                .json();
        }
    }
}

/// A channel's name that a test knows to be one.
pub fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel's name")
}
