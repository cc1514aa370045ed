//! Media types of files, as the sender gives them or as the first bytes show.

use infer::MatcherType;

use crate::domain::{Code, Problem};

/// The most bytes in a media type, parameters included.
const MAX_BYTES: usize = 255;

const UNKNOWN: &str = "application/octet-stream";

/// A media type such as `text/plain; charset=utf-8`. Type and subtype are in lower case; the
/// parameters are well formed and unchanged. It is printable ASCII, so it can be the value of a
/// header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType(String);

impl Default for MediaType {
    /// The type of bytes of which nothing is known.
    fn default() -> MediaType {
        MediaType(UNKNOWN.to_owned())
    }
}

impl MediaType {
    pub fn parse(text: &str) -> Result<MediaType, Problem> {
        let text = text.trim_ascii();
        let at = text.find(';').unwrap_or(text.len());
        let (essence, parameters) = text.split_at(at);
        let essence = essence.trim_ascii_end();
        let well_formed = essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        if text.len() > MAX_BYTES || !well_formed || !are_parameters(parameters) {
            let text = "A Content-Type is type/subtype and parameters (name=token or \
                        name=\"quoted string\"), at most 255 bytes of ASCII.";
            return Err(Problem::new(Code::FieldInvalid, text)
                .field("content-type")
                .limit(MAX_BYTES as u64));
        }
        Ok(MediaType(essence.to_ascii_lowercase() + parameters))
    }

    /// Type and subtype without the parameters.
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// Whether the type contains no information about the file. `curl --data-binary` sends the form
    /// type with any file.
    pub(super) fn says_nothing(&self) -> bool {
        matches!(
            self.essence(),
            UNKNOWN | "application/x-www-form-urlencoded"
        )
    }

    /// The type that the sender gave, or, if that contains no information, a guess from the first
    /// bytes.
    pub(super) fn decide(given: Option<MediaType>, head: &[u8]) -> MediaType {
        match given {
            Some(given) if !given.says_nothing() => given,
            _ => MediaType(sniff(head).to_owned()),
        }
    }
}

/// Guesses the type from the first bytes. It only guesses types that no browser runs as a page, a
/// script or a program. It never guesses for text, because a note may begin with "BM" like a
/// bitmap.
fn sniff(head: &[u8]) -> &'static str {
    if is_text(head) {
        return UNKNOWN;
    }
    let Some(guess) = infer::get(head) else {
        return UNKNOWN;
    };
    match guess.matcher_type() {
        MatcherType::Image
        | MatcherType::Audio
        | MatcherType::Video
        | MatcherType::Font
        | MatcherType::Book
        | MatcherType::Doc => guess.mime_type(),
        // `infer` takes Flash for an archive, but it is a program.
        MatcherType::Archive if guess.mime_type() != "application/x-shockwave-flash" => {
            guess.mime_type()
        }
        MatcherType::Archive | MatcherType::App | MatcherType::Text | MatcherType::Custom => {
            UNKNOWN
        }
    }
}

fn is_text(head: &[u8]) -> bool {
    let control = |b: &u8| b.is_ascii_control() && !b.is_ascii_whitespace();
    // The head may end in the middle of a character.
    let utf8 = std::str::from_utf8(head).map_or_else(|e| e.error_len().is_none(), |_| true);
    utf8 && !head.iter().any(control)
}

/// Whether a text is what may follow type and subtype (RFC 9110, 5.6.6), in printable ASCII.
///
/// A browser takes the type behind a comma for the type of the whole, so a comma may only stand in a
/// quoted string.
fn are_parameters(text: &str) -> bool {
    let mut rest = text.trim_ascii_start();
    while let Some(item) = rest.strip_prefix(';') {
        let item = item.trim_ascii_start();
        // Nothing between two semicolons is allowed, too.
        let after = match item.is_empty() || item.starts_with(';') {
            true => Some(item),
            false => after_parameter(item),
        };
        match after {
            Some(after) => rest = after.trim_ascii_start(),
            None => return false,
        }
    }
    rest.is_empty()
}

/// The text after the parameter with which `text` begins. None if it doesn't begin with one.
fn after_parameter(text: &str) -> Option<&str> {
    let (_, value) = text.split_once('=').filter(|(name, _)| is_token(name))?;
    if let Some(quoted) = value.strip_prefix('"') {
        return after_quote(quoted);
    }
    let end = value.find([';', ' ']).unwrap_or(value.len());
    let (token, after) = value.split_at(end);
    is_token(token).then_some(after)
}

/// The text after the quote that ends a quoted string.
fn after_quote(text: &str) -> Option<&str> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return text.get(at + 1..),
            b'\\' => match bytes.next() {
                Some((_, b' '..=b'~')) => {}
                _ => return None,
            },
            b' '..=b'~' => {}
            _ => return None,
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    fn decided(given: &str, head: &[u8]) -> String {
        let given = (!given.is_empty()).then(|| MediaType::parse(given).expect("well formed"));
        MediaType::decide(given, head).into_string()
    }

    #[test]
    fn what_the_sender_says_stands() {
        assert_eq!(decided("text/csv", PNG), "text/csv");
        assert_eq!(
            decided("Text/HTML ;charset=UTF-8", PNG),
            "text/html;charset=UTF-8"
        );
        for good in [
            "text/plain; a=b ; c=\"x, \\\"y\\\\; \";d=e",
            "text/plain;",
            "text/plain; ;a=\"\"",
        ] {
            assert_eq!(decided(good, PNG), good);
        }
    }

    #[test]
    fn first_bytes_decide_where_the_sender_says_nothing() {
        for given in [
            "",
            "application/octet-stream",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(decided(given, PNG), "image/png");
            assert_eq!(
                decided(given, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3"),
                "application/pdf"
            );
            assert_eq!(
                decided(given, b"\x1f\x8b\x08\0\0\0\0\0"),
                "application/gzip"
            );
        }
    }

    #[test]
    fn nothing_active_and_no_text_is_guessed() {
        let heads: [&[u8]; 10] = [
            b"",
            b"<!DOCTYPE html><script>alert(1)</script>",
            b"\0<html><script>",
            b"<?xml version=\"1.0\"?><svg onload='x'/>",
            b"<svg xmlns='http://www.w3.org/2000/svg'>",
            b"#!/bin/sh\nrm x",
            b"\0asm\x01\0\0\0",
            b"\x7fELF\x02\x01\x01\0",
            b"FWS\x09\0\0\0\0\0",
            b"BM is how a note may begin",
        ];
        for head in heads {
            assert_eq!(decided("", head), UNKNOWN, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        let long = format!("text/{}", "x".repeat(251));
        for bad in [
            "",
            "text",
            "/x",
            "text/",
            "te xt/x",
            "text/x;a=\r\nb",
            "text/x;ü",
            "text/plain;a=b,text/html",
            "text/plain;a=\"b\",text/html",
            "text/plain,text/html",
            "text/plain; a",
            "text/plain; a=",
            "text/plain; =b",
            "text/plain; a b=c",
            "text/plain; a=b c=d",
            "text/plain; a=\"b",
            "text/plain; a=\"b\\",
            "text/plain; a=\"\t\"",
            "text/plain; a=\"ü\"",
            &long,
        ] {
            let problem = MediaType::parse(bad).expect_err(bad);
            assert_eq!(problem.code, Code::FieldInvalid, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_guess_panic(head in prop::collection::vec(any::<u8>(), 0..600)) {
            sniff(&head);
        }
    }
}
