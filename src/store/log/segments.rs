//! The life of segments: made, filled with zeros, labelled, started, and when nobody needs their entries, used again
//! or taken away. One piece of such work is under way at a time, beside the writing of records.

use std::collections::VecDeque;
use std::io;

use crate::error::Error;
use crate::rng::Rng;
use crate::time::Instant;

use super::names::{File, Identity, Sequence};
use super::options::Options;
use super::segment::Label;
use super::upkeep::{FILL_BYTES, Full, Upkeep, is_full};

/// How many spare files are kept; further ones are taken away.
const SPARES_MAX: usize = 2;

/// So many segments a log may have where the disk has no room for a snapshot, or `disk_bytes_max` for them: in the last of them is
/// room for what makes the state smaller.
const SEGMENTS_LEAST: usize = 2;

/// A file to take away, or to use again.
#[derive(Clone, Copy, Debug)]
struct Unwanted {
    file: File,
    /// It is whole, and has this name.
    is_reusable: bool,
}

/// A segment that has a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) label: Label,
    pub(super) first: Sequence,
    /// The checksum the first record names.
    pub(super) chain: u32,
}

/// A snapshot has found no room.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// What it needs.
    bytes: u64,
    /// It was looked for since, and is not there.
    is_lacking: bool,
    /// Not before then again.
    look_at: Option<Instant>,
    is_found: bool,
}

#[derive(Debug)]
pub(super) struct Segments {
    identity: Identity,
    segment_bytes: u64,
    disk_bytes_max: Option<u64>,
    /// What is appended was taken elsewhere.
    pub(super) is_led: bool,
    kept_bytes: u64,
    /// What is said when `disk_bytes_max` leaves no room for another segment.
    no_room: Error,
    retry: std::time::Duration,
    rng: Rng,
    /// Oldest first; the last is being written.
    started: VecDeque<Started>,
    /// So many of them, the oldest, are kept though nobody needs them: they go when there is no room.
    spendable: usize,
    prepared: VecDeque<Label>,
    spares: Vec<u64>,
    /// Files to take away, and segments nobody needs.
    unwanted: VecDeque<Unwanted>,
    /// Taking away failed: it waits until then, and no other work waits for it.
    stuck: Option<(Instant, Error)>,
    /// A spare file that is being filled, and up to where.
    filling: Option<(u64, u64)>,
    spare_next: u64,
    ordinal_next: u64,
    is_busy: bool,
    /// The system refused the last piece of work that makes a segment, which waits until `retry_at`.
    problem: Option<Error>,
    retry_at: Option<Instant>,
    /// The bytes of snapshots.
    pub(super) snapshot_bytes: u64,
    /// What the next snapshot needs of the disk: no further segment takes it, as long as a snapshot would let go of one.
    pub(super) reserve: u64,
    wanted: Option<Wanted>,
}

impl Segments {
    pub(super) fn new(identity: Identity, options: &Options, rng: Rng) -> Self {
        Self {
            identity,
            segment_bytes: options.segment_bytes,
            disk_bytes_max: options.disk_bytes_max,
            is_led: false,
            kept_bytes: options.kept_bytes,
            no_room: Error::Capacity {
                what: "disk_bytes_max",
                limit: options.disk_bytes_max.unwrap_or_default(),
            },
            retry: options.retry,
            rng,
            started: VecDeque::new(),
            spendable: 0,
            prepared: VecDeque::new(),
            spares: Vec::new(),
            unwanted: VecDeque::new(),
            stuck: None,
            filling: None,
            spare_next: 1,
            ordinal_next: 1,
            is_busy: false,
            problem: None,
            retry_at: None,
            snapshot_bytes: 0,
            reserve: 0,
            wanted: None,
        }
    }

    /// A segment found on disk, in order of ordinals.
    pub(super) fn found_started(&mut self, started: Started) {
        self.ordinal_next = started.label.ordinal + 1;
        self.started.push_back(started);
    }

    pub(super) fn found_prepared(&mut self, label: Label) {
        self.ordinal_next = label.ordinal + 1;
        self.prepared.push_back(label);
    }

