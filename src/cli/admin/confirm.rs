//! Confirmation of what can't be undone.

use std::io::{IsTerminal, Write, stdin, stdout};

use anyhow::{Result, bail};

/// Asks on the terminal, unless `--yes` was given.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        bail!("{question} can't be asked, because the input is not a terminal: use --yes");
    }
    print!("{question} [y/N] ");
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("not done"),
    }
}
