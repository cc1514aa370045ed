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
pub(super) use self::args::LoginArgs;
pub(super) use self::args::{server, user_name};
use self::input::InputLine;
pub(super) use self::input::next_line;
pub(super) use self::login::check_privacy;
pub(super) use self::plain::{local_name, plain};
use lakechat_client::{Api, Credentials, Options, Session, Stop};
use screen::Screen;
use talk::{InputKind, Talk};
use terminal::{Editing, Signals, TerminalMode};
use tokens::Tokens;

/// Runs until the input ends or the user quits.
pub async fn run(args: ChatArgs) -> Result<()> {
    // An error may quote the server.
    let ended = chat(args).await;
    ended.map_err(|error| anyhow!(plain(&format!("{error:#}"))))
}

/// Logs in for a command whose output is not for people. What concerns the login goes to standard error.
pub(super) async fn log_in_quietly(args: &LoginArgs) -> Result<Arc<Credentials>> {
    check_privacy(&args.url, args.insecure)?;
    let note = |text: &str| eprintln!("lakechat: {}", plain(text));
    let api = Api::new(args.url.clone())?;
    let tokens = Tokens::open(args, &note);
    let login = login::log_in(&api, args, &tokens, &note).await?;
    let save = move |login: &_| tokens.save_or_note(login, &note);
    Ok(Arc::new(Credentials::with_callback(api, login, save)))
}

async fn chat(args: ChatArgs) -> Result<()> {
    let account = &args.login;
    check_privacy(&account.url, account.insecure)?;
    let mut signals = Signals::listen()?;
    // Restored when this is dropped, also if a signal comes while the password is typed.
    let mode = TerminalMode::of_input();
    let screen = Screen::default();
    let api = Api::new(account.url.clone())?;
    let tokens = Arc::new(Tokens::open(account, &|text| screen.note(text)));
    let note = |text: &str| screen.note(text);
    let login = tokio::select! {
        login = login::log_in(&api, account, &tokens, &note) => login?,
        () = signals.received() => bail!("interrupted"),
    };
    let credentials = {
        let (tokens, screen) = (tokens.clone(), screen.clone());
        let save = move |login: &_| tokens.save_or_note(login, &|text| screen.note(text));
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
    mode: Option<TerminalMode>,
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