    pub(super) fn found_spare(&mut self, number: u64, is_whole: bool) {
        self.spare_next = self.spare_next.max(number.saturating_add(1));
        match is_whole && self.spares.len() < SPARES_MAX {
            true => self.spares.push(number),
            false => self.discard(File::Spare(number)),
        }
    }

    /// A file that is to go.
    pub(super) fn discard(&mut self, file: File) {
        self.unwanted.push_back(Unwanted { file, is_reusable: false });
    }

    /// Whether a file of this name is to go, or is just being taken away: what was made anew under it would go too.
    pub(super) fn is_going(&self, file: File) -> bool {
        self.unwanted.iter().any(|it| it.file == file)
    }

    /// The next segment to write to, if it is prepared; it counts as started from now on.
    pub(super) fn start(&mut self, first: Sequence, chain: u32) -> Option<Label> {
        let label = self.prepared.pop_front()?;
        self.started.push_back(Started { label, first, chain });
        Some(label)
    }

    /// Segments all of whose entries are at or before `through` are not needed, as long as they lie before the one
    /// numbered `ordinal`. The newest of them are kept as far as `kept_bytes` and `disk_bytes_max` allow, but for those
    /// before the one numbered `readable`, whose entries do not count any more.
    pub(super) fn release(&mut self, through: Sequence, ordinal: u64, readable: u64) {
        let free = self.count_free(through, ordinal);
        self.spendable = free;
        if free == 0 {
            return;
        }
        let unreadable = self.started.range(..free).take_while(|it| it.label.ordinal < readable).count();
        let mut kept = (self.kept_bytes / self.segment_bytes).min((free - unreadable) as u64);
        if let Some(limit) = self.disk_bytes_max.filter(|_| kept > 0) {
            // What is to go is counted as gone, and the next segment as there.
            let going = (free + self.segments_going()) as u64 * self.segment_bytes;
            let next = u64::from(!self.is_prepared()) * self.segment_bytes;
            let others = (self.disk_bytes() + next).saturating_sub(going);
            kept = kept.min(limit.saturating_sub(others) / self.segment_bytes);
        }
        self.let_go(free - kept as usize);
    }

    /// How many segments are not needed for entries behind `through`, of those before the one numbered `ordinal`.
    pub(super) fn count_free(&self, through: Sequence, ordinal: u64) -> usize {
        let pairs = self.started.iter().zip(self.started.iter().skip(1));
        pairs.take_while(|(it, next)| it.label.ordinal < ordinal && next.first <= through.next()).count()
    }

    /// Lets go of so many segments of those that are kept though nobody needs them, the oldest first.
    fn let_go(&mut self, count: usize) {
        for _ in 0..count {
            let Some(oldest) = self.started.pop_front() else { return };
            self.spendable -= 1;
            self.unwanted
                .push_back(Unwanted { file: File::Segment(oldest.label.ordinal), is_reusable: true });
            // There will be room: what stopped the work may have gone.
            if self.stuck.is_none() {
                self.retry_at = None;
                self.problem = None;
            }
        }
    }

    /// The disk has no room: what is kept though nobody needs it goes.
    pub(super) fn spend(&mut self) {
        self.let_go(self.spendable);
    }

    /// A snapshot had no room: all goes that holds nothing anybody needs, the next segment too unless the last one alone is
    /// left, of which a snapshot lets go of nothing.
    pub(super) fn clear(&mut self) {
        self.spend();
        for it in &mut self.unwanted {
            it.is_reusable = false;
        }
        for spare in std::mem::take(&mut self.spares) {
            self.discard(File::Spare(spare));
        }
        if self.is_busy || self.started.len() < 2 {
            return;
        }
        let filling = self.filling.take().map(|(spare, _)| File::Spare(spare));
        let prepared = self.prepared.pop_back().map(|label| {
            self.ordinal_next = label.ordinal;
            File::Segment(label.ordinal)
        });
        filling.into_iter().chain(prepared).for_each(|file| self.discard(file));
    }

    /// Looks for so many bytes, at once if that is new, and then now and then until they are there.
    pub(super) fn seek(&mut self, bytes: u64) {
        let new = Wanted { bytes, is_lacking: false, look_at: None, is_found: false };
        self.wanted.get_or_insert(new).bytes = bytes;
    }

