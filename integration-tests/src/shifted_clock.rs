//! A clock for a process that a test sets while the process runs.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::Result;

use crate::preload::Library;

/// A library that shifts the time of day of whoever preloads it.
pub struct ShiftedClock {
    library: Library,
}

impl ShiftedClock {
    /// Compiles it. At first it shifts by nothing.
    pub fn new() -> Result<ShiftedClock> {
        let library = Library::compile(include_str!("shifted_clock.c"))?;
        let clock = ShiftedClock { library };
        std::fs::write(clock.shift(), 0i64.to_ne_bytes())?;
        Ok(clock)
    }

    fn shift(&self) -> PathBuf {
        self.library.file("shift_ms")
    }

    /// What the process needs in its environment.
    pub fn env(&self) -> [(String, String); 2] {
        let text = |path: PathBuf| path.display().to_string();
        [
            ("LD_PRELOAD".to_owned(), text(self.library.path())),
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
