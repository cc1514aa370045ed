//! Tests of accounts, over a directory in memory.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use futures_util::poll;

use super::invites::InviteCode;
use super::live_accesses::TransferAccess;
use super::test_directory::TestDirectory;
use super::*;
use crate::domain::AuditEntry;
use crate::ports::AuditTrail;
use crate::ports::revocations::{OnlyServer, Revocation, RevocationEvent};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const PASSWORD: &str = "correct horse";

fn settings() -> AccountsSettings {
    AccountsSettings {
        signing_key: Secret::new(vec![7; 32]),
        access_token: Duration::from_secs(900),
        refresh_token: Duration::from_secs(30 * 24 * 3600),
        login_max: Duration::from_secs(90 * 24 * 3600),
        logins_per_address: 0,
        registration: Registration::Open,
    }
}

fn ports(directory: &Arc<TestDirectory>) -> AccountsPorts {
    AccountsPorts {
        users: directory.clone(),
        login_sessions: directory.clone(),
        invites: directory.clone(),
        revocations: Arc::new(OnlyServer),
    }
}

fn accounts() -> (Accounts, Arc<TestDirectory>) {
    let directory = Arc::new(TestDirectory::default());
    let accounts = Accounts::new(ports(&directory), settings()).expect("threads");
    (accounts, directory)
}

async fn registered(accounts: &Accounts, name: &str) -> Login {
    let login = accounts.register(HOME, name, PASSWORD, None).await;
    login.expect("registered")
}

fn code<T>(result: Result<T, Problem>) -> Code {
    match result {
        Ok(_) => panic!("has to be refused"),
        Err(problem) => problem.code,
    }
}

#[tokio::test]
async fn who_registers_is_logged_in_and_can_log_in_again() {
    let (accounts, _) = accounts();
    let first = registered(&accounts, "ann").await;
    let second = accounts.login(AWAY, "ann", PASSWORD).await.expect("in");
    assert_eq!(first.expires_in_s, 900);
    let mut sessions = Vec::new();
    for login in [&first, &second] {
        let identity = accounts.authenticate(login.token.expose()).await;
        let identity = identity.expect("good");
        assert_eq!(identity.user.as_str(), "ann");
        sessions.push(identity.session);
    }
    assert_ne!(sessions[0], sessions[1], "each login is a session");

    let ann = UserName::parse("ann").expect("a name");
    assert_eq!(accounts.user(&ann).await.expect("there").name, ann);
    let bob = UserName::parse("bob").expect("a name");
    assert_eq!(code(accounts.user(&bob).await), Code::UserNotFound);
}

#[tokio::test]
async fn bad_names_and_passwords_are_refused_with_what_is_allowed() {
    let (accounts, _) = accounts();
    for name in ["", "Ann", "-ann", "ann smith", &"a".repeat(33)] {
        let problem = accounts.register(HOME, name, PASSWORD, None).await;
        let problem = problem.expect_err("no name");
        assert_eq!(problem.code, Code::UsernameInvalid);
        assert_eq!(problem.field.as_deref(), Some("username"));
        assert!(problem.message.contains("1 to 32"), "{}", problem.message);
    }
    let reserved = accounts.register(HOME, "admin", PASSWORD, None).await;
    assert_eq!(code(reserved), Code::UsernameTaken);
    let short = accounts.register(HOME, "ann", "1234567", None).await;
    assert_eq!(code(short), Code::PasswordTooShort);
    let long = accounts
        .register(HOME, "ann", &"x".repeat(1025), None)
        .await;
    assert_eq!(code(long), Code::PasswordTooLong);
}

#[tokio::test]
async fn where_registration_is_closed_operators_create_accounts() {
    let directory = Arc::new(TestDirectory::default());
    let closed = AccountsSettings {
        registration: Registration::Closed,
        ..settings()
    };
    let accounts = Accounts::new(ports(&directory), closed).expect("threads");
    let refused = accounts.register(HOME, "ann", PASSWORD, None).await;
    assert_eq!(code(refused), Code::RegistrationClosed);

    let admin = UserName::parse("admin").expect("a name");
    let create =
        async |password| create_admin(&*directory, &*directory, admin.clone(), password).await;
    assert_eq!(code(create("qwertyuiop").await), Code::PasswordTooCommon);
    create(PASSWORD).await.expect("created");
    assert_eq!(code(create(PASSWORD).await), Code::UsernameTaken);
    assert!(accounts.login(HOME, "admin", PASSWORD).await.is_ok());
    assert!(accounts.user(&admin).await.expect("there").is_admin);
    let audit = AuditTrail::list(&*directory, None, 9).await.expect("read");
    let done: Vec<_> = audit
        .iter()
        .map(|e| (&*e.by, &*e.action, &*e.user))
        .collect();
    assert_eq!(done, [(AuditEntry::COMMAND_LINE, "create_admin", "admin")]);
}

