//! `lakechat chat`: a plain terminal client.
//!
//! It sends the lines that are typed, prints the messages that arrive, and has slash commands for the
//! rest. With piped input it sends the lines, waits for their acks and ends.

mod args;
mod command;
mod login;
mod screen;
mod talk;
mod tokens;
mod transfer;

use std::io::{IsTerminal, stdin};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

pub use self::args::ChatArgs;
use lakechat_client::{Api, Credentials, Options, Session, Stop};
use screen::Screen;
use talk::Talk;
use tokens::Tokens;

/// Runs until the input ends or the user quits.
pub async fn run(args: ChatArgs) -> Result<()> {
    let api = Api::new(args.url.clone()).context("can't create the HTTP client")?;
    let tokens = Arc::new(Tokens::open(&args.url, &args.user)?);
    let login = login::log_in(&api, &args, &tokens).await?;
    let screen = Screen::new();
    let credentials = {
        let (tokens, screen) = (tokens.clone(), screen.clone());
        let save = move |login: &_| {
            if let Err(error) = tokens.save(login) {
                screen.note(&format!("can't save the login: {error:#}"));
            }
        };
        Arc::new(Credentials::with_callback(api, login, save))
    };
    let (session, events) = Session::start(credentials.clone(), Options::default());
    let talk = Talk::new(session, credentials, args.channel, screen);
    let ended = talk.run(events, read_lines()).await?;
    if let Some(stop) = ended {
        if matches!(stop, Stop::LoginEnded(_)) {
            tokens.delete();
        }
        return Err(stop.into());
    }
    Ok(())
}

/// The lines of standard input. A separate thread reads them, because a blocked read of a terminal
/// can't be cancelled; the process ends without waiting for it.
fn read_lines() -> mpsc::Receiver<String> {
    // Full: the thread stops reading.
    let (lines, read) = mpsc::channel(16);
    let typed = stdin().is_terminal();
    std::thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if typed {
                screen::erase_typed_line();
            }
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    read
}
