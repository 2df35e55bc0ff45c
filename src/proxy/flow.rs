//! [`Flow`]: one direction of a relay, from a source to a sink. It says what to do next and is told how that
//! went; whoever drives it owns the sockets and the buffer that reads land in.
//!
//! Bytes are kept only when the sink took less than was read. While some are kept nothing more is read, so
//! one flow never holds more than one read: that is its back-pressure, and the bound of its memory. The
//! source's end is passed on to the sink once everything before it is delivered, and the other direction
//! goes on: half-close is kept.

/// What to do next for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read from the source, then call `handle_read` or `handle_source_blocked`.
    Read,
    /// Move bytes inside the system, source to sink, then call `handle_moved`.
    Move,
    /// Write `kept()` to the sink, then call `handle_written`.
    Write,
    /// End the sink's half: nothing more will be written to it. Then call `handle_ended`.
    End,
    /// Nothing, until an event.
    Wait,
    /// Nothing any more.
    Over,
}

/// How a move inside the system went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that reached the sink.
    pub bytes: u64,
    /// Bytes that left the source and have not reached the sink; they stay in the mover's pipe.
    pub in_pipe: usize,
    /// The source had nothing more.
    pub source_blocked: bool,
    /// The sink took nothing more.
    pub sink_blocked: bool,
    /// The source has ended.
    pub source_ended: bool,
}

/// One direction of a relay.
#[derive(Debug, Default)]
pub struct Flow {
    /// What the sink has not taken yet, from `taken` on.
    kept: Vec<u8>,
    taken: u32,
    state: u16,
    /// Bytes delivered to the sink.
    delivered: u64,
}

/// The source may have bytes, or its end.
const SOURCE_READY: u16 = 1;
/// The source's end or urgent data lies behind what it has: a short read does not mean that nothing is left.
const SOURCE_ENDING: u16 = 1 << 1;
/// The source has ended.
const SOURCE_ENDED: u16 = 1 << 2;
/// The sink may take bytes.
const SINK_READY: u16 = 1 << 3;
/// The sink's half is ended, or is gone.
const SINK_ENDED: u16 = 1 << 4;
/// Reads fill the buffer, so moving inside the system is worth its two calls.
const BULK: u16 = 1 << 5;
/// The mover's pipe holds bytes.
const IN_PIPE: u16 = 1 << 6;

/// The source's end follows what it has, and nothing but its end stops a read short.
const END_KNOWN: u16 = 1 << 7;

/// A move that brought less than this per wake-up costs more than reading and writing.
const BULK_LEAST: u64 = 16 * 1024;

impl Flow {
    /// A flow that has moved nothing; the sink is thought to be ready, the source not yet.
    pub fn new() -> Self {
        Self { state: SINK_READY, ..Self::default() }
    }

    /// The source may have bytes; `ending` when a read or a move may stop before it has none left, as its end
    /// or urgent data follows.
    #[inline]
    pub fn handle_source_ready(&mut self, ending: bool) {
        self.state |= if ending { SOURCE_READY | SOURCE_ENDING } else { SOURCE_READY };
    }

    /// The source has all it will ever have: whatever a read leaves room behind was the last. Not to be said
    /// of a source that broke off, nor of one with urgent data, where reads stop short.
    #[inline]
    pub fn handle_end_known(&mut self) {
        self.state |= END_KNOWN;
    }

    /// The sink may take bytes.
    #[inline]
    pub fn handle_sink_ready(&mut self) {
        self.state |= SINK_READY;
    }

    /// What to do next.
    #[inline]
    pub fn next(&self) -> Step {
        if self.state & SINK_ENDED != 0 {
            return Step::Over;
        }
        if !self.kept.is_empty() {
            return if self.has(SINK_READY) { Step::Write } else { Step::Wait };
        }
        if self.has(IN_PIPE) {
            return if self.has(SINK_READY) { Step::Move } else { Step::Wait };
        }
        if self.has(SOURCE_ENDED) {
            return Step::End;
        }
        if self.state & (SOURCE_READY | SINK_READY) != SOURCE_READY | SINK_READY {
            return Step::Wait;
        }
        if self.has(BULK) { Step::Move } else { Step::Read }
    }

    /// The source gave `read` bytes of the `asked` there was room for; none means its end.
    #[inline]
    pub fn handle_read(&mut self, read: usize, asked: usize) {
        if read == 0 {
            self.state |= SOURCE_ENDED;
        } else if read == asked {
            self.state |= BULK;
        } else if self.has(END_KNOWN) {
            self.state |= SOURCE_ENDED;
        } else if self.state & SOURCE_ENDING == 0 {
            // A short read emptied it; what comes later makes an event of its own.
            self.state &= !SOURCE_READY;
        }
    }

