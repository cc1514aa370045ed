//! A JSON object from a client: the body of a request, or a frame.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::domain::{Code, Id, Problem};

/// The values of the fields that the caller names. Other fields are checked for valid JSON and
/// dropped.
///
/// Strings without escapes are borrowed from the text; only the others are allocated. All strings
/// of the object have to be valid Unicode: a lone surrogate anywhere is an error. `null` is treated
/// like a missing field.
#[derive(Debug)]
pub struct JsonObject<'a, const N: usize> {
    names: &'static [&'static str; N],
    values: [JsonValue<'a>; N],
}

/// A value, in as much detail as callers need. Parsing accepts any type, so that the error for a
/// field of the wrong type can name the field.
#[derive(Debug)]
enum JsonValue<'a> {
    Absent,
    Null,
    Text(Cow<'a, str>),
    /// A whole number in the range of `u64` or `i64`, also if it was written as `1.0` or `1e3`.
    Integer(i128),
    Bool(bool),
    /// A value of any other type.
    Other,
    /// The field occurred more than once.
    Repeated,
}

impl<'a, const N: usize> JsonObject<'a, N> {
    /// Fails unless the text is one JSON object.
    pub fn from_str(
        text: &'a str,
        names: &'static [&'static str; N],
    ) -> Result<JsonObject<'a, N>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_str(text);
        let object = Names(names).deserialize(&mut json)?;
        json.end().map(|()| object)
    }

    /// Fails unless the bytes are one JSON object in UTF-8.
    pub fn from_slice(
        bytes: &'a [u8],
        names: &'static [&'static str; N],
    ) -> Result<JsonObject<'a, N>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let object = Names(names).deserialize(&mut json)?;
        json.end().map(|()| object)
    }

    /// Whether a named field occurs more than once. Taking such a field fails with `field_invalid`.
    pub fn has_repeated(&self) -> bool {
        let mut values = self.values.iter();
        values.any(|value| matches!(value, JsonValue::Repeated))
    }

    /// Takes a string; `field_missing` if the field is absent.
    pub fn required_str(&mut self, name: &'static str) -> Result<Cow<'a, str>, Problem> {
        self.optional_str(name)?.ok_or_else(|| field_missing(name))
    }

    /// Takes a string; `None` if the field is absent.
    pub fn optional_str(&mut self, name: &'static str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.take(name)? {
            JsonValue::Absent | JsonValue::Null => Ok(None),
            JsonValue::Text(text) => Ok(Some(text)),
            _ => Err(field_invalid(name, "a string")),
        }
    }

    /// Takes an id; `None` if the field is absent.
    pub fn optional_id(&mut self, name: &'static str) -> Result<Option<Id>, Problem> {
        let Some(text) = self.optional_str(name)? else {
            return Ok(None);
        };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| field_invalid(name, "an id: a string of 1 to 20 decimal digits"))
    }

    /// Takes a whole number; `None` if the field is absent. `allowed` describes the range of `T`.
    pub fn optional_integer<T: TryFrom<i128>>(
        &mut self,
        name: &'static str,
        allowed: &str,
    ) -> Result<Option<T>, Problem> {
        match self.take(name)? {
            JsonValue::Absent | JsonValue::Null => Ok(None),
            JsonValue::Integer(n) if let Ok(n) = T::try_from(n) => Ok(Some(n)),
            _ => Err(field_invalid(name, allowed)),
        }
    }

    /// Takes `true` or `false`; `None` if the field is absent.
    pub fn optional_bool(&mut self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.take(name)? {
            JsonValue::Absent | JsonValue::Null => Ok(None),
            JsonValue::Bool(value) => Ok(Some(value)),
            _ => Err(field_invalid(name, "true or false")),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<JsonValue<'a>, Problem> {
        let at = self.names.iter().position(|known| *known == name);
        let at = at.expect("callers ask for the names that they listed");
        match std::mem::replace(&mut self.values[at], JsonValue::Absent) {
            JsonValue::Repeated => {
                let text = format!("{name} occurs more than once.");
                Err(Problem::new(Code::FieldInvalid, text).field(name))
            }
            value => Ok(value),
        }
    }
}

/// The error for a field that is absent.
pub fn field_missing(name: &'static str) -> Problem {
    Problem::new(Code::FieldMissing, format!("{name} is missing.")).field(name)
}

/// The error for a field's value. `allowed` completes the sentence "… must be …".
pub fn field_invalid(name: &'static str, allowed: &str) -> Problem {
    Problem::new(Code::FieldInvalid, format!("{name} must be {allowed}.")).field(name)
}

/// Parses an object into the fields with these names.
struct Names<const N: usize>(&'static [&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Names<N> {
    type Value = JsonObject<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Names<N> {
    type Value = JsonObject<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Names(names) = self;
        let mut values = [const { JsonValue::Absent }; N];
        while let Some(at) = map.next_key_seed(Position(names))? {
            let value = map.next_value()?;
            let Some(slot) = at.map(|at| &mut values[at]) else {
                continue;
            };
            *slot = match slot {
                JsonValue::Absent => value,
                _ => JsonValue::Repeated,
            };
        }
        Ok(JsonObject { names, values })
    }
}

/// Parses a key into its index among the names.
struct Position<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Position<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<usize>, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Position<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

