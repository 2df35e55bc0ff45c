//! [`Pace`]: how fast nodes that are behind are sent what they lack, so that those who write keep their rate.
//!
//! A primary knows how many writes there are and how long one takes while nobody catches up: it counts them, and follows one
//! after the other. While somebody catches up it compares. When there are fewer by more than [`FEWER`], and each takes
//! longer by more than [`SLOWER`], or takes [`FAR_SLOWER`] times as long, it sends an eighth less; otherwise an eighth more.
//! So what is in short supply need not be known: processors, disks or the network; and who writes less by himself holds
//! nothing up. The least is [`LEAST`], and twice what is written meanwhile, or nobody would ever catch up. What writes take
//! at that pace slowly comes to be what they take, since then it is not the one who catches up that they wait for.

use std::time::Duration;

use crate::time::Instant;

/// Bytes a second to begin with.
const FIRST: u64 = 256 << 20;
const LEAST: u64 = 32 << 20;
const MOST: u64 = 4 << 30;
/// Between two decisions.
const WINDOW: Duration = Duration::from_millis(50);
/// In 1/100: how many fewer writes there may be, how much longer one may take.
const FEWER: u64 = 15;
const SLOWER: u64 = 18;
const FAR_SLOWER: u64 = 3;
/// What may be sent at once, as time at the present rate: longer than a tick of the node.
const BURST: Duration = Duration::from_millis(25);
/// After so long without sending anything nobody catches up.
const QUIET: Duration = Duration::from_millis(200);

/// Writes: how many a second, and how long one takes in nanoseconds; 0: not known.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    rate: u64,
    took: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may be sent; less than 0 when the last was larger than what was left.
    tokens: i64,
    filled_at: Instant,
    /// Bytes were sent last.
    sent_at: Option<Instant>,
    /// The write that is followed, and when it was begun.
    followed: Option<(u64, Instant)>,
    /// When nobody catches up.
    usual: Load,
    /// While somebody does.
    present: Load,
    window_from: Instant,
    /// Writes of this window, and their bytes.
    written: (u64, u64),
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: FIRST,
            tokens: 0,
            filled_at: now,
            sent_at: None,
            followed: None,
            usual: Load::default(),
            present: Load::default(),
            window_from: now,
            written: (0, 0),
        }
    }

    /// Forgets what it knows: another reign.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// So many writes were begun, and the first is to be committed with this sequence.
    pub(super) fn begun(&mut self, sequence: u64, count: u64, bytes: u64, now: Instant) {
        self.roll(now);
        self.written = (self.written.0 + count, self.written.1 + bytes);
        if self.followed.is_none() {
            self.followed = Some((sequence, now));
        }
    }

    /// Writes up to this one are committed.
    pub(super) fn committed(&mut self, sequence: u64, now: Instant) {
        self.roll(now);
        let Some((followed, begun)) = self.followed else { return };
        if followed > sequence {
            return;
        }
        self.followed = None;
        let took = now.nanos_since(begun);
        if self.is_quiet(now) {
            self.usual.took = mean(self.usual.took, took, 256);
            self.present.took = self.usual.took;
        } else {
            self.present.took = mean(self.present.took, took, 64);
        }
    }

    /// Whether something may be sent now to nodes that are behind.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        self.roll(now);
        let earned = u128::from(now.nanos_since(self.filled_at)) * u128::from(self.rate) / 1_000_000_000;
        let most = (u128::from(self.rate) * BURST.as_nanos() / 1_000_000_000) as i64;
        self.tokens = self.tokens.saturating_add(earned.min(1 << 40) as i64).min(most);
        self.filled_at = now;
        self.tokens > 0
    }

    /// So much was sent.
    pub(super) fn sent(&mut self, bytes: u64, now: Instant) {
        self.tokens = self.tokens.saturating_sub(bytes as i64);
        self.sent_at = Some(now);
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.sent_at.is_none_or(|at| now.duration_since(at) > QUIET)
    }

    /// Ends a window whose time is over.
    fn roll(&mut self, now: Instant) {
        let elapsed = now.nanos_since(self.window_from);
        if u128::from(elapsed) < WINDOW.as_nanos() {
            return;
        }
        let (count, bytes) = std::mem::take(&mut self.written);
        self.window_from = now;
        let a_second = |number: u64| (u128::from(number) * 1_000_000_000 / u128::from(elapsed)) as u64;
        if self.is_quiet(now) {
            self.usual.rate = mean(self.usual.rate, a_second(count), 16);
            self.present.rate = self.usual.rate;
        } else {
            self.present.rate = mean(self.present.rate, a_second(count), 4);
            self.decide(a_second(bytes), now);
        }
    }

    fn decide(&mut self, growth: u64, now: Instant) {
        // One that is under way for longer than a window says more than those that were done before it.
        if let Some((_, begun)) = self.followed
            && now.duration_since(begun) >= WINDOW
        {
            self.present.took = mean(self.present.took, now.nanos_since(begun), 64);
        }
        let least = LEAST.max(growth.saturating_mul(2)).min(MOST);
        let (usual, present) = (self.usual, self.present);
        let are_fewer = present.rate < usual.rate - usual.rate * FEWER / 100;
        let is_slower = present.took > usual.took + usual.took * SLOWER / 100;
        let is_far_slower = present.took > usual.took * FAR_SLOWER;
        if usual.took > 0 && ((are_fewer && is_slower) || is_far_slower) {
            self.rate = (self.rate / 8 * 7).max(least);
            if self.rate == least {
                self.usual.rate = mean(usual.rate, present.rate, 256);
                self.usual.took = mean(usual.took, present.took, 256);
            }
        } else {
            self.rate = (self.rate / 8 * 9).clamp(least, MOST);
        }
    }
}

