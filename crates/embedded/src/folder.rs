//! The data folder: where things lie, whose it is, which layout it has.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The database: log, history and directory.
pub const DATABASE: &str = "lakechat.db";
/// Committed files.
pub const FILES: &str = "files";
/// The file that says which layout the folder has.
pub const LAYOUT: &str = "layout";
/// The signing key, where the configuration names no other place.
pub const KEY: &str = "lakechat.key";

const LOCK: &str = "lock";
/// Files being written.
const TMP: &str = "tmp";

/// The layout that this release writes, and the newest that it reads.
const LAYOUT_VERSION: u32 = 1;

/// Why a data folder can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is in use by another lakechat{holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    #[error(
        "{} has layout {found}, and this release knows layouts up to {known}: use a newer release",
        path.display()
    )]
    NewerLayout {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("{} is not a whole data folder: {reason}", path.display())]
    NotWhole { path: PathBuf, reason: String },
    #[error("{}: {source}", path.display())]
    Database {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

/// The places within a data folder.
#[derive(Clone, Debug)]
pub(super) struct DataFolder {
    pub root: PathBuf,
}

/// Keeps other processes out. The kernel lets go of it when the process ends, however it ends.
pub(super) struct Lock {
    _file: File,
}

impl DataFolder {
    /// Makes the folder if there is none, locks it and looks at its layout.
    pub fn open(root: &Path) -> Result<(DataFolder, Lock), OpenError> {
        let folder = DataFolder {
            root: root.to_owned(),
        };
        folder.make(root)?;
        let lock = folder.lock()?;
        folder.check_layout()?;
        folder.make(&folder.files())?;
        folder.make(&folder.tmp())?;
        Ok((folder, lock))
    }

    /// A folder that is there and whole, without a lock: somebody may be writing to it.
    pub fn existing(root: &Path) -> Result<DataFolder, OpenError> {
        let folder = DataFolder {
            root: root.to_owned(),
        };
        if !root.join(LAYOUT).exists() {
            return Err(OpenError::NotWhole {
                path: root.to_owned(),
                reason: format!("it has no file {LAYOUT}"),
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

    fn make(&self, path: &Path) -> Result<(), OpenError> {
        make_private_dir(path).map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })
    }

    fn lock(&self) -> Result<Lock, OpenError> {
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
        file.set_len(0).map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Lock { _file: file })
    }

    fn in_use(&self, mut lock: File) -> OpenError {
        let mut pid = String::new();
        // Only a help for people: without it the message is shorter.
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
            Err(e) if e.kind() == io::ErrorKind::NotFound => return self.begin_layout(),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let found = text.trim().parse().map_err(|_| OpenError::NotWhole {
            path: self.root.clone(),
            reason: format!("its file {LAYOUT} does not hold a number"),
        })?;
        if found > LAYOUT_VERSION {
            return Err(OpenError::NewerLayout {
                path: self.root.clone(),
                found,
                known: LAYOUT_VERSION,
            });
        }
        Ok(())
    }

    /// A folder without a layout is a new one; but a database in it tells of a backup that was cut.
    fn begin_layout(&self) -> Result<(), OpenError> {
        if self.database().exists() {
            return Err(OpenError::NotWhole {
                path: self.root.clone(),
                reason: format!("it has a database and no file {LAYOUT}, as a cut backup has"),
            });
        }
        write_layout(&self.root).map_err(|source| OpenError::Io {
            path: self.root.join(LAYOUT),
            source,
        })
    }
}

/// Says that a folder is a whole data folder of this release's layout.
pub fn write_layout(root: &Path) -> io::Result<()> {
    let path = root.join(LAYOUT);
    let draft = root.join("layout.tmp");
    let mut file = private_file().create(true).truncate(true).open(&draft)?;
    writeln!(file, "{LAYOUT_VERSION}")?;
    file.sync_all()?;
    std::fs::rename(&draft, &path)?;
    sync_dir(root)
}

/// Options for a file that only its owner may read.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Makes a folder that only its owner may enter, and those above it; leaves one that is there alone.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes names that were made or changed in a folder durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
