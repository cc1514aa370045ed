//! Maps a [`PortError`] to the [`Problem`] that the client gets. No other place does so.

use super::PortError;
use crate::domain::{Code, Problem};

const RETRY_AFTER_MS: u64 = 1_000;

const DIRECTORY: &str = "The directory is not available right now; try again in a second.";
const HISTORY: &str = "The history is not available right now; try again in a second.";
const STORAGE: &str = "The file storage is not available right now; try again in a second.";

/// `directory_unavailable` for every kind of error, for sessions: a session stays open until an
/// operator has repaired the directory.
pub fn directory_unavailable(error: PortError) -> Problem {
    retry(Code::DirectoryUnavailable, DIRECTORY, error)
}

/// `history_unavailable` for every kind of error, for the same reason.
pub fn history_unavailable(error: PortError) -> Problem {
    retry(Code::HistoryUnavailable, HISTORY, error)
}

/// `storage_unavailable` for every kind of error: once an operator has repaired a full or broken
/// store, it accepts files again.
pub fn storage_unavailable(error: PortError) -> Problem {
    retry(Code::StorageUnavailable, STORAGE, error)
}

/// `directory_unavailable`; or `internal` if a retry would fail in the same way.
pub fn directory_problem(error: PortError) -> Problem {
    by_kind(Code::DirectoryUnavailable, DIRECTORY, error)
}

/// `storage_unavailable`; or `internal` if a retry would fail in the same way, for instance because
/// the store has lost the file.
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
