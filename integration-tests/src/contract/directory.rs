//! The directory: users, channels, login sessions, rows of files and of uploads.

use anyhow::{Result, ensure};
use bytes::Bytes;
use lakechat_core::domain::{
    AuditEntry, AuditId, Channel, ChannelKind, ChannelName, File, FileId, FileLocation, FilePart,
    Invite, LoginSession, Membership, ReplacedToken, Role, User, UserName,
};
use lakechat_core::ports::directory::{CreateOutcome, UserRow};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::members::event;
use super::{Backend, channel, channel_named, random, user};

/// Tests of every rule of the directory.
#[macro_export]
macro_rules! directory_contract {
    ($fresh:path) => {
        $crate::rules! { $fresh,
            directory:
                unknown_keys_are_not_found
                one_of_fifty_concurrent_creates_gets_a_user_name
                one_of_fifty_concurrent_creates_gets_a_channel_name
                same_value_again_counts_as_created
                taken_name_returns_what_has_it
                channels_come_without_topic_and_archival
                public_channels_are_listed_by_name
                accounts_are_listed_by_name
                audit_entries_are_listed_from_the_newest
                invites_are_listed_and_replaced_only_from_their_current_value
                account_is_replaced_only_from_its_current_value
                session_is_replaced_only_from_its_current_value
                one_of_many_concurrent_replacements_succeeds
                session_created_again_is_unchanged
                sessions_are_found_by_their_user
                sessions_of_several_users_are_found_in_one_call
                row_of_a_user_has_a_login_session_and_all_memberships
                rows_of_many_users_read_at_once_are_each_their_own
                file_rows_are_read_as_stored_wherever_the_bytes_are
                file_rows_are_listed_by_id
                file_is_posted_in_each_channel_once
                removed_file_has_neither_a_row_nor_channels
                general_can_be_looked_up_in_any_state
                everything_survives_a_restart;
        }
    };
}

fn account(name: &UserName, password: &str) -> User {
    User {
        name: name.clone(),
        password_hash: format!("$argon2id$v=19$m=19456,t=2,p=1${password}"),
        created_at_ms: 1_795_000_000_123,
        is_admin: password == "a",
        is_disabled: password == "b",
    }
}

fn made(name: &ChannelName, kind: ChannelKind, creator: &UserName) -> Channel {
    Channel {
        name: name.clone(),
        kind,
        creator: Some(creator.clone()),
        created_at_ms: 1_795_000_000_456,
        topic: None,
        archived: None,
    }
}

fn login(user: &UserName) -> LoginSession {
    LoginSession {
        id: Uuid::new_v4(),
        user: user.clone(),
        refresh_hash: random(),
        replaced: None,
        address: Some("2001:db8::7".parse().expect("an address")),
        client: Some("curl/8.5.0".to_owned()),
        created_at_ms: 1_795_000_000_789,
        expires_at_ms: 1_797_000_000_789,
        revoked: false,
    }
}

fn rotated(session: &LoginSession) -> LoginSession {
    LoginSession {
        refresh_hash: random(),
        replaced: Some(ReplacedToken {
            hash: session.refresh_hash.clone(),
            seed: random(),
            at_ms: 1_795_000_001_789,
        }),
        expires_at_ms: session.expires_at_ms + 1,
        address: Some("192.0.2.7".parse().expect("an address")),
        client: None,
        ..session.clone()
    }
}

/// Runs fifty calls concurrently and returns their results.
async fn fifty<T, F>(one: impl Fn(u64) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks: JoinSet<_> = (0..50).map(one).collect();
    let mut all = Vec::new();
    while let Some(done) = tasks.join_next().await {
        all.push(done??);
    }
    Ok(all)
}

/// Checks that one create succeeded and every other one returned the stored value.
fn one_winner<T: PartialEq>(claims: Vec<CreateOutcome<T>>, stands: &T) -> Result<()> {
    let won = claims
        .iter()
        .filter(|c| matches!(c, CreateOutcome::Created))
        .count();
    ensure!(won == 1, "{won} creates succeeded");
    let lost = claims.into_iter().filter_map(|claim| match claim {
        CreateOutcome::Created => None,
        CreateOutcome::Exists(by) => Some(by),
    });
    for by in lost {
        ensure!(
            by == *stands,
            "a create returned another value than the stored one"
        );
    }
    Ok(())
}

