//! `lakechat backup`: copies the data folder consistently, also while the server runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use lakechat_embedded::{BackupProgress, backup};

/// Back up a data folder, also while its server runs
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder to write the backup into; must be new or empty
    pub target: PathBuf,
}

/// Writes the backup and shows its progress on a terminal. `key` is the file of the signing key.
pub fn run(args: &Args, data_dir: &Path, key: &Path) -> Result<()> {
    let bar = ProgressBar::new_spinner().with_style(database_style());
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = backup(data_dir, key, &args.target, &mut |progress| {
        show(&bar, progress);
    });
    bar.finish_and_clear();
    let done = done.with_context(|| format!("cannot back up {}", data_dir.display()))?;
    println!(
        "{}: database {}, {} files of {}",
        args.target.display(),
        HumanBytes(done.database_bytes),
        done.files_count,
        HumanBytes(done.files_bytes),
    );
    Ok(())
}

fn show(bar: &ProgressBar, progress: BackupProgress) {
    if progress.files_total_bytes == 0 {
        bar.set_message(format!("database: {}", HumanBytes(progress.database_bytes)));
        return;
    }
    if bar.length() != Some(progress.files_total_bytes) {
        bar.set_style(files_style());
        bar.set_length(progress.files_total_bytes);
    }
    bar.set_position(progress.files_bytes);
}

fn files_style() -> ProgressStyle {
    let template = "files: {bar:40} {bytes} of {total_bytes}, {eta} left";
    ProgressStyle::with_template(template).expect("the template is valid")
}

fn database_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid")
}
