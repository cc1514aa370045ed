//! Users and login sessions in memory, for tests. It can be made unavailable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::{AuditEntry, AuditId, Invite, LoginSession, User, UserName};
use crate::ports::directory::CreateOutcome;
use crate::ports::{AuditTrail, Invites, LoginSessions, PortError, Users};

#[derive(Default)]
pub struct TestDirectory {
    users: Mutex<HashMap<UserName, User>>,
    sessions: Mutex<HashMap<(UserName, Uuid), LoginSession>>,
    /// In the order of their ids.
    audit: Mutex<Vec<AuditEntry>>,
    invites: Mutex<BTreeMap<Uuid, Invite>>,
    away: AtomicBool,
    /// Whether reads wait.
    held: watch::Sender<bool>,
    reads: AtomicUsize,
    /// The next `replace` happens but returns an error.
    loses_next_answer: AtomicBool,
}

impl TestDirectory {
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Whether reads wait, with what they have found.
    pub fn hold_reads(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// The reads so far.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub fn lose_next_answer(&self) {
        self.loses_next_answer.store(true, Ordering::SeqCst);
    }

    pub fn change_sessions(&self, change: impl FnMut(&mut LoginSession)) {
        let mut sessions = self.sessions.lock().expect("no test panics with it");
        sessions.values_mut().for_each(change);
    }

    pub fn sessions(&self) -> Vec<LoginSession> {
        let sessions = self.sessions.lock().expect("no test panics with it");
        sessions.values().cloned().collect()
    }

    async fn read<T>(&self, found: T) -> Result<T, PortError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.reach()?;
        let mut held = self.held.subscribe();
        let released = held.wait_for(|held| !held).await.map(drop);
        released.expect("the directory outlives its calls");
        Ok(found)
    }

    fn reach(&self) -> Result<(), PortError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(unavailable()),
            false => Ok(()),
        }
    }
}

fn unavailable() -> PortError {
    PortError::unavailable("directory", "the test says so")
}

#[async_trait]
impl Users for TestDirectory {
    async fn create(&self, user: &User) -> Result<CreateOutcome<User>, PortError> {
        self.reach()?;
        let mut users = self.users.lock().expect("no test panics with it");
        if let Some(owner) = users.get(&user.name) {
            return Ok(CreateOutcome::Exists(owner.clone()));
        }
        users.insert(user.name.clone(), user.clone());
        Ok(CreateOutcome::Created)
    }

    async fn find(&self, name: &UserName) -> Result<Option<User>, PortError> {
        let users = || self.users.lock().expect("no test panics with it");
        let found = users().get(name).cloned();
        self.read(found).await
    }

    async fn list(&self, after: Option<&UserName>, limit: usize) -> Result<Vec<User>, PortError> {
        self.reach()?;
        let users = self.users.lock().expect("no test panics with it");
        let mut users: Vec<_> = users.values().cloned().collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users.retain(|user| after.is_none_or(|after| user.name > *after));
        users.truncate(limit);
        Ok(users)
    }

    async fn replace(&self, old: &User, new: &User) -> Result<bool, PortError> {
        self.reach()?;
        let mut users = self.users.lock().expect("no test panics with it");
        match users.get_mut(&old.name) {
            Some(stored) if stored == old || stored == new => {
                stored.clone_from(new);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

#[async_trait]
impl AuditTrail for TestDirectory {
    async fn append(&self, entry: &AuditEntry) -> Result<(), PortError> {
        self.reach()?;
        let mut audit = self.audit.lock().expect("no test panics with it");
        audit.push(entry.clone());
        audit.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    async fn list(
        &self,
        before: Option<&AuditId>,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.reach()?;
        let audit = self.audit.lock().expect("no test panics with it");
        let older = audit.iter().rev();
        let older = older.filter(|entry| before.is_none_or(|before| entry.id < *before));
        Ok(older.take(limit).cloned().collect())
    }
}

#[async_trait]
impl Invites for TestDirectory {
    async fn create(&self, invite: &Invite) -> Result<(), PortError> {
        self.reach()?;
        let mut invites = self.invites.lock().expect("no test panics with it");
        invites.entry(invite.id).or_insert_with(|| invite.clone());
        Ok(())
    }

    async fn find(&self, id: Uuid) -> Result<Option<Invite>, PortError> {
        self.reach()?;
        let invites = self.invites.lock().expect("no test panics with it");
        Ok(invites.get(&id).cloned())
    }

    async fn list(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<Invite>, PortError> {
        self.reach()?;
        let invites = self.invites.lock().expect("no test panics with it");
        let later = invites
            .values()
            .filter(|i| after.is_none_or(|after| i.id > after));
        Ok(later.take(limit).cloned().collect())
    }

    async fn replace(&self, old: &Invite, new: &Invite) -> Result<bool, PortError> {
        self.reach()?;
        let mut invites = self.invites.lock().expect("no test panics with it");
        match invites.get_mut(&old.id) {
            Some(stored) if stored == old || stored == new => {
                stored.clone_from(new);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

#[async_trait]
impl LoginSessions for TestDirectory {
    async fn create(&self, session: &LoginSession) -> Result<(), PortError> {
        self.reach()?;
        let mut sessions = self.sessions.lock().expect("no test panics with it");
        sessions.insert((session.user.clone(), session.id), session.clone());
        Ok(())
    }

    async fn find(&self, user: &UserName, id: Uuid) -> Result<Option<LoginSession>, PortError> {
        let sessions = || self.sessions.lock().expect("no test panics with it");
        let found = sessions().get(&(user.clone(), id)).cloned();
        self.read(found).await
    }

    async fn of_user(&self, user: &UserName) -> Result<Vec<LoginSession>, PortError> {
        self.reach()?;
        let sessions = self.sessions().into_iter();
        Ok(sessions.filter(|session| session.user == *user).collect())
    }

    async fn replace(&self, old: &LoginSession, new: &LoginSession) -> Result<bool, PortError> {
        self.reach()?;
        let mut sessions = self.sessions.lock().expect("no test panics with it");
        let stored = sessions.get_mut(&(old.user.clone(), old.id));
        let replaced = match stored {
            Some(stored) if stored == old || stored == new => {
                stored.clone_from(new);
                true
            }
            _ => false,
        };
        match self.loses_next_answer.swap(false, Ordering::SeqCst) {
            true => Err(unavailable()),
            false => Ok(replaced),
        }
    }
}
