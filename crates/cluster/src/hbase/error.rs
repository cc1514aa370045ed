//! What errors of Thrift and of HBase mean here.

use std::error::Error;

use hbase_thrift::hbase::{IOError, IllegalArgument};
use thrift::TransportErrorKind;

use lakechat_core::ports::PortError;

/// What an operator has to help: the exceptions that stand in HBase's stack traces, and what helps.
/// All others may pass by themselves, also those that HBase's own client would not retry.
const REFUSALS: [(&str, &str); 5] = [
    (
        "TableNotFoundException",
        "a table is missing; `lakechat schema print` has the statements that make it",
    ),
    (
        "NoSuchColumnFamilyException",
        "a column family is missing; `lakechat schema check` says which and what helps, \
         `lakechat schema print` has the whole schema",
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
        "a cell was refused; hbase.hregion.keyvalue.timestamp.slop.millisecs must not be set, \
         for cell timestamps are no times",
    ),
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
    /// The rows are no longer this log's.
    #[error("{0}")]
    Stops(String),
}

impl Fault {
    /// What became of a call named `call` that `server` was asked for.
    pub fn of_call(call: &str, server: &str, error: thrift::Error) -> Fault {
        match error {
            thrift::Error::Transport(error) if error.kind == TransportErrorKind::TimedOut => {
                Fault::Late(format!("{server} did not answer {call} in time"))
            }
            thrift::Error::Transport(error) => Fault::Lost(format!(
                "{server} broke off {call}; is it HBase's Thrift1 server? ({})",
                error.message
            )),
            thrift::Error::Protocol(error) => Fault::Lost(format!(
                "{server} does not speak Thrift1 (buffered, binary): {call}: {}",
                error.message
            )),
            thrift::Error::Application(error) => {
                Fault::Lost(format!("{server}: {call}: {}", error.message))
            }
            thrift::Error::User(error) => Fault::of_answer(call, &*error),
        }
    }

    fn of_answer(call: &str, error: &(dyn Error + Send + Sync + 'static)) -> Fault {
        if let Some(IOError { message, .. }) = error.downcast_ref() {
            return Fault::of_trace(call, message.as_deref().unwrap_or_default());
        }
        match error.downcast_ref() {
            // A scanner that was not used for long is closed by the server.
            Some(IllegalArgument {
                message: Some(said),
            }) if said.contains("scanner") => Fault::Away(format!("{call}: {}", cut(said))),
            Some(IllegalArgument {
                message: Some(said),
            }) => {
                let first = said.lines().next().unwrap_or_default();
                Fault::Broken(format!("{call}: {}", cut(first)))
            }
            _ => Fault::Broken(format!("{call}: {error}")),
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
            Fault::Broken(_) | Fault::Stops(_) => false,
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
            Fault::Stops(reason) => PortError::stops(part, None, reason),
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
            "org.apache.hadoop.hbase.DoNotRetryIOException: hconnection-0x1 closed",
            "",
        ] {
            assert!(matches!(said(trace), Fault::Away(_)), "{trace}");
        }
    }

    #[test]
    fn what_is_no_good_argument_is_broken_but_for_a_scanner_that_is_gone() {
        let refused = |message: &str| {
            let error = IllegalArgument::new(message.to_owned());
            Fault::of_call("x", "h:9090", error.into())
        };
        let large = "java.lang.IllegalArgumentException: KeyValue size too large\n\tat x";
        assert!(matches!(refused(large), Fault::Broken(_)));
        assert!(matches!(refused("scanner ID is invalid"), Fault::Away(_)));
    }
}
