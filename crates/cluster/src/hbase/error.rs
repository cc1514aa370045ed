//! Errors of Thrift and HBase, and what they mean for lakechat.

use std::error::Error;

use hbase_thrift::hbase::{IOError, IllegalArgument};
use thrift::TransportErrorKind;

use lakechat_core::ports::PortError;

/// Exceptions in HBase's stack traces that an operator has to resolve, with the advice. All others may pass
/// by themselves, also those that HBase's own client does not retry.
const REFUSALS: [(&str, &str); 5] = [
    (
        "TableNotFoundException",
        "a table is missing; `lakechat schema print` has the statement that creates it",
    ),
    (
        "NoSuchColumnFamilyException",
        "a column family is missing; `lakechat schema check` says which one and how to add it, \
         `lakechat schema print` has the whole schema",
    ),
    (
        "NamespaceNotFoundException",
        "the namespace is missing; `lakechat schema print` has the statement that creates it",
    ),
    (
        "AccessDeniedException",
        "the Thrift server's user (or the one it acts for) may not do this; grant it RW on the tables",
    ),
    (
        "FailedSanityCheckException",
        "a cell was refused; hbase.hregion.keyvalue.timestamp.slop.millisecs must not be set, \
         because cell timestamps are versions and not times",
    ),
];

/// The most that is kept of an error message of HBase.
const REASON_CHARS: usize = 400;

/// Why a call failed. Errors of Thrift are texts without a source, so texts are all that is kept.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum HBaseError {
    /// The connection broke. The call may have happened.
    #[error("{0}")]
    ConnectionLost(String),
    /// No answer in time. The call may have happened.
    #[error("{0}")]
    TimedOut(String),
    /// HBase could not do it for now, or could not be reached. The call may have happened.
    #[error("{0}")]
    Unavailable(String),
    /// HBase refused, or holds a value that lakechat did not write. An operator has to act.
    #[error("{0}")]
    Broken(String),
    /// The rows no longer belong to this log.
    #[error("{0}")]
    Stops(String),
}

impl HBaseError {
    /// The error of a call to `server`.
    pub fn from_thrift(call: &str, server: &str, error: thrift::Error) -> HBaseError {
        match error {
            thrift::Error::Transport(error) if error.kind == TransportErrorKind::TimedOut => {
                HBaseError::TimedOut(format!("{server} did not answer {call} in time"))
            }
            thrift::Error::Transport(error) => HBaseError::ConnectionLost(format!(
                "{server} closed the connection during {call}; is it HBase's Thrift1 server? ({})",
                error.message
            )),
            thrift::Error::Protocol(error) => HBaseError::ConnectionLost(format!(
                "{server} does not speak Thrift1 (buffered, binary): {call}: {}",
                error.message
            )),
            thrift::Error::Application(error) => {
                HBaseError::ConnectionLost(format!("{server}: {call}: {}", error.message))
            }
            thrift::Error::User(error) => HBaseError::from_exception(call, &*error),
        }
    }

