//! HDFS in memory, for the tests of the rules.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::client::{Chunks, DraftFile, Entries, FileStatus, HdfsClient, OpenFile};
use super::exceptions::{broken, unavailable};
use lakechat_core::ports::PortError;

#[derive(Clone, Default)]
pub(super) struct MemoryHdfs(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    /// By path: a file's bytes, or a folder, and its time stamp.
    pub nodes: BTreeMap<String, (Option<Vec<u8>>, u64)>,
    pub now_ms: u64,
    /// The answer to the next rename gets lost, after it was done.
    pub loses_answer_to_rename: bool,
    pub ended_pipelines: usize,
    /// The next touch panics.
    pub panics_at_touch: bool,
}

impl MemoryHdfs {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it is held")
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        let state = self.state();
        let files = state.nodes.iter().filter(|(_, (bytes, _))| bytes.is_some());
        files.map(|(path, _)| path.clone()).collect()
    }

    pub fn put(&self, path: &str, bytes: Option<&[u8]>, modified_ms: u64) {
        let node = (bytes.map(<[u8]>::to_vec), modified_ms);
        self.state().nodes.insert(path.to_owned(), node);
    }
}

fn status(path: &str, (bytes, modified_ms): &(Option<Vec<u8>>, u64)) -> FileStatus {
    FileStatus {
        path: path.to_owned(),
        is_folder: bytes.is_none(),
        length: bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
        modified_ms: *modified_ms,
    }
}

#[async_trait]
impl HdfsClient for MemoryHdfs {
    async fn stat(&self, path: &str) -> Result<Option<FileStatus>, PortError> {
        Ok(self.state().nodes.get(path).map(|node| status(path, node)))
    }

    fn list(&self, path: &str) -> Entries {
        let state = self.state();
        let nodes = state.nodes.iter();
        let within = nodes.filter(|(at, _)| at.rsplit_once('/').is_some_and(|(up, _)| up == path));
        let entries: Vec<_> = within.map(|(at, node)| Ok(status(at, node))).collect();
        Box::pin(stream::iter(entries))
    }

    async fn delete(&self, path: &str, _: bool) -> Result<bool, PortError> {
        let below = format!("{path}/");
        let mut state = self.state();
        let before = state.nodes.len();
        state
            .nodes
            .retain(|at, _| at != path && !at.starts_with(&below));
        Ok(state.nodes.len() < before)
    }

    async fn make_folder(&self, path: &str) -> Result<(), PortError> {
        let mut state = self.state();
        let now_ms = state.now_ms;
        state.nodes.entry(path.to_owned()).or_insert((None, now_ms));
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<bool, PortError> {
        let mut state = self.state();
        if state.nodes.contains_key(to) {
            return Err(unavailable(format!("{to} exists")));
        }
        let folder = to.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !state.nodes.contains_key(folder) {
            return Ok(false);
        }
        let Some(node) = state.nodes.remove(from) else {
            return Ok(false);
        };
        state.nodes.insert(to.to_owned(), node);
        match std::mem::take(&mut state.loses_answer_to_rename) {
            true => Err(unavailable("the answer got lost")),
            false => Ok(true),
        }
    }

    async fn touch(&self, path: &str) -> Result<(), PortError> {
        let panics = std::mem::take(&mut self.state().panics_at_touch);
        assert!(!panics, "as a bug would");
        let now_ms = self.state().now_ms;
        self.put(path, Some(b""), now_ms);
        Ok(())
    }

    async fn create(&self, path: &str) -> Result<Box<dyn DraftFile>, PortError> {
        self.touch(path).await?;
        Ok(Box::new(MemoryDraft(self.clone(), path.to_owned())))
    }

    async fn open(&self, path: &str) -> Result<Box<dyn OpenFile>, PortError> {
        let state = self.state();
        let bytes = state.nodes.get(path).and_then(|(bytes, _)| bytes.clone());
        let bytes = bytes.ok_or_else(|| broken(format!("{path} does not exist")))?;
        Ok(Box::new(MemoryFile(bytes.into())))
    }
}

struct MemoryDraft(MemoryHdfs, String);

#[async_trait]
impl DraftFile for MemoryDraft {
    async fn write(&mut self, batch: Bytes) -> Result<(), PortError> {
        match self.0.state().nodes.get_mut(&self.1) {
            Some((Some(bytes), _)) => bytes.extend_from_slice(&batch),
            _ => return Err(unavailable("the draft was removed")),
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }

    async fn end_pipeline(self: Box<Self>) {
        self.0.state().ended_pipelines += 1;
    }
}

struct MemoryFile(Bytes);

impl OpenFile for MemoryFile {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn piece_bytes(&self) -> u64 {
        4
    }

    fn read(&self, offset: u64, length: u64) -> Chunks {
        let range = offset as usize..(offset + length) as usize;
        Box::pin(stream::iter([Ok(self.0.slice(range))]))
    }
}
