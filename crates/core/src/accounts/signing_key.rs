//! The key that signs access tokens: a file that all servers of a cluster share.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use uuid::Uuid;

use crate::domain::Secret;

/// A shorter key can be guessed.
const LEAST_BYTES: usize = 32;

/// A larger file is not a key: the path must be wrong.
const MOST_BYTES: u64 = 65_536;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the signing key {path} (auth.secret_file) does not exist: make one for all servers of the \
         cluster (head -c 32 /dev/urandom | base64) and put it there on each"
    )]
    Missing { path: PathBuf },
    #[error("the signing key {path} has {bytes} bytes; at least {LEAST_BYTES} are needed")]
    TooShort { path: PathBuf, bytes: usize },
    #[error("the signing key {path} has over {MOST_BYTES} bytes: it must be another file")]
    TooLong { path: PathBuf },
    #[error(
        "the signing key {path} is a symbolic link; put the file itself there, or name the file that \
         it leads to as auth.secret_file"
    )]
    Symlink { path: PathBuf },
    #[error(
        "the signing key {path} {reason}: whoever replaces it can log in as anyone; make it a file of \
         the user who runs lakechat, with mode 600"
    )]
    Exposed { path: PathBuf, reason: String },
    #[error("the signing key {path} can't be {what}")]
    Io {
        path: PathBuf,
        what: &'static str,
        source: io::Error,
    },
}

/// The place of the key.
#[derive(Clone, Copy, Debug)]
pub struct KeyFile<'a> {
    pub path: &'a Path,
    /// Create a missing key. If several processes do so at once, one of them creates it, and all
    /// return the same key.
    pub create: bool,
    /// Let the path be a symbolic link, as the files of a Kubernetes secret are. Only for a path that
    /// the operator has named.
    pub follow_link: bool,
}

/// Reads the key from a file: all bytes except one trailing newline. A file that others than its
/// owner and root could have written is refused.
pub fn signing_key(file: KeyFile<'_>) -> Result<Secret<Vec<u8>>, KeyError> {
    let path = file.path;
    if let Some(key) = read(file)? {
        return Ok(key);
    }
    let missing = || KeyError::Missing { path: path.into() };
    if !file.create {
        return Err(missing());
    }
    make(path).map_err(|source| io_error(path, "made", source))?;
    read(file)?.ok_or_else(missing)
}

fn read(key: KeyFile<'_>) -> Result<Option<Secret<Vec<u8>>>, KeyError> {
    let path = key.path;
    let failed = |source| io_error(path, "read", source);
    let flags = match key.follow_link {
        true => OFlags::empty(),
        false => OFlags::NOFOLLOW,
    };
    let flags = i32::try_from(flags.bits()).expect("the kernel takes them as an int");
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(KeyError::Symlink { path: path.into() });
        }
        opened => opened.map_err(failed)?,
    };
    let metadata = file.metadata().map_err(failed)?;
    check_writers(path, &metadata)?;
    warn_if_others_can_read(path, &metadata);
    let mut bytes = Vec::new();
    // One byte above the limit shows that the file is too large.
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    check(path, bytes).map(Some)
}

fn check(path: &Path, mut bytes: Vec<u8>) -> Result<Secret<Vec<u8>>, KeyError> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(KeyError::TooLong { path: path.into() });
    }
    bytes.pop_if(|last| *last == b'\n');
    if bytes.len() < LEAST_BYTES {
        return Err(KeyError::TooShort {
            path: path.into(),
            bytes: bytes.len(),
        });
    }
    Ok(Secret::new(bytes))
}

/// Writes a complete key to a temporary file and links it to the path. If another process has
/// created the path in the meantime, its key is kept.
fn make(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let temporary = folder.join(format!(".signing-key-{}", Uuid::new_v4().simple()));
    let linked = write(&temporary).and_then(|()| link(&temporary, path));
    // If this fails, a file with an unused key stays. An error of the link matters more.
    let _ = std::fs::remove_file(&temporary);
    linked?;
    File::open(folder)?.sync_all()
}

fn write(path: &Path) -> io::Result<()> {
    let random: [u8; 32] = rand::random();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", hex::encode(random))?;
    file.sync_all()
}