/// Ann and bob; ann is an admin.
async fn administered() -> (Administration, Arc<TestDirectory>, Admin, [UserName; 2]) {
    let (accounts, directory) = accounts();
    let names = ["ann", "bob"].map(|name| UserName::parse(name).expect("a name"));
    let created = create_admin(&*directory, &*directory, names[0].clone(), PASSWORD);
    created.await.expect("created");
    registered(&accounts, "bob").await;
    let login = accounts.login(HOME, "ann", PASSWORD).await.expect("in");
    let identity = accounts.authenticate(login.token.expose()).await;
    let administration = Administration::new(Arc::new(accounts), directory.clone());
    let admin = administration.admin(&identity.expect("good"), HOME).await;
    (administration, directory, admin.expect("ann is one"), names)
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let (administration, directory, admin, [ann, bob]) = administered().await;
    let remove = AccountChange {
        admin: Some(false),
        ..AccountChange::default()
    };
    let disable = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    for change in [&remove, &disable] {
        let refused = administration.change(&admin, &ann, change).await;
        assert_eq!(code(refused), Code::LastAdmin);
    }
    let make = AccountChange {
        admin: Some(true),
        ..AccountChange::default()
    };
    let made = administration.change(&admin, &bob, &make).await;
    assert!(made.expect("changed").is_admin);
    // Both see the other before, and nobody after.
    let (one, other) = tokio::join!(
        administration.change(&admin, &ann, &remove),
        administration.change(&admin, &bob, &disable),
    );
    assert!(one.is_err() || other.is_err());
    let users = Users::list(&*directory, None, 9).await.expect("read");
    assert!(users.iter().any(User::is_active_admin), "{users:?}");
}

#[tokio::test]
async fn what_an_admin_does_is_recorded_before_it_is_done() {
    let (administration, directory, admin, [_, bob]) = administered().await;
    directory.set_away(true);
    let change = AccountChange {
        disabled: Some(true),
        password: Some("battery staple".to_owned()),
        ..AccountChange::default()
    };
    let refused = administration.change(&admin, &bob, &change).await;
    assert_eq!(code(refused), Code::DirectoryUnavailable);
    directory.set_away(false);
    administration
        .change(&admin, &bob, &change)
        .await
        .expect("changed");
    let common = AccountChange {
        password: Some("password".to_owned()),
        ..AccountChange::default()
    };
    let refused = administration.change(&admin, &bob, &common).await;
    assert_eq!(code(refused), Code::PasswordTooCommon);
    let entries = administration.audit(&admin, None, 2).await.expect("read");
    let mut done: Vec<_> = entries.iter().map(|entry| &*entry.action).collect();
    done.sort_unstable();
    assert_eq!(done, ["disable", "set_password"]);
    assert_eq!((&*entries[0].by, entries[0].address), ("ann", Some(HOME)));
    assert!(
        directory
            .sessions()
            .iter()
            .any(|s| s.user == bob && s.revoked)
    );
}

