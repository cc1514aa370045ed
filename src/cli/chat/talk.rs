//! The main loop of the chat: handles typed lines, events of the session and transfers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::command::{HELP, Line};
use super::screen::{Screen, plain};
use super::transfer;
use lakechat_client::{Credentials, Event, Events, Leaving, Post, Session, Stop};
use lakechat_core::domain::{ChannelName, ClientMsgId, FileId, Id};

/// Number of messages that are shown when a channel is joined.
const TAIL: usize = 20;

/// Maximum number of lines without an answer; further input waits. It is below the capacity of the
/// session's queue of commands, so sending never waits for events that this loop has yet to read.
const UNANSWERED_LINES: usize = 32;

/// Timeout for the last answers after the end of the input.
const LAST_ANSWER: Duration = Duration::from_secs(30);

/// Maximum number of file names that are remembered for downloads.
const KNOWN_FILES: usize = 10_000;

pub(super) struct Talk {
    session: Session,
    credentials: Arc<Credentials>,
    screen: Screen,
    /// The current channel, to which lines are sent.
    channel: ChannelName,
    joined: HashSet<ChannelName>,
    unanswered: HashSet<ClientMsgId>,
    refused: usize,
    files: HashMap<FileId, String>,
    transfers: JoinSet<Transferred>,
    input_over: bool,
}

/// The result of a transfer.
enum Transferred {
    Uploaded(Post),
    Downloaded(String),
    Failed(String),
}

impl Talk {
    pub fn new(
        session: Session,
        credentials: Arc<Credentials>,
        channel: ChannelName,
        screen: Screen,
    ) -> Talk {
        Talk {
            session,
            credentials,
            screen,
            channel,
            joined: HashSet::new(),
            unanswered: HashSet::new(),
            refused: 0,
            files: HashMap::new(),
            transfers: JoinSet::new(),
            input_over: false,
        }
    }

    /// Runs until the input has ended and everything is answered, until Ctrl-C, or until the session
    /// stops: then it returns the reason.
    pub async fn run(
        mut self,
        mut events: Events,
        mut lines: mpsc::Receiver<String>,
    ) -> Result<Option<Stop>> {
        // Outside of the loop, so that a signal during the handling of a line is not lost.
        let mut interrupted = signal(SignalKind::interrupt())?;
        self.session.join(self.channel.clone(), None).await?;
        while !self.is_done() {
            let listening = !self.input_over
                && self.joined.contains(&self.channel)
                && self.unanswered.len() < UNANSWERED_LINES;
            // Events first; typed lines can wait. The branches that lose stay in their queue or set.
            tokio::select! {
                biased;
                _ = interrupted.recv() => return Ok(None),
                event = events.next() => match event {
                    Some(Event::Stopped(stop)) => return Ok(Some(stop)),
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(None),
                },
                Some(done) = self.transfers.join_next() => self.transferred(done?).await?,
                line = lines.recv(), if listening => match line {
                    Some(line) => self.execute(Line::parse(&line)).await?,
                    None => self.input_over = true,
                },
                () = sleep(LAST_ANSWER), if self.input_over && self.transfers.is_empty() => {
                    bail!("{} messages were not answered", self.unanswered.len());
                }
            }
        }
        match self.refused {
            0 => Ok(None),
            n => bail!("{n} messages were refused"),
        }
    }

    fn is_done(&self) -> bool {
        self.input_over && self.unanswered.is_empty() && self.transfers.is_empty()
    }

