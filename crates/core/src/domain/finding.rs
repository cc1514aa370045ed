//! What an audit finds: differences between what is stored and what should be.

use std::collections::BTreeMap;
use std::fmt;

/// A kind of difference. The name of a kind never changes: scripts go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// The log accepted a message that has no row.
    MessageMissing,
    /// A row of a message whose id isn't that of an accepted message of the log.
    MessageWithoutRecord,
    /// A row says something else than the log.
    MessageDiffers,
    /// A row's number isn't one more than that of the message before.
    NumberDiffers,
    /// The log accepted a change that isn't listed, or doesn't show in its message's row.
    ChangeMissing,
    /// A listed change whose id isn't that of an accepted change of the log.
    ChangeWithoutRecord,
    /// A listed change says something else than the log.
    ChangeDiffers,
    /// Rows of a private channel are stored as public ones, or the other way round.
    WrongTable,
    /// A row can't be read.
    RowUnreadable,
    /// The log isn't the one that history was written from.
    LogDiffers,
    /// Records were lost before they were archived.
    LogLost,
    /// A file has a row and no bytes.
    FileBytesMissing,
    /// The bytes of a file aren't as many as its row says, or others.
    FileBytesDiffer,
    /// Bytes of a file that has no row.
    FileBytesWithoutRow,
}

impl FindingKind {
    /// Whether storing a row again resolves it.
    pub fn is_missing_row(self) -> bool {
        matches!(
            self,
            FindingKind::MessageMissing | FindingKind::ChangeMissing
        )
    }

    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::MessageMissing => "message_missing",
            FindingKind::MessageWithoutRecord => "message_without_record",
            FindingKind::MessageDiffers => "message_differs",
            FindingKind::NumberDiffers => "number_differs",
            FindingKind::ChangeMissing => "change_missing",
            FindingKind::ChangeWithoutRecord => "change_without_record",
            FindingKind::ChangeDiffers => "change_differs",
            FindingKind::WrongTable => "wrong_table",
            FindingKind::RowUnreadable => "row_unreadable",
            FindingKind::LogDiffers => "log_differs",
            FindingKind::LogLost => "log_lost",
            FindingKind::FileBytesMissing => "file_bytes_missing",
            FindingKind::FileBytesDiffer => "file_bytes_differ",
            FindingKind::FileBytesWithoutRow => "file_bytes_without_row",
        }
    }
}

/// A difference. Its text contains no text of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: FindingKind,
    /// What it is about, such as a channel and an id.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.as_str(), self.place, self.what)
    }
}

/// The findings of a kind that are kept; the others are only counted.
const KEPT: usize = 20;

/// Findings, counted by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    first: Option<Finding>,
    kinds: BTreeMap<FindingKind, (u64, Vec<Finding>)>,
}

impl Findings {
    pub fn add(&mut self, kind: FindingKind, place: impl fmt::Display, what: impl fmt::Display) {
        let (count, kept) = self.kinds.entry(kind).or_default();
        *count += 1;
        if kept.len() < KEPT {
            let finding = Finding {
                kind,
                place: place.to_string(),
                what: what.to_string(),
            };
            self.first.get_or_insert_with(|| finding.clone());
            kept.push(finding);
        }
    }

    /// Adds those of a later part of the audit.
    pub fn append(&mut self, later: Findings) {
        self.first = self.first.take().or(later.first);
        for (kind, (count, findings)) in later.kinds {
            let (total, kept) = self.kinds.entry(kind).or_default();
            *total += count;
            let room = KEPT.saturating_sub(kept.len());
            kept.extend(findings.into_iter().take(room));
        }
    }

    /// The finding that was made first.
    pub fn first(&self) -> Option<&Finding> {
        self.first.as_ref()
    }

    /// How many there are of all kinds.
    pub fn count(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// By kind: how many there are, and the first of them.
    pub fn by_kind(&self) -> impl Iterator<Item = (FindingKind, u64, &[Finding])> {
        let kinds = self.kinds.iter();
        kinds.map(|(kind, (count, kept))| (*kind, *count, &kept[..]))
    }
}
