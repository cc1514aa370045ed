//! The data folder: its paths, its lock and the version of its layout.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;

/// The database: log, history and directory.
pub const DATABASE: &str = "lakechat.db";
/// Committed files.
pub const FILES: &str = "files";
/// The file with the version of the layout.
pub const LAYOUT: &str = "layout";
/// The signing key, unless the configuration names another file.
pub const KEY: &str = "lakechat.key";

const LOCK: &str = "lock";
/// The folder of drafts: files being written.
const TMP: &str = "tmp";

/// The version of the layout that this release writes, and the newest that it reads.
const LAYOUT_VERSION: u32 = 1;

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is in use by another lakechat{holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "{} has layout {found}, but this release supports layouts up to {supported}; use a newer release",
        path.display()
    )]
    NewerLayout {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    #[error(
        "{} can't be a data folder, because {reason}: others could replace the key and the database in it",
        path.display()
    )]
    Exposed { path: PathBuf, reason: String },
    #[error("{} is not a complete data folder: {reason}", path.display())]
    Incomplete { path: PathBuf, reason: String },
    #[error("{}: {source}", path.display())]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

/// The paths within a data folder.
#[derive(Clone, Debug)]
pub(super) struct DataFolder {
    pub root: PathBuf,
}

/// Keeps other processes out. The kernel releases it when the process ends, however it ends.
pub(super) struct FolderLock {
    _file: File,
}

impl DataFolder {
    /// Creates the folder if it doesn't exist, locks it and checks its layout. A folder that belongs to
    /// another user, or that others may write to, is refused.
    pub fn open(root: &Path) -> Result<(DataFolder, FolderLock), OpenError> {
        let folder = DataFolder {
            root: root.to_owned(),
        };
        create_dir(root)?;
        folder.check_access()?;
        // Locked before anything is read or created: another server may be doing the same.
        let lock = folder.lock()?;
        folder.check_layout()?;
        create_dir(&folder.files())?;
        create_dir(&folder.tmp())?;
        Ok((folder, lock))
    }

    /// A complete data folder, without locking it: a server may be writing to it.
    pub fn existing(root: &Path) -> Result<DataFolder, OpenError> {
        let folder = DataFolder {
            root: root.to_owned(),
        };
        if !root.join(LAYOUT).exists() {
            return Err(OpenError::Incomplete {
                path: root.to_owned(),
                reason: format!("it has no `{LAYOUT}` file"),
            });
        }
        folder.check_layout()?;
        Ok(folder)
    }

    pub fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    pub fn files(&self) -> PathBuf {
        self.root.join(FILES)
    }

    pub fn tmp(&self) -> PathBuf {
        self.root.join(TMP)
    }

    fn check_access(&self) -> Result<(), OpenError> {
        let metadata = self.root.metadata().map_err(|source| OpenError::Io {
            path: self.root.clone(),
            source,
        })?;
        match exposure(metadata.uid(), metadata.mode(), geteuid().as_raw()) {
            None => Ok(()),
            Some(reason) => Err(OpenError::Exposed {
                path: self.root.clone(),
                reason,
            }),
        }
    }

    fn lock(&self) -> Result<FolderLock, OpenError> {
        let path = self.root.join(LOCK);
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let mut file = private_file()
            .read(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            return Err(match error {
                rustix::io::Errno::WOULDBLOCK => self.in_use(file),
                other => io(other.into()),
            });
        }
        // The process id is for people; only the lock decides.
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(FolderLock { _file: file })
    }

    fn in_use(&self, mut lock: File) -> OpenError {
        let mut pid = String::new();
        // If it can't be read, the message goes without the process id.
        let _ = lock.read_to_string(&mut pid);
        let holder = match pid.trim() {
            "" => String::new(),
            pid => format!(" (process {pid})"),
        };
        OpenError::InUse {
            path: self.root.clone(),
            holder,
        }
    }

    fn check_layout(&self) -> Result<(), OpenError> {
        let path = self.root.join(LAYOUT);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.create_layout(),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let found = text.trim().parse().map_err(|_| OpenError::Incomplete {
            path: self.root.clone(),
            reason: format!("its `{LAYOUT}` file does not contain a number"),
        })?;
        if found > LAYOUT_VERSION {
            return Err(OpenError::NewerLayout {
                path: self.root.clone(),
                found,
                supported: LAYOUT_VERSION,
            });
        }
        Ok(())
    }

    /// Without a layout the folder is new. If it has a database, it is a backup that was interrupted:
    /// a backup writes the layout last.
    fn create_layout(&self) -> Result<(), OpenError> {
        if self.database().exists() {
            return Err(OpenError::Incomplete {
                path: self.root.clone(),
                reason: format!(
                    "it has a database but no `{LAYOUT}` file, as after an interrupted backup"
                ),
            });
        }
        write_layout(&self.root).map_err(|source| OpenError::Io {
            path: self.root.join(LAYOUT),
            source,
        })
    }
}

/// Why a folder's entries can be replaced by others than `user`, if they can.
fn exposure(owner: u32, mode: u32, user: u32) -> Option<String> {
    if owner != user {
        return Some(format!(
            "it belongs to user {owner}, and lakechat runs as user {user} (chown it, or choose another folder)"
        ));
    }
    let mode = mode & 0o777;
    let writable = mode & 0o022 != 0;
    writable.then(|| format!("its mode is {mode:03o} (chmod go-w)"))
}

fn create_dir(path: &Path) -> Result<(), OpenError> {
    make_private_dir(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Marks a folder as a complete data folder of this release's layout. Atomic and durable.
pub(super) fn write_layout(root: &Path) -> io::Result<()> {
    let path = root.join(LAYOUT);
    let draft = root.join("layout.tmp");
    let mut file = private_file().create(true).truncate(true).open(&draft)?;
    writeln!(file, "{LAYOUT_VERSION}")?;
    file.sync_all()?;
    std::fs::rename(&draft, &path)?;
    sync_dir(root)
}

/// Options for writing a file that only its owner may access.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Creates a folder that only its owner may access, and its missing parents. An existing folder keeps
/// its mode.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder's entries durable: a file's own fsync does not cover its name.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_exposed_by_its_owner_and_by_write_bits_of_others() {
        assert_eq!(exposure(7, 0o40700, 7), None);
        assert_eq!(exposure(7, 0o40755, 7), None);
        for mode in [0o40777, 0o40775, 0o41777, 0o40702] {
            assert!(
                exposure(7, mode, 7).is_some_and(|why| why.contains("go-w")),
                "{mode:o}"
            );
        }
        for user in [0, 8] {
            let why = exposure(7, 0o40700, user).expect("another owner");
            assert!(
                why.contains("user 7") && why.contains(&format!("user {user}")),
                "{why}"
            );
        }
    }
}