    /// The source had nothing.
    #[inline]
    pub fn handle_source_blocked(&mut self) {
        self.state &= !SOURCE_READY;
    }

    /// Of the bytes just read, the sink took `written`; the rest is copied and kept.
    #[inline]
    pub fn handle_passed(&mut self, read: &[u8], written: usize) {
        self.delivered += written as u64;
        if written < read.len() {
            self.state &= !SINK_READY;
            self.keep(&read[written..]);
        }
    }

    /// Keeps bytes for the sink, behind those kept before.
    #[cold]
    pub fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// Keeps bytes for the sink, in front of those kept before. Nothing must have been written yet.
    pub fn keep_before(&mut self, bytes: &[u8]) {
        debug_assert_eq!((self.taken, self.delivered), (0, 0));
        self.kept.splice(0..0, bytes.iter().copied());
    }

    /// What is kept for the sink.
    pub fn kept(&self) -> &[u8] {
        &self.kept[self.taken as usize..]
    }

    /// The sink took `written` of what is kept.
    pub fn handle_written(&mut self, written: usize) {
        self.delivered += written as u64;
        self.taken += written as u32;
        if self.taken as usize == self.kept.len() {
            // An idle session holds no buffer.
            self.kept = Vec::new();
            self.taken = 0;
        } else {
            self.state &= !SINK_READY;
        }
    }

    /// Tells how a move inside the system went.
    pub fn handle_moved(&mut self, moved: Moved) {
        self.delivered += moved.bytes;
        self.set(IN_PIPE, moved.in_pipe > 0);
        if moved.sink_blocked {
            self.state &= !SINK_READY;
        }
        if moved.source_ended {
            self.state |= SOURCE_ENDED;
        } else if moved.source_blocked {
            if self.has(SOURCE_ENDING) {
                // Moving stops for good where urgent data is, and reading goes past it.
                self.state &= !BULK;
                return;
            }
            self.state &= !SOURCE_READY;
            if moved.bytes < BULK_LEAST && moved.in_pipe == 0 {
                self.state &= !BULK;
            }
        }
    }

    /// There is nothing to move with: read and write instead.
    pub fn handle_no_pipe(&mut self) {
        self.state &= !BULK;
    }

    /// The sink's half is ended, or the sink is gone: nothing more goes there. What is kept is dropped.
    pub fn handle_ended(&mut self) {
        self.state |= SINK_ENDED;
        self.kept = Vec::new();
        self.taken = 0;
    }

    /// Whether the source has ended.
    pub fn has_source_ended(&self) -> bool {
        self.has(SOURCE_ENDED)
    }

    /// Whether the sink took less than there was, and has not said since that it takes more.
    #[inline]
    pub fn is_sink_blocked(&self) -> bool {
        !self.has(SINK_READY)
    }

    /// Whether nothing more will be delivered.
    pub fn is_over(&self) -> bool {
        self.has(SINK_ENDED)
    }

    /// Whether the source may have bytes that were not read.
    pub fn is_source_ready(&self) -> bool {
        self.has(SOURCE_READY)
    }

    /// Whether the source is known to end behind what it has, or to have urgent data.
    pub fn is_source_ending(&self) -> bool {
        self.has(SOURCE_ENDING)
    }

    /// Bytes delivered to the sink.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    #[inline]
    fn has(&self, bit: u16) -> bool {
        self.state & bit != 0
    }

