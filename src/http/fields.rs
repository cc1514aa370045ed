//! The fields of a JSON object that a client sent, as a body or as a frame.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use lakechat_core::domain::{Code, Problem};

/// The fields of one JSON object, borrowed from its text where that has no escapes.
///
/// A field that nobody asks for is ignored; one that is asked for may stand only once. `null` is the
/// same as no field.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// A value as far as it can be asked for.
#[derive(Debug)]
enum Value<'a> {
    Null,
    #[cfg_attr(not(test), expect(dead_code, reason = "no call takes one yet"))]
    Bool(bool),
    #[cfg_attr(not(test), expect(dead_code, reason = "no call takes one yet"))]
    U64(u64),
    Text(Cow<'a, str>),
    /// An array, an object, a negative number or one with a fraction.
    Other,
}

impl<'a> Fields<'a> {
    /// `bad_json` unless the bytes are one JSON object in UTF-8 whose strings are Unicode text: a
    /// lone surrogate anywhere in it is refused too.
    pub fn parse(bytes: &'a [u8]) -> Result<Fields<'a>, Problem> {
        serde_json::from_slice(bytes)
            .map_err(|e| Problem::new(Code::BadJson, format!("One JSON object is wanted: {e}.")))
    }

    /// A text that has to be there.
    pub fn required_str(&self, name: &'static str) -> Result<&str, Problem> {
        self.optional_str(name)?.ok_or_else(|| {
            let text = format!("The field {name} is missing; it is a string.");
            Problem::new(Code::FieldMissing, text).field(name)
        })
    }

    pub fn optional_str(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(invalid(name, "has to be a string")),
        }
    }

    #[cfg(test)]
    pub fn optional_u64(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::U64(number)) => Ok(Some(*number)),
            Some(_) => Err(invalid(name, "has to be a whole number, 0 or larger")),
        }
    }

    #[cfg(test)]
    pub fn optional_bool(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.get(name)? {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(invalid(name, "has to be true or false")),
        }
    }

    fn get(&self, name: &'static str) -> Result<Option<&Value<'a>>, Problem> {
        let mut named = self.0.iter().filter(|(n, _)| n == name);
        let first = named.next().map(|(_, value)| value);
        if named.next().is_some() {
            return Err(invalid(name, "stands twice; once is allowed"));
        }
        Ok(first.filter(|value| !matches!(value, Value::Null)))
    }
}

fn invalid(name: &'static str, what: &str) -> Problem {
    Problem::new(Code::FieldInvalid, format!("The field {name} {what}.")).field(name)
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some(Name(name)) = map.next_key()? {
            fields.push((name, map.next_value()?));
        }
        Ok(Fields(fields))
    }
}

/// A name, borrowed where it can be; serde's own `Cow` is always owned within a map.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(ValueVisitor)? {
            Value::Text(text) => Ok(Name(text)),
            _ => Err(de::Error::custom("a name has to be a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::U64(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    // What lies deeper is read as thoroughly and then dropped: `IgnoredAny` would let lone
    // surrogates pass.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        while items.next_element::<Value<'de>>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<Name<'de>, Value<'de>>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: fmt::Debug>(result: Result<T, Problem>) -> (Code, Option<String>) {
        let problem = result.expect_err("has to be refused");
        (problem.code, problem.field.map(Cow::into_owned))
    }

    #[test]
    fn fields_are_found_by_name_and_others_are_ignored() {
        let text = br#"{"text":"a\nb","ref":7,"on":true,"later":{"x":[1,-2.5,null]},"gone":null}"#;
        let fields = Fields::parse(text).expect("an object");
        assert_eq!(fields.required_str("text").ok(), Some("a\nb"));
        assert_eq!(fields.optional_u64("ref").ok(), Some(Some(7)));
        assert_eq!(fields.optional_bool("on").ok(), Some(Some(true)));
        assert_eq!(fields.optional_str("gone").ok(), Some(None));
        assert_eq!(fields.optional_str("nowhere").ok(), Some(None));
    }

    #[test]
    fn text_without_escapes_is_not_copied() {
        let fields = Fields::parse(br#"{"text":"plain"}"#).expect("an object");
        let borrowed = |c: &Cow<'_, str>| matches!(c, Cow::Borrowed(_));
        assert!(borrowed(&fields.0[0].0));
        assert!(matches!(&fields.0[0].1, Value::Text(text) if borrowed(text)));
    }

    #[test]
    fn missing_and_mistyped_fields_are_named() {
        let fields = Fields::parse(br#"{"n":-1,"s":5,"b":"yes","null":null,"d":1,"d":2}"#)
            .expect("an object");
        let named = |code, name: &str| (code, Some(name.to_owned()));
        assert_eq!(
            refused(fields.required_str("x")),
            named(Code::FieldMissing, "x")
        );
        assert_eq!(
            refused(fields.required_str("null")),
            named(Code::FieldMissing, "null")
        );
        assert_eq!(
            refused(fields.required_str("s")),
            named(Code::FieldInvalid, "s")
        );
        assert_eq!(
            refused(fields.optional_u64("n")),
            named(Code::FieldInvalid, "n")
        );
        assert_eq!(
            refused(fields.optional_bool("b")),
            named(Code::FieldInvalid, "b")
        );
        assert_eq!(
            refused(fields.optional_u64("d")),
            named(Code::FieldInvalid, "d")
        );
    }

    #[test]
    fn what_is_no_json_object_is_bad_json() {
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
            assert_eq!(refused(Fields::parse(bytes)).0, Code::BadJson, "{shown}");
        }
    }
}
