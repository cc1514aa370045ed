//! Users who connect: a login session and all memberships, which are in one row.
//!
//! When many users connect at once, one call reads the rows of several: a user who comes while a call is
//! under way joins the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::super::client::Client;
use super::super::error::HBaseError;
use super::super::memberships;
use super::super::row::{self, Row};
use super::super::tables::Table;
use super::sessions;
use lakechat_core::domain::UserName;
use lakechat_core::ports::directory::UserRow;

/// The most users of one call. Each of its rows is asked for the login sessions of all of them, since a call
/// has one list of columns.
const MOST_USERS: usize = 16;

/// How long a call waits for the one before it. It must not wait as long as a server that hangs.
const TURN: Duration = Duration::from_millis(5);

type Key = (UserName, Uuid);
type Rows = Result<Arc<BTreeMap<Vec<u8>, Row>>, HBaseError>;

/// The reads of users' rows.
pub(super) struct UserRowReads {
    client: Arc<Client>,
    /// The call that users can still join.
    next: Mutex<Option<UserRowsBatch>>,
    /// For the call that is under way.
    turn: Arc<Semaphore>,
}

/// A call that has not begun.
struct UserRowsBatch {
    /// Empty once it has begun.
    keys: Arc<Mutex<BTreeSet<Key>>>,
    /// It belongs to all who wait for it, and ends when the last of them is dropped.
    rows: WeakShared<BoxFuture<'static, Rows>>,
}

impl UserRowReads {
    pub fn new(client: Arc<Client>) -> UserRowReads {
        UserRowReads {
            client,
            next: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    pub async fn find(&self, user: &UserName, login_session: Uuid) -> Result<UserRow, HBaseError> {
        let rows = self.join((user.clone(), login_session)).await?;
        let Some(row) = rows.get(user.as_str().as_bytes()) else {
            return Ok(UserRow::default());
        };
        Ok(UserRow {
            login_session: sessions::of_row(row, user, login_session)?,
            memberships: memberships::of_row(row)?,
        })
    }

    /// The rows of a call that begins after this.
    fn join(&self, key: Key) -> Shared<BoxFuture<'static, Rows>> {
        let mut next = lock(&self.next);
        if let Some(batch) = &*next
            && let Some(rows) = batch.rows.upgrade()
        {
            let mut keys = lock(&batch.keys);
            if !keys.is_empty() && keys.len() < MOST_USERS {
                keys.insert(key);
                return rows;
            }
        }
        let keys = Arc::new(Mutex::new(BTreeSet::from([key])));
        let rows = read(self.client.clone(), self.turn.clone(), keys.clone());
        let rows = rows.boxed().shared();
        let weak = rows.downgrade().expect("it has not been polled");
        *next = Some(UserRowsBatch { keys, rows: weak });
        rows
    }
}

async fn read(client: Arc<Client>, turn: Arc<Semaphore>, keys: Arc<Mutex<BTreeSet<Key>>>) -> Rows {
    // Without its turn it begins, too, only later.
    let _turn = timeout(TURN, turn.acquire()).await;
    let keys = std::mem::take(&mut *lock(&keys));
    let users: BTreeSet<_> = keys.iter().map(|(user, _)| user.as_str()).collect();
    let users: Vec<_> = users.iter().map(|name| name.as_bytes().to_vec()).collect();
    let columns = keys.iter().map(|(_, id)| sessions::column(*id));
    let columns: Vec<_> = columns.chain([memberships::FAMILY.to_owned()]).collect();
    let read = move |connection: &mut _, tables: &_| {
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        row::get_all(connection, tables, Table::Users, &users, &columns)
    };
    let rows = client.read(read).await?.into_iter();
    Ok(Arc::new(rows.map(|row| (row.key.clone(), row)).collect()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while holding it")
}
