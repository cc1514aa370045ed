//! Reads and writes file names in `Content-Disposition` (RFC 6266, RFC 8187, and the way browsers
//! write them in forms).

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but letters, digits and what RFC 8187 allows unencoded.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The origin of a header, which decides how a quoted name is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// The header of a request: `\x` in quotes means `x`.
    Http,
    /// The header of a part of a form: browsers and curl write `"`, CR and LF as `%22`, `%0D` and
    /// `%0A`, and leave a backslash as it is. Some write `\"` too.
    Form,
}

/// The header is not a valid Content-Disposition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The name in a header, if it has one: `filename*` if that can be decoded, else `filename`.
pub(super) fn file_name(header: &HeaderValue, style: Style) -> Result<Option<String>, Malformed> {
    let text = std::str::from_utf8(header.as_bytes()).map_err(|_| Malformed)?;
    let (mut plain, mut extended) = (None, None);
    let mut rest = text.split_once(';').map_or("", |(_kind, rest)| rest);
    while let Some((name, value, after)) = parameter(rest, style)? {
        let slot = match name {
            _ if name.eq_ignore_ascii_case("filename") => &mut plain,
            _ if name.eq_ignore_ascii_case("filename*") => &mut extended,
            _ => &mut None,
        };
        if slot.replace(value).is_some() {
            return Err(Malformed);
        }
        rest = after;
    }
    let readable = extended.as_deref().and_then(decode_extended);
    match (readable, plain, extended) {
        (Some(name), _, _) | (None, Some(name), _) => Ok(Some(name)),
        (None, None, Some(_)) => Err(Malformed),
        (None, None, None) => Ok(None),
    }
}

type Parameter<'a> = (&'a str, String, &'a str);

/// The first parameter of `text`, and the text after it.
fn parameter(text: &str, style: Style) -> Result<Option<Parameter<'_>>, Malformed> {
    let text = text.trim_start_matches([' ', '\t', ';']);
    if text.is_empty() {
        return Ok(None);
    }
    let (name, value) = text.split_once('=').ok_or(Malformed)?;
    let value = value.trim_ascii_start();
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted, style).ok_or(Malformed)?,
        None => {
            let (value, rest) = value.split_once(';').unwrap_or((value, ""));
            (value.trim_ascii_end().to_owned(), rest)
        }
    };
    let value = match style {
        Style::Form if name.trim_ascii().eq_ignore_ascii_case("filename") => from_browser(&value),
        _ => value,
    };
    Ok(Some((name.trim_ascii(), value, rest)))
}

/// The text up to the closing quote, and the text after it.
fn unquote(text: &str, style: Style) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => return Some((value, &text[at + 1..])),
            ('\\', Some(&(_, next))) if style == Style::Http || next == '"' => {
                value.push(next);
                chars.next();
            }
            _ => value.push(c),
        }
    }
    None
}

fn from_browser(value: &str) -> String {
    let decoded = value.replace("%22", "\"");
    let decoded = decoded.replace("%0D", "\r").replace("%0d", "\r");
    decoded.replace("%0A", "\n").replace("%0a", "\n")
}

/// `UTF-8'language'percent-encoded`. Other character sets are not supported, as RFC 8187 allows.
fn decode_extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, encoded) = rest.split_once('\'')?;
    let escapes = encoded.split('%').skip(1);
    let whole = |e: &str| e.len() >= 2 && e.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if !charset.eq_ignore_ascii_case("utf-8") || !escapes.into_iter().all(whole) {
        return None;
    }
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// The header with a file's name: `kind` is `inline` or `attachment`. Names are escaped, so they can't
/// inject headers or parameters.
pub(super) fn compose(kind: &'static str, name: &str) -> HeaderValue {
    let plain: String = name.chars().map(fallback).collect();
    let mut text = format!("{kind}; filename=\"{plain}\"");
    if plain != name {
        text += "; filename*=UTF-8''";
        text.extend(utf8_percent_encode(name, EXTENDED));
    }
    HeaderValue::try_from(text).expect("printable ASCII only")
}

