//! The macro that declares keys: name, type, default, range and meaning, in one place.

/// Declares a section: a struct, and a `read` that takes its keys from a `Reader`.
///
/// A line is `key: type = default;` or, for numbers, `key: type = default, least..=most;`. Its doc
/// comment is what `lakechat config print` prints above the key.
macro_rules! section {
    (
        $(#[$about:meta])*
        $section:ident $path:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr $(, $bounds:expr)?;
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $key: $type,)*
        }

        impl $section {
            pub(super) fn read(reader: &mut $crate::config::reader::Reader) -> $section {
                $section {
                    $($key: reader.take(
                        concat!($path, stringify!($key)),
                        &[$($doc),+],
                        $default,
                        &$crate::config::section::bounds!($($bounds)?),
                    ),)*
                }
            }
        }
    };
}

macro_rules! bounds {
    () => {
        $crate::config::setting::UNBOUNDED
    };
    ($bounds:expr) => {
        $bounds
    };
}

pub(super) use {bounds, section};
