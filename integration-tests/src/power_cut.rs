//! What a power cut leaves of a folder: nothing that wasn't synced.

use std::fmt::Write;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use crate::preload::Library;

/// A library that watches what the process that preloads it syncs.
pub struct PowerCut {
    library: Library,
    synced: PathBuf,
}

impl PowerCut {
    pub fn new() -> Result<PowerCut> {
        let library = Library::compile(include_str!("power_cut.c"))?;
        let synced = library.file("synced");
        fs::create_dir(&synced)?;
        let power = PowerCut { library, synced };
        fs::write(power.death(), 0i64.to_ne_bytes())?;
        Ok(power)
    }

    fn death(&self) -> PathBuf {
        self.library.file("death")
    }

    /// What the process needs in its environment.
    pub fn env(&self) -> [(String, String); 3] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD".to_owned(), text(&self.library.path())),
            ("TEST_SYNCED".to_owned(), text(&self.synced)),
            ("TEST_DEATH".to_owned(), text(&self.death())),
        ]
    }

    /// Kills the process before the nth sync from now, or after it if `nth` is negative.
    pub fn kill_at(&self, nth: i64) -> Result<()> {
        // In place: the file is mapped, so it must not be truncated.
        let file = OpenOptions::new().write(true).open(self.death())?;
        Ok(file.write_all_at(&nth.to_ne_bytes(), 0)?)
    }

    /// Makes of a folder, whose process has been killed, what was synced of it. How many bytes that takes away.
    pub fn strike(&self, folder: &Path) -> Result<u64> {
        let before = size(folder)?;
        let left = self.library.file("left");
        self.restore(&name_of(folder)?, &left)?;
        fs::remove_dir_all(folder)?;
        copy(&left, folder)?;
        fs::remove_dir_all(&left)?;
        self.keep(folder)?;
        Ok(before.saturating_sub(size(folder)?))
    }

    /// What is there at the start is on the disk.
    fn keep(&self, path: &Path) -> Result<()> {
        let synced = self.synced.join(name_of(path)?);
        if path.is_file() {
            fs::copy(path, synced)?;
            return Ok(());
        }
        let mut names = String::new();
        for entry in fs::read_dir(path)? {
            let inner = entry?.path();
            let name = inner.file_name().and_then(|name| name.to_str());
            writeln!(names, "{} {}", name_of(&inner)?, name.context("UTF-8")?)?;
            self.keep(&inner)?;
        }
        Ok(fs::write(synced, names)?)
    }

    /// Whatever was never synced is empty.
    fn restore(&self, name: &str, to: &Path) -> Result<()> {
        let synced = self.synced.join(name);
        if name.starts_with('f') {
            let mut file = private_file(to)?;
            if let Ok(mut bytes) = File::open(synced) {
                io::copy(&mut bytes, &mut file)?;
            }
            return Ok(());
        }
        DirBuilder::new().mode(0o700).create(to)?;
        for line in fs::read_to_string(synced).unwrap_or_default().lines() {
            let (name, inner) = line.split_once(' ').context("two words")?;
            self.restore(name, &to.join(inner))?;
        }
        Ok(())
    }
}

/// As the library names it.
fn name_of(path: &Path) -> Result<String> {
    let of = fs::metadata(path)?;
    let kind = if of.is_dir() { 'd' } else { 'f' };
    let born = of.created()?.duration_since(UNIX_EPOCH)?;
    let (seconds, nanoseconds) = (born.as_secs(), born.subsec_nanos());
    Ok(format!("{kind}{}-{seconds}.{nanoseconds}", of.st_ino()))
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(path)
}

/// Between file systems, perhaps.
fn copy(from: &Path, to: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        bytes += match path.is_dir() {
            true => size(&path)?,
            false => path.metadata()?.len(),
        };
    }
    Ok(bytes)
}
