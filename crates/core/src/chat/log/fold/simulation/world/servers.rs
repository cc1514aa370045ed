//! The servers' events, by the rules for publishing.

use std::mem;

use super::super::chance::{MINUTE, SECOND};
use super::super::client::Answer;
use super::super::server::{DEADLINE_MS, STOOD_STILL_MS, answer};
use super::{Event, Frame, World};
use crate::chat::log::fold::tests::logs::{Mark, warmed_up};

impl World {
    /// A paused server does nothing. Its events wait until it wakes up.
    pub(super) fn handle_in_server(&mut self, event: Event) {
        let server = match &event {
            Event::Read(f) | Event::Look(f) | Event::Leave(f) | Event::Deadline(f) => f.server,
            Event::See(server, ..) => *server,
            _ => unreachable!("not in a server"),
        };
        if self.servers[server].stopped_at.is_some() {
            self.servers[server].held.push(event);
            return;
        }
        let boot = self.servers[server].boot;
        match event {
            Event::Read(frame) => self.read(frame),
            Event::Look(frame) if frame.boot == boot => self.look(frame),
            Event::Leave(frame) if frame.boot == boot => self.leave(frame),
            Event::Deadline(frame) if frame.boot == boot => self.deadline(frame),
            Event::See(server, of, upto) if of == boot => self.see(server, upto),
            _ => {}
        }
    }

    /// Reads a frame. The server sets `received_at` before anything else.
    fn read(&mut self, mut frame: Frame) {
        let now = self.now;
        let server = &mut self.servers[frame.server];
        if !server.sessions.contains(&frame.session) {
            return;
        }
        frame.boot = server.boot;
        frame.record.received_at_ms = server.clock(now);
        let delay = self.chance.delay(2 * SECOND);
        let at = server.last_look.max(now + delay);
        server.last_look = at;
        self.may_stop_in_mid_send(frame.server);
        self.at(at, Event::Look(frame));
    }

    fn look(&mut self, frame: Frame) {
        let behind = self.servers[frame.server].folded;
        let behind_since = self.appended.get(behind).map(|(at, _)| *at);
        let server = &mut self.servers[frame.server];
        if let Some(answer) = server.look(&frame.record) {
            self.happened.count("answered by the own window");
            return self.answer(&frame, answer);
        }
        if !server.is_fresh(self.now, behind_since) {
            self.happened.count("refused as not up to date");
            return self.answer(&frame, Answer::Again);
        }
        server.pending.insert(frame.try_number, frame.clone());
        let delay = self.chance.delay(2 * SECOND);
        let at = server.last_wire.max(self.now + delay);
        server.last_wire = at;
        self.after(DEADLINE_MS, Event::Deadline(frame.clone()));
        self.may_stop_in_mid_send(frame.server);
        self.at(at, Event::Leave(frame));
    }

    /// Publishes a record. From here on only the network delays it. The end of the process doesn't
    /// stop it.
    fn leave(&mut self, frame: Frame) {
        if self.chance.one_in(25) {
            return self.happened.count("lost on the way");
        }
        let now = self.now;
        let server = &mut self.servers[frame.server];
        let at = now + self.chance.delay(2 * MINUTE);
        let at = server.last_append.max(at);
        server.last_append = at;
        self.at(at, Event::Append(frame));
    }

    fn may_stop_in_mid_send(&mut self, server: usize) {
        if self.chance.one_in(25) {
            self.happened.count("stopped in mid-send");
            let stop = self.chance.stop();
            self.stop(server, stop);
        }
    }

    fn deadline(&mut self, frame: Frame) {
        let server = &mut self.servers[frame.server];
        if server.pending.remove(&frame.try_number).is_some() {
            self.happened.count("deadline");
            self.answer(&frame, Answer::Again);
        }
    }

    fn answer(&mut self, frame: &Frame, answer: Answer) {
        if self.servers[frame.server].sessions.contains(&frame.session) {
            let delay = self.chance.delay(10 * SECOND);
            let answered = Event::Answered(frame.client, frame.session, frame.send, answer);
            self.after(delay, answered);
        }
    }

    pub(super) fn will_see(&mut self, server: usize) {
        let delay = self.chance.delay(MINUTE);
        let upto = self.log.len();
        let s = &mut self.servers[server];
        let at = s.last_see.max(self.now + delay);
        s.last_see = at;
        let boot = s.boot;
        self.at(at, Event::See(server, boot, upto));
    }

    fn see(&mut self, server: usize, upto: usize) {
        for offset in self.servers[server].folded..upto {
            let entry = &self.log[offset];
            let s = &mut self.servers[server];
            let (id, verdict) = s.fold.next(entry.append_ms, entry.record.as_ref());
            s.folded = offset + 1;
            assert_eq!(
                (id, verdict),
                self.folded[offset],
                "server {server} at {offset}"
            );
            let of = &self.appended[offset].1;
            if of.server == server && s.pending.remove(&of.try_number).is_some() {
                let frame = of.clone();
                self.answer(&frame, answer(id, verdict));
            }
        }
    }

    /// Pauses a server, except one whose clock is hours ahead. After an equally long pause its old
    /// records would not look late. Only wild histories allow that.
    pub(super) fn stop(&mut self, server: usize, stop: u64) {
        let s = &mut self.servers[server];
        if s.stopped_at.is_none() && !(s.broken && s.skew > 0 && !self.wild) {
            s.stopped_at = Some(self.now);
            self.after(stop, Event::Wake(server));
        }
    }

    pub(super) fn wake(&mut self, server: usize) {
        let now = self.now;
        let ask = self.chance.below(2 * SECOND);
        let s = &mut self.servers[server];
        let Some(since) = s.stopped_at.take() else {
            return;
        };
        let held = mem::take(&mut s.held);
        (s.asked_before, s.asks_since) = (since, now + ask);
        if now - since > STOOD_STILL_MS {
            s.sessions.clear();
        }
        for event in held {
            if matches!(&event, Event::Read(f) if !self.servers[server].sessions.contains(&f.session))
            {
                self.happened.count("dropped unread");
            }
            self.at(now, event);
        }
        self.will_see(server);
    }

    /// The process ends in the middle of whatever it does, and another one starts from a mark.
    pub(super) fn kill(&mut self, server: usize) {
        self.happened.count("kills");
        let offset = self.chance.index(self.log.len() + 1);
        let mark = Mark::at(offset, &self.log, &self.folded);
        let now = self.now;
        let s = &mut self.servers[server];
        s.boot += 1;
        s.sessions.clear();
        s.pending.clear();
        s.held.clear();
        s.stopped_at = None;
        (s.last_look, s.last_wire, s.last_append, s.last_see) = (now, now, now, now);
        s.fold = warmed_up(&self.log, 0, &mark);
        s.folded = offset;
        // It requests the log-end offset at once, so `asked_before` plays no part.
        (s.asked_before, s.asks_since) = (0, now);
        self.will_see(server);
    }
}
