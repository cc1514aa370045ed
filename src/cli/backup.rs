//! `lakechat backup`: a consistent copy of the data folder while the server runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use lakechat_embedded::{Progress, backup};

/// Copies the data folder of a running or stopped server.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder that becomes the backup: an empty or a new one
    pub target: PathBuf,
}

/// Makes the backup, showing how far it is where a person watches. `key` is the signing key's file.
pub fn run(args: &Args, data_dir: &Path, key: &Path) -> Result<()> {
    let bar = ProgressBar::new_spinner().with_style(database_style());
    bar.enable_steady_tick(Duration::from_millis(100));
    let done = backup(data_dir, key, &args.target, &mut |progress| {
        show(&bar, progress);
    });
    bar.finish_and_clear();
    let done = done.with_context(|| format!("no backup of {}", data_dir.display()))?;
    println!(
        "{}: database {}, {} files of {}",
        args.target.display(),
        HumanBytes(done.database),
        done.files_count,
        HumanBytes(done.files),
    );
    Ok(())
}

fn show(bar: &ProgressBar, progress: Progress) {
    if progress.files_total == 0 {
        bar.set_message(format!("database: {}", HumanBytes(progress.database)));
        return;
    }
    if bar.length() != Some(progress.files_total) {
        bar.set_style(files_style());
        bar.set_length(progress.files_total);
    }
    bar.set_position(progress.files);
}

fn files_style() -> ProgressStyle {
    let template = "files: {bar:40} {bytes} of {total_bytes}, {eta} left";
    ProgressStyle::with_template(template).expect("a template of known keys")
}

fn database_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").expect("a template of known keys")
}
