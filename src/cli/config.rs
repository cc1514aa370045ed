//! `lakechat config`: checks and prints the configuration.

use clap::{Args, Subcommand};

use crate::config::{self, ConfigErrors, Flags, Loaded, PrintedValues};

/// Check or print the configuration
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ConfigCommand {
    /// List every mistake in the configuration; exit code 64 if there are any
    Check(Flags),
    /// Print the configuration in effect as a file, with the source of each value
    Print(PrintArgs),
}

#[derive(Args, Clone, Debug)]
struct PrintArgs {
    #[command(flatten)]
    flags: Flags,
    /// Print the defaults instead: every key with its meaning and the allowed values
    #[arg(long)]
    defaults: bool,
}

/// The text for standard output, or the mistakes.
pub fn run(args: &ConfigArgs) -> Result<String, ConfigErrors> {
    match &args.command {
        ConfigCommand::Check(flags) => config::load(flags).map(|loaded| check(&loaded)),
        ConfigCommand::Print(print) if print.defaults => {
            let loaded = config::load_from(&Flags::default(), [])?;
            Ok(config::to_toml(&loaded.keys, PrintedValues::Defaults))
        }
        ConfigCommand::Print(print) => {
            let loaded = config::load(&print.flags)?;
            Ok(config::to_toml(&loaded.keys, PrintedValues::Effective))
        }
    }
}

fn check(loaded: &Loaded) -> String {
    let given = |key: &&config::ConfigKey| key.source != config::Source::Default;
    let count = loaded.keys.iter().filter(given).count();
    let all = loaded.keys.len();
    format!("ok: {count} of {all} keys are set, the others have their defaults\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: ConfigArgs,
    }

    fn run_with(args: &[&str], file: &str) -> Result<String, ConfigErrors> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lakechat.toml");
        std::fs::write(&path, file).expect("written");
        let path = path.to_str().expect("UTF-8");
        let args = [&["lakechat"], args, &["--config", path]].concat();
        run(&Cli::try_parse_from(args).expect("arguments").config)
    }

    #[test]
    fn check_says_ok_or_every_mistake() {
        let ok = run_with(&["check"], "listen = \"127.0.0.1:1\"").expect("good");
        assert!(ok.starts_with("ok: 1 of "), "{ok}");
        let mistakes = run_with(&["check"], "a = 1\nb = 2").expect_err("unknown keys");
        assert_eq!(mistakes.0.len(), 2);
    }

    #[test]
    fn print_shows_what_counts_or_the_defaults() {
        let file = "listen = \"127.0.0.1:1\"";
        let args = ["print", "--data-dir", "/srv"];
        let counts = run_with(&args, file).expect("good");
        assert!(
            counts.contains("\nlisten = \"127.0.0.1:1\"  # from "),
            "{counts}"
        );
        assert!(
            counts.contains("data_dir = \"/srv\"  # from --data-dir; default "),
            "{counts}"
        );
        let defaults = run_with(&["print", "--defaults"], file).expect("good");
        assert!(
            defaults.contains("\nlisten = \"127.0.0.1:8080\"\n"),
            "{defaults}"
        );
    }
}
