//! The parameters of a URL. Handlers take each by name; unknown ones are refused.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use percent_encoding::percent_decode;

use lakechat_core::domain::{Code, Problem};

/// The parameters of one request that were not taken yet.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the text after the `?`. A repeated name or invalid UTF-8 is `field_invalid`.
    pub fn parse(raw: Option<&str>) -> Result<Query, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for pair in raw.unwrap_or("").split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if params.iter().any(|(n, _)| *n == name) {
                let text = format!("The parameter {name:?} occurs more than once.");
                return Err(Problem::new(Code::FieldInvalid, text).field(name));
            }
            params.push((name, value));
        }
        Ok(Query(params))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter's value, if it is there.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// The parameter's parsed value, if it is there; `allowed` completes "must be".
    pub fn take_as<T: FromStr>(
        &mut self,
        name: &'static str,
        code: Code,
        allowed: impl Display,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let wrong = |_| Problem::new(code, format!("{name} must be {allowed}.")).field(name);
        value.parse().map(Some).map_err(wrong)
    }

    /// Refuses the request if parameters are left.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.0.into_iter().next() else {
            return Ok(());
        };
        let text = format!("This call has no parameter {name:?}.");
        Err(Problem::new(Code::ParamUnknown, text).field(name))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes())
        .decode_utf8()
        .map(Cow::into_owned);
    decoded.map_err(|_| {
        Problem::new(
            Code::FieldInvalid,
            "Parameters must be percent-encoded UTF-8.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_refused_by_name() {
        let mut q = Query::parse(Some("limit=5&name=a%20b+c&x")).expect("well formed");
        assert_eq!(q.take("name").as_deref(), Some("a b c"));
        assert_eq!(
            q.take_as::<u32>("limit", Code::LimitInvalid, "1 to 200")
                .ok(),
            Some(Some(5))
        );
        let problem = q.finish().expect_err("x is unknown");
        assert_eq!(
            (problem.code, problem.field.as_deref()),
            (Code::ParamUnknown, Some("x"))
        );
    }

    #[test]
    fn doubles_and_broken_bytes_are_refused() {
        for bad in ["a=1&a=2", "a=%ff"] {
            assert_eq!(
                Query::parse(Some(bad)).expect_err(bad).code,
                Code::FieldInvalid
            );
        }
    }
}
