//! Fields of a log line as text, on one line whatever their values are.
//!
//! Values may repeat what a client has sent, for instance in the errors of libraries. A line break in
//! them would begin a forged line, and an escape sequence would reach the operator's terminal.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// Formats fields as `message name=value …`, with control characters escaped.
pub fn escaped_fields() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    debug_fn(
        |writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
            if field.name() != "message" {
                write!(writer, "{field}=")?;
            }
            write!(Escaped(writer), "{value:?}")
        },
    )
    .delimited(" ")
}

struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, found)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", found.escape_default())?;
            rest = &rest[at + found.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Control characters, and those that begin a line or change the direction of the text.
fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line_and_has_no_control_characters() {
        let mut out = String::new();
        let text = "x\n2026 INFO forged\r\u{1b}]0;t\u{7}\u{9b}\u{202e}ü\u{2028}";
        write!(Escaped(&mut out), "{text}").unwrap();
        let wanted = r"x\n2026 INFO forged\r\u{1b}]0;t\u{7}\u{9b}\u{202e}ü\u{2028}";
        assert_eq!(out, wanted);
    }
}
