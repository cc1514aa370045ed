//! Settings that are kept as the text that was given.

/// Declares a type over a text.
///
/// `$check` turns a given text into the one to keep, or into None if it is not allowed.
macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $allowed:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $crate::config::setting::TextSetting for $name {
            const ALLOWED: &str = $allowed;

            fn parse(text: &str) -> Option<$name> {
                let check: fn(&str) -> Option<String> = $check;
                check(text).map($name)
            }

            fn to_text(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

pub(super) use checked_text;
