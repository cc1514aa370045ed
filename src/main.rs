//! The command: reads what is asked for, and does it.

mod app;
mod cli;
mod config;
mod http;
mod open_files;
mod readiness;
mod shutdown;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::cli::{backup, chat, config as config_cli};
#[cfg(feature = "cluster")]
use self::cli::{log, schema};
use self::config::{ConfigErrors, Flags};

/// Returns memory to the system sooner and holds less per thread than the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that may block: four for reads of the database (`Settings::readers`) and four for files,
/// each of which has its own places, so that neither starves the other. Each thread costs memory as
/// soon as it was needed once, and a disk does not get faster by more of them.
const BLOCKING_THREADS: usize = 8;

const EXIT_CODES: &str = "\
Exit codes:
  0         ended in order
  1         could not start, or a part failed: the last lines say what, and what to do
  2         mistakes in the command line
  64        mistakes in the configuration
  130, 143  a second SIGINT or SIGTERM";

/// Chat and file transfer for people who run a Hadoop platform.
///
/// Without a command it serves: on 127.0.0.1:8080, with all it keeps in ./lakechat-data. With a
/// configuration that says mode = "cluster" it is one of many servers on Kafka, HBase, HDFS and Redis.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Flags,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until a signal (the default)
    ///
    /// SIGTERM or SIGINT drains: people are told to come back, transfers end, what was acked is kept. A
    /// second one ends at once. Exit codes: 0 ended in order, 1 could not start or a part failed (the
    /// log on standard error says which), 64 mistakes in the configuration.
    ///
    /// `lakechat config print` shows all that can be set, in a file or in the environment.
    Serve(Flags),
    /// Check or print the configuration
    Config(config_cli::ConfigArgs),
    #[cfg(feature = "cluster")]
    Schema(schema::SchemaArgs),
    #[cfg(feature = "cluster")]
    Log(log::LogArgs),
    /// Back up a data folder, also while its server runs
    Backup(BackupArgs),
    /// Talk: a plain client for the terminal
    Chat(chat::Args),
    /// Print the version
    Version,
}

/// What `backup` takes: which folder, as `serve` would find it, and whereto.
#[derive(clap::Args)]
struct BackupArgs {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    backup: backup::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => serve(&flags),
        Command::Config(args) => match config_cli::run(&args) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(errors) => misconfigured(&errors),
        },
        #[cfg(feature = "cluster")]
        Command::Schema(args) => match config::load(&args.flags()) {
            Ok(loaded) => finish(runtime().and_then(|runtime| {
                print!(
                    "{}",
                    runtime.block_on(schema::run(&args, &loaded.config.hbase))?
                );
                Ok(())
            })),
            Err(errors) => misconfigured(&errors),
        },
        #[cfg(feature = "cluster")]
        Command::Log(args) => match config::load(&args.flags()) {
            Ok(loaded) => finish(
                runtime().and_then(|runtime| runtime.block_on(log::run(&args, &loaded.config))),
            ),
            Err(errors) => misconfigured(&errors),
        },
        Command::Backup(args) => match config::load(&args.flags) {
            Ok(loaded) => {
                let config = loaded.config;
                finish(backup::run(
                    &args.backup,
                    &config.data_dir,
                    &config.secret_file(),
                ))
            }
            Err(errors) => misconfigured(&errors),
        },
        Command::Chat(args) => match runtime() {
            Ok(runtime) => {
                let done = finish(runtime.block_on(chat::run(args)));
                // A thread may still wait for a line of the terminal.
                runtime.shutdown_background();
                done
            }
            Err(error) => finish(Err(error)),
        },
        Command::Version => {
            println!("lakechat {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

fn serve(flags: &Flags) -> ExitCode {
    let config = match config::load(flags) {
        Ok(loaded) => loaded.config,
        Err(errors) => return misconfigured(&errors),
    };
    small_pages();
    let served = telemetry::init_log(config.log.as_str(), config.log_format)
        .and_then(|()| telemetry::init_metrics())
        .and_then(|recorder| runtime()?.block_on(app::serve(config, recorder)));
    match served {
        // Tasks may still run after a second signal; nothing waits for them.
        Ok(outcome) => std::process::exit(outcome.exit_code()),
        Err(error) => finish(Err(error)),
    }
}

/// What a connection takes is a few KiB here and there; a huge page is cleared whole when its first
/// byte is touched, which made a fourth of what a connection costs.
fn small_pages() {
    // A kernel that can't has no huge pages either.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?)
}

fn finish(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lakechat: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn misconfigured(errors: &ConfigErrors) -> ExitCode {
    eprintln!("{errors}");
    ExitCode::from(ConfigErrors::EXIT_CODE)
}
