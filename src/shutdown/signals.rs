//! The signals that shut the process down.

use std::fmt;
use std::io;

use futures_util::Stream;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::process::Signal as Number;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Hangup,
    Interrupt,
    Terminate,
}

impl Signal {
    const ALL: [Signal; 3] = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];

    fn number(self) -> Number {
        match self {
            Signal::Hangup => Number::HUP,
            Signal::Interrupt => Number::INT,
            Signal::Terminate => Number::TERM,
        }
    }

    /// The exit code of a process that this signal ended.
    pub fn exit_code(self) -> i32 {
        128 + self.number().as_raw()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Every SIGHUP, SIGINT and SIGTERM after this call. Before it, they end the process at once. SIGHUP
/// stays ignored if the process was started with it ignored, as `nohup` does; SIGINT doesn't, because
/// shells start a script's background jobs with SIGINT ignored.
pub fn signals() -> io::Result<impl Stream<Item = Signal> + Unpin> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let handled = Signal::ALL.into_iter();
    let handled =
        handled.filter(|&signal| signal != Signal::Hangup || !is_ignored(signal.number(), &status));
    let streams = handled.map(stream_of).collect::<io::Result<Vec<_>>>()?;
    Ok(stream::select_all(streams))
}

fn stream_of(kind: Signal) -> io::Result<BoxStream<'static, Signal>> {
    let source = signal(SignalKind::from_raw(kind.number().as_raw()))?;
    let next = move |mut source: tokio::signal::unix::Signal| async move {
        source.recv().await?;
        Some((kind, source))
    };
    Ok(stream::unfold(source, next).boxed())
}

/// Whether a process ignores a signal, by its `/proc/<id>/status`.
fn is_ignored(signal: Number, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use rustix::process::{getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_heard_and_ends_nothing_by_itself() {
        let mut signals = signals().expect("signals can be caught");
        for (sent, received) in [
            (Number::TERM, Signal::Terminate),
            (Number::INT, Signal::Interrupt),
            (Number::TERM, Signal::Terminate),
        ] {
            kill_process(getpid(), sent).expect("sent");
            assert_eq!(signals.next().await, Some(received));
        }
    }

    #[test]
    fn ignored_signals_are_known_by_their_bit() {
        let status = "Name:\tlakechat\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(Number::HUP, status));
        assert!(!is_ignored(Number::INT, status));
        assert!(!is_ignored(Number::TERM, status));
        assert!(!is_ignored(Number::HUP, ""));
    }

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        let codes = Signal::ALL.map(Signal::exit_code);
        assert_eq!(codes, [129, 130, 143]);
    }
}
