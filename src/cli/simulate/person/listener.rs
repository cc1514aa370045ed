//! Handles what a person receives from the server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::message::Sent;
use super::super::run::Run;
use lakechat_client::{Event, Events, Leaving};
use lakechat_core::domain::{ChannelName, ClientMsgId};

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct PersonState {
    /// Connected, and in all channels.
    pub is_here: bool,
    pub unanswered: u64,
    /// The session has ended and does not come back.
    pub has_stopped: bool,
}

/// Hands a person's events to the checks. Times count from the start of the run.
pub struct Listener {
    run: Arc<Run>,
    person: u32,
    channels: BTreeSet<u32>,
    state: watch::Sender<PersonState>,
    /// Channels that are not joined yet on this connection.
    missing: BTreeSet<u32>,
    /// When this stay began.
    since: Duration,
    has_arrived: bool,
    /// When the connection was lost.
    cut_at: Option<Duration>,
}

impl Listener {
    pub fn new(
        run: Arc<Run>,
        person: u32,
        channels: &[u32],
        state: watch::Sender<PersonState>,
    ) -> Listener {
        let channels: BTreeSet<_> = channels.iter().copied().collect();
        Listener {
            since: run.figures.now(),
            missing: channels.clone(),
            has_arrived: false,
            cut_at: None,
            run,
            person,
            channels,
            state,
        }
    }

    /// Until the session ends.
    pub async fn listen(mut self, mut events: Events) {
        while let Some(event) = events.next().await {
            self.handle(event);
        }
        if let Some(cut_at) = self.cut_at {
            let now = self.run.figures.now();
            self.run.figures.tally().back(now);
            let waited = (now - cut_at).as_secs_f64();
            self.fail(&format!(
                "was not back {waited:.1} s after the connection was lost"
            ));
        }
        self.state.send_modify(|state| state.has_stopped = true);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected(_) | Event::Reconnected(_) | Event::Changed { .. } => {}
            Event::Disconnected { reason, .. } => self.disconnected(&reason),
            Event::Joined { channel, at, .. } => {
                if let Some(channel) = self.run.channel_named(&channel) {
                    self.run.check(channel).joined(self.person, at);
                    self.missing.remove(&channel);
                    self.joined_one();
                }
            }
            Event::Left { channel, why } => self.left(&channel, why),
            Event::Message { channel, message } => {
                let Some(channel) = self.run.channel_named(&channel) else {
                    return self.fail(&format!("received a message of channel {channel}"));
                };
                let read = self.run.script.read(channel, &message);
                if let Ok((_, due)) = read {
                    let now = self.run.figures.now();
                    let mut tally = self.run.figures.tally();
                    tally.received(now, due, self.since);
                }
                let read = read.map(|(sent, _)| sent);
                let mut check = self.run.check(channel);
                check.received(self.person, message.id, read);
            }
            Event::Acked {
                channel,
                client_msg_id,
                id,
                duplicate,
            } => {
                let Some(sent) = self.answered(&channel, &client_msg_id) else {
                    return;
                };
                let due = self.run.check(sent.channel).acked(sent, id);
                if let Some(due) = due {
                    let now = self.run.figures.now();
                    self.run.figures.tally().acked(now, due, duplicate);
                }
            }
            Event::Refused {
                channel,
                client_msg_id,
                refusal,
            } => {
                if let Some(sent) = self.answered(&channel, &client_msg_id) {
                    let mut check = self.run.check(sent.channel);
                    check.refused(sent, &refusal.to_string());
                }
            }
            Event::Deferred { refusal, .. } => {
                self.run.figures.tally().delayed(refusal.to_string());
            }
            Event::Stopped(stop) => self.fail(&format!("can't go on: {stop}")),
        }
    }

    /// The post that an answer is about.
    fn answered(&self, channel: &ChannelName, id: &ClientMsgId) -> Option<Sent> {
        self.state.send_modify(|state| state.unanswered -= 1);
        let sent = self.run.script.own(id);
        if sent.is_none() {
            self.fail(&format!(
                "got an answer in {channel} to {}, which was never sent",
                id.as_str()
            ));
        }
        sent
    }

    fn disconnected(&mut self, reason: &str) {
        let now = self.run.figures.now();
        self.state.send_modify(|state| state.is_here = false);
        self.missing = self.channels.clone();
        let mut tally = self.run.figures.tally();
        if reason.contains("rate_limited") {
            tally.delayed(reason.to_owned());
        }
        // Before the arrival, and while away, nobody is missed.
        if self.has_arrived && self.cut_at.is_none() {
            tally.disconnected();
            self.cut_at = Some(now);
        }
    }

    fn joined_one(&mut self) {
        if !self.missing.is_empty() {
            return;
        }
        let now = self.run.figures.now();
        self.state.send_modify(|state| state.is_here = true);
        if !std::mem::replace(&mut self.has_arrived, true) {
            let mut tally = self.run.figures.tally();
            tally.join.record(now.saturating_sub(self.since));
        }
        let Some(cut_at) = self.cut_at.take() else {
            return;
        };
        let mut tally = self.run.figures.tally();
        tally.reconnected(now, self.person, cut_at);
        drop(tally);
        let (took, allowed) = (now - cut_at, self.run.habits.reconnect_within);
        if took > allowed {
            let (took, allowed) = (took.as_secs_f64(), allowed.as_secs_f64());
            self.fail(&format!(
                "took {took:.1} s to reconnect; {allowed} s are allowed"
            ));
        }
    }

    fn left(&mut self, channel: &ChannelName, why: Leaving) {
        match why {
            Leaving::Requested => {}
            Leaving::Refused(refusal) => self.fail(&format!("can't join {channel}: {refusal}")),
            Leaving::MembershipEnded => self.fail(&format!("is no longer a member of {channel}")),
        }
    }

    fn fail(&self, what: &str) {
        let name = self.run.script.user(self.person);
        let at = self.run.figures.now().as_secs_f64();
        self.run.fail(format!("{name} {what} (at {at:.1} s)"));
    }
}
