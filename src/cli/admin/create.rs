//! `lakechat admin create`: writes to the back ends directly.

use anyhow::{Context, Result};
use clap::Args;

use crate::app::offline::OfflineDirectory;
use crate::cli::chat::user_name;
use crate::cli::password::PasswordArgs;
use crate::config::{Config, Flags};
use lakechat_core::accounts::create_admin;
use lakechat_core::domain::UserName;

/// Create the account of an admin, without a server
///
/// Writes to the back ends directly, so it needs no other account: for the first one of an
/// installation, or if no admin can log in any more. In cluster mode the servers may be running. In
/// embedded mode the server has to be stopped, because it locks the data folder; a folder that doesn't
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
pub(super) struct CreateArgs {
    /// The user name
    #[arg(value_parser = user_name)]
    name: UserName,
    #[command(flatten)]
    pub flags: Flags,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(super) async fn run(args: &CreateArgs, config: &Config) -> Result<()> {
    let password = args.password.read(&args.name, true).await?;
    let offline = OfflineDirectory::open(config).await?;
    let (users, audit_trail) = (&*offline.directory.users, &*offline.directory.audit_trail);
    let created = create_admin(users, audit_trail, args.name.clone(), &password).await;
    offline.close().await?;
    created.with_context(|| format!("can't create {}", args.name))?;
    println!("created the admin {}", args.name);
    Ok(())
}
