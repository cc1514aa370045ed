//! Libraries of a few lines that a test preloads into the processes that it starts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

/// A compiled library, in a folder that goes with it.
pub struct Library(TempDir);

impl Library {
    pub fn compile(source: &str) -> Result<Library> {
        let library = Library(tempfile::tempdir()?);
        let file = library.file("library.c");
        std::fs::write(&file, source)?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([library.path(), file])
            .output()?;
        ensure!(compiled.status.success(), "{compiled:?}");
        Ok(library)
    }

    /// What `LD_PRELOAD` needs.
    pub fn path(&self) -> PathBuf {
        self.file("library.so")
    }

    /// Another file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
