//! Invites.

use super::*;

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
