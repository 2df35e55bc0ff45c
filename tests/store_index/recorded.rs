//! The encoding is frozen: `tests/data/store-v1` has commands and a snapshot as version 1 writes them, and what
//! every later version must read them as.

use trimtab::store::index::snapshot::{SnapshotReader, SnapshotWriter};
use trimtab::store::index::{
    Command, Comparison, Condition, Index, Lifetime, LifetimeCondition, Malformed, OnRefusal, Operand,
    Operation, Options, Range, Relation, RequestId, Settings, Step, Timestamp, Transaction,
};

const COMMANDS: &str = include_str!("../data/store-v1/commands.txt");
const SNAPSHOT: &str = include_str!("../data/store-v1/snapshot.txt");

fn commands() -> Vec<(&'static str, Command<'static>)> {
    let time = Timestamp::from_millis(1_700_000_000_000);
    let step = |step| Command { time, request: None, operation: Operation::Step(step) };
    let other = |operation| Command { time, request: None, operation };
    let put = |condition, lifetime, previous| Step::Put {
        key: b"key",
        value: b"value",
        condition,
        lifetime,
        previous,
    };
    let until = Lifetime::Until(Timestamp::from_millis(1_700_000_060_000));
    let range = Range { start: b"a", end: Some(b"b") };
    let set = |lifetime, condition| Step::SetLifetime { key: b"key", lifetime, condition };
    let comparison = |relation, operand| Comparison { key: b"key", relation, operand };
    let request = Some(RequestId { client: *b"0123456789abcdef", number: 300 });
    vec![
        ("lease-grant", other(Operation::LeaseGrant { id: 7, ttl_ms: 30_000 })),
        ("put", step(put(Condition::Always, Lifetime::Unbounded, false))),
        ("put-absent-keep", step(put(Condition::Absent, Lifetime::Keep, false))),
        ("put-present-until", step(put(Condition::Present, until, true))),
        ("put-version-lease", step(put(Condition::Version(2), Lifetime::Lease(7), false))),
        ("increment-request", Command { request, ..step(Step::Increment { key: b"n", by: 1 }) }),
        ("delete", step(Step::Delete { key: b"", condition: Condition::Always, previous: true })),
        ("increment", step(Step::Increment { key: b"n", by: i64::MIN + 1 })),
        ("append", step(Step::Append { key: b"key", value: b" and more" })),
        ("lifetime-always", step(set(Lifetime::Unbounded, LifetimeCondition::Always))),
        ("lifetime-no-deadline", step(set(until, LifetimeCondition::NoDeadline))),
        ("lifetime-deadline", step(set(until, LifetimeCondition::Deadline))),
        ("lifetime-later", step(set(until, LifetimeCondition::Later))),
        ("lifetime-earlier", step(set(until, LifetimeCondition::Earlier))),
        ("delete-range", step(Step::DeleteRange { range, limit: 3 })),
        ("get", step(Step::Get { key: b"key" })),
        ("range", step(Step::Range { range: Range::ALL, limit: 0, reverse: true })),
        (
            "transaction",
            other(Operation::Transaction(Transaction {
                conditions: vec![
                    comparison(Relation::Equal, Operand::Version(4)),
                    comparison(Relation::NotEqual, Operand::Created(1)),
                    comparison(Relation::Less, Operand::Changes(9)),
                    comparison(Relation::Greater, Operand::Lease(6)),
                    comparison(Relation::Greater, Operand::Value(b"v")),
                ],
                then: vec![Step::Get { key: b"key" }, Step::Append { key: b"log", value: b"then" }],
                otherwise: vec![Step::Append { key: b"log", value: b"otherwise" }],
                on_refusal: OnRefusal::Continue,
            })),
        ),
        ("lease-keep-alive", other(Operation::LeaseKeepAlive { id: 7 })),
        ("expire", other(Operation::Expire { limit: 1_000 })),
        ("evict", other(Operation::Evict { keys: vec![(b"a", 1), (b"b", 200)] })),
        ("configure", other(Operation::Configure(Settings { memory_max: 1 << 20, ..Settings::default() }))),
        (
            "large",
            step(Step::Put {
                key: b"large",
                value: &[b'x'; 1_025],
                condition: Condition::Always,
                lifetime: until,
                previous: false,
            }),
        ),
        ("lease-grant-2", other(Operation::LeaseGrant { id: 8, ttl_ms: 1 })),
        ("lease-revoke", other(Operation::LeaseRevoke { id: 8 })),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn commands_are_written_and_read_as_ever() {
    let mut written = String::new();
    for (name, command) in commands() {
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        written += &format!("{name} {}\n", hex(&encoded));
    }
    assert_eq!(written, COMMANDS, "\n{written}");
    for (line, (name, command)) in COMMANDS.lines().zip(commands()) {
        let encoded = unhex(line.strip_prefix(name).expect("the names are in order").trim());
        assert_eq!(Command::decode(&encoded, &Settings::default()), Ok(command), "{name}");
        // Whatever is cut off is missed, and nothing may be added.
        for len in 0..encoded.len() {
            Command::decode(&encoded[..len], &Settings::default()).unwrap_err();
        }
        let longer = [encoded.as_slice(), b"\0"].concat();
        assert_eq!(Command::decode(&longer, &Settings::default()), Err(Malformed::Trailing), "{name}");
    }
}

#[test]
fn what_commands_lead_to_is_what_it_ever_was() {
    let mut index = Index::new(&Options::default());
    for (line, sequence) in COMMANDS.lines().zip(1..) {
        let encoded = unhex(line.split_once(' ').expect("name and bytes").1);
        index.apply(sequence, &encoded).unwrap();
    }
    index.publish();
    let mut chunk = Vec::new();
    assert!(SnapshotWriter::new(index.reader().view()).next_chunk(usize::MAX, &mut chunk));
    let written = format!("hash {:032x}\nsnapshot {}\n", index.state().hash(), hex(&chunk));
    assert_eq!(written, SNAPSHOT, "\n{written}");
    let recorded =
        SNAPSHOT.lines().nth(1).and_then(|line| line.strip_prefix("snapshot ")).expect("two lines");
    let mut reader = SnapshotReader::new();
    reader.chunk(&unhex(recorded)).unwrap();
    let state = reader.finish().unwrap();
    assert_eq!((state.hash(), state.memory()), (index.state().hash(), index.state().memory()));
    assert!(state.len() >= 3 && state.lease_count() == 1 && state.client_count() == 1);
}

#[test]
fn limits_and_ranges_are_kept() {
    let time = Timestamp::default();
    let key = vec![b'k'; 65_537];
    let decode = |operation, settings: &Settings| {
        let mut encoded = Vec::new();
        Command { time, request: None, operation }.encode(&mut encoded);
        Command::decode(&encoded, settings)
            .map(|_| ())
            .inspect_err(|error| assert_eq!(error.to_string().lines().count(), 1))
    };
    let defaults = Settings::default();
    assert_eq!(decode(Operation::Step(Step::Get { key: &key[1..] }), &defaults), Ok(()));
    assert_eq!(
        decode(Operation::Step(Step::Get { key: &key }), &defaults),
        Err(Malformed::TooLarge { what: "key_max", limit: 65_536 })
    );
    let few = Settings { operations_max: 2, value_max: 4, ..defaults };
    let transaction = |conditions: usize, then: usize, otherwise: usize| {
        let comparison = Comparison { key: b"k", relation: Relation::Equal, operand: Operand::Version(0) };
        Operation::Transaction(Transaction {
            conditions: vec![comparison; conditions],
            then: vec![Step::Get { key: b"k" }; then],
            otherwise: vec![Step::Get { key: b"k" }; otherwise],
            on_refusal: OnRefusal::Abort,
        })
    };
    let too_many = Err(Malformed::TooLarge { what: "operations_max", limit: 2 });
    assert_eq!(decode(transaction(0, 1, 1), &few), Ok(()));
    assert_eq!(decode(transaction(1, 1, 1), &few), too_many);
    assert_eq!(decode(transaction(3, 0, 0), &few), too_many);
    assert_eq!(decode(Operation::Evict { keys: vec![(b"k", 1); 3] }, &few), too_many);
    let append = Operation::Step(Step::Append { key: b"k", value: b"12345" });
    assert_eq!(decode(append, &few), Err(Malformed::TooLarge { what: "value_max", limit: 4 }));
    for (operation, what, value) in [
        (Operation::LeaseGrant { id: 0, ttl_ms: 1 }, "lease", 0),
        (Operation::LeaseGrant { id: 1, ttl_ms: 0 }, "ttl_ms", 0),
        (Operation::LeaseGrant { id: 1, ttl_ms: (1 << 48) + 1 }, "ttl_ms", (1 << 48) + 1),
        (Operation::LeaseRevoke { id: 0 }, "lease", 0),
        (Operation::Configure(Settings { memory_max: 65_535, ..defaults }), "memory_max", 65_535),
        (Operation::Configure(Settings { value_max: 0, ..defaults }), "value_max", 0),
        (Operation::Configure(Settings { operations_max: 0, ..defaults }), "operations_max", 0),
        (Operation::Configure(Settings { clients_max: 0, ..defaults }), "clients_max", 0),
        (Operation::Configure(Settings { client_bytes_max: 1, ..defaults }), "client_bytes_max", 1),
    ] {
        assert_eq!(decode(operation, &defaults), Err(Malformed::OutOfRange { what, value }));
    }
    for (bytes, error) in [
        (&b""[..], Malformed::Cut { what: "version" }),
        (b"\x00", Malformed::Version { found: 0 }),
        (b"\x01\x02", Malformed::Unknown { what: "flags", found: 2 }),
        (b"\x01\x00\x80\x00\x07\x01k", Malformed::Cut { what: "time" }),
        (b"\x01\x00\x00\x99", Malformed::Unknown { what: "operation", found: 0x99 }),
        // No transaction in a transaction.
        (b"\x01\x00\x00\x10\x00\x00\x01\x10", Malformed::Unknown { what: "operation", found: 0x10 }),
        // A length beyond the end takes no memory.
        (b"\x01\x00\x00\x07\xff\xff\x03k", Malformed::Cut { what: "key" }),
    ] {
        assert_eq!(Command::decode(bytes, &defaults).unwrap_err(), error);
    }
}
