//! Who may use whom: reads the sources and holds every `crate::…` path and every path into a
//! dependency against the map in ARCHITECTURE.md. Code under `#[cfg(test)]` may name any
//! dependency, but no other module than the code that it tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the modules of one folder may name.
struct Layer {
    name: &'static str,
    /// Other modules of the crate; its own it may always use.
    modules: &'static [&'static str],
    crates: Crates,
}

enum Crates {
    Any,
    Only(&'static [&'static str]),
    Never(&'static [&'static str]),
}

use Crates::{Any, Never, Only};

/// What belongs to one way in or to one back end.
const OUTSIDE: Crates = Never(&[
    "warp",
    "hyper",
    "hyper_util",
    "http",
    "http_body",
    "http_body_util",
    "reqwest",
    "multer",
    "rdkafka",
    "redis",
    "rusqlite",
    "thrift",
    "hbase_thrift",
    "hdfs_native",
    "hdrs",
]);

const LAYERS: &[Layer] = &[
    layer("domain", &[], Only(&["bytes", "serde", "uuid"])),
    layer("ports", &["domain"], OUTSIDE),
    layer("limits", &[], OUTSIDE),
    layer("open_files", &[], OUTSIDE),
    layer("accounts", &["domain", "limits", "ports"], OUTSIDE),
    layer("chat", &["accounts", "domain", "limits", "ports"], OUTSIDE),
    layer("files", &["domain", "limits", "ports"], OUTSIDE),
    layer("adapters", &["domain", "ports"], Any),
    // What it calls has the ports behind it. Of the process it knows the settings that are URLs and
    // origins, and the drain.
    layer(
        "http",
        &[
            "accounts",
            "chat",
            "config",
            "domain",
            "files",
            "limits",
            "readiness",
            "shutdown",
        ],
        Never(&[
            "rdkafka",
            "redis",
            "rusqlite",
            "thrift",
            "hbase_thrift",
            "hdfs_native",
            "hdrs",
        ]),
    ),
    // The format of the log is a setting; URLs are read with the types of the http crate.
    layer(
        "config",
        &["domain", "telemetry"],
        Never(&[
            "warp",
            "hyper",
            "hyper_util",
            "rdkafka",
            "redis",
            "rusqlite",
            "thrift",
        ]),
    ),
    layer("shutdown", &[], OUTSIDE),
    layer("readiness", &["shutdown"], OUTSIDE),
    layer("telemetry", &["shutdown"], OUTSIDE),
    layer("client", &["domain"], Any),
    layer(
        "app",
        &[
            "accounts",
            "adapters",
            "chat",
            "config",
            "domain",
            "files",
            "http",
            "limits",
            "open_files",
            "ports",
            "readiness",
            "shutdown",
            "telemetry",
        ],
        Any,
    ),
    layer(
        "cli",
        &["adapters", "app", "client", "config", "domain", "ports"],
        Any,
    ),
    layer("main", &["app", "cli", "config", "telemetry"], Any),
];