    /// Looks no more.
    pub(super) fn seek_no_more(&mut self) {
        self.wanted = None;
    }

    /// Whether what was looked for is there; told once.
    pub(super) fn take_found(&mut self) -> bool {
        self.wanted.take_if(|it| it.is_found).is_some()
    }

    /// Whether what is looked for is not there.
    pub(super) fn is_lacking(&self) -> bool {
        self.wanted.is_some_and(|it| it.is_lacking)
    }

    /// What is to be looked for now.
    fn look(&self) -> Option<u64> {
        self.wanted.filter(|it| it.look_at.is_none() && !it.is_found).map(|it| it.bytes)
    }

    fn segments_going(&self) -> usize {
        self.unwanted.iter().filter(|it| matches!(it.file, File::Segment(_))).count()
    }

    /// Whether the next segment is there.
    pub(super) fn is_prepared(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// Why it is not.
    pub(super) fn why_not(&self) -> Error {
        let making = Error::Capacity { what: "segment_bytes", limit: self.segment_bytes };
        self.problem().cloned().unwrap_or(making)
    }

    /// Whether `poll` may give something.
    pub(super) fn is_wanting(&self) -> bool {
        let is_making = !self.is_prepared() && self.retry_at.is_none() && !self.lacks_room();
        let is_going = !self.unwanted.is_empty() && self.stuck.is_none();
        !self.is_busy && (is_making || is_going || self.look().is_some())
    }

    /// Why no further segment can be made, if so.
    pub(super) fn problem(&self) -> Option<&Error> {
        match &self.stuck {
            _ if !self.lacks_room() => self.problem.as_ref(),
            Some((_, why)) => Some(why),
            None => Some(&self.no_room),
        }
    }

    /// Whether `disk_bytes_max` leaves no room for the next segment, and nothing is about to go that would. It follows
    /// from what is there, and does not wait for somebody to look for work: who is refused for it has a snapshot
    /// written, which makes room.
    pub(super) fn lacks_room(&self) -> bool {
        let is_at_work = self.is_busy || self.filling.is_some();
        let is_going = !self.unwanted.is_empty() && self.stuck.is_none();
        !self.is_prepared()
            && self.spares.is_empty()
            && self.spendable == 0
            && !is_at_work
            && !is_going
            && self.is_full()
    }

    /// Whether `disk_bytes_max` leaves no room for one more file. Of one segment no snapshot lets go: it gets a second in any case,
    /// since what makes the state smaller has to be written down. But for one that is led: it takes what makes the state grow too, and
    /// stops where that alone is more.
    fn is_full(&self) -> bool {
        let Some(limit) = self.disk_bytes_max else { return false };
        let is_short = self.started.len() < SEGMENTS_LEAST && (!self.is_led || self.snapshot_bytes <= limit);
        !is_short && self.disk_bytes() + self.segment_bytes > limit
    }

    pub(super) fn started(&self) -> &VecDeque<Started> {
        &self.started
    }

    /// All that lies on disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        let files = self.started.len() + self.prepared.len() + self.spares.len() + self.segments_going();
        (files + usize::from(self.filling.is_some())) as u64 * self.segment_bytes + self.snapshot_bytes
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let stuck_until = self.stuck.as_ref().map(|(until, _)| *until);
        let look_at = self.wanted.and_then(|it| it.look_at);
        [self.retry_at, stuck_until, look_at].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if self.stuck.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.stuck = None;
        }
        if let Some(wanted) = &mut self.wanted
            && wanted.look_at.is_some_and(|at| at <= now)
        {
            wanted.look_at = None;
        }
    }

    /// What to do next; the caller tells how it went with `handle`.
    pub(super) fn poll(&mut self) -> Option<Upkeep> {
        if self.is_busy {
            return None;
        }
        let work = self.choose()?;
        self.is_busy = true;
        Some(work)
    }

    fn choose(&mut self) -> Option<Upkeep> {
        if let Some(unwanted) = self.unwanted.front()
            && self.stuck.is_none()
        {
            return Some(match *unwanted {
                Unwanted { file: File::Segment(ordinal), is_reusable: true }
                    if self.spares.len() < SPARES_MAX && !self.is_beyond_limit() =>
                {
                    Upkeep::Retire { ordinal, spare: self.spare_next }
                }
                Unwanted { file, .. } => Upkeep::Remove(file),
            });
        }
        // Before a segment is made.
        if let Some(bytes) = self.look() {
            return Some(Upkeep::Look { bytes });
        }
        if self.retry_at.is_some() {
            return None;
        }
        if let Some((spare, offset)) = self.filling
            && offset < self.segment_bytes
        {
            return Some(Upkeep::Fill { spare, offset, bytes: FILL_BYTES.min(self.segment_bytes - offset) });
        }
        if self.is_prepared() {
            return None;
        }
        let filled = self.filling.map(|(spare, _)| spare);
        if let Some(spare) = filled.or_else(|| self.spares.last().copied()) {
            let label = Label {
                identity: self.identity,
                ordinal: self.ordinal_next,
                salt: self.rng.next_u64(),
                segment_bytes: self.segment_bytes,
            };
            return Some(Upkeep::Prepare { spare, label });
        }
        if self.spendable > 0 && self.is_full() {
            self.let_go(1);
            return self.choose();
        }
        let least = if self.is_lacking() { SEGMENTS_LEAST } else { 1 };
        let reserve = match self.started.len() > least && self.reserve > 0 {
            true => self.reserve.saturating_add(self.segment_bytes),
            false => 0,
        };
        (!self.lacks_room()).then_some(Upkeep::Create {
            spare: self.spare_next,
            bytes: self.segment_bytes,
            reserve,
        })
    }

    /// Whether a snapshot has taken more than `disk_bytes_max` left: then what is not needed goes.
    fn is_beyond_limit(&self) -> bool {
        self.disk_bytes_max.is_some_and(|limit| self.disk_bytes() > limit)
    }

    /// How a piece of work went.
    pub(super) fn handle(
        &mut self,
        work: &Upkeep,
        result: io::Result<()>,
        now: Instant,
        name: impl Fn(File) -> String,
    ) {
        self.is_busy = false;
        if let Err(error) = result {
            self.failed(work, &error, now, name);
            return;
        }
        match work {
            Upkeep::Create { spare, .. } => {
                self.spare_next = spare + 1;
                self.filling = Some((*spare, 0));
            }
            Upkeep::Fill { spare, offset, bytes } => self.filling = Some((*spare, offset + bytes)),
            Upkeep::Prepare { spare, label } => {
                self.spares.retain(|held| held != spare);
                self.filling = None;
                self.ordinal_next = label.ordinal + 1;
                self.prepared.push_back(*label);
                self.problem = None;
                // An attempt that failed may have left this name to be taken away; now it is wanted.
                self.unwanted.retain(|it| it.file != File::Segment(label.ordinal));
            }
            Upkeep::Retire { spare, .. } => {
                self.unwanted.pop_front();
                self.spare_next = spare + 1;
                self.spares.push(*spare);
            }
            Upkeep::Remove(_) => {
                self.unwanted.pop_front();
            }
            Upkeep::Look { .. } => {
                if let Some(wanted) = &mut self.wanted {
                    (wanted.is_found, wanted.is_lacking) = (true, false);
                }
            }
        }
    }

    fn failed(&mut self, work: &Upkeep, error: &io::Error, now: Instant, name: impl Fn(File) -> String) {
        let full = error.get_ref().and_then(|it| it.downcast_ref::<Full>());
        let why = Error::Io {
            what: work.object(name),
            code: error.raw_os_error().unwrap_or(if full.is_some() { libc::ENOSPC } else { 0 }),
            detail: match error.kind() {
                kind if is_full(kind) => {
                    let lacking = full.map_or(0, |full| self.enough(work).saturating_sub(full.free));
                    let more = if lacking > 0 { format!(" for {lacking} bytes more") } else { String::new() };
                    format!("{error}; appends are taken again when there is room{more}")
                }
                _ => error.to_string(),
            },
        };
        let until = now.saturating_add(self.retry);
        match work {
            Upkeep::Look { .. } => {
                if let Some(wanted) = &mut self.wanted {
                    (wanted.look_at, wanted.is_lacking) = (Some(until), true);
                }
            }
            Upkeep::Retire { .. } | Upkeep::Remove(_) => self.stuck = Some((until, why)),
            _ => (self.retry_at, self.problem) = (Some(until), Some(why)),
        }
        // What is half made holds nothing; whether it got its name is not known. It is made anew, all of it.
        match work {
            Upkeep::Create { spare, .. } | Upkeep::Fill { spare, .. } => {
                self.spare_next = spare + 1;
                self.filling = None;
                self.discard(File::Spare(*spare));
            }
            Upkeep::Prepare { spare, label } => {
                self.filling = None;
                self.spares.retain(|held| held != spare);
                self.discard(File::Spare(*spare));
                self.discard(File::Segment(label.ordinal));
            }
            Upkeep::Retire { ordinal, spare } => {
                // Either name may be there.
                self.unwanted.pop_front();
                self.spare_next = spare + 1;
                self.discard(File::Segment(*ordinal));
                self.discard(File::Spare(*spare));
            }
            Upkeep::Remove(_) => {
                // Others may still go.
                self.unwanted.rotate_left(1);
            }
            Upkeep::Look { .. } => {}
        }
        if is_full(error.kind()) {
            self.spend();
        }
    }

    /// What has to be free for appends to go on, by this work or by a snapshot.
    fn enough(&self, work: &Upkeep) -> u64 {
        let Upkeep::Create { bytes, reserve, .. } = work else { return 0 };
        let needed = bytes.saturating_add(*reserve);
        let is_snapshot_of_use = self.started.len() > 1 && self.reserve > 0;
        if is_snapshot_of_use { needed.min(self.reserve) } else { needed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Segments {
        let identity = Identity { cluster: *b"0123456789abcdef", node: 1 };
        Segments::new(identity, &Options { segment_bytes: 16 << 10, ..Options::default() }, Rng::new(1))
    }

    /// Does all there is to do; gives what was done.
    fn keep_up(segments: &mut Segments) -> Vec<Upkeep> {
        let mut done = Vec::new();
        while let Some(work) = segments.poll() {
            segments.handle(&work, Ok(()), Instant::START, |file| file.to_string());
            done.push(work);
        }
        done
    }

    fn reserves(done: &[Upkeep]) -> Vec<u64> {
        done.iter()
            .filter_map(|it| if let Upkeep::Create { reserve, .. } = it { Some(*reserve) } else { None })
            .collect()
    }

    #[test]
    fn room_is_left_where_a_snapshot_would_let_go_of_a_segment() {
        let mut segments = segments();
        segments.reserve = 1_000;
        assert_eq!(reserves(&keep_up(&mut segments)), [0]);
        segments.start(Sequence(1), 0).expect("one is prepared");
        assert_eq!(reserves(&keep_up(&mut segments)), [0]);
        segments.start(Sequence(5), 0).expect("one is prepared");
        assert_eq!(reserves(&keep_up(&mut segments)), [1_000 + (16 << 10)]);
    }

    /// Told of a full disk; gives what was refused.
    fn refuse(segments: &mut Segments, now: Instant, free: u64) -> Upkeep {
        let work = segments.poll().expect("there is something to do");
        segments.handle(&work, Err(Full { free }.into()), now, |file| file.to_string());
        work
    }

    #[test]
    fn room_is_left_though_a_snapshot_found_none_and_is_looked_for_until_it_is_there() {
        let mut segments = segments();
        segments.reserve = 100_000;
        for first in [1, 5, 9] {
            keep_up(&mut segments);
            segments.start(Sequence(first), 0).expect("one is prepared");
        }
        segments.clear();
        segments.seek(100_000);
        let look = Upkeep::Look { bytes: 100_000 };
        assert!(segments.is_wanting());
        assert_eq!(refuse(&mut segments, Instant::START, 60_000), look);
        assert!(segments.is_lacking() && !segments.take_found());
        // Whatever is there, the log leaves it alone, and says how much more there has to be.
        let create = refuse(&mut segments, Instant::START, 60_000);
        assert_eq!(create, Upkeep::Create { spare: 4, bytes: 16 << 10, reserve: 100_000 + (16 << 10) });
        let why = segments.problem().expect("there is no room").to_string();
        assert!(why.ends_with("when there is room for 40000 bytes more"), "{why}");
        assert!(matches!(segments.problem(), Some(Error::Io { code: libc::ENOSPC, .. })));
        assert_eq!(segments.poll(), Some(Upkeep::Remove(File::Spare(4))));
        segments.handle(&Upkeep::Remove(File::Spare(4)), Ok(()), Instant::START, |file| file.to_string());
        assert!(segments.poll().is_none() && !segments.is_wanting());
        // The state has become smaller.
        segments.seek(50_000);
        let later = segments.next_deadline().expect("it is looked for again");
        segments.handle_timeout(later);
        assert!(segments.is_wanting());
        let look = segments.poll().expect("it is time");
        assert_eq!(look, Upkeep::Look { bytes: 50_000 });
        segments.handle(&look, Ok(()), later, |file| file.to_string());
        assert!(!segments.is_lacking() && segments.take_found() && !segments.take_found());
    }

    #[test]
    fn a_short_log_takes_one_segment_of_what_a_snapshot_would_need() {
        let mut segments = segments();
        segments.reserve = 100_000;
        for first in [1, 5] {
            keep_up(&mut segments);
            segments.start(Sequence(first), 0).expect("one is prepared");
        }
        segments.seek(100_000);
        refuse(&mut segments, Instant::START, 60_000);
        assert_eq!(reserves(&keep_up(&mut segments)), [0]);
        segments.start(Sequence(9), 0).expect("one is prepared");
        assert_eq!(reserves(&keep_up(&mut segments)), [100_000 + (16 << 10)]);
    }

    #[test]
    fn a_log_of_one_segment_gets_a_second_beyond_the_bound() {
        for (is_led, snapshot_bytes, is_made) in
            [(false, 60_000, true), (false, 80_000, true), (true, 60_000, true), (true, 80_000, false)]
        {
            let mut segments = segments();
            segments.disk_bytes_max = Some(64 << 10);
            keep_up(&mut segments);
            segments.start(Sequence(1), 0).expect("one is prepared");
            (segments.is_led, segments.snapshot_bytes) = (is_led, snapshot_bytes);
            keep_up(&mut segments);
            assert_eq!(
                (segments.is_prepared(), segments.lacks_room()),
                (is_made, !is_made),
                "{snapshot_bytes}"
            );
            if is_made {
                // And no third.
                segments.start(Sequence(5), 0).expect("one is prepared");
                assert!(keep_up(&mut segments).is_empty() && segments.lacks_room());
                assert!(matches!(segments.problem(), Some(Error::Capacity { what: "disk_bytes_max", .. })));
                assert_eq!(
                    (segments.count_free(Sequence(3), 2), segments.count_free(Sequence(4), 2)),
                    (0, 1)
                );
            }
        }
    }

    #[test]
    fn what_nobody_needs_goes_for_a_snapshot() {
        let mut segments = segments();
        keep_up(&mut segments);
        segments.start(Sequence(1), 0).expect("one is prepared");
        keep_up(&mut segments);
        segments.clear();
        assert!(segments.is_prepared(), "without the next one nothing can be let go of");
        for first in [5, 9] {
            segments.start(Sequence(first), 0).expect("one is prepared");
            keep_up(&mut segments);
        }
        // One is used again.
        segments.release(Sequence(4), 3, 1);
        assert!(matches!(keep_up(&mut segments)[..], [Upkeep::Retire { ordinal: 1, .. }]));
        segments.found_spare(90, true);
        segments.clear();
        assert!(!segments.is_prepared());
        let done = keep_up(&mut segments);
        let gone: Vec<File> = done
            .iter()
            .filter_map(|it| if let Upkeep::Remove(file) = it { Some(*file) } else { None })
            .collect();
        assert!(
            gone.contains(&File::Segment(4)) && gone.contains(&File::Spare(90)) && gone.len() == 3,
            "{gone:?}"
        );
        // And is made again, under the same number.
        let is_fourth = |it: &Upkeep| matches!(it, Upkeep::Prepare { label, .. } if label.ordinal == 4);
        assert!(done.last().is_some_and(is_fourth), "{done:?}");
    }
}
