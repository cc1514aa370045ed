//! Names and prefixes: short texts of certain characters.

use std::ffi::CStr;
use std::ops::RangeInclusive;

use super::setting::TextSetting;
use super::text::checked_text;

checked_text! {
    /// The name under which clients and presence show a server.
    ServerId, "1 to 64 letters, digits, '.', '_' and '-'",
    |text| checked(text, 1..=64, is_in_a_name)
}

checked_text! {
    /// The beginning of the names of Kafka's topics and groups.
    TopicPrefix, "1 to 64 letters, digits, '.', '_' and '-'",
    |text| checked(text, 1..=64, is_in_a_name)
}

checked_text! {
    /// A namespace of HBase.
    Namespace, "1 to 64 letters, digits and '_'",
    |text| checked(text, 1..=64, is_in_a_table)
}

checked_text! {
    /// The beginning of the names of HBase's tables; may be empty.
    #[derive(Default)]
    TablePrefix, "up to 32 letters, digits and '_', or nothing",
    |text| checked(text, 0..=32, is_in_a_table)
}

checked_text! {
    /// The name of a host, as in a Host header but without the port.
    HostName, "a host name such as chat.example, without scheme and port",
    |text| checked(text, 1..=253, is_in_a_name)
}

checked_text! {
    /// A user of Hadoop.
    HdfsUser, "1 to 64 letters, digits, '.', '_' and '-'",
    |text| checked(text, 1..=64, is_in_a_name)
}

checked_text! {
    /// The beginning of all keys in Redis: without the characters of patterns and hash tags.
    RedisPrefix,
    "1 to 64 printable ASCII characters without spaces, '{', '}', '*', '?', '[', ']' and '\\'",
    |text| checked(text, 1..=64, is_in_a_key)
}

fn checked(
    text: &str,
    lengths: RangeInclusive<usize>,
    is_allowed: fn(u8) -> bool,
) -> Option<String> {
    let good = lengths.contains(&text.len()) && text.bytes().all(is_allowed);
    good.then(|| text.to_owned())
}

fn is_in_a_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._-".contains(&b)
}

fn is_in_a_table(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn is_in_a_key(b: u8) -> bool {
    b.is_ascii_graphic() && !b"{}*?[]\\".contains(&b)
}

impl ServerId {
    /// The host name, or `lakechat` where the host name is not a valid id.
    pub fn of_host() -> ServerId {
        let uname = rustix::system::uname();
        let name = CStr::to_string_lossy(uname.nodename());
        ServerId::parse(&name).unwrap_or_else(|| ServerId("lakechat".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_and_characters() {
        let long = "a".repeat(64);
        for good in ["a", "A-1_b.c", &long] {
            assert!(ServerId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a b", "ä", "a/b", &format!("{long}a")] {
            assert_eq!(ServerId::parse(bad), None, "{bad}");
        }
        assert_eq!(Namespace::parse("a.b"), None);
        assert_eq!(TablePrefix::parse(""), Some(TablePrefix::default()));
        assert_eq!(TablePrefix::parse(&"a".repeat(33)), None);
        assert!(RedisPrefix::parse("lakechat:").is_some());
        for bad in ["", "a b", "{a}", "a*", "a?", "[a]", "\\"] {
            assert_eq!(RedisPrefix::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn host_has_a_name_that_is_taken() {
        let id = ServerId::of_host();
        assert_eq!(ServerId::parse(id.as_str()), Some(id));
    }
}
