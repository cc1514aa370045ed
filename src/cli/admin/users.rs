//! `lakechat admin users`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::confirm::confirm;
use super::server::{ServerArgs, ServerSession};
use super::table::{Table, flag, print_json};
use crate::cli::chat::user_name;
use crate::cli::moment::rfc3339;
use crate::cli::password::password_in;
use lakechat_core::domain::UserName;

/// List, create and change accounts through a running server
///
/// Every change is recorded: see `lakechat admin audit`. Disabling an account or setting its password ends
/// all its logins at once.
#[derive(Args, Clone, Debug)]
pub struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum UsersCommand {
    /// List accounts by name
    List(ListArgs),
    /// Show an account and its logins
    Show(OneArgs),
    /// Create an account
    Add(AddArgs),
    /// Lock a user out, until `enable`
    Disable(OneArgs),
    /// Let a disabled user log in again
    Enable(OneArgs),
    /// Set a user's password
    SetPassword(SetPasswordArgs),
    /// End all logins of a user
    EndLogins(ConfirmedArgs),
    /// Make a user an admin
    MakeAdmin(OneArgs),
    /// Take an admin's rights away
    RemoveAdmin(OneArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// The most accounts to list
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Clone, Debug)]
struct OneArgs {
    /// The user's name
    #[arg(value_parser = user_name)]
    name: UserName,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Args, Clone, Debug)]
struct AddArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Make the user an admin
    #[arg(long)]
    admin: bool,
    /// A file with the user's password; without it, a random one is set and printed
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct SetPasswordArgs {
    #[command(flatten)]
    confirmed: ConfirmedArgs,
    /// A file with the user's password
    #[arg(long, value_name = "FILE")]
    new_password_file: PathBuf,
}

#[derive(Args, Clone, Debug)]
struct ConfirmedArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Don't ask for confirmation
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: &UsersArgs) -> Result<()> {
    match &args.command {
        UsersCommand::List(args) => list(args).await,
        UsersCommand::Show(one) => show(one).await,
        UsersCommand::Add(args) => add(args).await,
        UsersCommand::Disable(one) => change(one, json!({"disabled": true})).await,
        UsersCommand::Enable(one) => change(one, json!({"disabled": false})).await,
        UsersCommand::MakeAdmin(one) => change(one, json!({"admin": true})).await,
        UsersCommand::RemoveAdmin(one) => change(one, json!({"admin": false})).await,
        UsersCommand::SetPassword(args) => {
            let ConfirmedArgs { one, yes } = &args.confirmed;
            let password = password_in(&args.new_password_file)?;
            confirm(&format!("Replace the password of {}?", one.name), *yes)?;
            change(one, json!({"password": password})).await
        }
        UsersCommand::EndLogins(ConfirmedArgs { one, yes }) => {
            confirm(&format!("End all logins of {}?", one.name), *yes)?;
            let path = format!("admin/users/{}/logins", one.name);
            ServerSession::one_call(&one.server, Method::DELETE, &path, None).await?;
            println!("ended all logins of {}", one.name);
            Ok(())
        }
    }
}

async fn list(args: &ListArgs) -> Result<()> {
    let session = ServerSession::open(&args.server).await?;
    let listed = session.list("admin/users", "users", args.limit).await;
    session.close().await?;
    let users = listed?;
    if args.server.json {
        return print_json(&users);
    }
    print_users(&users);
    Ok(())
}

async fn show(args: &OneArgs) -> Result<()> {
    let path = format!("admin/users/{}", args.name);
    let user = ServerSession::one_call(&args.server, Method::GET, &path, None).await?;
    if args.server.json {
        return print_json(&user);
    }
    print_users(std::slice::from_ref(&user));
    println!();
    let mut table = Table::new(["LOGIN", "USED", "ADDRESS", "CLIENT"]);
    for login in user["logins"].as_array().into_iter().flatten() {
        let text = |field: &str| login[field].as_str().unwrap_or("-").to_owned();
        table.row([
            text("id"),
            rfc3339(login["used_at"].as_u64().unwrap_or_default()),
            text("address"),
            text("client"),
        ]);
    }
    table.print();
    Ok(())
}

async fn add(args: &AddArgs) -> Result<()> {
    let mut body = json!({"username": args.one.name.as_str(), "admin": args.admin});
    if let Some(file) = &args.new_password_file {
        body["password"] = password_in(file)?.into();
    }
    let server = &args.one.server;
    let user = ServerSession::one_call(server, Method::POST, "admin/users", Some(body)).await?;
    if server.json {
        return print_json(&user);
    }
    println!("created {}", args.one.name);
    if let Some(password) = user["password"].as_str() {
        println!("its password: {password}");
    }
    Ok(())
}

async fn change(args: &OneArgs, body: Value) -> Result<()> {
    let path = format!("admin/users/{}", args.name);
    let user = ServerSession::one_call(&args.server, Method::PATCH, &path, Some(body)).await?;
    if args.server.json {
        return print_json(&user);
    }
    print_users(&[user]);
    Ok(())
}

fn print_users(users: &[Value]) {
    let mut table = Table::new(["USER", "CREATED", "ADMIN", "DISABLED"]);
    for user in users {
        table.row([
            user["user"].as_str().unwrap_or("-").to_owned(),
            rfc3339(user["created_at"].as_u64().unwrap_or_default()),
            flag(&user["admin"]),
            flag(&user["disabled"]),
        ]);
    }
    table.print();
}
