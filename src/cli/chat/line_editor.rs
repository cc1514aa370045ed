//! The line that is being typed, key by key. It knows no screen.

use std::mem::take;

const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const ESC: u8 = 0x1b;

/// Further characters of a line are dropped. The server refuses lines that are much shorter.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line without its end.
    Line(String),
    /// Ctrl-D on an empty line.
    End,
}

/// Keys like Backspace, Ctrl-W and Ctrl-U work as in a terminal that edits by itself. Keys that send
/// escape sequences, such as arrows, are ignored.
#[derive(Debug, Default)]
pub(super) struct LineEditor {
    line: String,
    /// The first bytes of a character that is not complete.
    partial: Vec<u8>,
    escape: Escape,
}

/// How much of an escape sequence has been read.
#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// ESC.
    Begun,
    /// ESC and `[`, then parameters.
    Sequence,
    /// ESC and `O`.
    OneMore,
}

impl LineEditor {
    pub fn line(&self) -> &str {
        &self.line
    }

    pub fn key(&mut self, byte: u8) -> Option<Typed> {
        if self.take_escape(byte) {
            return None;
        }
        if byte >= 0x80 {
            self.part_of_character(byte);
            return None;
        }
        if !take(&mut self.partial).is_empty() {
            self.push(char::REPLACEMENT_CHARACTER);
        }
        match byte {
            b'\n' | b'\r' => return Some(Typed::Line(take(&mut self.line))),
            CTRL_D if self.line.is_empty() => return Some(Typed::End),
            CTRL_U => self.line.clear(),
            CTRL_W => self.erase_word(),
            byte if BACKSPACE.contains(&byte) => {
                self.line.pop();
            }
            b'\t' | b' '..=b'~' => self.push(char::from(byte)),
            _ => {}
        }
        None
    }

    /// Takes the byte if it belongs to an escape sequence, and returns whether it does.
    fn take_escape(&mut self, byte: u8) -> bool {
        self.escape = match (&self.escape, byte) {
            (Escape::None, ESC) => Escape::Begun,
            (Escape::None, _) => return false,
            (Escape::Begun, b'[') => Escape::Sequence,
            (Escape::Begun, b'O') => Escape::OneMore,
            (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
            // An end of a line is never part of a sequence.
            (_, b'\n' | b'\r') => {
                self.escape = Escape::None;
                return false;
            }
            _ => Escape::None,
        };
        true
    }

    fn part_of_character(&mut self, byte: u8) {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(whole) => {
                let whole = whole.to_owned();
                whole.chars().for_each(|c| self.push(c));
            }
            Err(error) if error.error_len().is_none() => return,
            Err(_) => self.push(char::REPLACEMENT_CHARACTER),
        }
        self.partial.clear();
    }

    fn push(&mut self, c: char) {
        if self.line.len() < MAX_LINE_BYTES {
            self.line.push(c);
        }
    }

    fn erase_word(&mut self) {
        let words = self.line.trim_end();
        let start = words.rfind(char::is_whitespace);
        let end = start.map_or(0, |at| {
            at + words[at..].chars().next().map_or(0, char::len_utf8)
        });
        self.line.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> (Vec<Typed>, String) {
        let mut editor = LineEditor::default();
        let done = keys.iter().filter_map(|key| editor.key(*key)).collect();
        (done, editor.line().to_owned())
    }

    fn line(text: &str) -> Typed {
        Typed::Line(text.to_owned())
    }

    #[test]
    fn pasted_lines_come_out_one_by_one() {
        let (done, rest) = typed("one\ndrei é 日本\r\nrest".as_bytes());
        assert_eq!(done, [line("one"), line("drei é 日本"), line("")]);
        assert_eq!(rest, "rest");
    }

    #[test]
    fn keys_erase_characters_words_and_lines() {
        assert_eq!(typed("日本\x7f\x08a".as_bytes()).1, "a");
        assert_eq!(typed(b"one two  \x17x").1, "one x");
        assert_eq!(typed(b"one\x17\x17x").1, "x");
        assert_eq!(typed(b"one two\x15x").1, "x");
        assert_eq!(typed(b"\x7f\x17\x15").1, "");
    }

    #[test]
    fn end_of_input_is_ctrl_d_on_an_empty_line() {
        assert_eq!(typed(b"a\x04\n\x04").0, [line("a"), Typed::End]);
    }

    #[test]
    fn arrows_and_other_keys_leave_nothing_behind() {
        assert_eq!(
            typed(b"a\x1b[A\x1b[1;5Cb\x1bOPc\x1bxd\x1b[200~e\x00\x0cf").1,
            "abcdef"
        );
        assert_eq!(typed(b"a\x1b\nb").0, [line("a")]);
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        assert_eq!(typed(b"caf\xe9\n").0, [line("caf\u{fffd}")]);
        assert_eq!(typed(b"\xff\xc3\xa9").1, "\u{fffd}\u{e9}");
    }
}
