//! Standard input, line by line. A thread of its own reads it, because a blocked read can't be
//! cancelled; the process ends without waiting for it.

use std::io::{self, BufRead, Read, stdin};

use tokio::sync::mpsc;

use super::line_editor::{LineEditor, Typed};
use super::screen::Screen;

/// The longest line. The server refuses lines that are much shorter.
const MAX_LINE_BYTES: usize = 1 << 20;

/// A line without its end, or why no more can be read.
pub(super) type InputLine = Result<String, InputError>;

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum InputError {
    #[error("can't read the input")]
    Failed(#[from] io::Error),
    #[error("the input is UTF-16; convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8")]
    Utf16,
    #[error("the input has a line of more than {MAX_LINE_BYTES} bytes")]
    TooLong,
}

/// Reads lines until the end of the input.
pub(super) fn lines() -> mpsc::Receiver<InputLine> {
    // Full: the thread stops reading.
    let (lines, read) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Some(line) = next_line(&mut stdin().lock()).transpose() {
            let failed = line.is_err();
            if lines.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    read
}

/// Reads keys from a terminal and shows the line that they make.
pub(super) fn typed_lines(screen: Screen) -> mpsc::Receiver<InputLine> {
    // Full: the thread stops reading.
    let (lines, read) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut editor = LineEditor::default();
        let mut keys = [0; 4096];
        loop {
            let n = match stdin().read(&mut keys) {
                Ok(0) => return,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    // The chat may have ended.
                    let _ = lines.blocking_send(Err(error.into()));
                    return;
                }
            };
            for key in &keys[..n] {
                match editor.key(*key) {
                    None => continue,
                    Some(Typed::End) => return,
                    Some(Typed::Line(line)) => {
                        screen.show_typed("");
                        if lines.blocking_send(Ok(line)).is_err() {
                            return;
                        }
                    }
                }
            }
            screen.show_typed(editor.line());
        }
    });
    read
}

/// The next line, without its end and without a byte order mark. Bytes that aren't UTF-8 become
/// replacement characters. None at the end of the input.
pub(in crate::cli) fn next_line(input: &mut impl BufRead) -> Result<Option<String>, InputError> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > MAX_LINE_BYTES {
        return Err(InputError::TooLong);
    }
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Err(InputError::Utf16);
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
    let line = String::from_utf8_lossy(line);
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<String> {
        std::iter::from_fn(|| next_line(&mut input).unwrap()).collect()
    }

    #[test]
    fn every_line_is_read_whatever_its_bytes() {
        assert_eq!(
            all(b"first\ncaf\xe9\r\n\nlast"),
            ["first", "caf\u{fffd}", "", "last"]
        );
        assert_eq!(all(b"\xef\xbb\xbfa\n"), ["a"]);
        assert_eq!(all(b""), [""; 0]);
    }

    #[test]
    fn what_cannot_be_lines_is_an_error() {
        for utf16 in [b"\xff\xfea\0\n\0", b"\xfe\xff\0a\0\n"] {
            let read = next_line(&mut &utf16[..]);
            assert!(matches!(read, Err(InputError::Utf16)), "{read:?}");
        }
        let line = vec![b'a'; MAX_LINE_BYTES + 1];
        assert!(matches!(
            next_line(&mut &line[..]),
            Err(InputError::TooLong)
        ));
        let line = vec![b'a'; MAX_LINE_BYTES];
        assert_eq!(all(&line).len(), 1);
    }
}