pub async fn unknown_keys_are_not_found<B: Backend>(backend: B) -> Result<()> {
    let directory = backend.directory();
    assert_eq!(directory.users.find(&user()).await?, None);
    assert_eq!(directory.channels.find(&channel()).await?, None);
    assert_eq!(
        directory
            .login_sessions
            .find(&user(), Uuid::new_v4())
            .await?,
        None
    );
    assert_eq!(directory.file_rows.find(FileId::random()).await?, None);
    assert_eq!(directory.file_rows.posted_in(FileId::random()).await?, []);
    Ok(())
}

pub async fn one_of_fifty_concurrent_creates_gets_a_user_name<B: Backend>(
    backend: B,
) -> Result<()> {
    let (directory, name) = (backend.directory(), user());
    let claims = fifty(|i| {
        let (directory, name) = (directory.clone(), name.clone());
        async move {
            let account = account(&name, &i.to_string());
            Ok(directory.users.create(&account).await?)
        }
    });
    let claims = claims.await?;
    let stands = directory
        .users
        .find(&name)
        .await?
        .expect("one create succeeded");
    one_winner(claims, &stands)
}

pub async fn one_of_fifty_concurrent_creates_gets_a_channel_name<B: Backend>(
    backend: B,
) -> Result<()> {
    let (directory, name) = (backend.directory(), channel());
    let claims = fifty(|_| {
        let (directory, name) = (directory.clone(), name.clone());
        async move {
            let channel = made(&name, ChannelKind::Public, &user());
            Ok(directory.channels.create(&channel).await?)
        }
    });
    let claims = claims.await?;
    let stands = directory
        .channels
        .find(&name)
        .await?
        .expect("one create succeeded");
    one_winner(claims, &stands)
}

pub async fn same_value_again_counts_as_created<B: Backend>(backend: B) -> Result<()> {
    let (directory, ann) = (backend.directory(), account(&user(), "a"));
    let ops = made(&channel(), ChannelKind::Private, &ann.name);
    for _ in 0..2 {
        assert_eq!(directory.users.create(&ann).await?, CreateOutcome::Created);
        assert_eq!(
            directory.channels.create(&ops).await?,
            CreateOutcome::Created
        );
    }
    assert_eq!(directory.users.find(&ann.name).await?, Some(ann));
    assert_eq!(directory.channels.find(&ops.name).await?, Some(ops));
    Ok(())
}

pub async fn taken_name_returns_what_has_it<B: Backend>(backend: B) -> Result<()> {
    let (directory, ann) = (backend.directory(), account(&user(), "a"));
    directory.users.create(&ann).await?;
    let other = account(&ann.name, "b");
    let claim = directory.users.create(&other).await?;
    assert_eq!(claim, CreateOutcome::Exists(ann.clone()));

    let ops = made(&channel(), ChannelKind::Public, &ann.name);
    directory.channels.create(&ops).await?;
    let others = [
        made(&ops.name, ChannelKind::Private, &ann.name),
        made(&ops.name, ChannelKind::Public, &user()),
        Channel {
            creator: None,
            ..ops.clone()
        },
        Channel {
            created_at_ms: 1,
            ..ops.clone()
        },
    ];
    for other in others {
        let claim = directory.channels.create(&other).await?;
        assert_eq!(claim, CreateOutcome::Exists(ops.clone()));
    }
    assert_eq!(directory.channels.find(&ops.name).await?, Some(ops));
    Ok(())
}

