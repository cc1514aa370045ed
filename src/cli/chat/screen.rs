//! The output on the terminal.

use std::io::{Write, stdout};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use lakechat_client::ChatMessage;
use lakechat_core::domain::ChannelName;

/// The terminal, shared by the chat and the transfers that run beside it.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    bars: MultiProgress,
}

impl Screen {
    pub fn new() -> Screen {
        Screen {
            bars: MultiProgress::new(),
        }
    }

    /// Prints a message, with its channel if that is not the current one.
    pub fn message(&self, current: &ChannelName, channel: &ChannelName, message: &ChatMessage) {
        self.print(&line_of(current, channel, message));
    }

    /// Prints a line that is not a message.
    pub fn note(&self, text: &str) {
        self.print(&format!("-- {text}"));
    }

    pub fn print(&self, text: &str) {
        // The terminal may be gone; the chat goes on without output.
        let _ = self.bars.suspend(|| writeln!(stdout(), "{text}"));
    }

    /// A progress bar for a transfer of so many bytes. It is shown on a terminal only.
    pub fn bar(&self, name: &str, bytes: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(
            "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        );
        let style = style.expect("the template is well formed");
        let bar = ProgressBar::new(bytes).with_style(style);
        self.bars.add(bar).with_message(plain(name))
    }
}

/// Erases a line that the user has typed, because it will be printed as a message.
pub(super) fn erase_typed_line() {
    let mut out = stdout();
    // The terminal may be gone; the chat goes on without output.
    let _ = out.write_all(b"\x1b[1A\x1b[2K").and_then(|()| out.flush());
}

fn line_of(current: &ChannelName, channel: &ChannelName, message: &ChatMessage) -> String {
    let mut line = time_of_day(message.sent_at);
    if channel != current {
        line.push_str(&format!(" #{channel}"));
    }
    line.push_str(&format!(" {}:", message.sender));
    if !message.text.is_empty() {
        line.push(' ');
        line.push_str(&plain(&message.text));
    }
    if let Some(file) = &message.file {
        let (name, size, id) = (plain(&file.name), file.size, file.id);
        line.push_str(&format!(" [{name}, {size} bytes: /download {id}]"));
    }
    line
}

/// HH:MM:SS in UTC.
fn time_of_day(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60)
}

/// Escapes control characters: text from other people must not control the terminal.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn line_names_time_sender_and_file_and_the_channel_if_it_is_another() {
        let message = json!({"id": "5", "sender": "bob", "sent_at": 1_795_467_787_000_u64,
            "text": "look", "file": {"id": "3b241101-e2bb-4255-8caf-4136c566a962",
            "name": "a\u{1b}b", "size": 3, "type": "text/plain"}});
        let message: ChatMessage = serde_json::from_value(message).unwrap();
        let (general, ops) = (ChannelName::general(), ChannelName::parse("ops").unwrap());
        let said = "bob: look [a\\u{1b}b, 3 bytes: /download 3b241101-e2bb-4255-8caf-4136c566a962]";
        let time = time_of_day(message.sent_at);
        assert_eq!(line_of(&ops, &ops, &message), format!("{time} {said}"));
        assert_eq!(
            line_of(&general, &ops, &message),
            format!("{time} #ops {said}")
        );
    }

    #[test]
    fn time_is_that_of_the_day() {
        assert_eq!(time_of_day(0), "00:00:00");
        assert_eq!(time_of_day(86_400_000 * 3 + 43_387_999), "12:03:07");
    }

    #[test]
    fn text_cannot_control_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\rc\nd"), "a\\u{1b}[2Jb\\u{d}c\n    d");
    }
}
