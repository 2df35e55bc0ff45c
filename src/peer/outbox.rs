//! [`Outbox`]: messages that wait to go over one link, and how far the other side has taken those that went.

use std::collections::VecDeque;

use crate::peer::frame::{FRAME_BYTES_MAX, HEADER_BYTES, Kind, put};
use crate::peer::pace::Pace;
use crate::peer::turns::Turns;
use crate::peer::{Class, Fault, charge};
use crate::time::Instant;

/// What waits to go, by class: bounded, and never more under way than the other side's window holds.
#[derive(Debug)]
pub(super) struct Outbox {
    queues: [Queue; 3],
    turns: Turns,
    /// Of bulk.
    pace: Pace,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    /// What they count for.
    waiting: u64,
    limit: u64,
    /// How much of the first has gone.
    gone: usize,
    /// What went and was not taken yet counts for so much.
    under_way: u64,
    window: u64,
}

/// Whether one more message may begin while `held` is under way. Both sides reckon alike, so a window is never
/// overrun by one that keeps to it. Credit is given for an eighth of the window at a time; with that much or less under
/// way all may have been taken, so a message that fits in nowhere may begin then.
pub(super) fn may_begin(held: u64, charge: u64, window: u64) -> bool {
    held <= window / 8 || held + charge <= window
}

impl Outbox {
    /// One that keeps so many bytes of each class.
    pub(super) fn new(limits: [u64; 3], bulk_rate: u64) -> Self {
        let queue = |limit| Queue { limit, ..Queue::default() };
        Self { queues: limits.map(queue), turns: Turns::default(), pace: Pace::new(bulk_rate) }
    }

    /// What the other side takes before it has to be taken from it.
    pub(super) fn set_windows(&mut self, windows: [u32; 3]) {
        for (queue, window) in self.queues.iter_mut().zip(windows) {
            queue.window = u64::from(window);
        }
    }

    pub(super) fn set_bulk_rate(&mut self, rate: u64) {
        self.pace.set_rate(rate);
    }

    /// Whether a message of so many bytes finds room. One that is longer than its queue waits alone.
    pub(super) fn has_room(&self, class: Class, bytes: usize) -> bool {
        let queue = &self.queues[class.index()];
        queue.messages.is_empty() || queue.waiting + charge(bytes) <= queue.limit
    }

    /// Takes a message in; gives it back when its queue is full.
    pub(super) fn push(&mut self, class: Class, message: Vec<u8>) -> Result<(), Vec<u8>> {
        if !self.has_room(class, message.len()) {
            return Err(message);
        }
        let queue = &mut self.queues[class.index()];
        queue.waiting += charge(message.len());
        queue.messages.push_back(message);
        Ok(())
    }

    /// Appends the next frame; `None` when nothing may go now. Gives the class, and whether a message ended.
    pub(super) fn put_next(&mut self, to: &mut Vec<u8>, now: Instant) -> Option<(Class, bool)> {
        let is_paced = self.pace.wait(now).is_some();
        let queues = &self.queues;
        let is_ready = |class: Class| queues[class.index()].is_ready() && !(class == Class::Bulk && is_paced);
        let class = self.turns.next(is_ready)?;
        let before = to.len();
        let has_ended = self.queues[class.index()].put(to, class);
        if class == Class::Bulk {
            self.pace.spend((to.len() - before) as u64, now);
        }
        Some((class, has_ended))
    }

    /// When something may go that waits for nothing but time.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if self.queues[Class::Bulk.index()].is_ready() { self.pace.wait(now) } else { None }
    }

    /// The other side took so much.
    pub(super) fn credit(&mut self, class: Class, taken: u64) -> Result<(), Fault> {
        let queue = &mut self.queues[class.index()];
        let rest = queue.under_way.checked_sub(taken);
        queue.under_way = rest.ok_or(Fault::Malformed("it took more than there was"))?;
        Ok(())
    }

    /// How many messages wait, and what they count for.
    pub(super) fn waiting(&self, class: Class) -> (usize, u64) {
        let queue = &self.queues[class.index()];
        (queue.messages.len(), queue.waiting)
    }
}

impl Queue {
    fn is_ready(&self) -> bool {
        let Some(first) = self.messages.front() else { return false };
        self.gone > 0 || may_begin(self.under_way, charge(first.len()), self.window)
    }