    fn set(&mut self, bit: u16, on: bool) {
        if on { self.state |= bit } else { self.state &= !bit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 1024;

    fn ready() -> Flow {
        let mut flow = Flow::new();
        flow.handle_source_ready(false);
        flow
    }

    #[test]
    fn a_message_costs_one_read_and_one_write() {
        let mut flow = ready();
        assert_eq!(flow.next(), Step::Read);
        flow.handle_read(5, ROOM);
        flow.handle_passed(b"hello", 5);
        assert_eq!((flow.next(), flow.delivered()), (Step::Wait, 5));
    }

    #[test]
    fn what_the_sink_did_not_take_is_kept_and_nothing_more_is_read() {
        let mut flow = ready();
        flow.handle_read(5, ROOM);
        flow.handle_passed(b"hello", 2);
        flow.handle_source_ready(false);
        assert_eq!((flow.next(), flow.kept()), (Step::Wait, &b"llo"[..]));
        flow.handle_sink_ready();
        assert_eq!(flow.next(), Step::Write);
        flow.handle_written(1);
        assert_eq!((flow.next(), flow.kept()), (Step::Wait, &b"lo"[..]));
        flow.handle_sink_ready();
        flow.handle_written(2);
        assert_eq!((flow.next(), flow.kept().len(), flow.delivered()), (Step::Read, 0, 5));
        assert_eq!(flow.kept.capacity(), 0);
    }

    #[test]
    fn an_end_waits_for_what_came_before_it() {
        let mut flow = Flow::new();
        flow.handle_source_ready(true);
        flow.handle_read(3, ROOM);
        flow.handle_passed(b"abc", 1);
        flow.handle_sink_ready();
        flow.handle_written(2);
        // The end was announced, so a short read is followed by another.
        assert_eq!(flow.next(), Step::Read);
        flow.handle_read(0, ROOM);
        assert_eq!(flow.next(), Step::End);
        flow.handle_ended();
        assert_eq!((flow.next(), flow.is_over()), (Step::Over, true));
    }

    #[test]
    fn a_known_end_costs_no_read_of_its_own() {
        let mut flow = Flow::new();
        flow.handle_source_ready(true);
        flow.handle_end_known();
        flow.handle_read(ROOM, ROOM);
        flow.handle_passed(&[0; ROOM], ROOM);
        assert!(!flow.has_source_ended(), "a full read may not be the last");
        flow.handle_no_pipe();
        assert_eq!(flow.next(), Step::Read);
        flow.handle_read(3, ROOM);
        assert!(flow.has_source_ended());
        flow.handle_passed(b"abc", 1);
        assert_eq!(flow.next(), Step::Wait);
        flow.handle_sink_ready();
        flow.handle_written(2);
        assert_eq!(flow.next(), Step::End);
    }

    #[test]
    fn bulk_is_moved_and_small_messages_are_not() {
        let mut flow = ready();
        flow.handle_read(ROOM, ROOM);
        flow.handle_passed(&[0; ROOM], ROOM);
        assert_eq!(flow.next(), Step::Move);
        let moved = Moved {
            bytes: 1 << 20,
            in_pipe: 0,
            source_blocked: true,
            sink_blocked: false,
            source_ended: false,
        };
        flow.handle_moved(moved);
        assert_eq!(flow.next(), Step::Wait);
        flow.handle_source_ready(false);
        assert_eq!(flow.next(), Step::Move);
        flow.handle_moved(Moved { bytes: 100, ..moved });
        flow.handle_source_ready(false);
        assert_eq!(flow.next(), Step::Read);
    }

    #[test]
    fn what_is_in_the_pipe_goes_before_the_end() {
        let mut flow = ready();
        flow.handle_read(ROOM, ROOM);
        flow.handle_passed(&[0; ROOM], ROOM);
        flow.handle_moved(Moved {
            bytes: 10,
            in_pipe: 7,
            source_blocked: false,
            sink_blocked: true,
            source_ended: true,
        });
        assert_eq!(flow.next(), Step::Wait);
        flow.handle_sink_ready();
        assert_eq!(flow.next(), Step::Move);
        flow.handle_moved(Moved {
            bytes: 7,
            in_pipe: 0,
            source_blocked: false,
            sink_blocked: false,
            source_ended: true,
        });
        assert_eq!(flow.next(), Step::End);
    }

    #[test]
    fn what_stops_a_move_is_read() {
        let mut flow = ready();
        flow.handle_read(ROOM, ROOM);
        flow.handle_passed(&[0; ROOM], ROOM);
        // Urgent data: the move ends before it, and so would every other.
        flow.handle_source_ready(true);
        let moved = Moved {
            bytes: 1 << 20,
            in_pipe: 7,
            source_blocked: true,
            sink_blocked: true,
            source_ended: false,
        };
        flow.handle_moved(moved);
        assert_eq!(flow.next(), Step::Wait);
        flow.handle_sink_ready();
        assert_eq!(flow.next(), Step::Move);
        flow.handle_moved(Moved { bytes: 7, in_pipe: 0, sink_blocked: false, ..moved });
        assert_eq!(flow.next(), Step::Read);
    }

    #[test]
    fn a_flow_is_small() {
        assert!(size_of::<Flow>() <= 40, "{}", size_of::<Flow>());
    }
}
