//! Paths in HDFS, below one root:
//!
//! - `files/<first two hex digits of the name>/<name>`: complete files, in 256 folders so that none of
//!   them grows too large for HDFS. A name is a file's id, with a number if it is a part of a file.
//! - `tmp/<run>/<name>`: drafts of one run of one server.
//! - `tmp/<run>/alive`: the heartbeat file of that run.
//! - `installation`: the installation that the root belongs to.
//! - `swept/<number>`: an empty file, whose name is the stamp of the latest sweep.

use super::run::Run;
use lakechat_core::domain::StoredName;

/// The name of a heartbeat file; no file is stored under it.
pub(super) const HEARTBEAT: &str = "alive";

/// The paths below a root.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: String,
}

impl Layout {
    pub fn new(root: &str) -> Layout {
        Layout {
            root: root.trim_end_matches('/').to_owned(),
        }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// The file that names the installation.
    pub fn owner(&self) -> String {
        format!("{}/installation", self.root)
    }

    /// The folder whose entry is the stamp of the latest sweep.
    pub fn sweeps(&self) -> String {
        format!("{}/swept", self.root)
    }

    /// The folder that holds the 256 folders of files.
    pub fn files(&self) -> String {
        format!("{}/files", self.root)
    }

    /// The folder that holds a folder for each run.
    pub fn runs(&self) -> String {
        format!("{}/tmp", self.root)
    }

    pub fn run(&self, run: &Run) -> String {
        format!("{}/{}", self.runs(), run.as_str())
    }

    pub fn draft(&self, run: &Run, name: StoredName) -> String {
        format!("{}/{name}", self.run(run))
    }

    /// The absolute path of a file of this store; `None` if `path` does not name one.
    pub fn stored_path(&self, path: &str) -> Option<String> {
        StoredName::of_path(path).map(|_| format!("{}/{path}", self.files()))
    }
}

/// The last part of a path.
pub(super) fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakechat_core::domain::FileId;

    #[test]
    fn only_paths_of_the_store_are_resolved() {
        let layout = Layout::new("/lake/chat");
        let id = FileId::random();
        let path = StoredName::from(id).path();
        let place = format!("/lake/chat/files/{path}");
        assert_eq!(layout.stored_path(&path).as_deref(), Some(&*place));
        assert_eq!(name_of(&place), id.to_string());
        let elsewhere = format!("zz/{id}");
        for bad in [
            "",
            "/",
            "ab",
            "../../etc/passwd",
            &*elsewhere,
            &id.to_string(),
        ] {
            assert_eq!(layout.stored_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn draft_lies_beside_the_heartbeat_of_its_run() {
        let (layout, run, id) = (Layout::new("/a"), Run::begin("s1"), FileId::random());
        let folder = layout.run(&run);
        assert!(folder.starts_with("/a/tmp/s1."), "{folder}");
        assert_eq!(layout.draft(&run, id.into()), format!("{folder}/{id}"));
        assert_eq!(StoredName::parse(HEARTBEAT), None);
    }
}
