//! `lakechat admin`: what operators do with accounts.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::chat::user_name;
use super::password::{password, password_from_stdin};
use crate::app::offline::OfflineDirectory;
use crate::config::{Config, Flags};
use lakechat_core::accounts::create_account;
use lakechat_core::domain::UserName;

/// Administer accounts
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AdminCommand {
    Create(CreateArgs),
}

/// Create the account of an admin, without a server
///
/// Writes to the back ends themselves, so it needs no other account: for the first one of an
/// installation, or if no admin can log in any more. In cluster mode the servers may run. In embedded
/// mode the server has to be stopped, since it has the data folder to itself; a folder that doesn't
/// exist is created.
///
///   lakechat admin create ann --config lakechat.toml
///   lakechat admin create ann --password-file secret
///
/// The password comes from a file, from the first line of the input, from LAKECHAT_PASSWORD, or from the
/// terminal.
///
/// Exit codes: 0: created; 1: the name is taken, the password is refused, or the directory can't be
/// written; 64: invalid configuration.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
struct CreateArgs {
    /// The user name
    #[arg(value_parser = user_name)]
    name: UserName,
    #[command(flatten)]
    flags: Flags,
    /// Read the password from a file
    #[arg(
        long,
        env = "LAKECHAT_PASSWORD_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    password_file: Option<PathBuf>,
    /// Read the password from the first line of the input
    #[arg(long)]
    password_stdin: bool,
}

impl AdminArgs {
    /// The flags of the configuration.
    pub fn flags(&self) -> &Flags {
        match &self.command {
            AdminCommand::Create(create) => &create.flags,
        }
    }
}

pub async fn run(args: &AdminArgs, config: &Config) -> Result<()> {
    match &args.command {
        AdminCommand::Create(create) => create_admin(create, config).await,
    }
}

async fn create_admin(args: &CreateArgs, config: &Config) -> Result<()> {
    let password = match args.password_stdin {
        true => password_from_stdin().await?,
        false => password(&args.name, args.password_file.as_deref(), true).await?,
    };
    let offline = OfflineDirectory::open(config).await?;
    let users = &*offline.directory.users;
    let created = create_account(users, args.name.clone(), &password, true).await;
    offline.close().await?;
    created.with_context(|| format!("can't create {}", args.name))?;
    println!("created the admin {}", args.name);
    Ok(())
}
