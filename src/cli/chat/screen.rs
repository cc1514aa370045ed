//! The output: messages and notes, and below them the row in which the user types.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::plain::{in_rows, plain, tail, width_of};
use super::terminal;
use lakechat_client::{ChatChange, ChatChangeKind, ChatMessage};
use lakechat_core::domain::ChannelName;

/// Moves to the begin of the row and erases it.
const ERASE_ROW: &str = "\r\x1b[2K";

/// Least time between two drawings of a transfer's progress.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// Columns for the name of a transfer.
const NAME_COLUMNS: usize = 24;

/// Standard output, shared by all parts of the chat. Whatever is printed passes [`in_rows`] on its way:
/// nothing that comes from elsewhere controls the terminal.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen(Arc<Mutex<Display>>);

#[derive(Debug, Default)]
struct Display {
    is_editing: bool,
    typed: String,
    /// What the progress of the running transfers reads like, by a number of their own.
    transfers: BTreeMap<u64, String>,
    next_transfer: u64,
}

impl Screen {
    /// Prints a message, with its channel if that is not the current one.
    pub fn message(
        &self,
        current: Option<&ChannelName>,
        channel: &ChannelName,
        message: &ChatMessage,
    ) {
        self.print(&line_of(current, channel, message));
    }

    /// Prints what became of a message, which is named by its time.
    pub fn change(
        &self,
        current: Option<&ChannelName>,
        channel: &ChannelName,
        change: &ChatChange,
    ) {
        self.note(&change_line(current, channel, change));
    }

    /// Prints a line that is not a message.
    pub fn note(&self, text: &str) {
        self.print(&format!("-- {text}"));
    }

    pub fn print(&self, text: &str) {
        let display = self.lock();
        let mut out = in_rows(text, terminal::columns());
        out.push('\n');
        if display.is_editing {
            out.insert_str(0, ERASE_ROW);
            out.push_str(&display.row());
        }
        write(&out);
    }

    /// Shows what has been typed of the next line.
    pub fn show_typed(&self, typed: &str) {
        let mut display = self.lock();
        display.typed = typed.to_owned();
        display.draw();
    }

    pub fn begin_editing(&self) {
        let mut display = self.lock();
        display.is_editing = true;
        display.draw();
    }

    pub fn end_editing(&self) {
        let mut display = self.lock();
        if std::mem::take(&mut display.is_editing) {
            write(ERASE_ROW);
        }
    }

    /// Shows the progress of a transfer until the result is dropped. The size may not be known.
    pub fn transfer(&self, name: &str, size: Option<u64>) -> TransferProgress {
        let mut display = self.lock();
        display.next_transfer += 1;
        let progress = TransferProgress {
            screen: self.clone(),
            number: display.next_transfer,
            name: plain(name).chars().take(NAME_COLUMNS).collect(),
            size,
            done: AtomicU64::new(0),
            drawn: Mutex::new(Instant::now()),
        };
        display.transfers.insert(progress.number, progress.label());
        display.draw();
        progress
    }

    fn lock(&self) -> MutexGuard<'_, Display> {
        self.0.lock().expect("nobody panics while drawing")
    }
}

impl Display {
    fn draw(&self) {
        if self.is_editing {
            write(&format!("{ERASE_ROW}{}", self.row()));
        }
    }

    /// The last row: the transfers, and the end of what has been typed.
    fn row(&self) -> String {
        let width = terminal::columns().unwrap_or(80).saturating_sub(1);
        let transfers: String = self.transfers.values().map(String::as_str).collect();
        let transfers = tail(&transfers, width / 2);
        let room = width.saturating_sub(width_of(&transfers));
        transfers + &tail(&self.typed, room)
    }
}

/// The progress of a transfer.
#[derive(Debug)]
pub(super) struct TransferProgress {
    screen: Screen,
    number: u64,
    name: String,
    size: Option<u64>,
    done: AtomicU64,
    drawn: Mutex<Instant>,
}

impl TransferProgress {
    pub fn add(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut drawn = self.drawn.lock().expect("nobody panics while drawing");
        if drawn.elapsed() < REDRAW_EVERY {
            return;
        }
        *drawn = Instant::now();
        let mut display = self.screen.lock();
        display.transfers.insert(self.number, self.label());
        display.draw();
    }

    /// The bytes that have been transferred.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    fn label(&self) -> String {
        let done = self.done();
        match self.size.filter(|size| *size > 0) {
            Some(size) => {
                let percent = u128::from(done) * 100 / u128::from(size);
                format!("[{} {percent} %] ", self.name)
            }
            None => format!("[{} {} KiB] ", self.name, done >> 10),
        }
    }
}

