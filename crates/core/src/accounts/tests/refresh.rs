//! The exchange of refresh tokens.

use super::*;

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
