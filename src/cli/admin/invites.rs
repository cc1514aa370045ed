//! `lakechat admin invites`.

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use uuid::Uuid;

use super::confirm::confirm;
use super::server::{ServerArgs, ServerSession};
use super::table::{Table, print_json};
use crate::cli::moment::rfc3339;

/// Invite people to register (auth.registration = "invite"), through a running server
#[derive(Args, Clone, Debug)]
pub struct InvitesArgs {
    #[command(subcommand)]
    command: InvitesCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum InvitesCommand {
    /// Create an invite and print its code, which isn't shown again
    Create(CreateInviteArgs),
    /// List invites, including expired and used-up ones
    List(ListInvitesArgs),
    /// End an invite
    End(EndInviteArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateInviteArgs {
    /// How many people may register with it
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// For how many days it is valid
    #[arg(long, default_value_t = 7)]
    days: u32,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Clone, Debug)]
struct ListInvitesArgs {
    /// The most invites to list
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Clone, Debug)]
struct EndInviteArgs {
    /// The invite's id
    id: Uuid,
    /// Don't ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub async fn run(args: &InvitesArgs) -> Result<()> {
    match &args.command {
        InvitesCommand::Create(args) => create(args).await,
        InvitesCommand::List(args) => list(args).await,
        InvitesCommand::End(args) => {
            let id = args.id;
            confirm(&format!("End the invite {id}?"), args.yes)?;
            let path = format!("invites/{id}");
            ServerSession::one_call(&args.server, Method::DELETE, &path, None).await?;
            println!("ended the invite {id}");
            Ok(())
        }
    }
}

async fn create(args: &CreateInviteArgs) -> Result<()> {
    let seconds = u64::from(args.days) * 24 * 3_600;
    let body = json!({"uses": args.uses, "expires_in": seconds});
    let made = ServerSession::one_call(&args.server, Method::POST, "invites", Some(body)).await?;
    match args.server.json {
        true => print_json(&made)?,
        false => println!("{}", made["invite"].as_str().unwrap_or_default()),
    }
    Ok(())
}

async fn list(args: &ListInvitesArgs) -> Result<()> {
    let session = ServerSession::open(&args.server).await?;
    let listed = session.list("invites", "invites", args.limit).await;
    session.close().await?;
    let invites = listed?;
    if args.server.json {
        return print_json(&invites);
    }
    let mut table = Table::new(["INVITE", "USES LEFT", "EXPIRES", "CREATED BY"]);
    for invite in &invites {
        table.row([
            invite["id"].as_str().unwrap_or("-").to_owned(),
            invite["uses_left"].to_string(),
            rfc3339(invite["expires_at"].as_u64().unwrap_or_default()),
            invite["created_by"].as_str().unwrap_or("-").to_owned(),
        ]);
    }
    table.print();
    Ok(())
}