pub async fn channels_come_without_topic_and_archival<B: Backend>(backend: B) -> Result<()> {
    let (directory, ops) = (backend.directory(), channel());
    let plain = made(&ops, ChannelKind::Public, &user());
    let topical = Channel {
        topic: Some(("topic".into(), super::id(1))),
        archived: Some(super::id(2)),
        ..plain.clone()
    };
    assert_eq!(
        directory.channels.create(&topical).await?,
        CreateOutcome::Created
    );
    assert_eq!(directory.channels.find(&ops).await?, Some(plain.clone()));
    assert_eq!(
        directory.channels.create(&plain).await?,
        CreateOutcome::Created
    );
    let mut described = [plain];
    backend.history().fill_channel_state(&mut described).await?;
    assert_eq!(described[0].topic, None, "the directory stores no topic");
    Ok(())
}

pub async fn public_channels_are_listed_by_name<B: Backend>(backend: B) -> Result<()> {
    let (directory, stem) = (backend.directory(), format!("zz{}", random()));
    let named = |end: &str| channel_named(&format!("{stem}{end}"));
    for end in ["c", "a", "e", "b.b"] {
        let channel = made(&named(end), ChannelKind::Public, &user());
        directory.channels.create(&channel).await?;
    }
    let hidden = made(&named("d"), ChannelKind::Private, &user());
    directory.channels.create(&hidden).await?;
    // A topic in the history does not create its channel.
    let topic = lakechat_core::domain::Cells::Topic {
        id: super::id(1),
        topic: "ghost".into(),
    };
    let ghost = super::history::row(&named("b"), topic);
    backend.history().append(vec![ghost]).await?;
    assert_eq!(directory.channels.find(&named("b")).await?, None);

    let list = async |after: &str, limit| -> Result<Vec<String>> {
        let after = named(after);
        let found = directory.channels.list_public(Some(&after), limit).await?;
        let own = found.iter().map(|c| c.name.as_str());
        let ends = own.filter_map(|name| name.strip_prefix(&stem));
        Ok(ends.map(String::from).collect())
    };
    assert_eq!(list("", 100).await?, ["a", "b.b", "c", "e"]);
    assert_eq!(list("a", 2).await?, ["b.b", "c"]);
    assert_eq!(list("e", 100).await?, [""; 0]);
    let first = directory.channels.list_public(None, 1).await?;
    assert_eq!(first.len(), 1);
    assert!(first[0].name <= named("a"));
    Ok(())
}

pub async fn accounts_are_listed_by_name<B: Backend>(backend: B) -> Result<()> {
    let directory = backend.directory();
    let prefix = user();
    let name = |n: u32| UserName::parse(&format!("{prefix}-{n}")).expect("a name");
    let made: Vec<_> = (0..5).map(|n| account(&name(n), "a")).collect();
    for user in made.iter().rev() {
        directory.users.create(user).await?;
    }
    // A row that is no account.
    let session = login(&UserName::parse(&format!("{prefix}-00")).expect("a name"));
    directory.login_sessions.create(&session).await?;
    let first = directory.users.list(Some(&prefix), 3).await?;
    assert_eq!(first, made[..3]);
    let rest = directory.users.list(Some(&first[2].name), 2).await?;
    assert_eq!(rest, made[3..]);
    assert_eq!(directory.users.list(None, 0).await?, []);
    let mut all = directory.users.list(None, 100_000).await?;
    assert!(all.is_sorted_by_key(|user| user.name.clone()));
    all.retain(|user| made.contains(user));
    assert_eq!(all, made);
    Ok(())
}

pub async fn audit_entries_are_listed_from_the_newest<B: Backend>(backend: B) -> Result<()> {
    let trail = backend.directory().audit_trail;
    let by = user().to_string();
    // In a time of their own, as others may write meanwhile.
    let begin_ms = u64::from(rand::random::<u32>());
    let entry = |n: u64| AuditEntry {
        id: AuditId::random(begin_ms + n),
        at_ms: begin_ms + n,
        by: by.clone(),
        action: "disable".to_owned(),
        user: format!("u{n}"),
        address: n
            .is_multiple_of(2)
            .then(|| "192.0.2.7".parse().expect("an address")),
    };
    let entries: Vec<_> = (0..5).map(entry).collect();
    for entry in [
        &entries[3],
        &entries[0],
        &entries[4],
        &entries[2],
        &entries[1],
    ] {
        trail.append(entry).await?;
        trail.append(entry).await?;
    }
    let older = trail.list(Some(&entries[4].id), 2).await?;
    assert_eq!(older, [entries[3].clone(), entries[2].clone()]);
    let all = trail.list(None, 100_000).await?;
    assert!(all.is_sorted_by(|a, b| a.id > b.id));
    let own = all.into_iter().filter(|entry| entry.by == by);
    let mut own: Vec<_> = own.collect();
    own.reverse();
    assert_eq!(own, entries);
    assert_eq!(trail.list(None, 0).await?, []);
    Ok(())
}

