//! What things of a server are called: short texts of certain characters.

use std::ffi::CStr;

use super::setting::TextSetting;

macro_rules! name {
    ($(#[$meta:meta])* $name:ident: $lengths:expr, $is_allowed:expr, $allowed:literal) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TextSetting for $name {
            const ALLOWED: &str = $allowed;

            fn parse(text: &str) -> Option<$name> {
                let good = ($lengths).contains(&text.len()) && text.bytes().all($is_allowed);
                good.then(|| $name(text.to_owned()))
            }

            fn shown(&self) -> String {
                self.0.clone()
            }
        }
    };
}

name! {
    /// What a server is called before clients and in presence.
    ServerId: 1..=64, is_in_a_name, "1 to 64 letters, digits, '.', '_' and '-'"
}

name! {
    /// What the names of topics begin with, or a user of Hadoop.
    Name: 1..=64, is_in_a_name, "1 to 64 letters, digits, '.', '_' and '-'"
}

name! {
    /// A namespace of HBase.
    Namespace: 1..=64, is_in_a_table, "1 to 64 letters, digits and '_'"
}

name! {
    /// What the names of tables begin with; may be empty.
    #[derive(Default)]
    TablePrefix: 0..=32, is_in_a_table, "up to 32 letters, digits and '_', or nothing"
}

name! {
    /// What all keys in Redis begin with: without the characters of patterns and hash tags.
    RedisPrefix: 1..=64, is_in_a_key,
    "1 to 64 printable ASCII characters without spaces, '{', '}', '*', '?', '[', ']' and '\\'"
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
    /// The name of this host, as far as it can be one.
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
