//! Reports one upload or download: a log line, counters and the speed.

use std::time::Instant;

use metrics::{Counter, counter, gauge, histogram};
use tracing::info;

use crate::domain::{FileId, UserName};
use crate::limits::TransferSlot;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Upload,
    Download,
}

/// A transfer in progress. Dropping it before `end` reports that the client disconnected.
pub(super) struct Transfer {
    direction: Direction,
    file: FileId,
    user: UserName,
    started: Instant,
    size_bytes: u64,
    moved: Counter,
    ended: bool,
    #[expect(dead_code, reason = "held for its drop")]
    slot: TransferSlot,
}

impl Transfer {
    pub(super) fn upload(file: FileId, user: UserName, slot: TransferSlot) -> Transfer {
        let moved = counter!("lakechat_upload_bytes_total");
        Transfer::new(Direction::Upload, file, user, moved, slot)
    }

    pub(super) fn download(file: FileId, user: UserName, slot: TransferSlot) -> Transfer {
        let moved = counter!("lakechat_download_bytes_total");
        Transfer::new(Direction::Download, file, user, moved, slot)
    }

    fn new(
        direction: Direction,
        file: FileId,
        user: UserName,
        moved: Counter,
        slot: TransferSlot,
    ) -> Transfer {
        gauge!("lakechat_open_transfers", "direction" => direction.as_str()).increment(1);
        Transfer {
            direction,
            file,
            user,
            started: Instant::now(),
            size_bytes: 0,
            moved,
            ended: false,
            slot,
        }
    }

    pub(super) fn file(&self) -> FileId {
        self.file
    }

    /// Counts further bytes.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.size_bytes += bytes as u64;
        self.moved.increment(bytes as u64);
    }

    /// Reports that the file was transferred completely.
    pub(super) fn done(&mut self) {
        if !self.ended {
            let seconds = self.started.elapsed().as_secs_f64().max(1e-6);
            let per_second = self.size_bytes as f64 / seconds;
            match self.direction {
                Direction::Upload => histogram!("lakechat_upload_bytes_per_second"),
                Direction::Download => histogram!("lakechat_download_bytes_per_second"),
            }
            .record(per_second);
        }
        self.end("done");
    }

    /// Reports another outcome. `result` is an error code or one of a few words, because it labels
    /// a counter. Only the first report counts.
    pub(super) fn end(&mut self, result: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let direction = self.direction.as_str();
        gauge!("lakechat_open_transfers", "direction" => direction).decrement(1);
        match self.direction {
            Direction::Upload => counter!("lakechat_uploads_total", "result" => result),
            Direction::Download => counter!("lakechat_downloads_total", "result" => result),
        }
        .increment(1);
        let (user, size_bytes) = (self.user.as_str(), self.size_bytes);
        let duration_ms = self.started.elapsed().as_millis() as u64;
        info!(
            file.id = %self.file, user, size_bytes, duration_ms, result,
            "{direction} of {size_bytes} bytes by {user} ended: {result}"
        );
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end("left");
    }
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Direction::Upload => "upload",
            Direction::Download => "download",
        }
    }
}
