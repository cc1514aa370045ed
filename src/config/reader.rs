//! Turns what was given into settings, and records each key for `config print`.

use strsim::osa_distance;
use toml::Value;

use super::mistake::{ConfigErrors, Mistake};
use super::setting::{Bounds, Setting};
use super::source::{Given, Givens, Raw, Source, variable};

/// A key of the configuration, its value and where the value comes from.
#[derive(Clone, Debug)]
pub struct ConfigKey {
    /// With its section: `limits.sends_per_user`.
    pub name: &'static str,
    /// Meaning and unit, line by line.
    pub docs: &'static [&'static str],
    /// The values that are allowed.
    pub allowed: String,
    /// None if the key has no default.
    pub default: Option<Value>,
    /// None if the key has no value. A secret is `***`.
    pub value: Option<Value>,
    pub source: Source,
}

impl ConfigKey {
    /// The environment variable that sets the key.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

/// Every section takes its keys from here. Whatever is left at the end is unknown.
pub struct Reader {
    given: Givens,
    keys: Vec<ConfigKey>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub fn new(given: Givens, mistakes: Vec<Mistake>) -> Reader {
        Reader {
            given,
            keys: Vec::new(),
            mistakes,
        }
    }

    /// The value of a key. The default if nothing was given, or nothing that is allowed: then the
    /// mistake is recorded.
    pub fn take<T: Setting>(
        &mut self,
        name: &'static str,
        docs: &'static [&'static str],
        default: T,
        bounds: &Bounds,
    ) -> T {
        let mut key = ConfigKey {
            name,
            docs,
            allowed: T::allowed(bounds),
            default: default.to_toml(),
            value: None,
            source: Source::Default,
        };
        let mut value = default;
        if let Some(given) = T::gather(&mut self.given, name) {
            match T::read(&given.raw, bounds) {
                Some(read) => value = read,
                None => self.mistakes.push(not_allowed::<T>(name, &given, bounds)),
            }
            key.source = given.source;
        }
        key.value = value.to_toml();
        self.keys.push(key);
        value
    }

    /// Records that the value of a key that was taken does not fit the values of other keys.
    pub fn refuse(&mut self, name: &str, what: impl Into<String>) {
        let key = self.keys.iter().find(|key| key.name == name);
        let key = key.expect("only keys that were taken are compared");
        let value = key
            .value
            .as_ref()
            .map_or("nothing".to_owned(), Value::to_string);
        self.mistakes.push(Mistake {
            at: place(name, &value, &key.source),
            what: what.into(),
        });
    }

    /// The keys in the order in which they were taken, or every mistake.
    pub fn finish(mut self) -> Result<Vec<ConfigKey>, ConfigErrors> {
        for (name, given) in &self.given {
            if let Some(what) = unknown(name, given, &self.keys) {
                let at = match &given.source {
                    Source::Variable(variable) => variable.clone(),
                    source => format!("{name} ({source})"),
                };
                self.mistakes.push(Mistake { at, what });
            }
        }
        match self.mistakes.is_empty() {
            true => Ok(self.keys),
            false => Err(ConfigErrors(self.mistakes)),
        }
    }
}

fn not_allowed<T: Setting>(name: &str, given: &Given, bounds: &Bounds) -> Mistake {
    let value = match T::SECRET {
        true => "***".to_owned(),
        false => given.raw.to_string(),
    };
    Mistake {
        at: place(name, &value, &given.source),
        what: format!("has to be {}", T::allowed(bounds)),
    }
}

fn place(name: &str, value: &str, source: &Source) -> String {
    match source {
        Source::Default | Source::File(_) => format!("{name} = {value} ({source})"),
        Source::Variable(_) | Source::Flag(_) => format!("{source} = {value}"),
    }
}

/// The text of the mistake for a name that is not a key. None for an empty section, which is fine.
fn unknown(name: &str, given: &Given, keys: &[ConfigKey]) -> Option<String> {
    let section = format!("{name}.");
    if keys.iter().any(|key| key.name.starts_with(&section)) {
        let empty = matches!(&given.raw, Raw::Toml(Value::Table(table)) if table.is_empty());
        return (!empty).then(|| "is a section, not a key".to_owned());
    }
    let near = nearest(name, keys).map(|key| match given.source {
        Source::Variable(_) => key.variable(),
        _ => key.name.to_owned(),
    });
    Some(match (near, &given.source) {
        (Some(near), _) => format!("there is no such key; did you mean {near}?"),
        (None, Source::Variable(variable)) if looks_like_kubernetes(variable) => {
            "there is no such key; if Kubernetes sets it for another service, turn that off with \
             enableServiceLinks: false"
                .to_owned()
        }
        (None, _) => "there is no such key".to_owned(),
    })
}

fn looks_like_kubernetes(variable: &str) -> bool {
    variable.ends_with("_PORT") || variable.contains("_PORT_") || variable.contains("_SERVICE_")
}

/// The key that was probably meant: the closest spelling, or the same last part in another section.
fn nearest<'a>(name: &str, keys: &'a [ConfigKey]) -> Option<&'a ConfigKey> {
    let letters = |name: &str| name.replace(['.', '-'], "_");
    let last = |name: &str| name.rsplit('.').next().map(letters);
    let near = keys
        .iter()
        .map(|key| (osa_distance(&letters(key.name), &letters(name)), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + name.len() / 6)
        .map(|(_, key)| key);
    near.or_else(|| keys.iter().find(|key| last(key.name) == last(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::UNBOUNDED;
    use lakechat_core::domain::Secret;

    #[test]
    fn a_secret_is_shown_neither_in_keys_nor_in_mistakes() {
        let given = |value: i64| Given {
            raw: Raw::Text(value.to_string()),
            source: Source::Flag("--key"),
        };
        let givens = [("good", given(1111)), ("bad", given(-2222))];
        let givens = givens.map(|(key, given)| (key.to_owned(), given));
        let mut reader = Reader::new(givens.into(), Vec::new());
        let secret = reader.take("good", &[], Secret::new(0u32), &UNBOUNDED);
        assert_eq!(*secret.expose(), 1111);
        reader.take("bad", &[], Secret::new(0u32), &UNBOUNDED);
        reader.refuse("good", "is not what it has to be");
        assert_eq!(reader.keys[0].value, Some(Value::from("***")));

        let mistakes = reader.finish().expect_err("two mistakes").to_string();
        assert!(mistakes.contains("--key = \"***\""), "{mistakes}");
        assert!(
            !mistakes.contains("1111") && !mistakes.contains("2222"),
            "{mistakes}"
        );
    }
}
