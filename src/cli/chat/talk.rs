//! The main loop of the chat: handles lines of the input, events of the session and transfers.

mod events;
mod last_messages;
mod transfers;
mod waiting;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::last_messages::LastMessages;
use self::transfers::Transferred;
use self::waiting::Waiting;
use super::command::{HELP, Line};
use super::input::InputLine;
use super::screen::Screen;
use super::terminal::Signals;
use lakechat_client::{Credentials, Event, Events, Post, Session, Stop};
use lakechat_core::domain::{ChannelName, FileId, Id};

/// Maximum number of lines without an answer, and of transfers; further input waits. It is below the
/// capacity of the session's queue of commands, so sending never waits for events that this loop has
/// yet to read.
const UNANSWERED_LINES: usize = 32;

/// Transfers at the same time. Further ones wait.
const TRANSFERS: usize = 4;

/// Where the lines come from, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
    /// A person reads the output, and can react to it.
    Typed,
    /// A script: what can't be done as it was meant is not done, and the exit code shows it.
    Piped { verbatim: bool },
}

pub(super) struct Talk {
    session: Session,
    credentials: Arc<Credentials>,
    screen: Screen,
    input: InputKind,
    /// The current channel, to which lines are sent. None after it was left, could not be joined, or
    /// the membership ended: a line that was meant for it must not appear elsewhere.
    channel: Option<ChannelName>,
    joined: HashSet<ChannelName>,
    has_joined: bool,
    waiting: Waiting,
    /// Lines and files that were not sent.
    failed: usize,
    /// Why the rest of the input is not read.
    fatal: Option<String>,
    files: HashMap<FileId, String>,
    last: LastMessages,
    transfers: JoinSet<Transferred>,
    transfer_slots: Arc<Semaphore>,
}

impl Talk {
    pub fn new(
        session: Session,
        credentials: Arc<Credentials>,
        channel: ChannelName,
        screen: Screen,
        input: InputKind,
    ) -> Talk {
        Talk {
            session,
            credentials,
            screen,
            input,
            channel: Some(channel),
            joined: HashSet::new(),
            has_joined: false,
            waiting: Waiting::new(Instant::now()),
            failed: 0,
            fatal: None,
            files: HashMap::new(),
            last: LastMessages::default(),
            transfers: JoinSet::new(),
            transfer_slots: Arc::new(Semaphore::new(TRANSFERS)),
        }
    }

    /// Runs until the input has ended and everything is answered, until a signal, or until the session
    /// stops: then it returns the reason.
    pub async fn run(
        mut self,
        events: Events,
        lines: mpsc::Receiver<InputLine>,
        signals: &mut Signals,
    ) -> Result<Option<Stop>> {
        let ended = tokio::select! {
            ended = self.converse(events, lines) => ended,
            // Whatever the conversation was about to do is given up.
            () = signals.received() => self.check_idle().map(|()| None),
        };
        // Their partial files are removed.
        self.transfers.shutdown().await;
        for text in self.waiting.unanswered() {
            self.screen.note(&format!("not answered: {text}"));
        }
        match (ended?, self.fatal) {
            (Some(stop), _) => Ok(Some(stop)),
            (None, Some(why)) => bail!(why),
            // A person has seen it.
            (None, None) if self.failed == 0 || self.input == InputKind::Typed => Ok(None),
            (None, None) => bail!("{} lines or files failed", self.failed),
        }
    }

    async fn converse(
        &mut self,
        mut events: Events,
        mut lines: mpsc::Receiver<InputLine>,
    ) -> Result<Option<Stop>> {
        if let Some(channel) = self.channel.clone() {
            self.session.join(channel, None).await?;
        }
        while !self.is_done() {
            let deadline = self
                .waiting
                .deadline(self.is_waiting_for_join(), self.input);
            let deadline = deadline.filter(|_| self.transfers.is_empty());
            // Events before lines, which can wait. The branches that lose stay in their queue or set,
            // or are a timer.
            tokio::select! {
                biased;
                () = expired(deadline) => bail!("the server did not answer in time"),
                event = events.next() => match event {
                    Some(Event::Stopped(stop)) => return Ok(Some(stop)),
                    Some(event) => self.handle_event(event).await,
                    None => return Ok(None),
                },
                Some(done) = self.transfers.join_next() => self.transferred(done?).await?,
                line = lines.recv(), if self.is_listening() => match line {
                    Some(Ok(line)) => self.execute(&line).await?,
                    Some(Err(error)) => self.give_up(format!("{:#}", anyhow!(error))),
                    None => self.waiting.end_input(),
                },
            }
        }
        Ok(None)
    }

