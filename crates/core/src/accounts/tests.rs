//! Tests of accounts, over a directory in memory.

mod ending;
mod invites;
mod passwords_and_logins;
mod refresh;
mod registration;
mod sessions;
mod throttling;

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

/// Moves the last refresh of every session into the past.
fn let_pass(directory: &TestDirectory, ms: u64) {
    directory.change_sessions(|session| {
        let replaced = session.replaced.as_mut().expect("it was refreshed");
        replaced.at_ms -= ms;
    });
}
