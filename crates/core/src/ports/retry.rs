//! Calls that wait for a store that is unavailable for a while.

use std::time::Duration;

use super::PortError;

/// A call is tried for about half a minute.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Repeats a call while the store is only unavailable. For commands that read much and should not
/// fail because a service restarts meanwhile.
pub async fn with_retries<T, F: Future<Output = Result<T, PortError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T, PortError> {
    for _ in 1..TRIES {
        match call().await {
            Err(PortError::Unavailable { .. }) => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
    call().await
}