const fn layer(name: &'static str, modules: &'static [&'static str], crates: Crates) -> Layer {
    Layer {
        name,
        modules,
        crates,
    }
}

#[test]
fn every_layer_uses_what_it_may() {
    let sources = Sources::read();
    let mut wrong = BTreeSet::new();
    for layer in LAYERS {
        for (file, code) in sources.of(layer.name) {
            for module in sources.modules_in(file, &code.all) {
                if module != layer.name && !layer.modules.contains(&module) {
                    wrong.insert(format!("{}: {} uses {module}", file.display(), layer.name));
                }
            }
            for dependency in sources.crates_in(&code.shipped) {
                if !layer.crates.allow(dependency) {
                    wrong.insert(format!(
                        "{}: {} names {dependency}",
                        file.display(),
                        layer.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn adapters_do_not_know_each_other() {
    let sources = Sources::read();
    for (file, code) in sources.of("adapters") {
        let own = file.iter().nth(1).and_then(|part| part.to_str());
        let own = own.map(|part| part.trim_end_matches(".rs"));
        for path in paths(&code.all).filter(|p| p.starts_with("crate::adapters::")) {
            assert_eq!(path.split("::").nth(2), own, "{}: {path}", file.display());
        }
    }
}

#[test]
fn every_module_of_the_crate_has_its_rule() {
    let sources = Sources::read();
    let ruled: BTreeSet<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    let modules = sources.modules.iter().map(String::as_str);
    assert_eq!(modules.chain(["main"]).collect::<BTreeSet<_>>(), ruled);
    for name in ruled {
        assert!(sources.of(name).next().is_some(), "{name} has no source");
    }
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let code = "use crate::{chat::hub, files::{self, Files}}; fn f(x: super::super::http::Y) {}";
    let found: Vec<_> = paths(&strip(code)).collect();
    for path in [
        "crate::chat::hub",
        "crate::files::self",
        "super::super::http::Y",
    ] {
        assert!(found.iter().any(|p| p == path), "{path} in {found:?}");
    }
    let hidden = "// crate::chat\nlet a = \"crate::http // \"; /* crate::files */\n\
                  #[cfg(test)]\nmod tests {\n    use crate::app;\n}\n";
    let code = Code::new(hidden, false);
    assert_eq!(paths(&code.shipped).count(), 0);
    assert_eq!(paths(&code.all).collect::<Vec<_>>(), ["crate::app"]);
}

impl Crates {
    fn allow(&self, name: &str) -> bool {
        match self {
            Any => true,
            Only(these) => these.contains(&name),
            Never(these) => !these.contains(&name),
        }
    }
}

/// A file's code without comments and texts in quotes.
struct Code {
    all: String,
    /// Without tests.
    shipped: String,
}

impl Code {
    fn new(text: &str, is_test: bool) -> Code {
        let shipped = text.split("#[cfg(test)]\nmod tests {").next();
        Code {
            all: strip(text),
            shipped: strip(shipped.filter(|_| !is_test).unwrap_or_default()),
        }
    }
}

/// The code of the crate, by its file below `src`.
struct Sources {
    files: BTreeMap<PathBuf, Code>,
    /// The top level of the crate, from `lib.rs`.
    modules: Vec<String>,
    /// What Cargo.toml names, as code writes it.
    dependencies: BTreeSet<String>,
}

impl Sources {
    fn read() -> Sources {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let mut texts = BTreeMap::new();
        read_below(&root.join("src"), Path::new(""), &mut texts);
        let tests: Vec<PathBuf> = texts
            .iter()
            .flat_map(|(file, text)| tests_of(file, text))
            .collect();
        let is_test = |file: &Path| {
            let file = file.with_extension("");
            tests.iter().any(|test| file.starts_with(test))
        };
        let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
        let library = &texts[Path::new("lib.rs")];
        let modules = library
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod "));
        Sources {
            modules: modules
                .map(|name| name.trim_end_matches(';').to_owned())
                .collect(),
            dependencies: dependencies(&manifest),
            files: texts
                .iter()
                .map(|(file, text)| (file.clone(), Code::new(text, is_test(file))))
                .collect(),
        }
    }

    /// The files of a module and of those within it.
    fn of(&self, module: &str) -> impl Iterator<Item = (&Path, &Code)> {
        let module = PathBuf::from(module);
        let files = self.files.iter();
        files
            .filter(move |(file, _)| file.with_extension("").starts_with(&module))
            .map(|(file, code)| (file.as_path(), code))
    }

    /// The modules at the top level that a file names.
    fn modules_in(&self, file: &Path, code: &str) -> BTreeSet<&str> {
        let depth = file.components().count();
        let tops = paths(code).filter_map(|path| top_of(&path, depth).map(str::to_owned));
        let tops: BTreeSet<String> = tops.collect();
        self.modules
            .iter()
            .map(String::as_str)
            .filter(|m| tops.contains(*m))
            .collect()
    }

    fn crates_in(&self, code: &str) -> BTreeSet<&str> {
        let firsts: BTreeSet<String> = paths(code)
            .filter_map(|path| path.split_once("::").map(|(first, _)| first.to_owned()))
            .collect();
        let known = self.dependencies.iter().map(String::as_str);
        known.filter(|d| firsts.contains(*d)).collect()
    }
}

/// The first module of a path that leads to the crate's root, seen from a file so deep below `src`.
fn top_of(path: &str, depth: usize) -> Option<&str> {
    let mut segments = path.split("::").peekable();
    let mut supers = 0;
    match segments.next()? {
        "crate" | "lakechat" => return segments.next(),
        "super" => supers += 1,
        _ => return None,
    }
    while segments.next_if(|s| *s == "super").is_some() {
        supers += 1;
    }
    if supers >= depth {
        segments.next()
    } else {
        None
    }
}

fn read_below(root: &Path, below: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            read_below(root, &path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(root.join(&path)).expect("UTF-8");
            into.insert(path, text);
        }
    }
}

/// Files that a file declares as tests, without their extension.
fn tests_of(file: &Path, text: &str) -> Vec<PathBuf> {
    let declared = text.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let line = rest.trim_start().lines().next()?;
        let name = line.strip_suffix(';')?.split_once("mod ")?.1;
        Some(file.with_extension("").join(name))
    });
    declared.collect()
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .expect("dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

/// Code without comments and texts in quotes.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |end| end + 2),
            '\'' if rest.starts_with("'\"'") => 3,
            '"' => quoted(rest),
            _ => {
                code.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[skipped..];
    }
    code
}

/// The length of the text in quotes that something begins with.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path in code, with the groups of `use` written out.
fn paths(code: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut groups: Vec<String> = Vec::new();
    let mut path = String::new();
    for token in tokens(code) {
        match token {
            "::" => path.push_str("::"),
            "{" => {
                let opens_group = path.ends_with("::");
                let outer = groups.last().cloned().unwrap_or_default();
                groups.push(if opens_group {
                    outer + &path
                } else {
                    String::new()
                });
                path.clear();
            }
            word if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                if !path.is_empty() && !path.ends_with("::") {
                    found.push(whole(&groups, &path));
                    path.clear();
                }
                path.push_str(word);
            }
            other => {
                if !path.is_empty() {
                    found.push(whole(&groups, &path));
                    path.clear();
                }
                if other == "}" {
                    groups.pop();
                }
            }
        }
    }
    found.into_iter().filter(|path| path.contains("::"))
}

fn whole(groups: &[String], path: &str) -> String {
    format!("{}{path}", groups.last().map_or("", String::as_str))
}

/// Words, `::`, and everything else character by character.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = if rest.starts_with("::") {
            2
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(end);
        rest = behind;
        Some(token)
    })
}
