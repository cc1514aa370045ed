//! Every error code that clients can hold on to, each caused from outside.

mod calls;
mod channels;
mod files;
mod frames;
mod outages;

use std::collections::BTreeSet;
use std::pin::Pin;

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Http, Person, Server, Ws};
use lakechat::domain::Code;
use reqwest::Method;
use serde_json::{Value, json};

/// The largest file that the stage's server takes.
const MAX_FILE_BYTES: usize = 1_000_000;

/// A server with two people, one of whom owns a channel.
struct Stage {
    server: Server,
    ann: Person,
    bob: Person,
}

/// How a server said no: the status over HTTP, and the code.
type Refusal = (u16, String);
type Refused<'a> = Pin<Box<dyn Future<Output = Refusal> + 'a>>;
/// A code, the status that it has over HTTP (0: it comes in a frame), and how to get it.
type Case = (Code, u16, fn(&Stage) -> Refused<'_>);

/// Codes whose test needs a server of its own, and where it stands.
const ELSEWHERE: &[(Code, &str)] = &[
    (
        Code::TokenExpired,
        "tokens: expired_token_is_refused_by_name",
    ),
    (Code::RateLimited, "limits: all of it"),
    (Code::RequestTimeout, "codes: slow_body_is_request_timeout"),
    (
        Code::StorageUnavailable,
        "codes: file_store_that_fails_is_storage_unavailable",
    ),
    (
        Code::BrokerUnavailable,
        "codes: locked_database_is_broker_and_directory_unavailable",
    ),
    (
        Code::DirectoryUnavailable,
        "codes: locked_database_is_broker_and_directory_unavailable",
    ),
];

/// Codes that nobody outside can cause in embedded mode, and why.
const OUT_OF_REACH: &[(Code, &str)] = &[
    (Code::Internal, "says that the server has a bug"),
    (
        Code::HistoryUnavailable,
        "SQLite in WAL mode reads whatever else happens to the file",
    ),
    (Code::ClockSkew, "the log and the server go by one clock"),
    (
        Code::Expired,
        "a retry has to be over ten minutes old; the fold's own tests have it",
    ),
    (
        Code::PersistTimeout,
        "log and history are one file: what is in one can be put in the other",
    ),
    (
        Code::MessageNotFound,
        "only frames that come later refer to a message so",
    ),
    (
        Code::ShuttingDown,
        "a draining server closes sockets before it could be asked; only a race shows it",
    ),
];

fn cases() -> Vec<Case> {
    [calls::CASES, channels::CASES, files::CASES, frames::CASES].concat()
}

impl Stage {
    async fn set() -> Stage {
        let max_bytes = MAX_FILE_BYTES.to_string();
        let server = Server::with(&[("LAKECHAT_FILES__MAX_BYTES", &max_bytes)]).await;
        let ann = Person::register(&server, "ann").await;
        let bob = Person::register(&server, "bob").await;
        ann.create_channel(&server, "anns").await;
        Stage { server, ann, bob }
    }

    fn http(&self) -> &Http {
        self.server.http()
    }

    async fn get(&self, path: &str) -> Refusal {
        refusal(&self.http().get(path, self.ann.token()).await)
    }

    async fn post(&self, path: &str, body: Value) -> Refusal {
        refusal(&self.http().post(path, self.ann.token(), body).await)
    }

    async fn bob(&self, method: Method, path: &str) -> Refusal {
        refusal(&self.http().call(method, path, self.bob.token()).await)
    }

    async fn register(&self, user: &str, password: &str) -> Refusal {
        let body = json!({"username": user, "password": password});
        refusal(&self.http().open(Method::POST, "/register", body).await)
    }

    /// Ann, joined to general.
    async fn ws(&self) -> Ws {
        self.ann.joined(&self.server, "general").await
    }

    /// What a frame of hers is refused with.
    async fn frame(&self, frame: Value) -> Refusal {
        (0, self.ws().await.refused(frame).await)
    }

    /// What answers a request written by hand.
    async fn raw(&self, request: String) -> Refusal {
        let answer = self.http().raw(&request).await;
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let body = body.and_then(|body| serde_json::from_str::<Value>(body).ok());
        let code = body.and_then(|body| body["error"]["code"].as_str().map(str::to_owned));
        (
            status.unwrap_or_else(|| panic!("an answer: {answer}")),
            code.unwrap_or_else(|| panic!("a refusal: {answer}")),
        )
    }
}

/// Looks a refusal over: each has its text, and its request id in two places.
fn refusal(answer: &Answer) -> Refusal {
    let error = &answer.json()["error"];
    assert!(
        error["message"].as_str().is_some_and(|m| !m.is_empty()),
        "{error}"
    );
    assert_eq!(
        error["request_id"].as_str(),
        answer.header("x-request-id"),
        "{error}"
    );
    if answer.status.as_u16() == 401 {
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    if [429, 503].contains(&answer.status.as_u16()) {
        assert!(answer.header("retry-after").is_some(), "{error}");
    }
    (answer.status.as_u16(), answer.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_code_is_caused_by_what_it_is_for() {
    let stage = Stage::set().await;
    let mut wrong = Vec::new();
    for (code, status, provoke) in cases() {
        let wanted = (status, code.as_str().to_owned());
        let got = provoke(&stage).await;
        if got != wanted {
            wrong.push(format!("wanted {wanted:?}, got {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_code_is_provoked_or_said_to_be_out_of_reach() {
    let provoked = cases().into_iter().map(|(code, ..)| code);
    let listed = ELSEWHERE.iter().chain(OUT_OF_REACH).map(|(code, _)| *code);
    let known: Vec<_> = provoked.chain(listed).map(Code::as_str).collect();
    let all: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let unique: BTreeSet<_> = known.iter().copied().collect();
    let missing: Vec<_> = all.difference(&unique).collect();
    assert!(missing.is_empty(), "nothing provokes {missing:?}");
    for (code, _) in OUT_OF_REACH {
        let times = known
            .iter()
            .filter(|known| **known == code.as_str())
            .count();
        assert_eq!(times, 1, "{} is within reach after all", code.as_str());
    }
}

#[tokio::test]
async fn unknown_user_and_wrong_password_are_told_alike() {
    let stage = Stage::set().await;
    let login = async |user: &str| {
        let body = json!({"username": user, "password": format!("{PASSWORD}?")});
        let answer = stage
            .http()
            .open(Method::POST, "/login", body)
            .await
            .expect(401);
        answer.json()["error"]["message"].clone()
    };
    assert_eq!(login("ann").await, login("nobody").await);
}
