//! Login sessions: logout, and what is remembered of them.

use super::*;

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
