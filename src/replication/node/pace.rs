//! [`Pace`]: how fast nodes that are behind are sent what they lack, so that those who write hardly notice.
//!
//! A primary knows how long a write takes to be committed while nobody catches up: it follows one write after the other, and
//! keeps a mean. While somebody catches up it compares: when writes take longer by more than [`SLOWER`], it sends an eighth
//! less; when they do not, an eighth more. So what is in short supply need not be known: processors, disks or the network.
//! The least is [`LEAST`], and twice what is written meanwhile, or nobody would ever catch up. What writes take at that
//! pace slowly comes to be what they take, since then it is not the one who catches up that they wait for.

use std::time::Duration;

use crate::time::Instant;

/// Bytes a second to begin with.
const FIRST: u64 = 128 << 20;
const LEAST: u64 = 24 << 20;
const MOST: u64 = 4 << 30;
/// Between two decisions.
const WINDOW: Duration = Duration::from_millis(50);
/// By how much longer writes may take: in 1/100, and at least so much.
const SLOWER: (u64, Duration) = (20, Duration::from_micros(50));
/// What may be sent at once, as time at the present rate: longer than a tick of the node.
const BURST: Duration = Duration::from_millis(25);
/// After so long without sending anything nobody catches up.
const QUIET: Duration = Duration::from_millis(200);

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
    /// How long a write takes when nobody catches up, in nanoseconds; 0: not known.
    usual: u64,
    /// How long they take while somebody does.
    present: u64,
    window_from: Instant,
    /// Writes followed in this window.
    seen: u32,
    /// Bytes written in this window.
    written: u64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: FIRST,
            tokens: 0,
            filled_at: now,
            sent_at: None,
            followed: None,
            usual: 0,
            present: 0,
            window_from: now,
            seen: 0,
            written: 0,
        }
    }

    /// Forgets what it knows: another reign.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// A write was begun, and is to be committed with this sequence.
    pub(super) fn begun(&mut self, sequence: u64, bytes: u64, now: Instant) {
        self.written += bytes;
        if self.followed.is_none() {
            self.followed = Some((sequence, now));
        }
    }

    /// Writes up to this one are committed.
    pub(super) fn committed(&mut self, sequence: u64, now: Instant) {
        let Some((followed, begun)) = self.followed else { return };
        if followed > sequence {
            return;
        }
        self.followed = None;
        let took = now.nanos_since(begun);
        if self.is_quiet(now) {
            self.usual = mean(self.usual, took);
            self.present = self.usual;
        } else {
            self.present = mean(self.present, took);
            self.seen += 1;
        }
    }

    /// Whether something may be sent now to nodes that are behind.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        if self.is_quiet(now) {
            self.begin_window(now);
        } else if now.duration_since(self.window_from) >= WINDOW {
            self.decide(now);
            self.begin_window(now);
        }
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

    fn begin_window(&mut self, now: Instant) {
        (self.window_from, self.seen, self.written) = (now, 0, 0);
    }

    fn decide(&mut self, now: Instant) {
        if self.usual == 0 {
            return;
        }
        // One that is under way for longer than a window says more than those that were done before it.
        if let Some((_, begun)) = self.followed
            && now.duration_since(begun) >= WINDOW
        {
            self.present = mean(self.present, now.nanos_since(begun));
            self.seen += 1;
        }
        let bound = self.usual + (self.usual * SLOWER.0 / 100).max(SLOWER.1.as_nanos() as u64);
        let elapsed = now.nanos_since(self.window_from).max(1);
        let growth = u128::from(self.written) * 2_000_000_000 / u128::from(elapsed);
        let least = LEAST.max(growth as u64).min(MOST);
        if self.seen > 0 && self.present > bound {
            self.rate = (self.rate / 8 * 7).max(least);
            if self.rate == least {
                self.usual += (self.present - self.usual) / 256;
            }
        } else {
            self.rate = (self.rate / 8 * 9).clamp(least, MOST);
        }
    }
}

/// A mean of `mean` and what came now, over some 64 of them.
fn mean(mean: u64, now: u64) -> u64 {
    if mean == 0 { now } else { mean - mean / 64 + now / 64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has writes made for a second, one a millisecond, that take `micros`; bytes that were sent meanwhile.
    fn second(pace: &mut Pace, from: u64, micros: u64, sends: bool) -> u64 {
        let mut sent = 0;
        for milli in 0..1_000 {
            let at = Instant::from_millis(from * 1_000 + milli);
            pace.begun(from * 1_000 + milli, 100, at);
            let after = at.saturating_add(Duration::from_micros(micros));
            pace.committed(from * 1_000 + milli, after);
            while sends && pace.may_send(after) {
                pace.sent(256 << 10, after);
                sent += 256 << 10;
            }
        }
        sent
    }

    #[test]
    fn who_catches_up_is_sent_less_while_writes_take_longer() {
        let mut pace = Pace::new(Instant::START);
        second(&mut pace, 0, 500, false);
        let free = second(&mut pace, 1, 510, true);
        assert!(free > FIRST, "writes take as long as ever: {free}");
        let more = second(&mut pace, 2, 510, true);
        assert!(more > free, "{more}");
        (3..6).for_each(|from| {
            second(&mut pace, from, 900, true);
        });
        let held = second(&mut pace, 6, 900, true);
        assert!(held < 2 * LEAST && held > LEAST / 2, "{held}");
        // What it takes at the least pace comes to be what it takes.
        (7..60).for_each(|from| {
            second(&mut pace, from, 900, true);
        });
        let again = second(&mut pace, 60, 900, true);
        assert!(again > 2 * LEAST, "{again}");
    }

    #[test]
    fn without_writes_nothing_holds_it_back() {
        let mut pace = Pace::new(Instant::START);
        second(&mut pace, 0, 500, false);
        let mut sent = 0;
        for milli in 1_000..2_000 {
            let now = Instant::from_millis(milli);
            while pace.may_send(now) {
                pace.sent(256 << 10, now);
                sent += 256 << 10;
            }
        }
        assert!(sent > 2 * FIRST, "{sent}");
    }

    #[test]
    fn what_is_written_meanwhile_is_caught_up_with() {
        let mut pace = Pace::new(Instant::START);
        second(&mut pace, 0, 500, false);
        let mut sent = 0;
        for milli in 1_000..3_000 {
            let now = Instant::from_millis(milli);
            // 100 MB a second, and slow.
            pace.begun(milli, 100_000, now);
            let now = now.saturating_add(Duration::from_micros(990));
            pace.committed(milli, now);
            while pace.may_send(now) {
                pace.sent(256 << 10, now);
                sent += 256 << 10;
            }
        }
        assert!(sent > 300_000_000, "{sent}");
    }
}
