//! Registration, and what admins do with accounts.

use super::*;

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