    fn from_exception(call: &str, error: &(dyn Error + Send + Sync + 'static)) -> HBaseError {
        if let Some(IOError { message, .. }) = error.downcast_ref() {
            return HBaseError::from_stack_trace(call, message.as_deref().unwrap_or_default());
        }
        match error.downcast_ref() {
            // The server closes scanners that are not used for long.
            Some(IllegalArgument {
                message: Some(text),
            }) if text.contains("scanner") => {
                HBaseError::Unavailable(format!("{call}: {}", truncated(text)))
            }
            Some(IllegalArgument {
                message: Some(text),
            }) => {
                let first = text.lines().next().unwrap_or_default();
                HBaseError::Broken(format!("{call}: {}", truncated(first)))
            }
            _ => HBaseError::Broken(format!("{call}: {error}")),
        }
    }

    /// HBase sends the whole stack trace: the class of its root cause decides.
    fn from_stack_trace(call: &str, trace: &str) -> HBaseError {
        for (exception, advice) in REFUSALS {
            if let Some(line) = trace.lines().find(|line| line.contains(exception)) {
                return HBaseError::Broken(format!("{call}: {advice} ({})", truncated(line)));
            }
        }
        HBaseError::Unavailable(format!(
            "{call}: {}",
            truncated(trace.lines().next().unwrap_or(""))
        ))
    }

    /// A stored value is not one that lakechat writes.
    pub fn damaged(row: &[u8], column: &str) -> HBaseError {
        HBaseError::Broken(format!(
            "row {:?}: {column} has a value that lakechat never writes",
            String::from_utf8_lossy(row)
        ))
    }

    /// Whether the call may have been carried out nevertheless.
    pub fn may_have_happened(&self) -> bool {
        match self {
            HBaseError::ConnectionLost(_)
            | HBaseError::TimedOut(_)
            | HBaseError::Unavailable(_) => true,
            HBaseError::Broken(_) | HBaseError::Stops(_) => false,
        }
    }

    /// Whether the connection must not be used again.
    pub fn ends_connection(&self) -> bool {
        matches!(
            self,
            HBaseError::ConnectionLost(_) | HBaseError::TimedOut(_)
        )
    }

    pub fn into_port_error(self, part: &'static str) -> PortError {
        match self {
            HBaseError::ConnectionLost(reason)
            | HBaseError::TimedOut(reason)
            | HBaseError::Unavailable(reason) => PortError::unavailable(part, reason),
            HBaseError::Broken(reason) => PortError::broken(part, reason),
            HBaseError::Stops(reason) => PortError::stops(part, None, reason),
        }
    }
}

fn truncated(line: &str) -> String {
    line.trim().chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(message: &str) -> HBaseError {
        let error = IOError::new(message.to_owned(), true);
        HBaseError::from_thrift("mutateRowsTs", "h:9090", error.into())
    }

    #[test]
    fn errors_that_an_operator_can_resolve_are_broken_with_advice() {
        let trace = "org.apache.hadoop.hbase.client.RetriesExhaustedWithDetailsException: Failed 1 action: \
                     org.apache.hadoop.hbase.regionserver.NoSuchColumnFamilyException: Column family m \
                     does not exist\n\tat x";
        let error = error_of(trace);
        assert!(matches!(error, HBaseError::Broken(_)), "{error:?}");
        assert!(error.to_string().contains("lakechat schema print"));
        let denied = "java.io.IOException: x\nCaused by: org.apache.hadoop.hbase.security.AccessDeniedException: no";
        assert!(matches!(error_of(denied), HBaseError::Broken(_)));
    }

    #[test]
    fn errors_that_pass_by_themselves_are_unavailable() {
        for trace in [
            "org.apache.hadoop.hbase.NotServingRegionException: lakechat:messages",
            "org.apache.hadoop.hbase.RegionTooBusyException: over memstore limit",
            "org.apache.hadoop.hbase.client.RetriesExhaustedException: Can't get the location",
            "org.apache.hadoop.hbase.TableNotEnabledException: lakechat:messages",
            "org.apache.hadoop.hbase.DoNotRetryIOException: hconnection-0x1 closed",
            "",
        ] {
            assert!(
                matches!(error_of(trace), HBaseError::Unavailable(_)),
                "{trace}"
            );
        }
    }

    #[test]
    fn illegal_arguments_are_broken_except_for_a_missing_scanner() {
        let refused = |message: &str| {
            let error = IllegalArgument::new(message.to_owned());
            HBaseError::from_thrift("x", "h:9090", error.into())
        };
        let large = "java.lang.IllegalArgumentException: KeyValue size too large\n\tat x";
        assert!(matches!(refused(large), HBaseError::Broken(_)));
        assert!(matches!(
            refused("scanner ID is invalid"),
            HBaseError::Unavailable(_)
        ));
    }
}
