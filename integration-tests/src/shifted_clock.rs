//! A clock for a server that a test sets while the server runs.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

const SOURCE: &str = include_str!("shifted_clock.c");

/// A library that shifts the time of day of whoever preloads it.
pub struct ShiftedClock {
    folder: TempDir,
}

impl ShiftedClock {
    /// Compiles it. At first it shifts by nothing.
    pub fn new() -> Result<ShiftedClock> {
        let clock = ShiftedClock {
            folder: tempfile::tempdir()?,
        };
        let source = clock.folder.path().join("clock.c");
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([clock.library(), source])
            .output()?;
        ensure!(compiled.status.success(), "{compiled:?}");
        std::fs::write(clock.shift(), 0i64.to_ne_bytes())?;
        Ok(clock)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn shift(&self) -> PathBuf {
        self.folder.path().join("shift_ms")
    }

    /// What a server needs in its environment.
    pub fn env(&self) -> [(String, String); 2] {
        let text = |path: PathBuf| path.display().to_string();
        [
            ("LD_PRELOAD".to_owned(), text(self.library())),
            ("TEST_CLOCK_SHIFT".to_owned(), text(self.shift())),
        ]
    }

    /// Sets it ahead by this much, or back.
    pub fn set_ms(&self, ahead_ms: i64) -> Result<()> {
        // In place: the file is mapped, so it must not be truncated.
        let file = std::fs::OpenOptions::new().write(true).open(self.shift())?;
        Ok(file.write_all_at(&ahead_ms.to_ne_bytes(), 0)?)
    }
}
