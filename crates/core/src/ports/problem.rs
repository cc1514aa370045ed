//! Maps a [`PortError`] to the [`Problem`] that the client gets. No other place does so.

use std::sync::Arc;

use super::PortError;
use crate::domain::{Code, Problem};

const RETRY_AFTER_MS: u64 = 1_000;

const DIRECTORY: &str = "The directory is not available right now; try again in a second.";
const HISTORY: &str = "The history is not available right now; try again in a second.";
const STORAGE: &str = "The file storage is not available right now; try again in a second.";

/// `directory_unavailable` for every kind of error, in chat, files and accounts alike: once an operator
/// has repaired the directory, the same call succeeds.
pub fn directory_unavailable(error: impl Into<Arc<PortError>>) -> Problem {
    retry(Code::DirectoryUnavailable, DIRECTORY, error.into())
}

/// `history_unavailable` for every kind of error, for the same reason.
pub fn history_unavailable(error: impl Into<Arc<PortError>>) -> Problem {
    retry(Code::HistoryUnavailable, HISTORY, error.into())
}

/// `storage_unavailable` for every kind of error, for the same reason.
pub fn storage_unavailable(error: PortError) -> Problem {
    retry(Code::StorageUnavailable, STORAGE, error.into())
}

/// The same for reading a file that has a row; but `internal` if the store has lost the file, which no
/// repair of the store brings back.
pub fn stored_file_problem(error: PortError) -> Problem {
    match error {
        PortError::Unavailable { .. } => storage_unavailable(error),
        PortError::Broken { .. } | PortError::Stops { .. } => Problem::internal(error),
    }
}

fn retry(code: Code, text: &'static str, error: Arc<PortError>) -> Problem {
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
    fn a_broken_back_end_can_be_repaired_and_a_lost_file_can_not() {
        let broken = || PortError::broken("directory", "a row cannot be read");
        let code = |problem: Problem| problem.code;
        assert_eq!(
            code(directory_unavailable(broken())),
            Code::DirectoryUnavailable
        );
        assert_eq!(
            code(storage_unavailable(broken())),
            Code::StorageUnavailable
        );
        assert_eq!(code(stored_file_problem(broken())), Code::Internal);
    }
}