    /// Appends the next part of the first message; whether that ended it.
    fn put(&mut self, to: &mut Vec<u8>, class: Class) -> bool {
        let first = self.messages.front().expect("it is ready");
        let room = FRAME_BYTES_MAX - HEADER_BYTES;
        if self.gone == 0 {
            self.under_way += charge(first.len());
            let len = (first.len() as u32).to_le_bytes();
            let part = &first[..first.len().min(room - len.len())];
            put(to, Kind::Begin, class, &[&len, part]);
            self.gone = part.len();
        } else {
            let part = &first[self.gone..first.len().min(self.gone + room)];
            put(to, Kind::More, class, &[part]);
            self.gone += part.len();
        }
        if self.gone < first.len() {
            return false;
        }
        self.waiting -= charge(first.len());
        self.messages.pop_front();
        self.gone = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(window: u32) -> Outbox {
        let mut outbox = Outbox::new([1 << 20; 3], 0);
        outbox.set_windows([window; 3]);
        outbox
    }

    fn drain(outbox: &mut Outbox, now: Instant) -> Vec<(Class, bool)> {
        let mut to = Vec::new();
        std::iter::from_fn(|| outbox.put_next(&mut to, now)).collect()
    }

    #[test]
    fn a_queue_holds_its_bytes_and_one_giant_alone() {
        let mut outbox = Outbox::new([1_000; 3], 0);
        for _ in 0..5 {
            outbox.push(Class::Normal, vec![0; 136]).unwrap();
        }
        assert_eq!(outbox.waiting(Class::Normal), (5, 1_000));
        assert_eq!(outbox.push(Class::Normal, vec![1]), Err(vec![1]));
        outbox.push(Class::Bulk, vec![0; 5_000]).unwrap();
        assert!(outbox.push(Class::Bulk, vec![1]).is_err());
    }

    #[test]
    fn a_heartbeat_waits_for_one_fragment_of_a_snapshot() {
        let mut outbox = outbox(8 << 20);
        let now = Instant::START;
        outbox.push(Class::Bulk, vec![0; 300_000]).unwrap();
        let mut to = Vec::new();
        assert_eq!(outbox.put_next(&mut to, now), Some((Class::Bulk, false)));
        assert!(to.len() <= FRAME_BYTES_MAX);
        outbox.push(Class::Urgent, vec![7]).unwrap();
        assert_eq!(outbox.put_next(&mut to, now), Some((Class::Urgent, true)));
        let rest = drain(&mut outbox, now);
        assert_eq!(rest.len(), 300_000usize.div_ceil(FRAME_BYTES_MAX - HEADER_BYTES) - 1);
        assert_eq!(rest.last(), Some(&(Class::Bulk, true)));
    }

    #[test]
    fn no_more_is_under_way_than_the_window_holds() {
        let mut outbox = outbox(10_000);
        let now = Instant::START;
        for _ in 0..30 {
            outbox.push(Class::Normal, vec![0; 936]).unwrap();
        }
        assert_eq!(drain(&mut outbox, now).len(), 10);
        // A full window of one class keeps no other back.
        outbox.push(Class::Urgent, vec![0; 10]).unwrap();
        assert_eq!(drain(&mut outbox, now), [(Class::Urgent, true)]);
        outbox.credit(Class::Normal, 2_000).unwrap();
        assert_eq!(drain(&mut outbox, now).len(), 2);
        // One longer than the window goes when hardly anything is under way, and keeps what follows back.
        outbox.push(Class::Bulk, vec![0; 100]).unwrap();
        outbox.push(Class::Bulk, vec![0; 50_000]).unwrap();
        outbox.push(Class::Bulk, vec![0; 100]).unwrap();
        let gone = drain(&mut outbox, now);
        assert_eq!(gone.iter().filter(|(_, has_ended)| *has_ended).count(), 2);
        outbox.credit(Class::Bulk, 164 + 50_064).unwrap();
        assert_eq!(drain(&mut outbox, now), [(Class::Bulk, true)]);
        assert!(outbox.credit(Class::Bulk, 165).is_err(), "more than there was");
    }

    #[test]
    fn bulk_keeps_its_pace_and_nothing_else_does() {
        let mut outbox = outbox(8 << 20);
        outbox.set_bulk_rate(1 << 20);
        let mut now = Instant::from_millis(1);
        outbox.push(Class::Bulk, vec![0; 900_000]).unwrap();
        outbox.push(Class::Normal, vec![0; 900_000]).unwrap();
        let gone = drain(&mut outbox, now);
        assert!(gone.iter().filter(|(class, _)| *class == Class::Bulk).count() <= 6);
        assert_eq!(gone.iter().filter(|gone| **gone == (Class::Normal, true)).count(), 1);
        let begun = now;
        while let Some(next) = outbox.next_deadline(now) {
            assert!(next > now);
            now = next;
            drain(&mut outbox, now);
        }
        assert_eq!(outbox.waiting(Class::Bulk), (0, 0));
        let took = now.duration_since(begun).as_secs_f64();
        assert!((0.7..0.9).contains(&took), "{took}");
    }
}