fn link(temporary: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(temporary, path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn check_writers(path: &Path, metadata: &Metadata) -> Result<(), KeyError> {
    match exposure(metadata.uid(), metadata.mode(), geteuid().as_raw()) {
        None => Ok(()),
        Some(reason) => Err(KeyError::Exposed {
            path: path.into(),
            reason,
        }),
    }
}

/// Why others than `user` and root could have written a file, if they could.
fn exposure(owner: u32, mode: u32, user: u32) -> Option<String> {
    if owner != user && owner != 0 {
        return Some(format!("belongs to user {owner}"));
    }
    let mode = mode & 0o777;
    (mode & 0o022 != 0).then(|| format!("has mode {mode:03o}"))
}

fn warn_if_others_can_read(path: &Path, metadata: &Metadata) {
    let mode = metadata.mode() & 0o777;
    if others_can_read(mode) {
        tracing::warn!(
            path = %path.display(),
            mode = %format_args!("{mode:03o}"),
            "users other than its owner can read the signing key and so impersonate anybody: chmod 600 it"
        );
    }
}

fn others_can_read(mode: u32) -> bool {
    mode & 0o044 != 0
}

fn io_error(path: &Path, what: &'static str, source: io::Error) -> KeyError {
    KeyError::Io {
        path: path.into(),
        what,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn key_of(bytes: &[u8]) -> Result<Secret<Vec<u8>>, KeyError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, bytes).expect("written");
        signing_key(existing(&path))
    }

    fn existing(path: &Path) -> KeyFile<'_> {
        KeyFile {
            path,
            create: false,
            follow_link: false,
        }
    }

    fn created(path: &Path) -> KeyFile<'_> {
        KeyFile {
            create: true,
            ..existing(path)
        }
    }

    #[test]
    fn a_missing_key_is_made_for_its_owner_alone_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/lakechat.key");
        assert!(matches!(
            signing_key(existing(&path)),
            Err(KeyError::Missing { .. })
        ));
        let key = signing_key(created(&path)).expect("made");
        assert_eq!(key.expose().len(), 64);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(signing_key(existing(&path)).expect("there") == key);
        let files = fs::read_dir(path.parent().expect("a folder")).expect("read");
        assert_eq!(files.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn starting_at_once_gives_all_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let barrier = Barrier::new(8);
        let start = || {
            barrier.wait();
            signing_key(created(&path)).expect("a key")
        };
        let keys: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("ran"))
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn any_32_bytes_are_a_key_and_one_newline_is_cut() {
        assert_eq!(key_of(&[0xff; 32]).expect("a key").expose(), &[0xff; 32]);
        let with_newlines = [&[b'k'; 32][..], b"\n\n"].concat();
        assert_eq!(key_of(&with_newlines).expect("a key").expose().len(), 33);
        let short = [&[b'k'; 31][..], b"\n"].concat();
        assert!(matches!(
            key_of(&short),
            Err(KeyError::TooShort { bytes: 31, .. })
        ));
        assert!(matches!(
            key_of(&[1; 65_537]),
            Err(KeyError::TooLong { .. })
        ));
    }

    #[test]
    fn a_link_is_a_key_only_where_it_may_be_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, [b'k'; 32]).expect("written");
        symlink(&file, &link).expect("linked");
        for key in [existing(&link), created(&link)] {
            assert!(matches!(signing_key(key), Err(KeyError::Symlink { .. })));
        }
        let followed = KeyFile {
            follow_link: true,
            ..existing(&link)
        };
        assert_eq!(signing_key(followed).expect("a key").expose(), &[b'k'; 32]);
    }

    #[test]
    fn a_key_that_others_could_have_written_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        fs::write(&path, [b'k'; 32]).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("ours");
        let refused = signing_key(existing(&path)).expect_err("anybody's");
        assert!(refused.to_string().contains("mode 666"), "{refused}");

        assert_eq!(exposure(7, 0o100_644, 7), None);
        assert_eq!(exposure(0, 0o100_444, 7), None);
        assert!(exposure(8, 0o100_600, 7).is_some());
        assert!(exposure(7, 0o100_620, 7).is_some());
    }

    #[test]
    fn a_key_that_others_can_read_is_noticed() {
        assert!(others_can_read(0o640) && others_can_read(0o604));
        assert!(!others_can_read(0o600) && !others_can_read(0o400));
    }
}
