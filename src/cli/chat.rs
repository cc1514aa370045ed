//! `lakechat chat`: a plain terminal client.
//!
//! Lines typed are sent, what is said is printed, slash commands do the rest. With piped input it
//! sends the lines, waits for their acks and ends.

mod command;
mod login;
mod screen;
mod talk;
mod tokens;
mod transfer;

use std::io::{IsTerminal, stdin};
use std::sync::Arc;

use anyhow::{Context, Result};
use reqwest::Url;
use tokio::sync::mpsc;

use lakechat_client::{Api, Credentials, Options, Session};
use lakechat_core::domain::{ChannelName, UserName};
use screen::Screen;
use talk::Talk;
use tokens::Tokens;

/// Talk in a channel from the terminal.
///
/// The password is asked for, or read from LAKECHAT_PASSWORD, or the first line of a piped input.
/// The login is kept in the XDG state folder (~/.local/state/lakechat), so it is asked for once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: Url,
    /// Who you are; the name you have on this machine unless given.
    #[arg(long, env = "USER", hide_env_values = true, value_parser = user_name, value_name = "NAME")]
    pub user: UserName,
    /// The channel to join.
    #[arg(long, default_value = ChannelName::GENERAL, value_parser = channel_name, value_name = "NAME")]
    pub channel: ChannelName,
    /// Make the account first.
    #[arg(long)]
    pub register: bool,
}

fn user_name(text: &str) -> Result<UserName, &'static str> {
    UserName::parse(text)
        .map_err(|_| "1 to 32 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}

fn channel_name(text: &str) -> Result<ChannelName, &'static str> {
    ChannelName::parse(text)
        .map_err(|_| "1 to 64 of a-z, 0-9, dot, underscore, hyphen; a letter or digit first")
}

/// Runs until the input ends or the user quits.
pub async fn run(args: Args) -> Result<()> {
    let api = Api::new(args.url.clone()).context("no HTTP client")?;
    let tokens = Arc::new(Tokens::open(&args.url, &args.user)?);
    let login = login::log_in(&api, &args, &tokens).await?;
    let screen = Screen::new();
    let credentials = {
        let (tokens, screen) = (tokens.clone(), screen.clone());
        let keep = move |login: &_| {
            if let Err(error) = tokens.keep(login) {
                screen.note(&format!("the login can't be kept: {error:#}"));
            }
        };
        Arc::new(Credentials::with_callback(api, login, keep))
    };
    let (session, events) = Session::start(credentials.clone(), Options::default());
    let talk = Talk::new(session, credentials, args.channel, screen);
    let ended = talk.run(events, read_lines()).await?;
    if let Some(stop) = ended {
        tokens.forget();
        return Err(stop.into());
    }
    Ok(())
}

/// The lines of standard input. A thread of its own reads them, because a read of a terminal can't
/// be taken back: the process ends without it.
fn read_lines() -> mpsc::Receiver<String> {
    // Full: the terminal waits.
    let (lines, read) = mpsc::channel(16);
    let typed = stdin().is_terminal();
    std::thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if typed {
                screen::take_back_typed_line();
            }
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    read
}
