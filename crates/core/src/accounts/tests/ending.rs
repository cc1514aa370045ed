//! The end of what is done with a login.

use super::*;

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
