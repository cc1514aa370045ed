//! Somebody who sends to all channels in turn until told to stop, and then waits for the answers.

use std::collections::HashMap;
use std::time::Duration;

use lakechat_client::{Event, Events, Session};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::CHANNELS;
use super::acks::Acks;
use crate::Person;
use crate::people::channel;

/// What one sent, by `client_msg_id`, and the ids under which it was acked.
pub struct Account {
    sent: Vec<(&'static str, String)>,
    acked: HashMap<String, u64>,
}

impl Account {
    /// In the order of the sends.
    pub fn sent_to(&self, channel: &str) -> impl Iterator<Item = &str> {
        let sent = self.sent.iter().filter(move |(to, _)| *to == channel);
        sent.map(|(_, id)| id.as_str())
    }

    pub fn acked(&self, client_msg_id: &str) -> Option<u64> {
        self.acked.get(client_msg_id).copied()
    }
}

pub fn begin(
    person: &Person,
    pace: Duration,
    go_on: watch::Receiver<bool>,
    count: watch::Sender<Acks>,
) -> JoinHandle<Account> {
    let (session, events) = person.session();
    tokio::spawn(async move {
        let (tell, total) = oneshot::channel();
        let sending = async {
            let sent = send(&session, pace, go_on).await;
            tell.send(sent.len()).expect("answers are taken");
            sent
        };
        let (sent, acked) = tokio::join!(sending, take_answers(events, total, count));
        Account { sent, acked }
    })
}

async fn send(
    session: &Session,
    pace: Duration,
    go_on: watch::Receiver<bool>,
) -> Vec<(&'static str, String)> {
    for name in CHANNELS {
        session.join(channel(name), None).await.expect("it lives");
    }
    let mut sent = Vec::new();
    let mut pace = interval(pace);
    let mut names = CHANNELS.into_iter().cycle();
    while *go_on.borrow() {
        pace.tick().await;
        let name = names.next().expect("it has no end");
        let text = format!("message {}", sent.len());
        let id = session.send(channel(name), text).await.expect("it lives");
        sent.push((name, id.to_string()));
    }
    sent
}

/// Until all is answered that was sent in total.
async fn take_answers(
    mut events: Events,
    mut total: oneshot::Receiver<usize>,
    count: watch::Sender<Acks>,
) -> HashMap<String, u64> {
    let mut acked = HashMap::new();
    let mut wanted = None;
    while wanted != Some(acked.len()) {
        // Events stay queued, and the total is told once: losing the race loses nothing.
        let event = tokio::select! {
            event = events.next() => event.expect("it lives"),
            sent = &mut total, if wanted.is_none() => {
                wanted = Some(sent.expect("sending ends"));
                continue;
            }
        };
        match event {
            Event::Acked {
                client_msg_id, id, ..
            } => {
                let before = acked.insert(client_msg_id.to_string(), id.as_u64());
                assert_eq!(before, None, "acked once");
                count.send_modify(Acks::add);
            }
            Event::Refused { refusal, .. } => panic!("{refusal}"),
            Event::Stopped(stop) => panic!("{stop}"),
            _ => {}
        }
    }
    acked
}