impl Drop for TransferProgress {
    fn drop(&mut self) {
        let mut display = self.screen.lock();
        display.transfers.remove(&self.number);
        display.draw();
    }
}

fn write(text: &str) {
    let mut out = stdout().lock();
    // The terminal may be gone; the chat goes on without output.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn line_of(current: Option<&ChannelName>, channel: &ChannelName, message: &ChatMessage) -> String {
    let mut line = time_of_day(message.sent_at);
    if Some(channel) != current {
        line.push_str(&format!(" #{channel}"));
    }
    line.push_str(&format!(" {}:", message.sender));
    if !message.text.is_empty() {
        line.push(' ');
        line.push_str(&message.text);
    }
    if message.deleted_at.is_some() {
        line.push_str(" (deleted)");
    } else if message.edited_at.is_some() {
        line.push_str(" (edited)");
    }
    if let Some(file) = &message.file {
        let (name, size, id) = (&file.name, file.size, file.id);
        line.push_str(&format!(" [{name}, {size} bytes: /download {id}]"));
    }
    line
}

fn change_line(
    current: Option<&ChannelName>,
    channel: &ChannelName,
    change: &ChatChange,
) -> String {
    let mut message = time_of_day(change.id.ms());
    if Some(channel) != current {
        message.push_str(&format!(" #{channel}"));
    }
    match &change.kind {
        ChatChangeKind::Edited { text, .. } => format!("{message} was edited: {text}"),
        ChatChangeKind::Deleted { .. } => format!("{message} was deleted"),
        ChatChangeKind::Reaction {
            user, emoji, on, ..
        } => {
            let does = if *on { "reacts with" } else { "takes back" };
            format!("{user} {does} {emoji} to {message}")
        }
    }
}

/// HH:MM:SS in UTC.
fn time_of_day(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn line_names_time_sender_and_file_and_the_channel_if_it_is_another() {
        let message = json!({"id": "5", "sender": "bob", "sent_at": 1_795_467_787_000_u64,
            "text": "look", "file": {"id": "3b241101-e2bb-4255-8caf-4136c566a962",
            "name": "a b", "size": 3, "type": "text/plain"}});
        let message: ChatMessage = serde_json::from_value(message).unwrap();
        let (general, ops) = (ChannelName::general(), ChannelName::parse("ops").unwrap());
        let said = "bob: look [a b, 3 bytes: /download 3b241101-e2bb-4255-8caf-4136c566a962]";
        let time = time_of_day(message.sent_at);
        let line = |current| line_of(current, &ops, &message);
        assert_eq!(line(Some(&ops)), format!("{time} {said}"));
        assert_eq!(line(Some(&general)), format!("{time} #ops {said}"));
        assert_eq!(line(None), format!("{time} #ops {said}"));
    }

    #[test]
    fn change_names_the_message_by_its_time() {
        let ops = ChannelName::parse("ops").unwrap();
        let id = "00384964964781158400";
        let line = |mut change: serde_json::Value| {
            (change["id"], change["event"]) = (id.into(), "00384964973635334144".into());
            change_line(None, &ops, &serde_json::from_value(change).unwrap())
        };
        let time = time_of_day(1_795_849_999_907);
        let edited = json!({"type": "edited", "text": "ho", "edited_at": 1});
        assert_eq!(line(edited), format!("{time} #ops was edited: ho"));
        let deleted = json!({"type": "deleted", "deleted_at": 1});
        assert_eq!(line(deleted), format!("{time} #ops was deleted"));
        let reaction = json!({"type": "reaction", "user": "bob", "emoji": "👍", "on": true,
            "reactions": {"👍": 1}});
        assert_eq!(line(reaction), format!("bob reacts with 👍 to {time} #ops"));
    }

    #[test]
    fn time_is_that_of_the_day() {
        assert_eq!(time_of_day(0), "00:00:00");
        assert_eq!(time_of_day(86_400_000 * 3 + 43_387_999), "12:03:07");
    }

    #[test]
    fn progress_is_shown_while_it_lasts() {
        let screen = Screen::default();
        let upload = screen.transfer("plan\u{202e}.txt", Some(200));
        upload.add(50);
        assert_eq!(upload.label(), "[plan\\u{202e}.txt 25 %] ");
        let download = screen.transfer("log", None);
        assert_eq!(download.label(), "[log 0 KiB] ");
        screen.show_typed("hel");
        assert_eq!(
            screen.lock().row(),
            "[plan\\u{202e}.txt 0 %] [log 0 KiB] hel"
        );
        drop((upload, download));
        assert_eq!(screen.lock().row(), "hel");
    }
}
