//! One simulated person, who arrives, talks, goes away and comes back.

mod listener;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::listener::{Listener, PersonState};
use super::message::Sent;
use super::run::Run;
use lakechat_client::{Credentials, Options, Post, Session};

/// A stay or a wait is at most so many times as long as the average.
const LONGEST_TIMES: f64 = 10.0;

pub struct Person {
    pub number: u32,
    pub credentials: Arc<Credentials>,
    pub channels: Vec<u32>,
    pub arrival: Duration,
    pub run: Arc<Run>,
    pub rng: StdRng,
    /// The number of the next message, by channel.
    pub next: BTreeMap<u32, u32>,
}

/// How a stay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
    /// The person has left the channels.
    Left,
    /// The connection is gone, but not the wish to read on.
    Dropped,
    /// For good.
    Over,
}

impl Person {
    pub async fn live(mut self) {
        let run = self.run.clone();
        if run
            .end
            .run_until_cancelled(sleep(self.arrival))
            .await
            .is_none()
        {
            return;
        }
        loop {
            let parting = self.stay().await;
            if parting == Parting::Over {
                return;
            }
            let away = self.around(run.habits.away);
            let ended = run.end.run_until_cancelled(sleep(away)).await.is_none();
            // Those who only were disconnected still get what they missed.
            if ended && parting == Parting::Left {
                return;
            }
            run.figures.tally().messages.came_back += 1;
        }
    }

    /// One session, from its start to its end.
    async fn stay(&mut self) -> Parting {
        let run = self.run.clone();
        let options = Options {
            seed: self.rng.random(),
            channel: self
                .channels
                .first()
                .map(|channel| run.script.channel(*channel)),
            ..Options::default()
        };
        let (session, events) = Session::start(self.credentials.clone(), options);
        run.figures.tally().here += 1;
        let state = watch::Sender::new(PersonState::default());
        let channels = self.channels.clone();
        let listener = Listener::new(run.clone(), self.number, &channels, state.clone());
        let (parting, ()) = tokio::join!(
            self.visit(session, state.subscribe(), &state),
            listener.listen(events)
        );
        run.figures.tally().here -= 1;
        parting
    }

    /// Joins, talks, waits for the answers, and says good-bye. Dropping the session ends the listening.
    async fn visit(
        &mut self,
        session: Session,
        mut changes: watch::Receiver<PersonState>,
        state: &watch::Sender<PersonState>,
    ) -> Parting {
        let run = self.run.clone();
        let whole = async {
            for channel in &self.channels {
                let after = run.check(*channel).cursor(self.number);
                let name = run.script.channel(*channel);
                session.join(name, after).await.ok()?;
            }
            settled(&mut changes).await?;
            run.figures.tally().talking += 1;
            let talked = self.talk(&session, state).await;
            run.figures.tally().talking -= 1;
            talked?;
            settled(&mut changes).await?;
            if run.end.is_cancelled() {
                run.finish.cancelled().await;
                return Some(Parting::Over);
            }
            Some(self.part(&session).await)
        };
        let parting = run.finish.run_until_cancelled(whole).await.flatten();
        parting.unwrap_or(Parting::Over)
    }

    /// Sends until the stay or the run ends. What is due while an earlier post waits is late, and counts
    /// from the moment at which it was due.
    async fn talk(&mut self, session: &Session, state: &watch::Sender<PersonState>) -> Option<()> {
        let run = self.run.clone();
        let habits = run.habits;
        let mut leave_at = None;
        if !habits.stay.is_zero() {
            leave_at = Some(Instant::now() + self.around(habits.stay));
        }
        let mut due = Instant::now();
        loop {
            due += self.around(Duration::from_secs_f64(1.0 / habits.rate));
            let is_last = leave_at.is_some_and(|leave_at| leave_at < due);
            let until = leave_at.map_or(due, |leave_at| leave_at.min(due));
            let waited = run.end.run_until_cancelled(sleep_until(until)).await;
            if is_last || waited.is_none() {
                return Some(());
            }
            state.send_modify(|state| state.unanswered += 1);
            let post = self.compose(due - run.figures.started);
            session.post(post).await.ok()?;
        }
    }

    fn compose(&mut self, due: Duration) -> Post {
        let channel = self.channels.choose(&mut self.rng);
        let channel = *channel.expect("everybody is in a channel");
        let next = self.next.entry(channel).or_default();
        let sent = Sent {
            channel,
            sender: self.number,
            seq: *next,
        };
        *next += 1;
        self.run.check(channel).sending(sent, due);
        self.run.figures.tally().messages.sent += 1;
        let script = &self.run.script;
        Post {
            client_msg_id: script.client_msg_id(sent),
            ..Post::text(script.channel(channel), script.text(sent, due))
        }
    }

    async fn part(&mut self, session: &Session) -> Parting {
        if self.rng.random() {
            return Parting::Dropped;
        }
        for channel in &self.channels {
            self.run.check(*channel).left(self.number);
            // The session may have ended by itself.
            let _ = session.leave(self.run.script.channel(*channel)).await;
        }
        self.run.figures.tally().messages.left += 1;
        Parting::Left
    }

    /// A random time with an average.
    fn around(&mut self, mean: Duration) -> Duration {
        let uniform: f64 = self.rng.random();
        mean.mul_f64((-(1.0 - uniform).ln()).min(LONGEST_TIMES))
    }
}

/// Waits until all channels are joined and all posts answered. None if the session has ended.
async fn settled(changes: &mut watch::Receiver<PersonState>) -> Option<()> {
    let reached = |s: &PersonState| s.has_stopped || (s.is_here && s.unanswered == 0);
    let state = changes.wait_for(reached).await.ok()?;
    (!state.has_stopped).then_some(())
}
