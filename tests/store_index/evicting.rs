//! Making room: keys that are used stay, those next due go first, and replicas that only apply agree.

use trimtab::rng::Rng;
use trimtab::store::index::evict::{Eviction, Uses, footprint, shortage, victims};
use trimtab::store::index::{
    Answer, Command, Condition, Index, Lifetime, Operation, Options, Removed, Settings, Step, Timestamp,
};

struct Primary {
    index: Index,
    /// Applies what the primary has logged.
    replica: Index,
    sequence: u64,
    time: Timestamp,
}

impl Primary {
    fn new(memory_max: u64) -> Self {
        let (index, replica) = (Index::new(&Options::default()), Index::new(&Options::default()));
        let mut primary = Self { index, replica, sequence: 0, time: Timestamp::from_millis(1_000) };
        primary.log(Operation::Configure(Settings { memory_max, ..Settings::default() }));
        primary
    }

    fn log(&mut self, operation: Operation<'_>) -> Answer {
        let mut encoded = Vec::new();
        Command { time: self.time, request: None, operation }.encode(&mut encoded);
        self.sequence += 1;
        let outcome = self.index.apply(self.sequence, &encoded).unwrap();
        assert_eq!(self.replica.apply(self.sequence, &encoded).unwrap(), outcome);
        assert_eq!(self.index.state().hash(), self.replica.state().hash());
        outcome.answer.unwrap()
    }

    fn put(&mut self, key: &[u8], value: &[u8], lifetime: Lifetime) {
        let condition = Condition::Always;
        self.log(Operation::Step(Step::Put { key, value, condition, lifetime, previous: false }));
    }

    /// Has keys taken out until a new one of this size fits; how many.
    fn make_room(&mut self, eviction: Eviction, uses: &Uses, growth: u64, rng: &mut Rng) -> u64 {
        let mut count = 0;
        loop {
            let shortage = shortage(self.index.state(), growth);
            if shortage == 0 {
                return count;
            }
            let keys = victims(self.index.state(), eviction, uses, shortage, 100, |_| false, rng);
            assert!(!keys.is_empty(), "there is something to take");
            let keys = keys.iter().map(|(key, version)| (key.as_slice(), *version)).collect();
            let Answer::Evicted { keys } = self.log(Operation::Evict { keys }) else { panic!("it evicts") };
            count += keys;
        }
    }
}

#[test]
fn what_is_used_stays() {
    let mut rng = Rng::new(1);
    let mut primary = Primary::new(200_000);
    let uses = Uses::new(4_096, primary.time);
    primary.log(Operation::LeaseGrant { id: 9, ttl_ms: 1_000_000 });
    primary.put(b"lock", b"mine", Lifetime::Lease(9));
    let value = [b'v'; 100];
    let mut evicted = 0;
    for n in 0..5_000u32 {
        let key = format!("key:{n:06}").into_bytes();
        primary.time = primary.time.saturating_add(16);
        evicted += primary.make_room(Eviction::Lru, &uses, footprint(key.len(), 100, false), &mut rng);
        primary.put(&key, &value, Lifetime::Unbounded);
        uses.note(&key, primary.time);
        // The first fifty are read all the time.
        let hot = format!("key:{:06}", n % 50).into_bytes();
        uses.note(&hot, primary.time);
    }
    let state = primary.index.state();
    assert!(state.memory() <= 200_000 && evicted > 3_500, "{evicted}");
    assert_eq!(state.removed(), Removed { expired: 0, evicted });
    let is_there = |n: u32| state.get(format!("key:{n:06}").as_bytes(), primary.time).is_some();
    let hot = (0..50).filter(|n| is_there(*n)).count();
    let old = (50..2_000).filter(|n| is_there(*n)).count();
    assert!(hot >= 48 && old < 60, "{hot} of 50 that are used, {old} that are not");
    assert!(state.get(b"lock", primary.time).is_some(), "keys of leases stay");
}

#[test]
fn the_next_due_goes_first_and_others_stay() {
    let mut rng = Rng::new(2);
    let mut primary = Primary::new(65_536);
    let uses = Uses::new(16, primary.time);
    for n in 0..200u64 {
        let lifetime = if n % 2 == 0 {
            Lifetime::Until(Timestamp::from_millis(1_000_000 - n))
        } else {
            Lifetime::Unbounded
        };
        primary.put(format!("key:{n:04}").as_bytes(), &[b'v'; 100], lifetime);
    }
    let before = primary.index.state().keys_with_deadline();
    let count = primary.make_room(Eviction::Ttl, &uses, 30_000, &mut rng);
    let state = primary.index.state();
    assert!(count > 0 && state.keys_with_deadline() == before - count && state.len() == 200 - count);
    let next = state.next_deadline().unwrap().as_millis();
    assert_eq!(next, 1_000_000 - (198 - 2 * count));
    assert!(victims(state, Eviction::Refuse, &uses, u64::MAX, 100, |_| false, &mut rng).is_empty());
    let all = victims(state, Eviction::Ttl, &uses, u64::MAX, usize::MAX, |_| false, &mut rng);
    assert_eq!(all.len() as u64, state.keys_with_deadline());
}

#[test]
fn a_key_that_changed_since_it_was_chosen_stays() {
    let mut primary = Primary::new(0);
    primary.put(b"a", b"1", Lifetime::Unbounded);
    primary.put(b"b", b"1", Lifetime::Unbounded);
    let uses = Uses::new(16, primary.time);
    let chosen =
        victims(primary.index.state(), Eviction::Lru, &uses, u64::MAX, 10, |_| false, &mut Rng::new(3));
    assert_eq!(chosen.len(), 2);
    primary.put(b"a", b"2", Lifetime::Unbounded);
    let keys = chosen.iter().map(|(key, version)| (key.as_slice(), *version)).collect();
    assert_eq!(primary.log(Operation::Evict { keys }), Answer::Evicted { keys: 1 });
    assert!(primary.index.state().get(b"a", primary.time).is_some());
}