pub async fn invites_are_listed_and_replaced_only_from_their_current_value<B: Backend>(
    backend: B,
) -> Result<()> {
    let invites = backend.directory().invites;
    let by = user();
    let invite = || Invite {
        id: Uuid::new_v4(),
        hash: random(),
        uses_left: 2,
        expires_at_ms: 1_797_000_000_789,
        created_at_ms: 1_795_000_000_789,
        created_by: by.clone(),
        revision: Uuid::new_v4(),
    };
    let mut made = [invite(), invite(), invite()];
    made.sort_by_key(|invite| invite.id);
    for invite in &made {
        invites.create(invite).await?;
    }
    let rest = invites.list(Some(made[0].id), 100_000).await?;
    assert!(rest.is_sorted_by_key(|invite| invite.id));
    let rest: Vec<_> = rest
        .into_iter()
        .filter(|invite| invite.created_by == by)
        .collect();
    assert_eq!(rest, made[1..]);
    assert_eq!(invites.list(None, 1).await?.len(), 1);
    assert_eq!(invites.find(Uuid::new_v4()).await?, None);

    let first = &made[0];
    let (used, by_another) = (first.with_uses(1), first.with_uses(1));
    assert!(
        !invites.replace(&by_another, &used).await?,
        "it has another value"
    );
    assert!(invites.replace(first, &used).await?);
    assert!(invites.replace(first, &used).await?, "a retry");
    assert!(
        !invites.replace(first, &by_another).await?,
        "it was used meanwhile"
    );
    invites.create(first).await?;
    assert_eq!(invites.find(first.id).await?, Some(used));
    Ok(())
}

pub async fn account_is_replaced_only_from_its_current_value<B: Backend>(backend: B) -> Result<()> {
    let users = backend.directory().users;
    let ann = account(&user(), "old");
    let changed = User {
        password_hash: "another".to_owned(),
        is_admin: true,
        is_disabled: true,
        ..ann.clone()
    };
    assert!(!users.replace(&ann, &changed).await?, "there is none");
    assert_eq!(users.find(&ann.name).await?, None);
    users.create(&ann).await?;
    assert!(users.replace(&ann, &changed).await?);
    assert!(users.replace(&ann, &changed).await?, "a retry");
    assert_eq!(users.find(&ann.name).await?.as_ref(), Some(&changed));
    let other = account(&ann.name, "other");
    assert!(!users.replace(&ann, &other).await?, "it has changed");
    assert_eq!(users.find(&ann.name).await?, Some(changed));
    Ok(())
}

pub async fn session_is_replaced_only_from_its_current_value<B: Backend>(backend: B) -> Result<()> {
    let (directory, first) = (backend.directory(), login(&user()));
    let stands = async || directory.login_sessions.find(&first.user, first.id).await;
    directory.login_sessions.create(&first).await?;
    assert_eq!(stands().await?, Some(first.clone()));
    let second = rotated(&first);
    assert!(directory.login_sessions.replace(&first, &second).await?);
    assert_eq!(stands().await?, Some(second.clone()));
    // A retry returns what the first try did, as its answer may have been lost.
    assert!(directory.login_sessions.replace(&first, &second).await?);
    assert!(
        !directory
            .login_sessions
            .replace(&first, &rotated(&first))
            .await?
    );
    assert_eq!(stands().await?, Some(second.clone()));
    let revoked = LoginSession {
        revoked: true,
        ..second.clone()
    };
    assert!(directory.login_sessions.replace(&second, &revoked).await?);
    assert_eq!(stands().await?, Some(revoked));

    let unknown = login(&user());
    let new = rotated(&unknown);
    let replaced = directory.login_sessions.replace(&unknown, &new).await?;
    assert!(!replaced, "a session that does not exist is not replaced");
    let gone = directory
        .login_sessions
        .find(&unknown.user, unknown.id)
        .await?;
    assert_eq!(gone, None);
    Ok(())
}

