//! The binary: parses the command line and runs one command.
//!
//! - `serve`: [`app`] picks the adapters, joins them with chat, files and accounts, and serves them
//!   over [`http`]. [`readiness`] is what `/readyz` shows, [`shutdown`] how the process ends,
//!   [`telemetry`] its log and metrics, [`open_files`] its limit on file descriptors.
//! - [`cli`]: the other commands.
//! - [`config`]: the configuration of all of them.

mod app;
mod cli;
mod config;
mod http;
mod open_files;
mod readiness;
mod shutdown;
mod telemetry;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use self::cli::{
    admin, audit, backup, chat, config as config_cli, dead_letters, get, health, put, simulate,
};
#[cfg(feature = "cluster")]
use self::cli::{log, schema};
use self::config::{ConfigErrors, Flags};

/// Returns memory to the system sooner than the allocator of the C library, and holds less per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum number of blocking threads: four for reads of the database (`EmbeddedSettings::readers` of the
/// embedded adapter) and four for files, each bounded separately, so that neither starves the other.
/// More threads take memory and don't make a disk faster.
const BLOCKING_THREADS: usize = 8;

/// How long the end of a server waits for standard error to take the last lines of the log.
const LAST_LINES: Duration = Duration::from_secs(1);

const EXIT_CODES: &str = "\
Exit codes:
  0         success; a server was shut down in order
  1         failure: the last lines say what failed, and what to do
  2         invalid command line
  64        invalid configuration
  129, 130, 143  a second signal: SIGHUP, SIGINT or SIGTERM";

/// Chat and file transfer for people who run a Hadoop platform.
///
/// Without a command it runs a server on 127.0.0.1:8080 that keeps everything in ./lakechat-data.
/// With mode = "cluster" in its configuration it runs one of several servers on Kafka, HBase, HDFS
/// and Redis.
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
    /// Run a server until a signal (the default)
    ///
    /// SIGTERM, SIGINT or SIGHUP shuts it down: clients are asked to reconnect, transfers finish, and
    /// acknowledged messages are stored. A second signal ends the process at once.
    ///
    /// `lakechat config print` shows every setting, for a file or the environment.
    Serve(Flags),
    /// Check or print the configuration
    Config(config_cli::ConfigArgs),
    #[cfg(feature = "cluster")]
    Schema(schema::SchemaArgs),
    #[cfg(feature = "cluster")]
    Log(log::LogArgs),
    /// Back up a data folder, also while its server runs
    Backup(BackupArgs),
    Audit(audit::AuditArgs),
    Admin(admin::AdminArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Chat in the terminal, or send the lines of a script
    Chat(chat::ChatArgs),
    Put(put::PutArgs),
    Get(get::GetArgs),
    Health(health::HealthArgs),
    Simulate(Box<simulate::SimulateArgs>),
    /// Print the version
    Version,
}

/// The arguments of `backup`: the data folder, found as `serve` finds it, and the target.
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
        Command::Schema(args) => with_config(&args.flags(), |config| {
            let text = runtime()?.block_on(schema::run(&args, &config.hbase))?;
            print!("{text}");
            Ok(())
        }),
        #[cfg(feature = "cluster")]
        Command::Log(args) => with_config(&args.flags(), |config| {
            runtime()?.block_on(log::run(&args, config))
        }),
        Command::Backup(BackupArgs {
            flags,
            backup: args,
        }) => with_config(&flags, |config| {
            backup::run(&args, &config.data_dir, &config.secret_file())
        }),
        Command::Admin(args) => match args.offline() {
            Some(flags) => with_config(flags, |config| {
                runtime()?.block_on(admin::run_offline(&args, config))
            }),
            None => exit_code(runtime().and_then(|runtime| runtime.block_on(admin::run(&args)))),
        },
        Command::Audit(args) => with_config(&args.flags, |config| {
            runtime()?.block_on(audit::run(&args, config))
        }),
        Command::DeadLetters(args) => with_config(&args.flags, |config| {
            runtime()?.block_on(dead_letters::run(&args, config))
        }),
        Command::Chat(args) => exit_code(run_client(chat::run(args))),
        Command::Put(args) => exit_code(run_client(put::run(args))),
        Command::Get(args) => exit_code(run_client(get::run(args))),
        Command::Health(args) => with_config(&args.flags, |config| {
            println!("{}", runtime()?.block_on(health::run(&args, config))?);
            Ok(())
        }),
        Command::Simulate(args) => {
            exit_code(runtime().and_then(|runtime| runtime.block_on(simulate::run(*args))))
        }
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
    disable_huge_pages();
    let log = match telemetry::init_log(config.log.as_str(), config.log_format) {
        Ok(log) => log,
        Err(error) => return exit_code(Err(error)),
    };
    let served = telemetry::init_metrics()
        .and_then(|recorder| runtime()?.block_on(app::serve(config, recorder)));
    let code = match served {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            log.push(format!("lakechat: {error:#}\n").as_bytes());
            1
        }
    };
    log.flush(LAST_LINES);
    // After a second signal tasks are still running; the process doesn't wait for them.
    std::process::exit(code)
}

/// A connection takes a few KiB here and there. The kernel clears a huge page as a whole when its
/// first byte is used, which made up a quarter of the cost of a connection.
fn disable_huge_pages() {
    // It fails only where the kernel has no huge pages.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn run_client(client: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let done = runtime.block_on(client);
    // A thread may still be blocked in a read of the terminal.
    runtime.shutdown_background();
    done
}

fn with_config(
    flags: &Flags,
    command: impl FnOnce(&config::Config) -> anyhow::Result<()>,
) -> ExitCode {
    match config::load(flags) {
        Ok(loaded) => exit_code(command(&loaded.config)),
        Err(errors) => misconfigured(&errors),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()?)
}

fn exit_code(done: anyhow::Result<()>) -> ExitCode {
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
