//! Room in memory: keys that go for what is written, where `eviction` says so. The primary chooses them and proposes an entry
//! that takes them out, before the entries that need the room; all nodes apply it alike.
//!
//! What is chosen depends on what is applied, so one such entry is under way at a time. What it does not make room for waits
//! until it is applied; when there is nothing more to take out it goes into the log all the same, and is refused there, on all
//! nodes alike.

use std::collections::VecDeque;

use super::Node;

/// What the entries of this reign that are not applied yet do to the size of the state.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Sequence, bytes by which the state may grow, bytes that are freed.
    under_way: VecDeque<(u64, u64, u64)>,
    growth: u64,
    freed: u64,
    evictions: usize,
}

impl Room {
    /// An entry was put into the log.
    pub(super) fn push(&mut self, sequence: u64, growth: u64, freed: u64) {
        if growth > 0 || freed > 0 {
            self.under_way.push_back((sequence, growth, freed));
            self.growth += growth;
            self.freed += freed;
            self.evictions += usize::from(freed > 0);
        }
    }

    /// Entries up to this one are applied.
    pub(super) fn applied(&mut self, sequence: u64) {
        while let Some((at, growth, freed)) = self.under_way.front().copied()
            && at <= sequence
        {
            self.under_way.pop_front();
            self.growth -= growth;
            self.freed -= freed;
            self.evictions -= usize::from(freed > 0);
        }
    }

    /// Nothing is under way: this is no primary, or has just become one.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Node {
    /// Has keys taken out, if need be, for proposals by which the state grows so much. `false`: they have to wait, for an
    /// eviction that is under way, for what came before this reign, or for room in the log.
    pub(super) fn make_room_in_memory(&mut self, growth: u64) -> bool {
        if growth == 0 {
            return true;
        }
        // What earlier primaries left in the log is not counted: it comes first.
        if !self.is_settled() {
            return false;
        }
        loop {
            let needed = self.engine.shortage(growth + self.room.growth);
            let shortage = needed.saturating_sub(self.room.freed);
            if shortage == 0 {
                return true;
            }
            if self.room.evictions > 0 {
                return false;
            }
            let Some((payload, freed)) = self.engine.evict_for(shortage, self.now) else { return true };
            let Some(sequence) = self.propose_own(payload) else { return false };
            self.engine.note_eviction();
            self.room.push(sequence, 0, freed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_is_under_way_no_more() {
        let mut room = Room::default();
        room.push(3, 100, 0);
        room.push(4, 0, 0);
        room.push(5, 0, 70);
        room.push(6, 20, 0);
        assert_eq!((room.growth, room.freed, room.evictions), (120, 70, 1));
        room.applied(2);
        assert_eq!(room.growth, 120);
        room.applied(5);
        assert_eq!((room.growth, room.freed, room.evictions), (20, 0, 0));
        room.clear();
        room.applied(9);
        assert_eq!((room.growth, room.under_way.len()), (0, 0));
    }
}
