//! A certificate for `localhost` and 127.0.0.1 that no authority has signed.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tokio::process::Command;

/// The folder with nginx' configuration, and with the script.
pub fn docker_nginx() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker/nginx")
}

/// Makes `cert.pem` and `key.pem` in a folder, by the script of the image.
pub async fn make_certificate(folder: &Path) -> Result<()> {
    let script = docker_nginx().join("make-certificate");
    let output = Command::new(script).arg(folder).output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "a certificate: {errors}");
    Ok(())
}
