//! The limit on open files, and how many connections it allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors for other things than connections: the database, files that are uploaded or
/// downloaded, the listeners.
const RESERVE: u64 = 200;

/// Raises the limit on open files to the hard limit. Returns how many of `max_connections` it allows,
/// but at least one, and logs a warning if these are fewer.
pub fn raise_and_fit(max_connections: usize) -> usize {
    let open_files = raise();
    let fitting = fit(max_connections, open_files);
    if fitting < max_connections {
        tracing::warn!(
            max_connections,
            fitting,
            open_files,
            "the limit on open files (ulimit -Hn) allows only {fitting} connections"
        );
    }
    fitting
}

/// Sets the soft limit to the hard limit. Returns the limit in effect; None is unlimited.
fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(e) => {
            tracing::warn!(error = %e, "can't raise the limit on open files");
            limit.current
        }
    }
}

fn fit(max_connections: usize, open_files: Option<u64>) -> usize {
    let Some(open_files) = open_files else {
        return max_connections;
    };
    let left = usize::try_from(open_files.saturating_sub(RESERVE)).unwrap_or(usize::MAX);
    max_connections.min(left.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_reserve_leaves() {
        assert_eq!(fit(20_000, Some(1024)), 824);
        assert_eq!(fit(20_000, Some(20_199)), 19_999);
        assert_eq!(fit(20_000, Some(20_200)), 20_000);
        assert_eq!(fit(20_000, Some(u64::MAX)), 20_000);
        assert_eq!(fit(20_000, None), 20_000);
    }

    #[test]
    fn one_connection_is_always_let_in() {
        assert_eq!(fit(20_000, Some(200)), 1);
        assert_eq!(fit(20_000, Some(0)), 1);
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise(), hard);
        assert_eq!(getrlimit(Resource::Nofile).current, hard);
    }
}
