//! `lakechat chat`: a plain terminal client.
//!
//! In a terminal it sends the lines that are typed, prints the messages that arrive, and has slash
//! commands for the rest. Piped input it sends line by line; it waits for the acks and ends.

mod args;
mod command;
mod input;
mod line_editor;
mod login;
mod plain;
mod screen;
mod talk;
mod terminal;
mod tokens;
mod transfer;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use tokio::sync::mpsc;

pub use self::args::ChatArgs;
pub(super) use self::args::{server, user_name};
use self::input::InputLine;
pub(super) use self::input::next_line;
pub(super) use self::login::check_privacy;
use lakechat_client::{Api, Credentials, Options, Session, Stop};
pub(super) use plain::plain;
use screen::Screen;
use talk::{InputKind, Talk};
use terminal::{Editing, Mode, Signals};
use tokens::Tokens;

/// Runs until the input ends or the user quits.
pub async fn run(args: ChatArgs) -> Result<()> {
    // An error may quote the server.
    let ended = chat(args).await;
    ended.map_err(|error| anyhow!(plain(&format!("{error:#}"))))
}

async fn chat(args: ChatArgs) -> Result<()> {
    check_privacy(&args.url, args.insecure)?;
    let mut signals = Signals::listen()?;
    // Restored when this is dropped, also if a signal comes while the password is typed.
    let mode = Mode::of_input();
    let screen = Screen::default();
    let api = Api::new(args.url.clone())?;
    let tokens = Arc::new(Tokens::open(&args.url, &args.user, &screen));
    let login = tokio::select! {
        login = login::log_in(&api, &args, &tokens, &screen) => login?,
        () = signals.received() => bail!("interrupted"),
    };
    let credentials = {
        let (tokens, screen) = (tokens.clone(), screen.clone());
        let save = move |login: &_| tokens.save_or_note(login, &screen);
        Arc::new(Credentials::with_callback(api, login, save))
    };
    let options = Options {
        channel: Some(args.channel.clone()),
        ..Options::default()
    };
    let (session, events) = Session::start(credentials.clone(), options);
    let (input, lines, _editing) = open_input(mode, &screen, args.text)?;
    let talk = Talk::new(session, credentials, args.channel, screen, input);
    if let Some(stop) = talk.run(events, lines, &mut signals).await? {
        if matches!(stop, Stop::LoginEnded(_)) {
            tokens.delete();
        }
        return Err(stop.into());
    }
    Ok(())
}

fn open_input(
    mode: Option<Mode>,
    screen: &Screen,
    verbatim: bool,
) -> Result<(InputKind, mpsc::Receiver<InputLine>, Option<Editing>)> {
    Ok(match mode {
        Some(mode) if terminal::can_edit() => {
            let editing = Editing::begin(mode, screen.clone())?;
            let lines = input::typed_lines(screen.clone());
            (InputKind::Typed, lines, Some(editing))
        }
        Some(_) => (InputKind::Typed, input::lines(), None),
        None => (InputKind::Piped { verbatim }, input::lines(), None),
    })
}
