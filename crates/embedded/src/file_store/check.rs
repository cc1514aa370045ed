//! Checks that files can be created and written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags, access};
use rustix::io::Errno;

use crate::folder::private_file;

/// A block of any file system: on a full one there is no room for it.
const BLOCK: [u8; 4096] = [0; 4096];

/// The name of the check's file on a file system without `O_TMPFILE`.
const NAME: &str = "check";

/// Writes a block into a temporary file in `drafts`, and checks the permission to create names in
/// `files`.
pub(super) fn check(files: &Path, drafts: &Path) -> io::Result<()> {
    // The dot makes this fail if `files` is not a folder.
    access(files.join("."), Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|e| of("files", e.into()))?;
    let scratch = scratch(drafts).map_err(|e| of("drafts", e))?;
    (&scratch).write_all(&BLOCK).map_err(|e| of("drafts", e))
}

/// A file without a name, which the kernel deletes when it is closed.
fn scratch(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => named(folder),
        Err(error) => Err(error.into()),
    }
}

fn named(folder: &Path) -> io::Result<File> {
    let path = folder.join(NAME);
    let file = private_file().create(true).truncate(false).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

fn of(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the folder of {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_take_files_are_left_as_they_were() {
        let (files, drafts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        check(files.path(), drafts.path()).unwrap();
        assert_eq!(named(drafts.path()).unwrap().metadata().unwrap().len(), 0);
        for folder in [&files, &drafts] {
            assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_takes_no_files_is_named() {
        let good = tempfile::tempdir().unwrap();
        let gone = good.path().join("gone");
        let file = good.path().join("file");
        fs::write(&file, "no folder").unwrap();
        for bad in [&gone, &file] {
            let error = check(bad, good.path()).unwrap_err().to_string();
            assert!(error.starts_with("the folder of files: "), "{error}");
            let error = check(good.path(), bad).unwrap_err().to_string();
            assert!(error.starts_with("the folder of drafts: "), "{error}");
        }
    }
}
