//! What differs between two runs of the same: ids, times, tables. Statements are carried over from a
//! document to a run, and answers of both are made comparable.

use integration_tests::cluster::Cluster;
use lakechat_core::domain::Id;
use uuid::Uuid;

/// The ids of one run in their order, and its one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub ids: Vec<String>,
    pub file: String,
}

/// A word of a text, as far as it differs between runs.
enum Word<'a> {
    Id(&'a str),
    File(&'a str),
    /// A time in ms, or what a client calls its message.
    Other(&'a str),
    Same,
}

/// Words are of letters, digits and `-`; a zero byte before an id is shown as `\x00`.
fn classify(word: &str) -> (&str, Word<'_>) {
    let id = word.strip_prefix("x00").unwrap_or(word);
    let digits = |word: &str, n| word.len() == n && word.bytes().all(|b| b.is_ascii_digit());
    if digits(id, 20) && id.parse::<Id>().is_ok() {
        (&word[..word.len() - 20], Word::Id(id))
    } else if word.len() == 36 && Uuid::parse_str(word).is_ok() {
        ("", Word::File(word))
    } else if digits(word, 13) || (word.len() == 32 && Uuid::parse_str(word).is_ok()) {
        ("", Word::Other(word))
    } else {
        (word, Word::Same)
    }
}

fn in_words(text: &str, mut told: impl FnMut(&str, Word<'_>) -> String) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut made = String::new();
    for piece in text.split_inclusive(|c| !is_part(c)) {
        let word = piece.trim_end_matches(|c| !is_part(c));
        let (before, kind) = classify(word);
        made.push_str(&told(before, kind));
        made.push_str(&piece[word.len()..]);
    }
    made
}

impl Run {
    /// What a document shows.
    pub fn shown_in<'a>(lines: impl Iterator<Item = &'a str>) -> Run {
        let (mut ids, mut files) = (Vec::new(), Vec::new());
        for line in lines {
            in_words(line, |_, word| {
                match word {
                    Word::Id(id) => ids.push(id.to_owned()),
                    Word::File(file) => files.push(file.to_owned()),
                    Word::Other(_) | Word::Same => {}
                }
                String::new()
            });
        }
        ids.sort();
        ids.dedup();
        files.dedup();
        assert_eq!(files.len(), 1, "one file: {files:?}");
        Run {
            ids,
            file: files.remove(0),
        }
    }

    /// A statement or command of this run as one of another run, on the other's tables.
    pub fn carry(&self, typed: &str, to: &Run, cluster: &Cluster) -> String {
        let carried = in_words(typed, |before, word| match word {
            Word::Id(id) => format!("{before}{}", to.ids[self.place(id)]),
            Word::File(_) => to.file.clone(),
            Word::Other(word) => word.to_owned(),
            Word::Same => before.to_owned(),
        });
        let tables = cluster.tables.name_prefix();
        self.carry_times(&carried.replace("lakechat:", &tables), to)
    }

    /// A moment is carried over to that of the first id at or after it.
    fn carry_times(&self, typed: &str, to: &Run) -> String {
        let mut pieces = typed.split('\'');
        let carried = pieces.by_ref().map(|piece| {
            let Some(ms) = piece.ends_with('Z').then(|| ms_of(piece)).flatten() else {
                return piece.to_owned();
            };
            let next = self.ids.iter().position(|id| ms_in(id) >= ms);
            let there = next.map_or(ms_in(to.ids.last().expect("ids")) + 1, |at| {
                ms_in(&to.ids[at])
            });
            instant(there)
        });
        carried.collect::<Vec<_>>().join("'")
    }

    fn place(&self, id: &str) -> usize {
        let place = self.ids.iter().position(|known| known == id);
        place.unwrap_or_else(|| panic!("{id} is none of {:?}", self.ids))
    }

    /// An answer without what differs from run to run.
    pub fn plain(&self, answer: &[String]) -> Vec<String> {
        let plain = answer.iter().map(|line| {
            in_words(&without_stamp(line), |before, word| match word {
                Word::Id(id) => format!("{before}<id {}>", self.place(id)),
                Word::File(_) => "<file>".to_owned(),
                Word::Other(_) => "<…>".to_owned(),
                Word::Same => before.to_owned(),
            })
        });
        plain.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A cell without its timestamp, which the HBase shell shows as `timestamp=2026-11-24T13:00, `.
fn without_stamp(line: &str) -> String {
    let cut = line.split_once("timestamp=");
    let rest = cut.and_then(|(before, after)| Some((before, after.split_once(", ")?.1)));
    rest.map_or(line.to_owned(), |(before, after)| {
        format!("{before}{after}")
    })
}

fn ms_in(id: &str) -> u64 {
    let id: Id = id.parse().expect("an id");
    id.ms()
}

/// Of a moment as the documents write it, 2026-11-24T13:46:56.208Z.
fn ms_of(instant: &str) -> Option<u64> {
    let of = |time: &str| {
        let output = std::process::Command::new("date")
            .args(["-ud", time, "+%s%3N"])
            .output();
        String::from_utf8(output.ok()?.stdout)
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    of(instant)
}

fn instant(ms: u64) -> String {
    let at = format!("@{}.{:03}", ms / 1000, ms % 1000);
    let output = std::process::Command::new("date")
        .args(["-ud", &at, "+%FT%T.%3NZ"])
        .output();
    let printed = String::from_utf8(output.expect("date runs").stdout).expect("text");
    printed.trim().to_owned()
}
