//! What is told of a request that was sent before: never that one was not done which was.

use trimtab::store::index::snapshot::{SnapshotReader, SnapshotWriter};
use trimtab::store::index::{
    Command, Condition, Index, Lifetime, Operation, Options, Recalled, RequestId, Settings, State, Step,
    Timestamp,
};

/// The hash of a state that has forgotten a client and does not show it, and its snapshot.
const SNAPSHOT: &str = include_str!("../data/store-v2/snapshot.txt");

struct Applied {
    index: Index,
    sequence: u64,
}

impl Applied {
    fn new(settings: Settings) -> Self {
        let mut it = Self { index: Index::new(&Options::default()), sequence: 0 };
        it.apply(None, Operation::Configure(settings));
        it
    }

    fn apply(&mut self, request: Option<RequestId>, operation: Operation<'_>) {
        self.sequence += 1;
        let command = Command { time: Timestamp::default(), request, operation };
        self.index.apply_command(self.sequence, &command).expect("the sequence rises");
    }

    fn put(&mut self, client: u8, number: u64, key: &[u8], value: &[u8]) {
        let step = Step::Put {
            key,
            value,
            condition: Condition::Always,
            lifetime: Lifetime::Unbounded,
            previous: true,
        };
        let request = (client > 0).then(|| request(client, number));
        self.apply(request, Operation::Step(step));
    }

    fn recall(&self, client: u8, number: u64) -> Recalled {
        self.index.state().recall(&request(client, number))
    }

    fn chunk(&mut self) -> Vec<u8> {
        self.index.publish();
        let mut chunk = Vec::new();
        assert!(SnapshotWriter::new(self.index.reader().view()).next_chunk(usize::MAX, &mut chunk));
        chunk
    }
}

fn request(client: u8, number: u64) -> RequestId {
    RequestId { client: [client; 16], number }
}

fn read(chunk: &[u8]) -> State {
    let mut reader = SnapshotReader::new();
    reader.chunk(chunk).unwrap();
    reader.finish().unwrap()
}

/// The version that a chunk says it has.
fn version(chunk: &[u8]) -> u8 {
    chunk[4]
}

#[test]
fn one_long_answer_that_was_forgotten_is_not_taken_for_nothing() {
    let mut it = Applied::new(Settings { client_bytes_max: 1_024, ..Settings::default() });
    it.put(0, 0, b"a", &[1; 600]);
    it.put(0, 0, b"b", &[1; 450]);
    assert_eq!(it.recall(1, 1), Recalled::NotDone);
    it.put(1, 1, b"a", b"new");
    assert!(matches!(it.recall(1, 1), Recalled::Done(_)));
    it.put(2, 1, b"b", b"new");
    assert!(it.index.state().client_bytes() < 512, "the long one is forgotten");
    assert_eq!(it.recall(1, 1), Recalled::Forgotten { lowest: 0 });
    assert!(matches!(it.recall(2, 1), Recalled::Done(_)));
}

/// A state in which a client was forgotten, and there is room for many more.
fn forgotten() -> Applied {
    let mut it = Applied::new(Settings { clients_max: 2, ..Settings::default() });
    for client in 1..=3 {
        it.put(client, 1, b"a", b"1");
    }
    assert_eq!(it.recall(1, 1), Recalled::Forgotten { lowest: 0 });
    it.apply(None, Operation::Configure(Settings::default()));
    it
}

#[test]
fn what_was_forgotten_stays_so_when_the_limit_is_raised() {
    let it = forgotten();
    assert_eq!(it.recall(1, 1), Recalled::Forgotten { lowest: 0 });
    assert_eq!(it.recall(2, 2), Recalled::NotDone, "it is known since before any was forgotten");
}

/// One that was forgotten, and has asked again, is known by what it asked from then on.
#[test]
fn who_was_forgotten_and_came_again_may_have_asked_before() {
    let mut it = forgotten();
    it.put(1, 2, b"a", b"2");
    assert!(matches!(it.recall(1, 2), Recalled::Done(_)));
    assert_eq!(it.recall(1, 1), Recalled::Forgotten { lowest: 2 });
    assert_eq!(it.recall(1, 3), Recalled::NotDone);
}

#[test]
fn what_was_forgotten_stays_so_in_a_snapshot() {
    let mut it = forgotten();
    let chunk = it.chunk();
    assert_eq!(version(&chunk), 2);
    let state = read(&chunk);
    assert_eq!(state.hash(), it.index.state().hash());
    assert_eq!(state.recall(&request(1, 1)), Recalled::Forgotten { lowest: 0 });
    // And in what follows from it.
    let mut index = Index::from_state(state, &Options::default());
    index.publish();
    let mut again = Vec::new();
    assert!(SnapshotWriter::new(index.reader().view()).next_chunk(usize::MAX, &mut again));
    assert_eq!(again, chunk);
}

/// Where the state says it by itself, and where there is nothing to say, releases that know version 1 only read the snapshot.
#[test]
fn version_1_is_written_where_it_says_all() {
    let mut few = Applied::new(Settings { clients_max: 2, ..Settings::default() });
    few.put(1, 1, b"a", b"1");
    assert_eq!(few.recall(9, 1), Recalled::NotDone);
    let chunk = few.chunk();
    assert_eq!((version(&chunk), read(&chunk).recall(&request(9, 1))), (1, Recalled::NotDone));
    for client in 2..=3 {
        few.put(client, 1, b"a", b"1");
    }
    let chunk = few.chunk();
    assert_eq!(version(&chunk), 1);
    let mut index = Index::from_state(read(&chunk), &Options::default());
    let raise = Command {
        time: Timestamp::default(),
        request: None,
        operation: Operation::Configure(Settings::default()),
    };
    index.apply_command(few.sequence + 1, &raise).unwrap();
    assert_eq!(index.state().recall(&request(1, 1)), Recalled::Forgotten { lowest: 0 });
}

#[test]
fn version_2_is_what_it_ever_was() {
    let mut it = forgotten();
    let hex: String = it.chunk().iter().map(|byte| format!("{byte:02x}")).collect();
    let written = format!("hash {:032x}\nsnapshot {hex}\n", it.index.state().hash());
    assert_eq!(written, SNAPSHOT, "\n{written}");
}