/// A mean of `mean` and what came now, over some `count` of them.
fn mean(mean: u64, now: u64, count: u64) -> u64 {
    if mean == 0 { now } else { mean - mean / count + now / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has a client write for a second, one write after the other, each of which takes `micros`; bytes that were sent meanwhile.
    fn second(pace: &mut Pace, from: u64, micros: u64, sends: bool) -> u64 {
        let (mut sent, mut sequence) = (0, from << 32);
        let mut now = Instant::from_millis(from * 1_000);
        while now < Instant::from_millis((from + 1) * 1_000) {
            sequence += 1;
            pace.begun(sequence, 1, 100, now);
            now = now.saturating_add(Duration::from_micros(micros));
            pace.committed(sequence, now);
            sent += if sends { all(pace, now) } else { 0 };
        }
        sent
    }

    /// Sends all that may be sent.
    fn all(pace: &mut Pace, now: Instant) -> u64 {
        let mut sent = 0;
        while pace.may_send(now) {
            pace.sent(256 << 10, now);
            sent += 256 << 10;
        }
        sent
    }

    #[test]
    fn who_catches_up_is_sent_less_while_writes_take_longer() {
        let mut pace = Pace::new(Instant::START);
        for from in 0..3 {
            second(&mut pace, from, 500, false);
        }
        let free = second(&mut pace, 3, 510, true);
        assert!(free > FIRST, "writes take as long as ever: {free}");
        let more = second(&mut pace, 4, 510, true);
        assert!(more > free, "{more}");
        for from in 5..8 {
            second(&mut pace, from, 900, true);
        }
        let held = second(&mut pace, 8, 900, true);
        assert!(held < 2 * LEAST && held > LEAST / 2, "{held}");
        // What it takes at the least pace comes to be what it takes.
        for from in 9..90 {
            second(&mut pace, from, 900, true);
        }
        let again = second(&mut pace, 90, 900, true);
        assert!(again > 2 * LEAST, "{again}");
    }

    #[test]
    fn who_writes_less_by_himself_holds_nothing_up() {
        for is_idle in [false, true] {
            let mut pace = Pace::new(Instant::START);
            for from in 0..3 {
                second(&mut pace, from, 500, false);
            }
            let mut sent = 0;
            for milli in 3_000..4_000 {
                let now = Instant::from_millis(milli);
                if milli % 10 == 0 && !is_idle {
                    pace.begun(milli << 32, 1, 100, now);
                    pace.committed(milli << 32, now.saturating_add(Duration::from_micros(500)));
                }
                sent += all(&mut pace, now.saturating_add(Duration::from_micros(600)));
            }
            assert!(sent > 2 * FIRST, "{sent}");
        }
    }

    #[test]
    fn writes_that_take_far_longer_count_even_if_there_are_as_many() {
        let mut pace = Pace::new(Instant::START);
        let run = |pace: &mut Pace, from: u64, behind: u64, sends: bool| {
            let mut sent = 0;
            for milli in from * 1_000..(from + 1) * 1_000 {
                let now = Instant::from_millis(milli);
                pace.begun(milli, 1, 100, now);
                pace.committed(milli.saturating_sub(behind), now);
                sent += if sends { all(pace, now) } else { 0 };
            }
            sent
        };
        run(&mut pace, 0, 1, false);
        for from in 1..5 {
            run(&mut pace, from, 20, true);
        }
        let held = run(&mut pace, 5, 20, true);
        assert!(held < 2 * LEAST, "{held}");
    }

    #[test]
    fn what_is_written_meanwhile_is_caught_up_with() {
        let mut pace = Pace::new(Instant::START);
        for from in 0..3 {
            second(&mut pace, from, 200, false);
        }
        let mut sent = 0;
        for milli in 3_000..5_000 {
            let now = Instant::from_millis(milli);
            // 100 MB a second, and slow.
            pace.begun(milli, 1, 100_000, now);
            let now = now.saturating_add(Duration::from_micros(990));
            pace.committed(milli, now);
            sent += all(&mut pace, now);
        }
        assert!(sent > 300_000_000, "{sent}");
    }
}