    async fn execute(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Text(text) => self.post(Post::text(self.channel.clone(), text)).await?,
            Line::Join(channel) => {
                self.channel = channel.clone();
                if self.joined.contains(&channel) {
                    self.screen.note(&format!("you are now in #{channel}"));
                }
                self.session.join(channel, None).await?;
            }
            Line::Leave => self.session.leave(self.channel.clone()).await?,
            Line::History => self.show_tail(&self.channel.clone(), Id::MAX).await,
            Line::Upload(path) => self.upload(path),
            Line::Download(id, to) => self.download(id, to),
            Line::Quit => self.input_over = true,
            Line::Help => self.screen.print(HELP),
            Line::Empty => {}
            Line::Invalid(why) => self.screen.note(&why),
        }
        Ok(())
    }

    async fn post(&mut self, post: Post) -> Result<()> {
        self.unanswered.insert(post.client_msg_id.clone());
        Ok(self.session.post(post).await?)
    }

    async fn handle_event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Message { channel, message } => {
                if let Some(file) = &message.file
                    && self.files.len() < KNOWN_FILES
                {
                    self.files.insert(file.id, file.name.clone());
                }
                self.screen.message(&self.channel, &channel, &message);
            }
            Event::Joined {
                channel,
                at,
                members,
                ..
            } => {
                if self.joined.insert(channel.clone()) {
                    let who = self.credentials.user();
                    self.screen
                        .note(&format!("#{channel}, {members} members; you are {who}"));
                    self.show_tail(&channel, id_after(at)).await;
                }
            }
            Event::Left { channel, why } => match why {
                Leaving::Refused(refusal) => self.left(channel, Some(refusal.to_string()))?,
                Leaving::Requested | Leaving::MembershipEnded => self.left(channel, None)?,
            },
            Event::Acked { client_msg_id, .. } => {
                self.unanswered.remove(&client_msg_id);
            }
            Event::Refused {
                client_msg_id,
                refusal,
                ..
            } => {
                self.unanswered.remove(&client_msg_id);
                self.refused += 1;
                self.screen.note(&format!("not sent: {refusal}"));
            }
            Event::Disconnected { reason, retry_in } => {
                let wait = retry_in.as_secs_f32();
                self.screen
                    .note(&format!("{}; trying again in {wait:.1} s", plain(&reason)));
            }
            Event::Reconnected(_) => self.screen.note("connected again"),
            Event::Connected(_) | Event::Stopped(_) => {}
        }
        Ok(())
    }

    /// Switches to another joined channel if the current one was left, and quits if there is none.
    fn left(&mut self, channel: ChannelName, why: Option<String>) -> Result<()> {
        let was_joined = self.joined.remove(&channel);
        if let Some(why) = why {
            let text = format!("can't join #{channel}: {}", plain(&why));
            if self.joined.is_empty() {
                bail!(text);
            }
            self.screen.note(&text);
        } else if was_joined {
            self.screen.note(&format!("you left #{channel}"));
        }
        if channel == self.channel {
            match self.joined.iter().min() {
                Some(other) => {
                    self.channel = other.clone();
                    self.screen.note(&format!("you are now in #{other}"));
                }
                None => self.input_over = true,
            }
        }
        Ok(())
    }

    async fn show_tail(&mut self, channel: &ChannelName, before: Id) {
        let token = self.credentials.token();
        let api = self.credentials.api();
        match api.newest(&token, channel, before, TAIL).await {
            Ok(page) => {
                for message in &page.messages {
                    if let Some(file) = &message.file {
                        self.files.insert(file.id, file.name.clone());
                    }
                    self.screen.message(&self.channel, channel, message);
                }
            }
            Err(error) => self
                .screen
                .note(&format!("can't load the history: {error}")),
        }
    }

    fn upload(&mut self, path: std::path::PathBuf) {
        let (credentials, screen) = (self.credentials.clone(), self.screen.clone());
        let channel = self.channel.clone();
        self.transfers.spawn(async move {
            match transfer::upload(&credentials, &screen, &path).await {
                Ok(file) => Transferred::Uploaded(Post {
                    file_id: Some(file.id),
                    ..Post::text(channel, "")
                }),
                Err(error) => Transferred::Failed(format!("not uploaded: {error:#}")),
            }
        });
    }

    fn download(&mut self, id: FileId, to: Option<std::path::PathBuf>) {
        let (credentials, screen) = (self.credentials.clone(), self.screen.clone());
        let sent_as = self.files.get(&id).map(String::as_str);
        let to = to.unwrap_or_else(|| transfer::local_name(id, sent_as));
        self.transfers.spawn(async move {
            match transfer::download(&credentials, &screen, id, &to).await {
                Ok(bytes) => {
                    Transferred::Downloaded(format!("downloaded {bytes} bytes to {}", to.display()))
                }
                Err(error) => Transferred::Failed(format!("not downloaded: {error:#}")),
            }
        });
    }

    async fn transferred(&mut self, done: Transferred) -> Result<()> {
        match done {
            Transferred::Uploaded(post) => self.post(post).await?,
            Transferred::Downloaded(text) => self.screen.note(&text),
            Transferred::Failed(text) => {
                self.refused += 1;
                self.screen.note(&text);
            }
        }
        Ok(())
    }
}

/// The smallest id above another.
fn id_after(id: Id) -> Id {
    Id::from_u64(id.as_u64().saturating_add(1)).unwrap_or(Id::MAX)
}