impl<'de> Deserialize<'de> for JsonValue<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<JsonValue<'de>, D::Error> {
        d.deserialize_any(AnyValue)
    }
}

struct AnyValue;

/// Up to here, 2^49, what the parser rounds to a whole number is that number: it may be off by some
/// units of the last place, which are far below one half.
const MAX_EXACT: f64 = 562_949_953_421_312.0;

impl<'de> Visitor<'de> for AnyValue {
    type Value = JsonValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Bool(value))
    }

    fn visit_u64<E>(self, n: u64) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Integer(n.into()))
    }

    fn visit_i64<E>(self, n: i64) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Integer(n.into()))
    }

    fn visit_f64<E>(self, n: f64) -> Result<JsonValue<'de>, E> {
        // Larger ones may have been rounded: then this isn't the number that was written.
        let exact = n.fract() == 0.0 && n.abs() <= MAX_EXACT;
        Ok(if exact {
            JsonValue::Integer(n as i128)
        } else {
            JsonValue::Other
        })
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonValue<'de>, E> {
        Ok(JsonValue::Text(Cow::Owned(text.to_owned())))
    }

    // Nested values are parsed too, because `IgnoredAny` would accept lone surrogates.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonValue<'de>, A::Error> {
        while items.next_element::<JsonValue<'de>>()?.is_some() {}
        Ok(JsonValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonValue<'de>, A::Error> {
        while map.next_key_seed(Position(&[]))?.is_some() {
            map.next_value::<JsonValue<'de>>()?;
        }
        Ok(JsonValue::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<const N: usize>(
        text: &'static str,
        names: &'static [&'static str; N],
    ) -> JsonObject<'static, N> {
        JsonObject::from_str(text, names).expect("an object")
    }

    fn refused<T: fmt::Debug>(result: Result<T, Problem>) -> (Code, Option<String>) {
        let problem = result.expect_err("has to be refused");
        (problem.code, problem.field.map(Cow::into_owned))
    }

    #[test]
    fn fields_are_found_by_name_and_others_are_ignored() {
        let text = r#"{"text":"a\nb","n":7,"on":true,"later":{"x":[1,-2.5,null]},"gone":null}"#;
        let mut fields = parse(text, &["text", "n", "gone", "nowhere"]);
        assert_eq!(fields.required_str("text").ok().as_deref(), Some("a\nb"));
        assert_eq!(fields.optional_integer("n", "").ok(), Some(Some(7_u64)));
        assert_eq!(fields.optional_str("gone").ok(), Some(None));
        assert_eq!(fields.optional_str("nowhere").ok(), Some(None));
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let mut fields = parse(r#"{"text":"plain"}"#, &["text"]);
        let text = fields.required_str("text");
        assert!(matches!(text, Ok(Cow::Borrowed("plain"))));
    }

    #[test]
    fn missing_and_mistyped_fields_are_named() {
        let text = r#"{"n":-1,"s":5,"b":"yes","null":null,"d":1,"d":2,"e":null,"e":"x"}"#;
        let mut fields = parse(text, &["x", "n", "s", "b", "null", "d", "e"]);
        assert!(fields.has_repeated());
        let named = |code, name: &str| (code, Some(name.to_owned()));
        for name in ["x", "null"] {
            let problem = refused(fields.required_str(name));
            assert_eq!(problem, named(Code::FieldMissing, name));
        }
        for name in ["s", "d", "e"] {
            let problem = refused(fields.optional_str(name));
            assert_eq!(problem, named(Code::FieldInvalid, name));
        }
        for name in ["n", "b"] {
            let problem = refused(fields.optional_integer::<u64>(name, ""));
            assert_eq!(problem, named(Code::FieldInvalid, name));
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_fraction_or_with_an_exponent() {
        for (text, wanted) in [
            (r#"{"n":1.0}"#, Some(1)),
            (r#"{"n":-2.00}"#, Some(-2)),
            (r#"{"n":1e3}"#, Some(1000)),
            (r#"{"n":562949953421311.0}"#, Some(562_949_953_421_311)),
            (r#"{"n":9007199254740991.0}"#, None),
            (r#"{"n":1.5}"#, None),
            (r#"{"n":1e300}"#, None),
        ] {
            let got = parse(text, &["n"]).optional_integer::<i64>("n", "");
            assert_eq!(got.ok().flatten(), wanted, "{text}");
        }
    }

    #[test]
    fn a_name_that_nobody_asks_for_may_occur_twice() {
        assert!(!parse(r#"{"d":1,"d":2}"#, &["text"]).has_repeated());
    }

    #[test]
    fn what_is_no_json_object_is_an_error() {
        let deep = [b"{\"a\":".as_slice(), &b"[".repeat(10_000)].concat();
        let bad: [&[u8]; 12] = [
            b"",
            b"[]",
            b"5",
            b"\"text\"",
            b"null",
            b"{",
            b"{\"a\":1} x",
            b"{\"a\":\"\xff\"}",
            br#"{"a":"\ud800"}"#,
            br#"{"\ud800":1}"#,
            br#"{"later":[{"x":"\udc00"}]}"#,
            &deep,
        ];
        for bytes in bad {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            JsonObject::from_slice(bytes, &["a"]).expect_err(&shown);
        }
    }
}
