//! Every error code that clients can hold on to, each caused from outside.

mod calls;
mod channels;
mod files;
mod frames;
mod outages;

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;

use integration_tests::people::PASSWORD;
use integration_tests::{Answer, Http, Person, Server, Ws};
use lakechat_core::domain::Code;
use reqwest::Method;
use serde_json::{Value, json};

use crate::MODE;

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

/// Codes whose test needs a server of its own, and where it stands: the test's file or folder, and its
/// name.
const ELSEWHERE: &[(Code, &str, &str)] = &[
    (
        Code::SignatureInvalid,
        "both_modes/links.rs",
        "url_that_was_changed_is_refused",
    ),
    (
        Code::UrlExpired,
        "both_modes/links.rs",
        "url_ends_at_its_expiry",
    ),
    (
        Code::LastAdmin,
        "both_modes/administration.rs",
        "admin_manages_accounts_and_each_action_is_recorded",
    ),
    (
        Code::AccountDisabled,
        "embedded/disabled_accounts.rs",
        "disabled_account_has_no_login_and_no_signed_urls",
    ),
    (
        Code::InviteInvalid,
        "both_modes/registration.rs",
        "invite_lets_people_register_at_a_server_that_takes_them",
    ),
    (
        Code::InviteNotFound,
        "both_modes/administration.rs",
        "admin_manages_accounts_and_each_action_is_recorded",
    ),
    (
        Code::RegistrationClosed,
        "both_modes/registration.rs",
        "server_that_is_closed_has_the_accounts_that_its_operator_creates",
    ),
    (
        Code::SizeMismatch,
        "embedded/signed_uploads.rs",
        "url_takes_one_file_of_its_size_without_a_token",
    ),
    (
        Code::AlreadyUsed,
        "embedded/signed_uploads.rs",
        "url_takes_one_file_of_its_size_without_a_token",
    ),
    (
        Code::UploadExpired,
        "embedded/uploads.rs",
        "upload_expires_and_the_sweeper_removes_its_bytes",
    ),
    (
        Code::TokenExpired,
        "both_modes/tokens.rs",
        "expired_token_is_refused_by_name",
    ),
    (
        Code::RateLimited,
        "both_modes/limits.rs",
        "logins_per_address",
    ),
    (
        Code::RequestTimeout,
        "embedded/codes/outages.rs",
        "slow_body_is_request_timeout",
    ),
    (
        Code::StorageUnavailable,
        "embedded/codes/outages.rs",
        "file_store_that_fails_is_storage_unavailable",
    ),
    (
        Code::BrokerUnavailable,
        "embedded/codes/outages.rs",
        "locked_database_is_broker_and_directory_unavailable",
    ),
    (
        Code::DirectoryUnavailable,
        "embedded/codes/outages.rs",
        "locked_database_is_broker_and_directory_unavailable",
    ),
    (
        Code::ShuttingDown,
        "embedded/codes/outages.rs",
        "session_that_is_asked_for_in_the_drain_is_refused_as_shutting_down",
    ),
    // What a healthy disk does not cause: by the real parts with a log and a history between them that
    // do as the test wants.
    (
        Code::HistoryUnavailable,
        "read_path/answers.rs",
        "reads_are_history_unavailable_while_history_is_away",
    ),
    (
        Code::ClockSkew,
        "read_path/answers.rs",
        "record_a_minute_from_the_logs_clock_is_clock_skew_and_the_retry_is_the_first",
    ),
    (
        Code::Expired,
        "read_path/answers.rs",
        "retry_whose_first_try_left_the_window_is_expired_by_the_log_and_by_the_own_window",
    ),
    (
        Code::PersistTimeout,
        "read_path/answers.rs",
        "message_that_is_not_in_history_after_30_s_is_persist_timeout_with_its_id",
    ),
    (
        Code::EditWindowPassed,
        "embedded/changes.rs",
        "sender_may_change_a_message_for_a_while_and_an_owner_for_ever",
    ),
];

/// Codes that nobody can cause, and why.
const OUT_OF_REACH: &[(Code, &str)] = &[(Code::Internal, "says that the server has a bug")];

fn cases() -> Vec<Case> {
    [calls::CASES, channels::CASES, files::CASES, frames::CASES].concat()
}

impl Stage {
    async fn set() -> Stage {
        let max_bytes = MAX_FILE_BYTES.to_string();
        let server = Server::with(MODE, &[("LAKECHAT_FILES__MAX_BYTES", &max_bytes)]).await;
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
    let elsewhere = ELSEWHERE.iter().map(|(code, ..)| *code);
    let out_of_reach = OUT_OF_REACH.iter().map(|(code, _)| *code);
    let listed = elsewhere.chain(out_of_reach);
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

#[test]
fn every_test_that_is_named_stands_where_it_is_said_to() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (code, file, name) in ELSEWHERE {
        let text = std::fs::read_to_string(tests.join(file)).expect(file);
        let (code, found) = (code.as_str(), text.contains(&format!("fn {name}(")));
        assert!(found, "{code}: no {name} in {file}");
        assert!(text.contains(code), "{file} does not speak of {code}");
    }
}

#[tokio::test]
async fn unknown_user_and_wrong_password_get_the_same_answer() {
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