/// The character in the name for old clients, of which some decode `%` and some take a slash for a
/// folder.
fn fallback(c: char) -> char {
    match c {
        '"' | '\\' | '%' | '/' => '_',
        ' '..='~' => c,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: &str, style: Style) -> Result<Option<String>, Malformed> {
        let value = HeaderValue::from_bytes(header.as_bytes()).expect("a header's value");
        file_name(&value, style)
    }

    #[test]
    fn names_are_read_in_every_form() {
        let table = [
            (r#"attachment; filename="a b.txt""#, "a b.txt"),
            ("attachment; filename=a.txt", "a.txt"),
            ("attachment; FileName = \"a;b\" ; x=y", "a;b"),
            (r#"attachment; filename="a\"b\\c""#, r#"a"b\c"#),
            (r#"attachment; filename="日本.txt""#, "日本.txt"),
            (
                "attachment; filename*=UTF-8''%e6%97%A5.txt; filename=x",
                "日.txt",
            ),
            (
                "attachment; filename=x; filename*=utf-8'en'a%22b%0D%0Ac",
                "a\"b\r\nc",
            ),
            ("attachment; filename=x; filename*=ISO-8859-1''%fc", "x"),
            ("attachment; filename=x; filename*=UTF-8''%ff", "x"),
            ("attachment; filename=x; filename*=UTF-8''%4", "x"),
            ("attachment; filename=%41", "%41"),
            ("attachment; filename=\"../../x\"", "../../x"),
        ];
        for (header, name) in table {
            assert_eq!(
                read(header, Style::Http),
                Ok(Some(name.to_owned())),
                "{header}"
            );
        }
    }

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let table = [
            (
                r#"form-data; name="f"; filename="a%22b%0D%0Ac""#,
                "a\"b\r\nc",
            ),
            (r#"form-data; name="f"; filename="a\b\\c%41""#, r"a\b\\c%41"),
            (r#"form-data; name="f"; filename="a\"b""#, "a\"b"),
            (r#"form-data; name="filename"; filename="""#, ""),
            (
                "form-data; name=\"f\"; filename*=utf-8''%E6%97%A5%22",
                "日\"",
            ),
            (r#"form-data; name="a; filename=\"b\""; filename=c"#, "c"),
        ];
        for (header, name) in table {
            assert_eq!(
                read(header, Style::Form),
                Ok(Some(name.to_owned())),
                "{header}"
            );
        }
        assert_eq!(
            read(r#"form-data; name="filename=x""#, Style::Form),
            Ok(None)
        );
    }

    #[test]
    fn headers_that_cannot_be_read_are_malformed() {
        for header in [
            "attachment; filename=\"a",
            "attachment; filename=a; filename=b",
            "attachment; filename",
            "attachment; filename*=UTF-8''%ff",
            "attachment; filename*=x",
        ] {
            assert_eq!(read(header, Style::Http), Err(Malformed), "{header}");
        }
        let latin = HeaderValue::from_bytes(b"attachment; filename=\xfc").expect("a value");
        assert_eq!(file_name(&latin, Style::Http), Err(Malformed));
        assert_eq!(read("attachment", Style::Http), Ok(None));
    }

    #[test]
    fn names_are_written_for_old_and_new_clients() {
        let table = [
            ("a b.txt", r#"attachment; filename="a b.txt""#),
            (
                "a\"b\r\nc",
                r#"attachment; filename="a_b__c"; filename*=UTF-8''a%22b%0D%0Ac"#,
            ),
            (
                "日.txt",
                r#"attachment; filename="_.txt"; filename*=UTF-8''%E6%97%A5.txt"#,
            ),
            (
                "../x",
                r#"attachment; filename=".._x"; filename*=UTF-8''..%2Fx"#,
            ),
        ];
        for (name, header) in table {
            assert_eq!(compose("attachment", name), header);
        }
    }

    proptest! {
        #[test]
        fn any_name_survives_the_header_and_none_breaks_it(name in "\\PC{1,40}|[\\x01-\\x7f]{1,40}") {
            let header = compose("attachment", &name);
            prop_assert!(header.as_bytes().iter().all(|b| (0x20..0x7f).contains(b)));
            prop_assert_eq!(header.as_bytes().iter().filter(|b| **b == b'"').count(), 2);
            prop_assert_eq!(file_name(&header, Style::Http), Ok(Some(name)));
        }
    }
}
