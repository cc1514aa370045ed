//! What earlier releases have left behind, in `fixtures/`: a data folder and the records of a topic.
//!
//! Channel `ops` has six messages of ann and bob, of which one was edited, one was deleted and one has a
//! reaction; two have files. Carol has joined and left. Channel `past` is archived.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Of all users there.
pub const PASSWORD: &str = "correct horse";

pub const SMALL: &[u8] = b"a small file";

/// The file that isn't in its row.
const LARGE: &str = "files/2b/2bce0b77-095e-4b19-b258-aada60536da3";

pub fn large() -> Vec<u8> {
    vec![b'x'; 3_000]
}

fn fixture(release: &str, name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    fixtures.join(release).join(name)
}

/// The messages of `ops` as its server showed them.
pub fn messages(release: &str) -> Result<Vec<Value>> {
    let text = std::fs::read(fixture(release, "messages.json"))?;
    Ok(serde_json::from_slice(&text)?)
}

/// The records of `ops`, in their order.
pub fn records(release: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(fixture(release, "records.jsonl"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Puts the data folder of a release in the place of another one, whose server is stopped. The key stays.
pub fn replace_folder(release: &str, data: &Path) -> Result<()> {
    for name in ["lakechat.db", "lakechat.db-wal", "lakechat.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    let mut sqlite3 = Command::new("sqlite3")
        .arg(data.join("lakechat.db"))
        .stdin(Stdio::from(std::fs::File::open(fixture(
            release,
            "lakechat.sql",
        ))?))
        .spawn()?;
    ensure!(sqlite3.wait()?.success(), "sqlite3 can't read it");
    let large_file = data.join(LARGE);
    std::fs::create_dir_all(large_file.parent().context("a folder")?)?;
    std::fs::write(large_file, large())?;
    std::fs::write(data.join("layout"), "1\n")?;
    Ok(())
}
