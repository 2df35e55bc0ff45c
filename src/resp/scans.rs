//! [`ScanTable`]: how far scans have come, under the numbers that clients are given for that.
//!
//! A cursor of `SCAN` is a number, and the place it stands for is a key: keys are told in their order, and a scan goes on
//! behind the last one that was looked at, whatever has become of it. So a key that is there all the time is told once. What
//! key a number stands for is in the table, of which all loops of a store have the same one.
//!
//! Numbers are drawn at random, so that one of an earlier run, or one that somebody made up, is found out as such and does not
//! go on somewhere else. A cursor has the mark of its node before the number: see [`mark_of`].
//!
//! | option | unit | range | default | why |
//! |---|---|---|---|---|
//! | `scans_max` | steps | from 1 | 16,384 | one for each scan under way, and those before in case they are asked for again |
//! | `scan_bytes_max` | bytes of keys | from 64 Ki | 16 MiB | they lie in memory |
//!
//! With more, the oldest step is forgotten of which its client has shown that it has the next one, and only if there is none
//! the oldest of all. So however fast one scan goes on, it does not have a slow one forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use xxhash_rust::xxh3::xxh3_64;

use crate::rng::Rng;

/// A table of scans, as a hub sees it. Calls do not block, but for others who share it and are as quick.
pub trait Scans: Debug + Send {
    /// Behind which key the scan goes on that was given this number. It may be asked for again, as in Redis. `None`: it is
    /// forgotten, or never was given.
    fn find(&mut self, number: u64) -> Option<Vec<u8>>;

    /// A step of a scan is done: `from` is the number it went on from, `None` if it began; `behind` is the key behind which it
    /// goes on, `None` if it is at its end. Gives the number for that, 0 for the end.
    fn step(&mut self, from: Option<u64>, behind: Option<Vec<u8>>) -> u64;
}

/// How many bits of a cursor are its number. With its mark a cursor is below 2^53: there are clients that keep it as a
/// floating-point number.
const NUMBER_BITS: u32 = 45;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

/// The mark in a cursor; 0: of no node of a cluster.
pub fn mark_of(cursor: u64) -> u64 {
    cursor >> NUMBER_BITS
}

/// The number in a cursor.
pub(super) fn number_of(cursor: u64) -> u64 {
    cursor & NUMBER_MASK
}

/// The cursor of a number that the node with this mark has given.
pub(super) fn cursor_of(mark: u8, number: u64) -> u64 {
    u64::from(mark) << NUMBER_BITS | number
}

/// The marks of nodes, by which it is known who gave a cursor: each node's is another one, from 1 to 255, as long as there are
/// not more; and whoever knows of the same names, in whatever order, comes to the same. They hardly change when nodes come
/// or go. Beyond 255 the mark is 0, of which nobody is known.
pub fn marks<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, u8> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut taken = [false; 255];
    let marks = names.into_iter().map(|name| {
        let first = (xxh3_64(name.as_bytes()) % 255) as usize;
        let free = (first..255).chain(0..first).find(|at| !taken[*at]);
        let mark = free.map_or(0, |at| {
            taken[at] = true;
            at as u8 + 1
        });
        (name, mark)
    });
    marks.collect()
}

/// See the module. One owner.
#[derive(Debug)]
pub struct ScanTable {
    scans_max: usize,
    bytes_max: usize,
    rng: Rng,
    steps: BTreeMap<u64, Step>,
    /// What is forgotten first comes first.
    order: BTreeSet<Place>,
    bytes: usize,
    uses: u64,
}

/// Whether it is a client's last step as far as is known, when it was last used, and its number.
type Place = (bool, u64, u64);

#[derive(Debug)]
struct Step {
    behind: Vec<u8>,
    from: Option<u64>,
    is_last: bool,
    used: u64,
}

impl Step {
    fn place(&self, number: u64) -> Place {
        (self.is_last, self.used, number)
    }
}

impl ScanTable {
    /// An empty one of at most `scans_max` steps with `bytes_max` bytes of keys.
    pub fn new(scans_max: usize, bytes_max: usize, rng: Rng) -> Self {
        Self { scans_max, bytes_max, rng, steps: BTreeMap::new(), order: BTreeSet::new(), bytes: 0, uses: 0 }
    }

    /// A step is used, or passed: its client has shown that it has the next one.
    fn mark(&mut self, number: u64, is_last: bool) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        self.order.remove(&step.place(number));
        step.is_last = is_last;
        if is_last {
            self.uses += 1;
            step.used = self.uses;
        }
        self.order.insert(step.place(number));
    }

    fn draw(&mut self) -> u64 {
        loop {
            let number = self.rng.below(NUMBER_MASK) + 1;
            if !self.steps.contains_key(&number) {
                return number;
            }
        }
    }
}

impl Scans for ScanTable {
    fn find(&mut self, number: u64) -> Option<Vec<u8>> {
        let step = self.steps.get(&number)?;
        let (behind, from) = (step.behind.clone(), step.from);
        self.mark(number, true);
        if let Some(from) = from {
            self.mark(from, false);
        }
        Some(behind)
    }