pub async fn one_of_many_concurrent_replacements_succeeds<B: Backend>(backend: B) -> Result<()> {
    let (directory, first) = (backend.directory(), login(&user()));
    directory.login_sessions.create(&first).await?;
    let replaced = fifty(|_| {
        let (directory, first) = (directory.clone(), first.clone());
        let new = rotated(&first);
        async move { Ok((directory.login_sessions.replace(&first, &new).await?, new)) }
    });
    let replaced = replaced.await?;
    let winners: Vec<_> = replaced.into_iter().filter(|(won, _)| *won).collect();
    assert_eq!(winners.len(), 1);
    let stands = directory.login_sessions.find(&first.user, first.id).await?;
    assert_eq!(stands.as_ref(), Some(&winners[0].1));
    Ok(())
}

pub async fn sessions_are_found_by_their_user<B: Backend>(backend: B) -> Result<()> {
    let (directory, ann) = (backend.directory(), user());
    let sessions = &directory.login_sessions;
    assert_eq!(sessions.of_user(&ann).await?, []);
    let (first, second) = (login(&ann), login(&ann));
    for session in [&first, &second, &login(&user())] {
        sessions.create(session).await?;
    }
    let second_rotated = rotated(&second);
    assert!(sessions.replace(&second, &second_rotated).await?);
    let mut found = sessions.of_user(&ann).await?;
    let mut expected = vec![first, second_rotated];
    found.sort_by_key(|session| session.id);
    expected.sort_by_key(|session| session.id);
    assert_eq!(found, expected);
    Ok(())
}

pub async fn sessions_of_several_users_are_found_in_one_call<B: Backend>(backend: B) -> Result<()> {
    let sessions = backend.directory().login_sessions;
    let (ann, bob) = (user(), user());
    let (one, two, three) = (login(&ann), login(&ann), login(&bob));
    for session in [&one, &two, &three] {
        sessions.create(session).await?;
    }
    let keys = [
        (bob.clone(), three.id),
        (ann.clone(), two.id),
        (bob, one.id),
        (user(), Uuid::new_v4()),
        (ann, one.id),
    ];
    let found = sessions.find_all(&keys).await?;
    assert_eq!(found, [Some(three), Some(two), None, None, Some(one)]);
    assert_eq!(sessions.find_all(&[]).await?, []);
    Ok(())
}

pub async fn row_of_a_user_has_a_login_session_and_all_memberships<B: Backend>(
    backend: B,
) -> Result<()> {
    let (directory, history, ann) = (backend.directory(), backend.history(), user());
    let rows = &directory.user_rows;
    assert_eq!(rows.find(&ann, Uuid::new_v4()).await?, UserRow::default());
    directory.users.create(&account(&ann, "x")).await?;
    assert_eq!(rows.find(&ann, Uuid::new_v4()).await?, UserRow::default());

    let (first, second) = (login(&ann), login(&ann));
    directory.login_sessions.create(&first).await?;
    directory.login_sessions.create(&second).await?;
    let events = (1..4).map(|by| event(&channel(), by, &ann, Role::Member, true));
    history.append(events.collect()).await?;
    let memberships = history.memberships(&ann).await?;
    assert_eq!(memberships.len(), 3);
    let with = |session: &LoginSession| UserRow {
        login_session: Some(session.clone()),
        memberships: memberships.clone(),
    };
    assert_eq!(rows.find(&ann, first.id).await?, with(&first));
    assert_eq!(rows.find(&ann, second.id).await?, with(&second));
    let unknown = rows.find(&ann, Uuid::new_v4()).await?;
    assert_eq!(
        (unknown.login_session, unknown.memberships),
        (None, memberships.clone())
    );

    let ended = LoginSession {
        revoked: true,
        ..first.clone()
    };
    assert!(directory.login_sessions.replace(&first, &ended).await?);
    assert_eq!(rows.find(&ann, first.id).await?, with(&ended));
    Ok(())
}

