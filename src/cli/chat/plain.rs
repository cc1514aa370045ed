//! Text from other people and servers, made harmless for the terminal and for file names.

use std::path::{Path, PathBuf};

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_width::UnicodeWidthChar;

use lakechat_core::domain::FileId;

/// How far the rows after the first are indented, so that no part of a text looks like a line of its
/// own.
const INDENT: usize = 4;

const TAB_STOP: usize = 8;

/// Narrower terminals wrap by themselves.
const LEAST_WIDTH: usize = 20;

/// The longest file name that Linux allows, in bytes.
const NAME_BYTES: usize = 255;

/// Whether a character could control the terminal, hide, or change how the text around it appears:
/// control and format characters, such as ESC, bidirectional overrides and zero-width spaces.
/// Variation selectors, which emoji need, are not among them.
fn is_deceptive(c: char) -> bool {
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => true,
        GeneralCategory::NonspacingMark => false,
        _ => CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c),
    }
}

/// The text with deceptive characters escaped, and its rows after the first indented.
pub(in crate::cli) fn plain(text: &str) -> String {
    in_rows(text, None)
}

/// The same, broken into rows of at most `width` columns.
pub(super) fn in_rows(text: &str, width: Option<usize>) -> String {
    let mut rows = Rows {
        out: String::with_capacity(text.len()),
        column: 0,
        width: width.map(|width| width.max(LEAST_WIDTH)),
    };
    for c in text.chars() {
        match c {
            '\n' => rows.begin_row(),
            '\t' if width.is_none() => rows.put(c),
            '\t' => (0..TAB_STOP - rows.column % TAB_STOP).for_each(|_| rows.put(' ')),
            c if is_deceptive(c) => c.escape_unicode().for_each(|c| rows.put(c)),
            c => rows.put(c),
        }
    }
    rows.out
}

struct Rows {
    out: String,
    column: usize,
    width: Option<usize>,
}

impl Rows {
    fn put(&mut self, c: char) {
        let columns = columns(c);
        if self
            .width
            .is_some_and(|width| self.column + columns > width)
        {
            self.begin_row();
        }
        self.column += columns;
        self.out.push(c);
    }

    fn begin_row(&mut self) {
        self.out.push('\n');
        self.out.extend([' '; INDENT]);
        self.column = INDENT;
    }
}

/// The columns that a character takes. Terminals differ about some; the wider answer counts, because
/// a row that the terminal breaks by itself is not indented.
fn columns(c: char) -> usize {
    c.width_cjk().unwrap_or(0)
}

/// The columns that a text takes in one row.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The end of a text that is being typed, as far as it fits into one row of `width` columns.
pub(super) fn tail(text: &str, width: usize) -> String {
    let mut room = width;
    let shown = text.chars().rev().map_while(|c| {
        let c = if is_deceptive(c) { '\u{fffd}' } else { c };
        room = room.checked_sub(columns(c))?;
        Some(c)
    });
    let mut reversed: Vec<_> = shown.collect();
    reversed.reverse();
    reversed.into_iter().collect()
}

/// The default path of a download: in the current folder, whatever path the sender used, and a name
/// that shows what it is, is not hidden, and is no option of a command that is called with `*`.
pub(in crate::cli) fn local_name(id: FileId, sent_as: Option<&str>) -> PathBuf {
    let name = sent_as.and_then(|name| Path::new(name).file_name()?.to_str());
    let mut name: String = name.map_or_else(String::new, |name| {
        name.chars().filter(|c| !is_deceptive(*c)).collect()
    });
    if name.is_empty() || name.starts_with('.') {
        return id.to_string().into();
    }
    if name.starts_with('-') {
        name.insert(0, '_');
    }
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_control_the_terminal_nor_disguise_itself() {
        assert_eq!(plain("a\x1b[2Jb\rc\nd\te"), "a\\u{1b}[2Jb\\u{d}c\n    d\te");
        for (hidden, shown) in [
            ("report\u{202e}fdp.sh", "report\\u{202e}fdp.sh"),
            (
                "\u{2066}a\u{200b}b\u{feff}",
                "\\u{2066}a\\u{200b}b\\u{feff}",
            ),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("\u{2028}\u{3164}\u{ad}", "\\u{2028}\\u{3164}\\u{ad}"),
            ("\u{9b}2J", "\\u{9b}2J"),
        ] {
            assert_eq!(plain(hidden), shown);
        }
        for harmless in ["日本 é e\u{301} ❤\u{fe0f} שלום", "a  b"] {
            assert_eq!(plain(harmless), harmless);
        }
    }

    #[test]
    fn rows_are_broken_where_the_terminal_ends_and_indented() {
        let faked = format!(
            "ann: hi{}04:17:00 admin: send me your password",
            " ".repeat(17)
        );
        let rows = in_rows(&faked, Some(24));
        let first = format!("ann: hi{}", " ".repeat(17));
        assert_eq!(
            rows,
            format!("{first}\n    04:17:00 admin: send\n     me your password")
        );
        assert_eq!(
            in_rows("日本日本日本日本日本日本", Some(20)),
            "日本日本日本日本日本\n    日本"
        );
        assert_eq!(in_rows("a\tb", Some(40)), "a       b");
    }

    #[test]
    fn end_of_a_typed_line_fits_into_a_row() {
        assert_eq!(tail("hello", 10), "hello");
        assert_eq!(tail("hello", 3), "llo");
        assert_eq!(tail("日本", 3), "本");
        assert_eq!(tail("a\u{1b}b", 4), "a\u{fffd}b");
    }

    #[test]
    fn senders_choose_neither_folder_nor_disguise_nor_option() {
        let id = FileId::random();
        let longest = format!("-{}é", "a".repeat(252));
        let shortened = format!("_-{}", "a".repeat(252));
        for (sent_as, local) in [
            (Some("notes.txt"), "notes.txt"),
            (Some("../../notes.txt"), "notes.txt"),
            (Some("/etc/passwd"), "passwd"),
            (Some("日本.txt"), "日本.txt"),
            (Some(".."), &*id.to_string()),
            (Some(".bashrc"), &*id.to_string()),
            (Some("\u{200b}.bashrc"), &*id.to_string()),
            (Some("a\u{1b}b"), "ab"),
            (Some("report\u{202e}fdp.sh"), "reportfdp.sh"),
            (
                Some("--checkpoint-action=exec=sh x.sh"),
                "_--checkpoint-action=exec=sh x.sh",
            ),
            (Some(&*longest), &*shortened),
            (Some("\u{202e}"), &*id.to_string()),
            (None, &*id.to_string()),
        ] {
            assert_eq!(local_name(id, sent_as), PathBuf::from(local), "{sent_as:?}");
        }
    }
}
