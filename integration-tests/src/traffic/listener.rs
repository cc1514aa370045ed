//! Somebody who only listens, and what they saw.

use std::collections::HashMap;

use lakechat_client::{Event, Events, Session};
use tokio::sync::watch;

use super::CHANNELS;
use crate::people::channel;
use crate::{Person, within};

/// The ids of the messages of each channel, in the order in which they came.
type Seen = HashMap<String, Vec<u64>>;

pub struct Listener {
    seen: watch::Receiver<Seen>,
    /// The session ends with its last handle.
    _session: Session,
}

impl Listener {
    /// Returns when every channel is joined: from then on nothing is missed.
    pub async fn begin(person: &Person) -> Listener {
        let (session, mut events) = person.session();
        for name in CHANNELS {
            session.join(channel(name), None).await.expect("it lives");
        }
        let mut joined = 0;
        while joined < CHANNELS.len() {
            let event = within(events.next()).await.expect("it lives");
            joined += usize::from(matches!(event, Event::Joined { .. }));
        }
        let (tell, seen) = watch::channel(Seen::default());
        tokio::spawn(listen(events, tell));
        Listener {
            seen,
            _session: session,
        }
    }

    /// What was seen of a channel, once there is so much of it.
    pub async fn seen(&self, channel: &str, messages: usize) -> Vec<u64> {
        let of = |seen: &Seen| seen.get(channel).cloned().unwrap_or_default();
        let mut seen = self.seen.clone();
        let enough = seen.wait_for(|seen| of(seen).len() >= messages);
        of(&within(enough).await.expect("the session lives"))
    }
}

async fn listen(mut events: Events, tell: watch::Sender<Seen>) {
    while let Some(event) = events.next().await {
        if let Event::Message { channel, message } = event {
            tell.send_modify(|seen| {
                let seen = seen.entry(channel.to_string()).or_default();
                seen.push(message.id.as_u64());
            });
        }
    }
}
