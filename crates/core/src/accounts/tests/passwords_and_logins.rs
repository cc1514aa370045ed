//! Changes of the password, and the list of one's logins.

use super::*;

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
