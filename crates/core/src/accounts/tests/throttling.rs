//! Logins: what they reveal, and the waits after failures.

use super::*;

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
    // The address gets a further attempt each second: on a busy machine also between these lines, so
    // that it may take several attempts to meet the limit.
    let use_up = || while accounts.throttle.admit_registration(HOME).is_ok() {};
    let mut refused = [false; 2];
    for n in 0..20 {
        let (bob, nobody) = (format!("bob{n}"), format!("nobody{n}"));
        use_up();
        let register = accounts.register(HOME, &bob, PASSWORD, None);
        refused[0] |= register.await.is_err_and(|p| p.code == Code::RateLimited);
        use_up();
        let login = accounts.login(HOME, &nobody, PASSWORD);
        refused[1] |= login.await.is_err_and(|p| p.code == Code::RateLimited);
        if refused == [true; 2] {
            break;
        }
    }
    assert_eq!(refused, [true; 2]);
    for from in [HOME, AWAY] {
        assert!(accounts.login(from, "ann", PASSWORD).await.is_ok());
    }
}
