//! The types that a key can have: what each allows, how it is parsed and how it is printed.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::Value;

use super::source::{Given, Givens, Raw};
use lakechat_core::domain::Secret;

/// The range of a number; other types ignore it.
pub type Bounds = RangeInclusive<u64>;

pub const UNBOUNDED: Bounds = 0..=u64::MAX;

/// A type that a key can have.
pub trait Setting: Sized {
    /// Printed as `***`, also in mistakes.
    const SECRET: bool = false;

    /// Removes and returns what was given for a key.
    fn gather(givens: &mut Givens, key: &str) -> Option<Given> {
        givens.remove(key)
    }

    /// What is allowed, as the rest of a sentence that begins with "has to be".
    fn allowed(bounds: &Bounds) -> String;

    /// None if the value is not allowed.
    fn read(raw: &Raw, bounds: &Bounds) -> Option<Self>;

    /// None if the setting has no value.
    fn to_toml(&self) -> Option<Value>;
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn allowed(bounds: &Bounds) -> String {
                let most = (*bounds.end()).min(<$number>::MAX as u64);
                format!("a whole number from {} to {}", grouped(*bounds.start()), grouped(most))
            }

            fn read(raw: &Raw, bounds: &Bounds) -> Option<$number> {
                let number = match raw {
                    Raw::Toml(Value::Integer(number)) => u64::try_from(*number).ok()?,
                    Raw::Text(text) => text.trim().parse().ok()?,
                    Raw::Toml(_) => return None,
                };
                let number = Some(number).filter(|n| bounds.contains(n))?;
                <$number>::try_from(number).ok()
            }

            fn to_toml(&self) -> Option<Value> {
                let number = i64::try_from(*self).expect("the bounds lie within TOML's integers");
                Some(Value::Integer(number))
            }
        }
    )*};
}

whole_numbers!(u16, u32, u64, usize);

/// Types that are written as a text. `parse` reads what `to_text` returns.
pub trait TextSetting: Sized {
    const ALLOWED: &str;

    fn parse(text: &str) -> Option<Self>;

    fn to_text(&self) -> String;
}

impl<T: TextSetting> Setting for T {
    fn allowed(_: &Bounds) -> String {
        T::ALLOWED.to_owned()
    }

    fn read(raw: &Raw, _: &Bounds) -> Option<T> {
        T::parse(&text_of(raw)?)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_text()))
    }
}

/// A TOML number counts as a text of digits, so that `id = 7` needs no quotes.
fn text_of(raw: &Raw) -> Option<String> {
    match raw {
        Raw::Text(text) | Raw::Toml(Value::String(text)) => Some(text.clone()),
        Raw::Toml(Value::Integer(number)) => Some(number.to_string()),
        Raw::Toml(_) => None,
    }
}

impl TextSetting for PathBuf {
    const ALLOWED: &str = "a path";

    fn parse(text: &str) -> Option<PathBuf> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }

    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

impl TextSetting for SocketAddr {
    const ALLOWED: &str = "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080";

    fn parse(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl TextSetting for IpNet {
    const ALLOWED: &str = "an IP address or a network such as 10.0.0.0/8";

    fn parse(text: &str) -> Option<IpNet> {
        let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(single)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// None unless given. An empty variable counts as not given.
impl<T: Setting> Setting for Option<T> {
    const SECRET: bool = T::SECRET;

    fn allowed(bounds: &Bounds) -> String {
        T::allowed(bounds)
    }

    fn read(raw: &Raw, bounds: &Bounds) -> Option<Option<T>> {
        match raw {
            Raw::Text(text) if text.is_empty() => Some(None),
            _ => T::read(raw, bounds).map(Some),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        self.as_ref().and_then(T::to_toml)
    }
}

/// In a variable: items separated by commas, or a list as in TOML.
impl<T: Setting> Setting for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn allowed(bounds: &Bounds) -> String {
        format!("a list, each item {}", T::allowed(bounds))
    }

    fn read(raw: &Raw, bounds: &Bounds) -> Option<Vec<T>> {
        let items = items_of(raw)?;
        items.iter().map(|item| T::read(item, bounds)).collect()
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::to_toml).collect()))
    }
}

fn items_of(raw: &Raw) -> Option<Vec<Raw>> {
    match raw {
        Raw::Toml(Value::Array(items)) => Some(items.iter().cloned().map(Raw::Toml).collect()),
        Raw::Toml(_) => None,
        Raw::Text(text) if text.trim_start().starts_with('[') => {
            items_of(&Raw::Toml(text.trim().parse().ok()?))
        }
        Raw::Text(text) if text.trim().is_empty() => Some(Vec::new()),
        Raw::Text(text) => {
            let items = text
                .split(',')
                .map(|item| Raw::Text(item.trim().to_owned()));
            Some(items.collect())
        }
    }
}

impl<T: Setting> Setting for Secret<T> {
    const SECRET: bool = true;

    fn allowed(bounds: &Bounds) -> String {
        T::allowed(bounds)
    }

    fn read(raw: &Raw, bounds: &Bounds) -> Option<Secret<T>> {
        T::read(raw, bounds).map(Secret::new)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        write!(text, "{digit}").expect("writing to a String never fails");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    fn toml(value: &str) -> Raw {
        Raw::Toml(value.parse().expect("TOML"))
    }

    #[test]
    fn numbers_keep_to_their_bounds_and_their_type() {
        assert_eq!(u32::read(&toml("7"), &(1..=7)), Some(7));
        assert_eq!(u32::read(&text("7"), &(1..=7)), Some(7));
        for bad in ["8", "0", "-1", "\"7\"", "7.0", "true"] {
            assert_eq!(u32::read(&toml(bad), &(1..=7)), None, "{bad}");
        }
        assert_eq!(u32::read(&text("4294967296"), &UNBOUNDED), None);
        assert_eq!(u32::read(&text("seven"), &UNBOUNDED), None);
        assert_eq!(u16::allowed(&UNBOUNDED), "a whole number from 0 to 65,535");
    }

    #[test]
    fn lists_come_from_toml_or_with_commas() {
        let nets = |raw| Vec::<IpNet>::read(&raw, &UNBOUNDED).map(|nets| nets.len());
        assert_eq!(nets(toml("[\"10.0.0.0/8\", \"::1\"]")), Some(2));
        assert_eq!(nets(text("10.0.0.0/8, 192.0.2.1")), Some(2));
        assert_eq!(nets(text("[\"10.0.0.0/8\"]")), Some(1));
        assert_eq!(nets(text("")), Some(0));
        assert_eq!(nets(text("10.0.0.0/8,")), None);
        assert_eq!(nets(toml("\"10.0.0.0/8\"")), None);
    }

    #[test]
    fn a_secret_shows_stars() {
        let secret = Secret::<PathBuf>::read(&text("hunter2"), &UNBOUNDED).expect("a text");
        assert_eq!(secret.to_toml(), Some(Value::String("***".to_owned())));
    }
}
