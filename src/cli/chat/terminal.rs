//! The terminal's mode, which is restored however the client ends, and the signals that end it.

use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Result;
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

// The screen asks the terminal for its width; editing draws on the screen.
use super::screen::Screen;

/// The mode of a terminal in which the user types. Dropping it restores the mode.
#[derive(Debug)]
pub(super) struct TerminalMode {
    original: Termios,
}

impl TerminalMode {
    /// None if standard input is not a terminal.
    pub fn of_input() -> Option<TerminalMode> {
        let original = tcgetattr(stdin()).ok()?;
        Some(TerminalMode { original })
    }

    /// Switches to single keys without echo. Ctrl-C and Ctrl-Z still send signals.
    fn set_keys(&self) {
        let mut mode = self.original.clone();
        mode.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
        mode.special_codes[SpecialCodeIndex::VMIN] = 1;
        mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&mode);
    }

    fn restore(&self) {
        set(&self.original);
    }
}

impl Drop for TerminalMode {
    fn drop(&mut self) {
        self.restore();
    }
}

fn set(mode: &Termios) {
    // The terminal may be gone.
    let _ = tcsetattr(stdin(), OptionalActions::Now, mode);
}

/// Whether the client can edit the line that is typed: if both ends are a terminal, and one that
/// knows escape sequences.
pub(super) fn can_edit() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    stdin().is_terminal() && stdout().is_terminal() && !dumb
}

/// The number of columns of standard output, if it is a terminal.
pub(super) fn columns() -> Option<usize> {
    const USUAL: usize = 80;
    let out = stdout();
    if !out.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(out.as_fd()).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    columns.filter(|columns| *columns > 0).or(Some(USUAL))
}

/// Edits on the last row of the screen until it is dropped.
pub(super) struct Editing {
    screen: Screen,
    _suspender: AbortOnDropHandle<()>,
    mode: Arc<TerminalMode>,
}

impl Editing {
    pub fn begin(mode: TerminalMode, screen: Screen) -> Result<Editing> {
        let mode = Arc::new(mode);
        let suspender = suspend_on_request(mode.clone(), screen.clone())?;
        mode.set_keys();
        screen.begin_editing();
        Ok(Editing {
            screen,
            _suspender: suspender,
            mode,
        })
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        self.screen.end_editing();
        self.mode.restore();
    }
}

/// Gives the terminal back while the process is stopped by Ctrl-Z.
fn suspend_on_request(mode: Arc<TerminalMode>, screen: Screen) -> Result<AbortOnDropHandle<()>> {
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut resumed = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            // A signal that loses stays pending in its stream.
            tokio::select! {
                _ = stop.recv() => {
                    screen.end_editing();
                    mode.restore();
                    // A process may always stop itself.
                    let _ = kill_process(getpid(), Signal::STOP);
                }
                _ = resumed.recv() => {
                    mode.set_keys();
                    screen.begin_editing();
                }
            }
        }
    })))
}

/// The signals that end the client: Ctrl-C, SIGTERM, and the end of the terminal.
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    pub fn listen() -> Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
