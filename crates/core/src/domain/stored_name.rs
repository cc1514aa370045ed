//! The names of bytes in a file store.

use std::fmt;

use super::FileId;

/// The name under which bytes are stored: that of a file that is stored whole, or of one part of a
/// file. It says which file they belong to, so that a sweeper finds the row that names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredName {
    pub file: FileId,
    /// A random number, as several servers may write a part of the same file at once.
    part: Option<u64>,
}

impl StoredName {
    /// A part of a file, with a name of its own.
    pub fn part_of(file: FileId, number: u64) -> StoredName {
        StoredName {
            file,
            part: Some(number),
        }
    }

    pub fn is_part(self) -> bool {
        self.part.is_some()
    }

    /// Accepts only the form in which it is written.
    pub fn parse(text: &str) -> Option<StoredName> {
        let name = match text.split_once('.') {
            None => FileId::parse(text)?.into(),
            Some((file, part)) => {
                let number = u64::from_str_radix(part, 16).ok()?;
                StoredName::part_of(FileId::parse(file)?, number)
            }
        };
        (name.to_string() == text).then_some(name)
    }

    /// The path within a store that keeps files in 256 folders: `<first two hex digits>/<name>`.
    pub fn path(self) -> String {
        let name = self.to_string();
        format!("{}/{name}", &name[..2])
    }

    /// The name in such a path; `None` if it isn't one.
    pub fn of_path(path: &str) -> Option<StoredName> {
        let (_, name) = path.split_once('/')?;
        StoredName::parse(name).filter(|name| name.path() == path)
    }
}

impl From<FileId> for StoredName {
    fn from(file: FileId) -> StoredName {
        StoredName { file, part: None }
    }
}

/// `<file id>`, or `<file id>.<16 hex digits>` for a part.
impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            None => self.file.fmt(f),
            Some(number) => write!(f, "{}.{number:016x}", self.file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_read_as_it_is_written_and_in_no_other_form() {
        let file = FileId::random();
        for name in [
            file.into(),
            StoredName::part_of(file, 0),
            StoredName::part_of(file, u64::MAX),
        ] {
            assert_eq!(StoredName::parse(&name.to_string()), Some(name));
            assert_eq!(StoredName::of_path(&name.path()), Some(name));
        }
        let part = StoredName::part_of(file, 0xab);
        for bad in [
            "",
            ".",
            "alive",
            &format!("{file}."),
            &format!("{file}.ab"),
            &format!("{part}.0"),
            &part.to_string().to_uppercase(),
        ] {
            assert_eq!(StoredName::parse(bad), None, "{bad}");
            assert_eq!(StoredName::of_path(bad), None, "{bad}");
        }
        assert_eq!(StoredName::of_path(&format!("zz/{part}")), None);
    }
}