pub async fn rows_of_many_users_read_at_once_are_each_their_own<B: Backend>(
    backend: B,
) -> Result<()> {
    let (directory, history) = (backend.directory(), backend.history());
    let mut expected = Vec::new();
    for n in 0..40_u64 {
        let session = login(&user());
        // Some users have no login session, and some are in no channel.
        if !n.is_multiple_of(3) {
            directory.login_sessions.create(&session).await?;
        }
        if !n.is_multiple_of(4) {
            let joined = event(&channel(), n + 1, &session.user, Role::Member, true);
            history.append(vec![joined]).await?;
        }
        let memberships = history.memberships(&session.user).await?;
        expected.push((session, memberships, n));
    }
    // Two at the same time for each user.
    let find = async |session: &LoginSession, memberships: &Vec<Membership>, n: u64| {
        let row = directory.user_rows.find(&session.user, session.id).await?;
        let expected = UserRow {
            login_session: (!n.is_multiple_of(3)).then(|| session.clone()),
            memberships: memberships.clone(),
        };
        ensure!(row == expected, "{row:?} instead of {expected:?}");
        ensure!(memberships.len() == usize::from(!n.is_multiple_of(4)));
        Ok(())
    };
    let twice = expected.iter().flat_map(|one| [one, one]);
    let finds = twice.map(|(session, memberships, n)| find(session, memberships, *n));
    for found in futures_util::future::join_all(finds).await {
        found?;
    }
    Ok(())
}

pub async fn session_created_again_is_unchanged<B: Backend>(backend: B) -> Result<()> {
    let (directory, ann) = (backend.directory(), user());
    let (first, second) = (login(&ann), login(&ann));
    for _ in 0..2 {
        directory.login_sessions.create(&first).await?;
        directory.login_sessions.create(&second).await?;
    }
    for session in [first, second] {
        let stands = directory.login_sessions.find(&ann, session.id).await?;
        assert_eq!(stands, Some(session.clone()));
        let others = directory.login_sessions.find(&user(), session.id).await?;
        assert_eq!(others, None, "another user does not find the session");
    }
    Ok(())
}

fn file(name: &str, location: FileLocation) -> File {
    File {
        id: FileId::random(),
        name: name.into(),
        size: 12_345_678_901,
        sha256: rand::random(),
        media_type: "text/plain; charset=utf-8".into(),
        uploader: user(),
        created_at_ms: 1_795_000_000_999,
        location,
    }
}

fn parts(count: u64) -> Vec<FilePart> {
    let part = |n| FilePart {
        path: format!("ab/ab-path.{n}"),
        size: n << 33,
    };
    (1..=count).map(part).collect()
}

pub async fn file_rows_are_read_as_stored_wherever_the_bytes_are<B: Backend>(
    backend: B,
) -> Result<()> {
    let directory = backend.directory();
    let all: Bytes = (0..=255).cycle().take(64 << 10).collect::<Vec<u8>>().into();
    let files = [
        file("../../x", FileLocation::Stored("ab/ab-path".into())),
        file("a\"b\r\nc.txt", FileLocation::Inline(Bytes::new())),
        file(&"日".repeat(85), FileLocation::Inline(all)),
        file("parts", FileLocation::Parts(parts(3))),
    ];
    for file in &files {
        directory.file_rows.put(file).await?;
        directory.file_rows.put(file).await?;
    }
    for file in files {
        assert_eq!(directory.file_rows.find(file.id).await?, Some(file));
    }
    Ok(())
}

