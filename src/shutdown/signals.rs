//! The signals that shut the process down.

use std::fmt;
use std::io;

use futures_util::{Stream, stream};
use tokio::signal::unix::{Signal as Source, SignalKind, signal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// The exit code of a process that this signal ended.
    pub fn exit_code(self) -> i32 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Every SIGINT and SIGTERM after this call. Before it, they end the process at once.
pub fn signals() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let sources = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let next = |(mut interrupts, mut terminations): (Source, Source)| async move {
        // The branch that loses keeps its signal for the next call.
        let signal = tokio::select! {
            Some(()) = interrupts.recv() => Signal::Interrupt,
            Some(()) = terminations.recv() => Signal::Terminate,
            else => return None,
        };
        Some((signal, (interrupts, terminations)))
    };
    Ok(Box::pin(stream::unfold(sources, next)))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use rustix::process::{Signal as Sent, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_heard_and_ends_nothing_by_itself() {
        let mut signals = signals().expect("signals can be caught");
        for (sent, heard) in [
            (Sent::TERM, Signal::Terminate),
            (Sent::INT, Signal::Interrupt),
            (Sent::TERM, Signal::Terminate),
        ] {
            kill_process(getpid(), sent).expect("sent");
            assert_eq!(signals.next().await, Some(heard));
        }
    }
}
