//! `lakechat admin`: what operators do with accounts.

mod confirm;
mod create;
mod invites;
mod server;
mod table;
mod users;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::create::CreateArgs;
use self::invites::InvitesArgs;
use self::server::{ServerArgs, ServerSession};
use self::table::Table;
use self::users::UsersArgs;
use super::moment::rfc3339;
use crate::config::{Config, Flags};

/// Administer accounts
///
///   lakechat admin create ann --config lakechat.toml   the first admin, without a server
///   lakechat admin users list --user ann               the others, through a running server
///   lakechat admin audit --user ann                    what admins have done
///
/// Exit codes: 0: done; 1: refused, or the server or the directory can't be reached; 2: invalid command
/// line; 64: invalid configuration.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AdminCommand {
    Create(CreateArgs),
    Users(UsersArgs),
    Invites(InvitesArgs),
    Audit(AuditTrailArgs),
}

/// List what admins have done, the latest first
#[derive(Args, Clone, Debug)]
struct AuditTrailArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The most entries to list
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

impl AdminArgs {
    /// The flags of the configuration, for the command that works without a server.
    pub fn offline(&self) -> Option<&Flags> {
        match &self.command {
            AdminCommand::Create(create) => Some(&create.flags),
            AdminCommand::Users(_) | AdminCommand::Invites(_) | AdminCommand::Audit(_) => None,
        }
    }
}

/// Runs the command that needs no server.
pub async fn run_offline(args: &AdminArgs, config: &Config) -> Result<()> {
    match &args.command {
        AdminCommand::Create(create) => create::run(create, config).await,
        AdminCommand::Users(_) | AdminCommand::Invites(_) | AdminCommand::Audit(_) => {
            run(args).await
        }
    }
}

/// Runs a command that calls a server.
pub async fn run(args: &AdminArgs) -> Result<()> {
    match &args.command {
        AdminCommand::Create(_) => unreachable!("it works without a server"),
        AdminCommand::Users(users) => users::run(users).await,
        AdminCommand::Invites(invites) => invites::run(invites).await,
        AdminCommand::Audit(audit) => list_audit(audit).await,
    }
}

async fn list_audit(args: &AuditTrailArgs) -> Result<()> {
    let session = ServerSession::open(&args.server).await?;
    let listed = session.list("admin/audit", "entries", args.limit).await;
    session.close().await?;
    let entries = listed?;
    if args.server.json {
        return table::print_json(&entries);
    }
    let mut table = Table::new(["TIME", "BY", "ACTION", "USER", "ADDRESS"]);
    for entry in &entries {
        let at = entry["at"].as_u64().unwrap_or_default();
        let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
        table.row([
            rfc3339(at),
            text("by"),
            text("action"),
            text("user"),
            text("address"),
        ]);
    }
    table.print();
    Ok(())
}
