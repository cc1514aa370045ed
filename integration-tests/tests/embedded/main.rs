//! The release binary on a folder.

mod audit;
#[path = "../both_modes/tests.rs"]
mod both_modes;
mod changes;
mod codes;
mod config;
mod conversation;
mod data_folder;
mod disabled_accounts;
mod disk;
mod documents;
mod drain;
mod earlier_releases;
mod log;
mod memory;
mod nginx;
mod observe;
mod put_and_get;
mod real_input;
mod refresh_tokens;
mod requests;
mod server_folder;
mod signed_uploads;
mod simulate_faults;
mod start;
mod terminal_client;
mod tus_client;
mod uploads;

use integration_tests::Mode;

const MODE: Mode = Mode::Embedded;
