//! What errors of Thrift and of HBase mean here.

use hbase_thrift::hbase::{IOError, IllegalArgument};
use thrift::TransportErrorKind;

use crate::ports::PortError;

/// What HBase says no to for good: the exceptions that stand in its stack traces, and what helps.
const REFUSALS: [(&str, &str); 8] = [
    (
        "TableNotFoundException",
        "a table is missing; `lakechat schema print` has the statements that make it",
    ),
    (
        "NoSuchColumnFamilyException",
        "a column family is missing; `lakechat schema check` says which, `lakechat schema print` has the statements",
    ),
    (
        "NamespaceNotFoundException",
        "the namespace is missing; `lakechat schema print` has the statement that makes it",
    ),
    (
        "AccessDeniedException",
        "the Thrift server's user (or the one it acts for) may not do this; grant it RW on the tables",
    ),
    (
        "FailedSanityCheckException",
        "a cell was refused; hbase.hregion.keyvalue.timestamp.slop.millisecs must not be set, cell timestamps are no times",
    ),
    (
        "InvalidFamilyOperationException",
        "`lakechat schema check` says what differs",
    ),
    ("DoNotRetryIOException", "HBase refuses it for good"),
    ("IllegalArgumentException", "HBase refuses it for good"),
];

/// The most that is kept of what HBase says.
const REASON_CHARS: usize = 400;

/// Why a call did not come to an answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The connection broke, and whether the call happened is unknown.
    #[error("{0}")]
    Lost(String),
    /// No answer in time; as unknown.
    #[error("{0}")]
    Late(String),
    /// HBase can't for now, or nobody was there to ask.
    #[error("{0}")]
    Away(String),
    /// HBase won't, or what it holds is not what lakechat wrote.
    #[error("{0}")]
    Broken(String),
}

impl Fault {
    /// What became of a call named `call` that `server` was asked for.
    pub fn of_call(call: &str, server: &str, error: thrift::Error) -> Fault {
        match error {
            thrift::Error::Transport(error) if error.kind == TransportErrorKind::TimedOut => {
                Fault::Late(format!("{server} did not answer {call} in time"))
            }
            thrift::Error::Transport(error) => {
                Fault::Lost(format!("{server}: {call}: {}", error.message))
            }
            thrift::Error::Protocol(error) => Fault::Lost(format!(
                "{server} does not speak Thrift1 (buffered, binary): {call}: {}",
                error.message
            )),
            thrift::Error::Application(error) => {
                Fault::Lost(format!("{server}: {call}: {}", error.message))
            }
            thrift::Error::User(error) => {
                let said = match (error.downcast_ref(), error.downcast_ref()) {
                    (Some(IOError { message, .. }), _) => message.clone(),
                    (_, Some(IllegalArgument { message })) => message.clone(),
                    (None, None) => Some(error.to_string()),
                };
                Fault::of_trace(call, &said.unwrap_or_default())
            }
        }
    }

    /// HBase sends the whole stack trace: the class of what is at its root tells what to do.
    fn of_trace(call: &str, trace: &str) -> Fault {
        for (exception, advice) in REFUSALS {
            if let Some(line) = trace.lines().find(|line| line.contains(exception)) {
                return Fault::Broken(format!("{call}: {advice} ({})", cut(line)));
            }
        }
        Fault::Away(format!(
            "{call}: {}",
            cut(trace.lines().next().unwrap_or(""))
        ))
    }

    /// A stored value that is not what lakechat writes there.
    pub fn damaged(row: &[u8], column: &str) -> Fault {
        Fault::Broken(format!(
            "row {:?}: {column} is not what lakechat writes there",
            String::from_utf8_lossy(row)
        ))
    }

    /// Whether it may have happened all the same.
    pub fn is_open(&self) -> bool {
        match self {
            Fault::Lost(_) | Fault::Late(_) | Fault::Away(_) => true,
            Fault::Broken(_) => false,
        }
    }

    /// Whether the connection is of no use any more.
    pub fn ends_connection(&self) -> bool {
        matches!(self, Fault::Lost(_) | Fault::Late(_))
    }

    pub fn into_port_error(self, part: &'static str) -> PortError {
        match self {
            Fault::Lost(reason) | Fault::Late(reason) | Fault::Away(reason) => {
                PortError::Unavailable { part, reason }
            }
            Fault::Broken(reason) => PortError::Broken { part, reason },
        }
    }
}

fn cut(line: &str) -> String {
    line.trim().chars().take(REASON_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Fault {
        let error = IOError::new(message.to_owned(), true);
        Fault::of_call("mutateRowsTs", "h:9090", error.into())
    }

    #[test]
    fn what_an_operator_has_to_help_is_broken_and_says_how() {
        let trace = "org.apache.hadoop.hbase.client.RetriesExhaustedWithDetailsException: Failed 1 action: \
                     org.apache.hadoop.hbase.regionserver.NoSuchColumnFamilyException: Column family m \
                     does not exist\n\tat x";
        let fault = said(trace);
        assert!(matches!(fault, Fault::Broken(_)), "{fault:?}");
        assert!(fault.to_string().contains("lakechat schema print"));
        let denied = "java.io.IOException: x\nCaused by: org.apache.hadoop.hbase.security.AccessDeniedException: no";
        assert!(matches!(said(denied), Fault::Broken(_)));
    }

    #[test]
    fn what_passes_by_itself_is_away() {
        for trace in [
            "org.apache.hadoop.hbase.NotServingRegionException: lakechat:messages",
            "org.apache.hadoop.hbase.RegionTooBusyException: over memstore limit",
            "org.apache.hadoop.hbase.client.RetriesExhaustedException: Can't get the location",
            "org.apache.hadoop.hbase.TableNotEnabledException: lakechat:messages",
            "",
        ] {
            assert!(matches!(said(trace), Fault::Away(_)), "{trace}");
        }
    }
}
