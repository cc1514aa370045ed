//! What a client is told when a port fails: the one place that maps a [`PortError`] to a [`Problem`].

use super::PortError;
use crate::domain::{Code, Problem};

const RETRY_AFTER_MS: u64 = 1_000;

const DIRECTORY: &str = "The directory is not available right now; try again in a second.";
const HISTORY: &str = "The history is not available right now; try again in a second.";
const STORAGE: &str = "The file storage is not available right now; try again in a second.";

/// `directory_unavailable`, whatever the error: a session outlives the repair of the directory.
pub fn directory_unavailable(error: PortError) -> Problem {
    retry(Code::DirectoryUnavailable, DIRECTORY, error)
}

/// `history_unavailable`, whatever the error, as above.
pub fn history_unavailable(error: PortError) -> Problem {
    retry(Code::HistoryUnavailable, HISTORY, error)
}

/// `storage_unavailable`, whatever the error: a store that is full or broken takes files again once an
/// operator has repaired it.
pub fn storage_unavailable(error: PortError) -> Problem {
    retry(Code::StorageUnavailable, STORAGE, error)
}

/// `directory_unavailable`, or `internal` where a retry would fail the same way.
pub fn directory_problem(error: PortError) -> Problem {
    by_kind(Code::DirectoryUnavailable, DIRECTORY, error)
}

/// `storage_unavailable`, or `internal` where a retry would fail the same way: a file that the store
/// has lost does not come back.
pub fn storage_problem(error: PortError) -> Problem {
    by_kind(Code::StorageUnavailable, STORAGE, error)
}

fn by_kind(code: Code, text: &'static str, error: PortError) -> Problem {
    match error {
        PortError::Unavailable { .. } => retry(code, text, error),
        PortError::Broken { .. } | PortError::Stops { .. } => Problem::internal(error),
    }
}

fn retry(code: Code, text: &'static str, error: PortError) -> Problem {
    Problem::new(code, text)
        .retry_after_ms(RETRY_AFTER_MS)
        .cause(error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::domain::CauseChain;

    #[test]
    fn the_log_gets_each_cause_once() {
        let disk = io::Error::other("the disk is full");
        let problem = storage_unavailable(PortError::unavailable("files", disk));
        assert_eq!(
            CauseChain(&problem).to_string(),
            format!("storage_unavailable: {STORAGE}: files is not available: the disk is full")
        );
    }

    #[test]
    fn errors_that_a_retry_does_not_resolve_are_internal_where_the_caller_has_no_session() {
        let broken = || PortError::broken("directory", "a row cannot be read");
        assert_eq!(directory_problem(broken()).code, Code::Internal);
        assert_eq!(
            directory_unavailable(broken()).code,
            Code::DirectoryUnavailable
        );
    }
}