    /// The input has ended, and all of it is answered.
    fn is_done(&self) -> bool {
        self.waiting.is_over() && self.transfers.is_empty()
    }

    /// Whether a signal interrupts something: then it is a failure.
    fn check_idle(&self) -> Result<()> {
        match self.waiting.unanswered().len() + self.transfers.len() {
            0 => Ok(()),
            n => bail!("interrupted with {n} lines or files under way"),
        }
    }

    fn is_waiting_for_join(&self) -> bool {
        let channel = self.channel.as_ref();
        channel.is_some_and(|channel| !self.joined.contains(channel))
    }

    fn is_listening(&self) -> bool {
        !self.waiting.is_input_over()
            && !self.is_waiting_for_join()
            && self.waiting.unanswered().len() + self.transfers.len() < UNANSWERED_LINES
    }

    async fn execute(&mut self, line: &str) -> Result<()> {
        let line = match self.input {
            InputKind::Piped { verbatim: true } => Line::verbatim(line),
            InputKind::Piped { verbatim: false } | InputKind::Typed => Line::parse(line),
        };
        match line {
            Line::Text(text) => match self.channel.clone() {
                Some(channel) => self.post(Post::text(channel, &*text), text).await?,
                None => self.not_sent(&text),
            },
            Line::Join(channel) => self.join(channel).await?,
            Line::Leave => {
                if let Some(channel) = self.channel.take() {
                    self.joined.remove(&channel);
                    self.session.leave(channel).await?;
                }
            }
            Line::History => {
                if let Some(channel) = self.channel.clone() {
                    self.show_tail(&channel, Id::MAX).await;
                }
            }
            Line::Edit(text) => {
                let id = self.last.own(self.channel.as_ref());
                self.change(id, &text.clone(), |c, id| Post::edit(c, id, text))
                    .await?;
            }
            Line::Delete => {
                let id = self.last.own(self.channel.as_ref());
                self.change(id, "/delete", Post::delete).await?;
            }
            Line::React(emoji) => {
                let id = self.last.any(self.channel.as_ref());
                let react = |c, id| Post::react(c, id, &*emoji, true);
                self.change(id, &emoji, react).await?;
            }
            Line::Upload(path) => match self.channel.clone() {
                Some(channel) => self.upload(channel, path),
                None => self.not_sent(&path.to_string_lossy()),
            },
            Line::Download(id, to) => self.download(id, to),
            Line::Quit => self.waiting.end_input(),
            Line::Help => HELP.lines().for_each(|line| self.screen.print(line)),
            Line::Empty => {}
            Line::Invalid(why) => self.fail(&why),
        }
        Ok(())
    }

    async fn join(&mut self, channel: ChannelName) -> Result<()> {
        if self.joined.contains(&channel) {
            self.screen.note(&format!("you are now in #{channel}"));
        }
        self.channel = Some(channel.clone());
        self.waiting.progressed();
        Ok(self.session.join(channel, None).await?)
    }

    /// Posts a change of a message. `what`: how the user wrote it.
    async fn change(
        &mut self,
        message: Option<Id>,
        what: &str,
        change: impl FnOnce(ChannelName, Id) -> Post,
    ) -> Result<()> {
        match (self.channel.clone(), message) {
            (Some(channel), Some(id)) => self.post(change(channel, id), what.to_owned()).await?,
            (Some(_), None) => self.fail("there is no such message yet"),
            (None, _) => self.not_sent(what),
        }
        Ok(())
    }

    async fn post(&mut self, post: Post, what: String) -> Result<()> {
        self.waiting.sent(post.client_msg_id.clone(), what);
        Ok(self.session.post(post).await?)
    }

    fn not_sent(&mut self, what: &str) {
        self.fail(&format!("not sent, because you are in no channel: {what}"));
    }

    fn fail(&mut self, why: &str) {
        self.failed += 1;
        self.screen.note(why);
    }

    /// Reads no more input, and fails when the rest is done.
    fn give_up(&mut self, why: String) {
        self.fatal.get_or_insert(why);
        self.waiting.end_input();
    }
}

/// Completes at the deadline; never if there is none.
async fn expired(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