#[tokio::test]
async fn a_name_is_given_once() {
    let (accounts, _) = accounts();
    registered(&accounts, "ann").await;
    let again = accounts
        .register(AWAY, "ann", "another password", None)
        .await;
    assert_eq!(code(again), Code::UsernameTaken);

    let at_once = tokio::join!(
        accounts.register(HOME, "bob", PASSWORD, None),
        accounts.register(AWAY, "bob", PASSWORD, None),
    );
    let made = [at_once.0, at_once.1].into_iter().filter(Result::is_ok);
    assert_eq!(made.count(), 1);
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_look_and_take_the_same() {
    let (accounts, _) = accounts();
    registered(&accounts, "ann").await;
    let mut texts = Vec::new();
    // The second one is hashed in two forms.
    for (wrong, hashes) in [("wrong password", 1), ("wrong\u{a0}password", 2)] {
        for name in ["ann", "nobody", "No Name"] {
            let before = accounts.logins.count.get();
            let problem = accounts.login(AWAY, name, wrong).await;
            // All hashes take the same time, which a test of the hasher shows.
            assert_eq!(accounts.logins.count.get() - before, hashes, "{name}");
            let problem = problem.expect_err("wrong");
            assert_eq!(problem.code, Code::InvalidCredentials);
            texts.push(serde_json::to_string(&problem).expect("JSON"));
        }
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
}

#[tokio::test]
async fn a_password_hashed_as_it_was_sent_still_logs_in() {
    let (accounts, directory) = accounts();
    let decomposed = "scho\u{308}ne Gru\u{308}\u{df}e";
    let ann = User {
        name: UserName::parse("ann").expect("a name"),
        password_hash: accounts
            .logins
            .hash(decomposed.into())
            .await
            .expect("hashed"),
        created_at_ms: now_ms(),
        is_admin: false,
        is_disabled: false,
    };
    Users::create(&*directory, &ann).await.expect("created");
    assert!(accounts.login(HOME, "ann", decomposed).await.is_ok());
    let composed = "sch\u{f6}ne Gr\u{fc}\u{df}e";
    let other = accounts.login(HOME, "ann", composed).await;
    assert_eq!(code(other), Code::InvalidCredentials);

    let bob = accounts.register(HOME, "bob", decomposed, None).await;
    bob.expect("registered");
    assert!(accounts.login(HOME, "bob", composed).await.is_ok());
}

#[tokio::test]
async fn after_five_failures_even_the_right_password_has_to_wait_but_not_elsewhere() {
    let (accounts, _) = accounts();
    registered(&accounts, "ann").await;
    for _ in 0..5 {
        let wrong = accounts.login(AWAY, "ann", "wrong password").await;
        assert_eq!(code(wrong), Code::InvalidCredentials);
    }
    let problem = accounts.login(AWAY, "ann", PASSWORD).await;
    let problem = problem.expect_err("a wait");
    assert_eq!(problem.code, Code::RateLimited);
    assert!(problem.retry_after_ms.is_some_and(|ms| ms <= 1000));
    assert!(accounts.login(HOME, "ann", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_user_is_known_where_a_token_was_refreshed_also_to_a_restarted_server() {
    let (first, directory) = accounts();
    let login = registered(&first, "ann").await;
    let attacked = || {
        let accounts = Accounts::new(ports(&directory), settings());
        let accounts = accounts.expect("threads");
        for n in 0..100 {
            let from = IpAddr::V4(Ipv4Addr::new(203, 0, 113, n));
            let ann = Some(&login.user);
            accounts.throttle.failed(ann, from, Instant::now());
        }
        accounts
    };
    let login_at_home = attacked().login(HOME, "ann", PASSWORD).await;
    assert!(login_at_home.is_ok(), "the session says where it began");
    let elsewhere = attacked().login(AWAY, "ann", PASSWORD).await;
    assert_eq!(code(elsewhere), Code::RateLimited);

    let next = first.refresh(AWAY, login.refresh_token.expose()).await;
    next.expect("refreshed");
    assert!(attacked().login(AWAY, "ann", PASSWORD).await.is_ok());

    let restarted = attacked();
    directory.change_sessions(|session| session.revoked = true);
    let ended = restarted.login(HOME, "ann", PASSWORD).await;
    assert_eq!(code(ended), Code::RateLimited, "no session is left there");
}

#[tokio::test]
async fn registrations_do_not_keep_logins_waiting() {
    let (accounts, _) = accounts();
    registered(&accounts, "ann").await;
    let accounts = &accounts;
    let registering = (0..200).map(async |n| {
        let name = format!("u{n}");
        accounts.register(HOME, &name, PASSWORD, None).await
    });
    let registering = futures_util::future::join_all(registering);
    let others = (0..200).map(async |n| {
        let from = IpAddr::V4(Ipv4Addr::new(203, 0, 113, n));
        accounts.login(from, "nobody", PASSWORD).await
    });
    let others = futures_util::future::join_all(others);
    // Polled in this order: the queues of the others are full before this one begins.
    let (registered, others, known) =
        tokio::join!(registering, others, accounts.login(HOME, "ann", PASSWORD));
    assert!(known.is_ok());
    for refused in [
        registered.into_iter().find_map(Result::err),
        others
            .into_iter()
            .filter_map(Result::err)
            .find(|p| p.code == Code::RateLimited),
    ] {
        assert_eq!(
            refused.expect("their queues are full").code,
            Code::RateLimited
        );
    }
}

#[tokio::test]
async fn logins_and_registrations_share_the_limit_of_their_address() {
    let limited = AccountsSettings {
        logins_per_address: 1,
        ..settings()
    };
    let directory = Arc::new(TestDirectory::default());
    let accounts = Accounts::new(ports(&directory), limited).expect("threads");
    registered(&accounts, "ann").await;
    // Without hashes in between, in whose time the address would get further attempts.
    while accounts.throttle.admit_registration(HOME).is_ok() {}
    let login = accounts.login(HOME, "nobody", PASSWORD).await;
    assert_eq!(code(login), Code::RateLimited);
    let register = accounts.register(HOME, "bob", PASSWORD, None).await;
    assert_eq!(code(register), Code::RateLimited);
    for from in [HOME, AWAY] {
        assert!(accounts.login(from, "ann", PASSWORD).await.is_ok());
    }
}

#[tokio::test]
async fn a_refresh_gives_the_next_pair_and_slides_the_lifetime() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    directory.change_sessions(|s| s.expires_at_ms -= 1_000_000);
    let before = directory.sessions()[0].expires_at_ms;
    let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
    let next = next.expect("refreshed");
    assert!(directory.sessions()[0].expires_at_ms >= before + 1_000_000);

    let session = |token: Identity| token.session;
    let old = accounts.authenticate(login.token.expose()).await;
    let new = accounts.authenticate(next.token.expose()).await;
    assert_eq!(old.map(session).ok(), new.map(session).ok());
    let third = accounts.refresh(HOME, next.refresh_token.expose()).await;
    assert!(third.is_ok());
}

/// Moves the last refresh of every session into the past.
fn let_pass(directory: &TestDirectory, ms: u64) {
    directory.change_sessions(|session| {
        let replaced = session.replaced.as_mut().expect("it was refreshed");
        replaced.at_ms -= ms;
    });
}

#[tokio::test]
async fn a_refresh_token_used_a_minute_after_its_successor_ends_its_whole_session() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
    let next = next.expect("refreshed");
    accounts
        .authenticate(next.token.expose())
        .await
        .expect("good");

    let_pass(&directory, 60_000);
    let twice = accounts.refresh(AWAY, login.refresh_token.expose()).await;
    assert_eq!(code(twice), Code::TokenRevoked);
    let thief = accounts.refresh(AWAY, next.refresh_token.expose()).await;
    assert_eq!(code(thief), Code::TokenRevoked);
    let token = accounts.authenticate(next.token.expose()).await;
    assert_eq!(code(token), Code::TokenRevoked);
    assert!(accounts.login(HOME, "ann", PASSWORD).await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_used_twice_at_once_has_one_successor() {
    let (accounts, _) = accounts();
    let login = registered(&accounts, "ann").await;
    let token = login.refresh_token.expose();
    let (a, b) = tokio::join!(accounts.refresh(HOME, token), accounts.refresh(AWAY, token));
    let (a, b) = (a.expect("refreshed"), b.expect("refreshed"));
    assert_eq!(a.refresh_token.expose(), b.refresh_token.expose());
    for login in [&a, &b] {
        let identity = accounts.authenticate(login.token.expose()).await;
        identity.expect("both pairs are usable");
    }
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_repeated_by_any_server() {
    let (first, directory) = accounts();
    let login = registered(&first, "ann").await;
    directory.lose_next_answer();
    let lost = first.refresh(HOME, login.refresh_token.expose()).await;
    assert_eq!(code(lost), Code::DirectoryUnavailable);
    // It has another signing key, as during the exchange of the key.
    let other_key = AccountsSettings {
        signing_key: Secret::new(vec![8; 32]),
        ..settings()
    };
    let second = Accounts::new(ports(&directory), other_key).expect("threads");
    let_pass(&directory, 59_000);
    let mut answers = Vec::new();
    for accounts in [&second, &first] {
        let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
        answers.push(next.expect("the same again").refresh_token);
    }
    assert_eq!(answers[0].expose(), answers[1].expose());
    let third = first.refresh(HOME, answers[0].expose()).await;
    assert!(third.is_ok());
}

#[tokio::test]
async fn a_wrong_refresh_token_with_the_right_session_ends_nothing() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
    let next = next.expect("refreshed");
    let third = accounts.refresh(HOME, next.refresh_token.expose()).await;
    let third = third.expect("refreshed");
    let session = directory.sessions()[0].id;
    let forged = RefreshToken::random(&login.user, session).into_text();
    for wrong in [&forged, &login.refresh_token] {
        for past_ms in [0, 60_000] {
            let_pass(&directory, past_ms);
            let refused = accounts.refresh(AWAY, wrong.expose()).await;
            assert_eq!(code(refused), Code::NotAuthenticated);
        }
    }
    let goes_on = accounts.refresh(HOME, third.refresh_token.expose()).await;
    assert!(goes_on.is_ok());
}

#[tokio::test]
async fn an_old_refresh_token_expires_and_nonsense_is_not_authenticated() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    directory.change_sessions(|s| s.expires_at_ms = now_ms());
    let expired = accounts.refresh(HOME, login.refresh_token.expose()).await;
    assert_eq!(code(expired), Code::TokenExpired);
    let nonsense = accounts.refresh(HOME, login.token.expose()).await;
    assert_eq!(code(nonsense), Code::NotAuthenticated);
    let elsewhere = RefreshToken::random(&login.user, Uuid::new_v4()).into_text();
    let unknown = accounts.refresh(HOME, elsewhere.expose()).await;
    assert_eq!(code(unknown), Code::TokenRevoked);
}

#[tokio::test]
async fn the_directory_never_sees_a_token_or_a_password() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let user = accounts.user(&login.user).await.expect("there");
    let stored = format!("{user:?} {:?}", directory.sessions());
    let refresh = login.refresh_token.expose();
    for secret in [login.token.expose(), refresh, PASSWORD] {
        assert!(!stored.contains(secret));
    }
    let shown = format!("{login:?}");
    assert!(!shown.contains(refresh) && shown.contains("***"), "{shown}");
}

#[tokio::test]
async fn a_logout_ends_the_session_and_no_other() {
    let (accounts, _) = accounts();
    let first = registered(&accounts, "ann").await;
    let second = accounts.login(HOME, "ann", PASSWORD).await.expect("in");
    let identity = accounts.authenticate(first.token.expose()).await;
    let identity = identity.expect("good");
    accounts.logout(&identity).await.expect("out");
    accounts.logout(&identity).await.expect("out again");

    let cached = accounts.authenticate(first.token.expose()).await;
    assert_eq!(code(cached), Code::TokenRevoked);
    let fresh = accounts.authenticate_fresh(first.token.expose()).await;
    assert_eq!(code(fresh), Code::TokenRevoked);
    let refresh = accounts.refresh(HOME, first.refresh_token.expose()).await;
    assert_eq!(code(refresh), Code::TokenRevoked);
    assert!(
        accounts
            .authenticate_fresh(second.token.expose())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_session_ended_elsewhere_is_seen_at_once_by_a_fresh_look() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let token = login.token.expose();
    accounts.authenticate(token).await.expect("good");
    directory.change_sessions(|s| s.revoked = true);
    assert!(accounts.authenticate(token).await.is_ok(), "remembered");
    assert_eq!(
        code(accounts.authenticate_fresh(token).await),
        Code::TokenRevoked
    );
    assert_eq!(code(accounts.authenticate(token).await), Code::TokenRevoked);
}

#[tokio::test]
async fn while_the_directory_is_away_what_is_remembered_goes_on() {
    let (accounts, directory) = accounts();
    let known = registered(&accounts, "ann").await;
    let unknown = registered(&accounts, "bob").await;
    accounts
        .authenticate(known.token.expose())
        .await
        .expect("good");
    let ended = registered(&accounts, "eve").await;
    let identity = accounts.authenticate(ended.token.expose()).await;
    let ended_is = accounts.logout(&identity.expect("good")).await;
    ended_is.expect("logged out");
    directory.set_away(true);

    let token = known.token.expose();
    assert!(accounts.authenticate(token).await.is_ok());
    assert!(accounts.authenticate_fresh(token).await.is_ok());
    let revoked = accounts.authenticate_fresh(ended.token.expose()).await;
    assert_eq!(code(revoked), Code::TokenRevoked);
    let refused = [
        code(accounts.authenticate(unknown.token.expose()).await),
        code(accounts.authenticate_fresh(unknown.token.expose()).await),
        code(accounts.login(HOME, "ann", PASSWORD).await),
        code(accounts.register(HOME, "mia", PASSWORD, None).await),
        code(accounts.refresh(HOME, known.refresh_token.expose()).await),
    ];
    assert_eq!(refused, [Code::DirectoryUnavailable; 5]);
    directory.set_away(false);
    assert!(accounts.authenticate(unknown.token.expose()).await.is_ok());
}

#[tokio::test]
async fn checks_of_one_session_and_lookups_of_one_user_at_the_same_time_are_one_read_each() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let (ann, before) = (&login.user, directory.reads());
    directory.hold_reads(true);
    let token = login.token.expose();
    let mut checks = Box::pin(join_all(
        (0..50).map(|_| accounts.authenticate_fresh(token)),
    ));
    let mut lookups = Box::pin(join_all((0..50).map(|_| accounts.user(ann))));
    assert!(poll!(&mut checks).is_pending());
    assert!(poll!(&mut lookups).is_pending());
    directory.hold_reads(false);
    assert!(checks.await.iter().all(Result::is_ok));
    assert!(lookups.await.iter().all(Result::is_ok));
    assert_eq!(directory.reads() - before, 2);
}

#[tokio::test]
async fn check_that_is_under_way_at_a_logout_lets_nobody_in() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let token = login.token.expose();
    let identity = accounts.authenticate(token).await.expect("in");
    directory.hold_reads(true);
    let mut checks = Box::pin(join_all((0..3).map(|_| accounts.authenticate_fresh(token))));
    assert!(poll!(&mut checks).is_pending());
    let mut logout = Box::pin(accounts.logout(&identity));
    assert!(poll!(&mut logout).is_pending());
    directory.hold_reads(false);
    logout.await.expect("out");
    for check in checks.await {
        assert_eq!(code(check), Code::TokenRevoked);
    }
}

#[tokio::test]
async fn a_change_of_the_password_ends_all_other_logins() {
    let (accounts, _) = accounts();
    let first = registered(&accounts, "ann").await;
    let second = accounts.login(AWAY, "ann", PASSWORD).await.expect("in");
    let other = registered(&accounts, "bob").await;
    let identity = accounts.authenticate(first.token.expose()).await;
    let identity = identity.expect("good");
    for (old, new, expected) in [
        ("wrong horse", "battery staple", Code::InvalidCredentials),
        (PASSWORD, "short", Code::PasswordTooShort),
        (PASSWORD, "password", Code::PasswordTooCommon),
    ] {
        let refused = accounts.change_password(HOME, &identity, old, new).await;
        assert_eq!(code(refused), expected);
    }
    let changed = accounts.change_password(HOME, &identity, PASSWORD, "battery staple");
    changed.await.expect("changed");
    let login = accounts.login(HOME, "ann", PASSWORD).await;
    assert_eq!(code(login), Code::InvalidCredentials);
    let login = accounts.login(HOME, "ann", "battery staple").await;
    assert!(login.is_ok());
    for kept in [&first, &other] {
        assert!(accounts.authenticate(kept.token.expose()).await.is_ok());
        let refreshed = accounts.refresh(HOME, kept.refresh_token.expose());
        assert!(refreshed.await.is_ok());
    }
    let ended = accounts.authenticate(second.token.expose()).await;
    assert_eq!(code(ended), Code::TokenRevoked);
}

#[tokio::test]
async fn a_login_with_a_password_that_is_changed_meanwhile_is_refused() {
    let (accounts, directory) = accounts();
    registered(&accounts, "ann").await;
    let ann = UserName::parse("ann").expect("a name");
    let user = accounts.user(&ann).await.expect("there");
    let changed = User {
        password_hash: accounts.logins.hash("new".into()).await.expect("hashed"),
        ..user.clone()
    };
    // Polled second: then the first has read the user, and verifies the password on another thread.
    let (login, replaced) = tokio::join!(
        accounts.login(HOME, "ann", PASSWORD),
        Users::replace(&*directory, &user, &changed),
    );
    assert!(replaced.expect("there"));
    assert_eq!(code(login), Code::InvalidCredentials);
    let sessions = directory.sessions();
    let live = sessions.iter().filter(|session| session.is_live(now_ms()));
    assert_eq!(live.count(), 1, "that of the registration");
}

#[tokio::test]
async fn logins_are_listed_and_ended_one_by_one_or_all_at_once() {
    let (accounts, directory) = accounts();
    let first = registered(&accounts, "ann").await;
    let curl = LoginClient::new(AWAY, Some("curl/8"));
    let second = accounts.login(curl, "ann", PASSWORD).await.expect("in");
    let third = accounts.login(HOME, "ann", PASSWORD).await.expect("in");
    let id = async |login: &Login| {
        let identity = accounts.authenticate(login.token.expose()).await;
        identity.expect("good").session
    };
    let (one, two) = (id(&first).await, id(&second).await);
    let older = |session: &mut LoginSession| {
        session.created_at_ms -= if session.id == two { 0 } else { 1_000 };
    };
    directory.change_sessions(older);
    let listed = accounts.logins(&first.user).await.expect("read");
    assert_eq!((listed.len(), listed[0].id), (3, two));
    assert_eq!(listed[0].address, Some(AWAY));
    assert_eq!(listed[0].client.as_deref(), Some("curl/8"));

    accounts.end_login(&first.user, one).await.expect("ended");
    let again = accounts.end_login(&first.user, one).await;
    assert_eq!(code(again), Code::LoginNotFound);
    let revoked = accounts.authenticate(first.token.expose()).await;
    assert_eq!(code(revoked), Code::TokenRevoked);
    let listed = accounts.logins(&first.user).await.expect("read");
    assert_eq!(listed.len(), 2);

    let all = accounts.end_logins(&first.user, |_| true).await;
    all.expect("ended");
    for login in [&second, &third] {
        let revoked = accounts.authenticate(login.token.expose()).await;
        assert_eq!(code(revoked), Code::TokenRevoked);
    }
    let listed = accounts.logins(&first.user).await.expect("read");
    assert!(listed.is_empty());
}

#[tokio::test]
async fn a_login_ends_at_its_age_however_often_it_is_refreshed() {
    let (accounts, directory) = accounts();
    let login = registered(&accounts, "ann").await;
    let max_ms = 90 * 24 * 3_600_000;
    directory.change_sessions(|session| session.created_at_ms -= max_ms - 60_000);
    let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
    let next = next.expect("refreshed");
    let left_s = next.expires_in_s;
    assert!((57..=60).contains(&left_s), "{left_s}");
    let session = &directory.sessions()[0];
    assert_eq!(session.expires_at_ms, session.created_at_ms + max_ms);
    directory.change_sessions(|session| session.expires_at_ms -= 60_000);
    let late = accounts.refresh(HOME, next.refresh_token.expose()).await;
    assert_eq!(code(late), Code::TokenExpired);
}

/// Accounts of another server, over the same directory.
fn second_server(directory: &Arc<TestDirectory>) -> Accounts {
    Accounts::new(ports(directory), settings()).expect("threads")
}

async fn held(accounts: &Accounts, login: &Login) -> (Arc<TransferAccess>, AccessGuard) {
    let identity = accounts.authenticate(login.token.expose()).await;
    let access = Arc::new(TransferAccess::default());
    let guard = accounts.hold(&identity.expect("good"), access.clone());
    (access, guard)
}

#[tokio::test]
async fn each_way_of_ending_a_login_ends_its_accesses_and_a_refresh_ends_none() {
    let (accounts, directory) = accounts();
    registered(&accounts, "ann").await;
    let other = accounts.login(HOME, "ann", PASSWORD).await.expect("in");
    let (others, _guard) = held(&accounts, &other).await;
    for way in ["logout", "end", "all", "theft"] {
        let login = accounts.login(HOME, "ann", PASSWORD).await.expect("in");
        let (access, _guard) = held(&accounts, &login).await;
        let identity = accounts.authenticate(login.token.expose()).await;
        let identity = identity.expect("good");
        let next = accounts.refresh(HOME, login.refresh_token.expose()).await;
        next.expect("refreshed");
        assert_eq!(access.why(), None, "a refresh");
        match way {
            "logout" => accounts.logout(&identity).await.expect("out"),
            "end" => {
                let ended = accounts.end_login(&identity.user, identity.session);
                ended.await.expect("ended");
            }
            "all" => {
                let ended = accounts.end_logins(&identity.user, |l| l.id == identity.session);
                ended.await.expect("ended");
            }
            _ => {
                directory.change_sessions(|session| {
                    if let Some(replaced) = &mut session.replaced {
                        replaced.at_ms -= 60_000;
                    }
                });
                let copy = accounts.refresh(AWAY, login.refresh_token.expose()).await;
                assert_eq!(code(copy), Code::TokenRevoked);
            }
        }
        assert_eq!(access.why(), Some(AccessEnd::LoginEnded), "{way}");
        let (late, _guard) = held_by(&accounts, &identity);
        assert_eq!(late.why(), Some(AccessEnd::LoginEnded), "begun after it");
    }
    assert_eq!(others.why(), None, "another login of the user");
}

fn held_by(accounts: &Accounts, identity: &Identity) -> (Arc<TransferAccess>, AccessGuard) {
    let access = Arc::new(TransferAccess::default());
    let guard = accounts.hold(identity, access.clone());
    (access, guard)
}

#[tokio::test(start_paused = true)]
async fn an_end_on_another_server_is_heard_or_found_within_thirty_seconds() {
    let (first, directory) = accounts();
    let second = second_server(&directory);
    registered(&first, "ann").await;
    let mut accesses = Vec::new();
    for _ in 0..2 {
        let login = first.login(HOME, "ann", PASSWORD).await.expect("in");
        let (access, guard) = held(&second, &login).await;
        let identity = first.authenticate(login.token.expose()).await;
        let identity = identity.expect("good");
        first.logout(&identity).await.expect("out");
        assert_eq!(access.why(), None);
        accesses.push((access, guard, identity));
    }
    let (heard, _, identity) = &accesses[0];
    let (user, login) = (identity.user.clone(), identity.session);
    second.apply_revocation(RevocationEvent::Revoked(Revocation::Login { user, login }));
    assert_eq!(heard.why(), Some(AccessEnd::LoginEnded));

    let (found, ..) = &accesses[1];
    let began = tokio::time::Instant::now();
    tokio::select! {
        () = second.check_forever() => unreachable!("it goes on"),
        () = found.ended() => {}
    }
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(found.why(), Some(AccessEnd::LoginEnded));
}

#[tokio::test]
async fn after_a_gap_the_logins_are_looked_up_at_once() {
    let (first, directory) = accounts();
    let second = second_server(&directory);
    let login = registered(&first, "ann").await;
    let (access, _guard) = held(&second, &login).await;
    let ann = first.user(&login.user).await.expect("there");
    let disabled = User {
        is_disabled: true,
        ..ann.clone()
    };
    Users::replace(&*directory, &ann, &disabled)
        .await
        .expect("there");
    directory.change_sessions(|session| session.revoked = true);
    second.apply_revocation(RevocationEvent::Resubscribed);
    tokio::select! {
        () = second.check_forever() => unreachable!("it goes on"),
        () = access.ended() => {}
    }
    assert_eq!(access.why(), Some(AccessEnd::AccountDisabled));
}

/// Accounts that take invites, and an admin.
async fn invited() -> (Arc<Accounts>, Administration, Arc<TestDirectory>, Admin) {
    let directory = Arc::new(TestDirectory::default());
    let by_invite = AccountsSettings {
        registration: Registration::Invite,
        ..settings()
    };
    let accounts = Arc::new(Accounts::new(ports(&directory), by_invite).expect("threads"));
    let admin = UserName::parse("admin").expect("a name");
    let created = create_admin(&*directory, &*directory, admin, PASSWORD).await;
    created.expect("created");
    let login = accounts.login(HOME, "admin", PASSWORD).await.expect("in");
    let identity = accounts.authenticate(login.token.expose()).await;
    let administration = Administration::new(accounts.clone(), directory.clone());
    let admin = administration.admin(&identity.expect("good"), HOME).await;
    (accounts, administration, directory, admin.expect("one"))
}

#[tokio::test]
async fn an_invite_lets_as_many_people_register_as_it_says() {
    let (accounts, administration, directory, admin) = invited().await;
    let later = now_ms() + 60_000;
    let made = administration.invite(&admin, 2, later).await;
    let (invite, text) = made.expect("made");
    let register = async |name, text| accounts.register(HOME, name, PASSWORD, text).await;
    let text = text.expose().as_str();
    let forged = InviteCode::random();
    for wrong in [None, Some("nonsense"), Some(forged.text())] {
        assert_eq!(code(register("ann", wrong).await), Code::InviteInvalid);
    }
    register("ann", Some(text)).await.expect("registered");
    // Names that are taken use nothing up, also if two people come at once.
    assert_eq!(code(register("ann", Some(text)).await), Code::UsernameTaken);
    let (one, two) = tokio::join!(register("bob", Some(text)), register("bob", Some(text)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let stored = Invites::find(&*directory, invite.id).await.expect("read");
    assert_eq!(stored.expect("there").uses_left, 0);
    assert_eq!(code(register("eve", Some(text)).await), Code::InviteInvalid);
}

#[tokio::test]
async fn an_invite_ends_by_its_time_and_by_an_admin() {
    let (accounts, administration, _, admin) = invited().await;
    let register = async |text: &Secret<String>| {
        let text = Some(text.expose().as_str());
        accounts.register(HOME, "ann", PASSWORD, text).await
    };
    let (_, late) = administration
        .invite(&admin, 1, now_ms())
        .await
        .expect("made");
    assert_eq!(code(register(&late).await), Code::InviteInvalid);
    let later = now_ms() + 60_000;
    let (invite, text) = administration.invite(&admin, 1, later).await.expect("made");
    administration
        .end_invite(&admin, invite.id)
        .await
        .expect("ended");
    assert_eq!(code(register(&text).await), Code::InviteInvalid);
    let none = administration.end_invite(&admin, Uuid::new_v4()).await;
    assert_eq!(code(none), Code::InviteNotFound);
    let listed = administration.invites(&admin, None, 9).await.expect("read");
    assert_eq!(listed.len(), 2);
    assert!(!listed.iter().any(|invite| invite.is_usable(now_ms())));
}
