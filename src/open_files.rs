//! How many files the process may have open, and how many connections fit into that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connections: the database, files that are sent and stored, the listeners.
const RESERVE: u64 = 200;

/// Raises the limit of open files as far as the process may, and says how many of the wanted
/// connections fit then: at least one. A warning tells when they are fewer.
pub fn raise_and_fit(max_connections: usize) -> usize {
    let open_files = raise();
    let fitting = fit(max_connections, open_files);
    if fitting < max_connections {
        tracing::warn!(
            max_connections,
            fitting,
            open_files,
            "the limit of open files (ulimit -Hn) leaves room for {fitting} connections only"
        );
    }
    fitting
}

/// Sets the soft limit to the hard one. Says what holds then; none is unlimited.
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
            tracing::warn!(error = %e, "the limit of open files can't be raised");
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