pub async fn file_rows_are_listed_by_id<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().file_rows;
    let mut files = Vec::new();
    for n in 0..7 {
        let location = match n % 2 {
            0 => FileLocation::Inline(Bytes::from_static(b"bytes")),
            _ => FileLocation::Stored("ab/ab-path".into()),
        };
        let file = file("x", location);
        rows.put(&file).await?;
        files.push(file);
    }
    // No row of a file: a server has only begun to post one.
    let channel = channel_named("ops");
    rows.mark_posted(FileId::random(), &channel).await?;
    for limit in [1, 3, 100] {
        let mut listed: Vec<File> = Vec::new();
        loop {
            let page = rows.list(listed.last().map(|file| file.id), limit).await?;
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert!(listed.is_sorted_by(|a, b| a.id < b.id));
        for file in &files {
            assert!(listed.contains(file), "{file:?}");
        }
    }
    Ok(())
}

pub async fn file_is_posted_in_each_channel_once<B: Backend>(backend: B) -> Result<()> {
    let directory = backend.directory();
    let file = file("x", FileLocation::Inline(Bytes::from_static(b"x")));
    directory.file_rows.put(&file).await?;
    let mut channels: Vec<_> = (0..5).map(|_| channel()).collect();
    for channel in channels.iter().chain(&channels) {
        directory.file_rows.mark_posted(file.id, channel).await?;
    }
    let mut posted = directory.file_rows.posted_in(file.id).await?;
    channels.sort();
    posted.sort();
    assert_eq!(posted, channels);
    assert_eq!(directory.file_rows.find(file.id).await?, Some(file));
    Ok(())
}

pub async fn removed_file_has_neither_a_row_nor_channels<B: Backend>(backend: B) -> Result<()> {
    let rows = backend.directory().file_rows;
    let gone = file("x", FileLocation::Inline(Bytes::from_static(b"x")));
    let kept = file("x", FileLocation::Stored("p".into()));
    for file in [&gone, &kept] {
        rows.put(file).await?;
        rows.mark_posted(file.id, &channel_named("ops")).await?;
    }
    rows.remove(gone.id).await?;
    rows.remove(gone.id).await?;
    rows.remove(FileId::random()).await?;
    assert_eq!(rows.find(gone.id).await?, None);
    assert_eq!(rows.posted_in(gone.id).await?, []);
    let after = rows.list(None, usize::MAX).await?;
    assert!(after.contains(&kept) && !after.contains(&gone));
    assert_eq!(rows.posted_in(kept.id).await?.len(), 1);
    Ok(())
}

pub async fn general_can_be_looked_up_in_any_state<B: Backend>(backend: B) -> Result<()> {
    let directory = backend.directory();
    directory.channels.find(&ChannelName::general()).await?;
    directory.users.create(&account(&user(), "x")).await?;
    directory.channels.find(&ChannelName::general()).await?;
    Ok(())
}

pub async fn everything_survives_a_restart<B: Backend>(backend: B) -> Result<()> {
    let directory = backend.directory();
    let ann = account(&user(), "a");
    let (ops, session) = (
        made(&channel(), ChannelKind::Public, &ann.name),
        login(&ann.name),
    );
    let file = file("x", FileLocation::Stored("p".into()));
    directory.users.create(&ann).await?;
    directory.channels.create(&ops).await?;
    directory.login_sessions.create(&session).await?;
    directory.file_rows.put(&file).await?;
    directory.file_rows.mark_posted(file.id, &ops.name).await?;
    drop(directory);

    let backend = backend.reopen().await?;
    let directory = backend.directory();
    let found = directory.login_sessions.find(&ann.name, session.id).await?;
    assert_eq!(found, Some(session));
    assert_eq!(directory.users.find(&ann.name).await?, Some(ann));
    let posted = directory.file_rows.posted_in(file.id).await?;
    assert_eq!(posted, std::slice::from_ref(&ops.name));
    assert_eq!(directory.file_rows.find(file.id).await?, Some(file));
    assert_eq!(directory.channels.find(&ops.name).await?, Some(ops));
    Ok(())
}
