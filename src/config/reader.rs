//! Turns what was given into settings, and keeps a row of each key for whoever shows them.

use strsim::osa_distance;
use toml::Value;

use super::mistake::{ConfigErrors, Mistake};
use super::setting::{Bounds, Setting};
use super::source::{Given, Givens, Raw, Source, variable};

/// A key of the configuration, with what it is set to and by whom.
#[derive(Clone, Debug)]
pub struct Row {
    /// With its section: `limits.sends_per_user`.
    pub key: &'static str,
    /// Lines that say what it means and in which unit.
    pub docs: &'static [&'static str],
    /// What it may be.
    pub allowed: String,
    /// None: nothing unless given.
    pub default: Option<Value>,
    /// None: nothing is given. A secret is `***`.
    pub value: Option<Value>,
    pub source: Source,
}

impl Row {
    /// The variable that sets the key.
    pub fn variable(&self) -> String {
        variable(self.key)
    }
}

/// Each key is taken once; what nobody took is unknown.
pub struct Reader {
    given: Givens,
    rows: Vec<Row>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    pub fn new(given: Givens, mistakes: Vec<Mistake>) -> Reader {
        Reader {
            given,
            rows: Vec::new(),
            mistakes,
        }
    }

    /// The value of a key, or its default where nothing (or nothing allowed) was given.
    pub fn take<T: Setting>(
        &mut self,
        key: &'static str,
        docs: &'static [&'static str],
        default: T,
        bounds: &Bounds,
    ) -> T {
        let mut row = Row {
            key,
            docs,
            allowed: T::allowed(bounds),
            default: default.show(),
            value: None,
            source: Source::Default,
        };
        let mut value = default;
        if let Some(given) = T::gather(&mut self.given, key) {
            match T::read(&given.raw, bounds) {
                Some(read) => value = read,
                None => self.mistakes.push(refusal::<T>(key, &given, bounds)),
            }
            row.source = given.source;
        }
        row.value = value.show();
        self.rows.push(row);
        value
    }

    /// Refuses the value of a key that was taken, for what it is beside others.
    pub fn refuse(&mut self, key: &str, what: impl Into<String>) {
        let row = self.rows.iter().find(|row| row.key == key);
        let row = row.expect("only keys that were taken are compared");
        let value = row
            .value
            .as_ref()
            .map_or("nothing".to_owned(), Value::to_string);
        self.mistakes.push(Mistake {
            at: place(key, &value, &row.source),
            what: what.into(),
        });
    }

    /// The rows in the order of reading, or every mistake there was.
    pub fn finish(mut self) -> Result<Vec<Row>, ConfigErrors> {
        for (key, given) in &self.given {
            if let Some(what) = unknown(key, given, &self.rows) {
                let at = match &given.source {
                    Source::Variable(name) => name.clone(),
                    source => format!("{key} ({source})"),
                };
                self.mistakes.push(Mistake { at, what });
            }
        }
        match self.mistakes.is_empty() {
            true => Ok(self.rows),
            false => Err(ConfigErrors(self.mistakes)),
        }
    }
}

fn refusal<T: Setting>(key: &str, given: &Given, bounds: &Bounds) -> Mistake {
    let value = match T::SECRET {
        true => "***".to_owned(),
        false => given.raw.to_string(),
    };
    Mistake {
        at: place(key, &value, &given.source),
        what: T::refusal(&given.raw, bounds),
    }
}

fn place(key: &str, value: &str, source: &Source) -> String {
    match source {
        Source::Default | Source::File(_) => format!("{key} = {value} ({source})"),
        Source::Variable(_) | Source::Flag(_) => format!("{source} = {value}"),
    }
}

/// What to say of a key that nobody took; nothing of a section that is there and empty.
fn unknown(key: &str, given: &Given, rows: &[Row]) -> Option<String> {
    let section = format!("{key}.");
    if rows.iter().any(|row| row.key.starts_with(&section)) {
        let empty = matches!(&given.raw, Raw::Toml(Value::Table(table)) if table.is_empty());
        return (!empty).then(|| "is a section and has no value of its own".to_owned());
    }
    let near = nearest(key, rows).map(|row| match given.source {
        Source::Variable(_) => row.variable(),
        _ => row.key.to_owned(),
    });
    Some(match (near, &given.source) {
        (Some(near), _) => format!("there is no such key; did you mean {near}?"),
        (None, Source::Variable(name)) if looks_like_kubernetes(name) => {
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

/// The key that somebody may have meant: one with nearly the same letters, or the same name in
/// another section.
fn nearest<'a>(key: &str, rows: &'a [Row]) -> Option<&'a Row> {
    let letters = |key: &str| key.replace(['.', '-'], "_");
    let last = |key: &str| key.rsplit('.').next().map(letters);
    let near = rows
        .iter()
        .map(|row| (osa_distance(&letters(row.key), &letters(key)), row))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + key.len() / 6)
        .map(|(_, row)| row);
    near.or_else(|| rows.iter().find(|row| last(row.key) == last(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::setting::UNBOUNDED;
    use lakechat_core::domain::Secret;

    #[test]
    fn a_secret_is_shown_neither_in_rows_nor_in_mistakes() {
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
        assert_eq!(reader.rows[0].value, Some(Value::from("***")));

        let told = reader.finish().expect_err("two mistakes").to_string();
        assert!(told.contains("--key = \"***\""), "{told}");
        assert!(!told.contains("1111") && !told.contains("2222"), "{told}");
    }
}
