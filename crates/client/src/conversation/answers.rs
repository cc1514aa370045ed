//! The frames that come from the server.

use std::time::Duration;

use super::{Conversation, HistoryError, Phase};
use crate::event::{Event, Leaving};
use crate::frame::{Ack, Incoming, Joined, Refused};
use crate::wire::{ChatMessage, Page, Refusal};
use lakechat_core::domain::{ChannelName, Id};

/// The wait before a retry if a temporary refusal has no `retry_after_ms`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Conversation {
    /// Handles a frame of this connection. The driver handles `Welcome`, `TokenExpiring` and
    /// `Closing`.
    pub fn receive(&mut self, frame: Incoming, now: Duration) {
        match frame {
            Incoming::Message(channel, message) => self.message(channel, *message),
            Incoming::Change(channel, change) => {
                self.advance_cursor(&channel, change.event);
                let change = *change;
                self.events.push_back(Event::Changed { channel, change });
            }
            Incoming::Event(channel, id) => self.advance_cursor(&channel, id),
            Incoming::Ack(ack) => self.acked(&ack),
            Incoming::Joined(joined) => self.joined(joined, now),
            Incoming::Left(Some(_), channel) => self.left(channel, Leaving::Requested),
            Incoming::Left(None, channel) => self.unsubscribed(channel, Leaving::MembershipEnded),
            Incoming::History(reference, page) => self.page(reference, page, now),
            Incoming::Refused(refused) => self.request_failed(refused, now),
            Incoming::Welcome(_)
            | Incoming::TokenExpiring
            | Incoming::Closing(_)
            | Incoming::Ignored => {}
        }
        self.advance(now);
    }

    fn message(&mut self, channel: ChannelName, message: ChatMessage) {
        self.advance_cursor(&channel, message.id);
        let own = self
            .connection
            .as_ref()
            .is_some_and(|c| c.user == message.sender);
        let own_id = message.client_msg_id.as_ref().filter(|_| own);
        let post = own_id.and_then(|id| self.outbox.take_received(&channel, id));
        let id = message.id;
        self.events.push_back(Event::Message {
            channel: channel.clone(),
            message,
        });
        if let Some(post) = post {
            self.events.push_back(Event::Acked {
                channel,
                client_msg_id: post.client_msg_id,
                id,
                duplicate: true,
            });
        }
    }

    fn advance_cursor(&mut self, channel: &ChannelName, id: Id) {
        if let Some(subscription) = self.subscriptions.get_mut(channel) {
            subscription.cursor = subscription.cursor.max(Some(id));
        }
    }

    fn acked(&mut self, ack: &Ack) {
        let post = ack.reference.and_then(|r| self.outbox.take_answered(r));
        if let Some(post) = post {
            self.events.push_back(Event::Acked {
                channel: post.channel,
                client_msg_id: post.client_msg_id,
                id: ack.id,
                duplicate: ack.duplicate,
            });
        }
    }

    fn joined(&mut self, joined: Joined, now: Duration) {
        let stale = now
            .checked_sub(self.stale_after)
            .is_some_and(|by| self.outbox.has_sent_by(&joined.channel, by));
        let newest_ref = stale.then(|| self.request_history(&joined.channel, None, 1));
        let Some(subscription) = self.subscriptions.get_mut(&joined.channel) else {
            return;
        };
        if joined.reference != Some(subscription.join_ref) {
            return;
        }
        subscription.cursor.get_or_insert(joined.at);
        subscription.phase = newest_ref.map_or(Phase::Live, Phase::FindingNewest);
        self.events.push_back(Event::Joined {
            channel: joined.channel,
            at: joined.at,
            members: joined.members,
            resumed: joined.resumed,
        });
    }

    /// A page of history, which a caller or `FindingNewest` has requested.
    fn page(&mut self, reference: Option<u64>, page: Page, now: Duration) {
        let Some(reference) = reference else { return };
        if let Some(answer) = self.histories.remove(&reference) {
            // The caller may have stopped waiting.
            let _ = answer.send(Ok(page));
            return;
        }
        let newest = page.messages.last().map_or(Id::ZERO, |m| m.id);
        let asking = Phase::FindingNewest(reference);
        for subscription in self.subscriptions.values_mut() {
            if subscription.phase == asking {
                subscription.phase = Phase::CatchingUp(newest);
            }
        }
        self.make_live(now);
    }

    fn request_failed(&mut self, refused: Refused, now: Duration) {
        let Some(reference) = refused.reference else {
            return;
        };
        let refusal = refused.error;
        if let Some(answer) = self.histories.remove(&reference) {
            // The caller may have stopped waiting.
            let _ = answer.send(Err(HistoryError::Refused(refusal)));
            return;
        }
        let channel = self.subscriptions.iter().find_map(|(channel, s)| {
            let asked = s.phase == Phase::FindingNewest(reference);
            (asked || s.join_ref == reference).then(|| channel.clone())
        });
        match channel {
            Some(channel) => self.join_failed(channel, refusal, now),
            None => self.send_failed(reference, refusal, now),
        }
    }

    /// A join, its resume or the request for the newest message failed. On the server the channel is
    /// not joined.
    fn join_failed(&mut self, channel: ChannelName, refusal: Refusal, now: Duration) {
        if refusal.is_temporary() {
            if let Some(subscription) = self.subscriptions.get_mut(&channel) {
                subscription.phase = Phase::NotJoined(now + retry_wait(&refusal));
            }
            self.events.push_back(Event::Deferred { channel, refusal });
            return;
        }
        self.unsubscribed(channel, Leaving::Refused(refusal));
    }

    /// The server has ended the subscription of a channel, which is not to be joined again.
    fn unsubscribed(&mut self, channel: ChannelName, why: Leaving) {
        self.subscriptions.remove(&channel);
        self.refuse_unsent(&channel);
        self.left(channel, why);
    }

    /// A temporary refusal holds back the later sends too, so that they keep their order.
    fn send_failed(&mut self, reference: u64, refusal: Refusal, now: Duration) {
        if !refusal.is_temporary() {
            if let Some(post) = self.outbox.take_answered(reference) {
                self.refused(post, refusal);
            }
            return;
        }
        let Some(post) = self.outbox.retry_later(reference) else {
            return;
        };
        let channel = post.channel.clone();
        let subscription = self.subscriptions.get_mut(&channel);
        if let Some(phase @ (Phase::Live | Phase::Paused(_))) = subscription.map(|s| &mut s.phase) {
            *phase = Phase::Paused(now + retry_wait(&refusal));
        }
        self.events.push_back(Event::Deferred { channel, refusal });
    }
}

fn retry_wait(refusal: &Refusal) -> Duration {
    refusal
        .retry_after_ms
        .map_or(RETRY_AFTER, Duration::from_millis)
}
