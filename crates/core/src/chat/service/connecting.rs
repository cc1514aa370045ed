//! Users who connect: one read returns whether their login session is valid, and their channels.

use std::sync::Arc;

use uuid::Uuid;

use super::Chat;
use super::membership::StoredMemberships;
use crate::accounts::{Accounts, Identity};
use crate::domain::{LoginSession, Problem, UserName};
use crate::ports::PortError;
use crate::ports::problem::history_unavailable;
use crate::single_flight::SingleFlight;

/// The reads of users' rows that are under way, by user and login session.
pub(super) type UserRowLoads =
    SingleFlight<(UserName, Uuid), Result<Arc<StoredUser>, Arc<PortError>>>;

/// What is stored of a user who connects.
pub(super) struct StoredUser {
    login_session: Option<LoginSession>,
    memberships: Arc<StoredMemberships>,
}

/// A user whose token is valid.
pub(in crate::chat) struct ConnectedUser {
    pub identity: Identity,
    /// Read from history; for [`Chat::first_channels_of`].
    pub memberships: Result<Arc<StoredMemberships>, Problem>,
}

impl Chat {
    /// The user of an access token, if the directory confirms that its login session has not ended.
    /// If the directory is unavailable, its last known answer for this login session counts.
    pub(in crate::chat) async fn connect(
        &self,
        accounts: &Accounts,
        token: &str,
    ) -> Result<ConnectedUser, Problem> {
        let identity = accounts.read_token(token)?;
        let stored = self.stored_user(&identity).await;
        let answer = stored.as_ref().map(|user| user.login_session.as_ref());
        accounts.confirm(&identity, answer.map_err(Arc::clone))?;
        let memberships = stored.map(|user| user.memberships.clone());
        Ok(ConnectedUser {
            identity,
            memberships: memberships.map_err(history_unavailable),
        })
    }

    /// Connects with one login session at the same time share a read. So it lacks an end of the session on
    /// another server that came while the read was under way.
    async fn stored_user(&self, identity: &Identity) -> Result<Arc<StoredUser>, Arc<PortError>> {
        let load = || {
            let (log, user_rows) = (self.log.clone(), self.directory.user_rows.clone());
            let Identity { user, session, .. } = identity.clone();
            async move {
                let row = async {
                    let row = user_rows.find(&user, session).await?;
                    Ok((row.login_session, row.memberships))
                };
                let read = StoredMemberships::read(&log, row).await;
                let (login_session, memberships) = read.map_err(Arc::<PortError>::new)?;
                let memberships = Arc::new(memberships);
                Ok(Arc::new(StoredUser {
                    login_session,
                    memberships,
                }))
            }
        };
        let key = (identity.user.clone(), identity.session);
        self.user_row_loads.share(key, load).await
    }
}