    fn step(&mut self, from: Option<u64>, behind: Option<Vec<u8>>) -> u64 {
        let Some(behind) = behind else {
            if let Some(from) = from {
                self.mark(from, false);
            }
            return 0;
        };
        let number = self.draw();
        self.uses += 1;
        self.bytes += behind.len();
        let step = Step { behind, from, is_last: true, used: self.uses };
        self.order.insert(step.place(number));
        self.steps.insert(number, step);
        while self.steps.len() > 1 && (self.steps.len() > self.scans_max || self.bytes > self.bytes_max) {
            let Some((_, _, oldest)) = self.order.pop_first() else { break };
            if let Some(step) = self.steps.remove(&oldest) {
                self.bytes -= step.behind.len();
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::Rng;

    fn table(scans_max: usize, bytes_max: usize) -> ScanTable {
        ScanTable::new(scans_max, bytes_max, Rng::new(5))
    }

    #[test]
    fn a_fast_scan_does_not_have_a_slow_one_forgotten() {
        let mut table = table(8, 1_000);
        let slow = table.step(None, Some(b"slow".to_vec()));
        let mut fast = table.step(None, Some(b"0".to_vec()));
        let first = fast;
        for at in 1..1_000 {
            assert_eq!(table.find(fast).unwrap(), (at - 1).to_string().into_bytes());
            fast = table.step(Some(fast), Some(at.to_string().into_bytes()));
        }
        assert_eq!(table.find(first), None, "it was passed long ago");
        assert_eq!(table.find(slow).as_deref(), Some(&b"slow"[..]));
        assert_eq!(table.find(fast).as_deref(), Some(&b"999"[..]));
        assert_eq!(table.find(fast).as_deref(), Some(&b"999"[..]), "it may be asked for again");
        assert_eq!(table.step(Some(fast), None), 0);
        assert!(table.steps.len() <= 8);
    }

    #[test]
    fn the_oldest_scan_is_forgotten_when_there_are_too_many() {
        let mut table = table(3, 1_000);
        let all: Vec<u64> = (0..4).map(|at| table.step(None, Some(vec![at]))).collect();
        assert_eq!(table.find(all[0]), None);
        // The one that was used last is kept.
        assert_eq!(table.find(all[1]), Some(vec![1]));
        table.step(None, Some(vec![9]));
        assert_eq!((table.find(all[1]), table.find(all[2])), (Some(vec![1]), None));
    }

    #[test]
    fn keys_have_room_for_so_many_bytes() {
        let mut table = table(1_000, 200);
        let all: Vec<u64> = (0..4).map(|at| table.step(None, Some(vec![at; 70]))).collect();
        let found: Vec<bool> = all.iter().map(|number| table.find(*number).is_some()).collect();
        assert_eq!(found, [false, false, true, true]);
        assert_eq!(table.bytes, 140);
    }

    #[test]
    fn numbers_are_others_in_each_run_and_fit_floating_point() {
        let mut runs = [ScanTable::new(8, 8, Rng::new(1)), ScanTable::new(8, 8, Rng::new(2))];
        let numbers: Vec<u64> = runs.iter_mut().map(|table| table.step(None, Some(vec![1]))).collect();
        assert_eq!(runs[1].find(numbers[0]), None);
        let cursor = cursor_of(255, NUMBER_MASK);
        assert_eq!(cursor, (1 << 53) - 1);
        assert_eq!((mark_of(cursor), number_of(cursor)), (255, NUMBER_MASK));
    }

    #[test]
    fn each_node_has_a_mark_of_its_own_that_is_the_same_everywhere() {
        let names: Vec<String> = (0..64).map(|at| format!("node-{at}")).collect();
        let told = marks(names.iter().map(String::as_str));
        let all: BTreeSet<u8> = told.values().copied().collect();
        assert!(all.len() == 64 && !all.contains(&0));
        assert_eq!(told, marks(names.iter().rev().map(String::as_str)));
        assert_eq!(marks(["a", "b", "c"]).into_values().collect::<Vec<_>>(), FROZEN);
    }

    /// Nodes of different releases have to agree.
    const FROZEN: [u8; 3] = [185, 186, 157];

    proptest! {
        /// Whatever is done, bounds hold, and what is found is what was put there.
        #[test]
        fn what_is_found_is_right(does in prop::collection::vec((0_usize..40, any::<bool>()), 1..200)) {
            let mut table = table(10, 100);
            let mut given: Vec<(u64, Vec<u8>)> = Vec::new();
            for (at, (which, goes_on)) in does.into_iter().enumerate() {
                let key = at.to_string().into_bytes();
                let from = given.get(which).filter(|_| goes_on).cloned();
                let number = match from {
                    None => table.step(None, Some(key.clone())),
                    Some((from, expected)) => match table.find(from) {
                        None => continue,
                        Some(found) => {
                            prop_assert_eq!(found, expected);
                            table.step(Some(from), Some(key.clone()))
                        }
                    },
                };
                given.push((number, key));
                prop_assert!(table.steps.len() <= 10 && table.bytes <= 100);
                prop_assert_eq!(table.order.len(), table.steps.len());
                prop_assert_eq!(table.bytes, table.steps.values().map(|step| step.behind.len()).sum::<usize>());
                prop_assert!(table.steps.contains_key(&number));
            }
        }
    }
}
