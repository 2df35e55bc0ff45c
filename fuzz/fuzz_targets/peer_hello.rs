//! Hellos and refusals of links between nodes: any bytes are one or none, and one reads back as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trimtab::peer::{Hello, Identity, Reason, Refusal, Roster, Side};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(refusal) = Refusal::decode(bytes) {
        assert_eq!(Refusal::decode(&refusal.encode()).expect("it was made here"), refusal);
    }
    let Ok(hello) = Hello::decode(bytes) else { return };
    let again = hello.encode();
    assert_eq!(Hello::decode(&again).expect("it was made here"), hello);
    let own = Identity {
        name: "db-2".parse().expect("a name"),
        cluster: Some([7; 16]),
        number: 2,
        boot: 5,
        address: "10.0.0.2:7400".parse().ok(),
    };
    let mut roster = Roster::new(own);
    roster.add("db-1".parse().expect("a name"), "10.0.0.1:7400".parse().ok(), 1).expect("it is right");
    roster.add("db-3".parse().expect("a name"), "10.0.0.3:7400".parse().ok(), 3).expect("it is right");
    roster.put_out(&"db-3".parse().expect("a name"));
    roster.set_generation(4);
    for side in [Side::Dialler, Side::Acceptor] {
        if let Err(refusal) = roster.judge(&hello, side) {
            assert_eq!(refusal.detail.lines().count(), 1);
            // Nobody is told that its generation is over but who is of an earlier one of this very cluster.
            if let Reason::OldGeneration { cluster, generation } = refusal.reason {
                assert_eq!((hello.cluster, generation), (Some(cluster), 4));
                assert!((1..4).contains(&hello.generation));
                assert!(hello.name.as_str() == "db-3" || hello.number == 3);
            }
        } else {
            assert!(hello.name.as_str() == "db-1" && hello.target.as_str() == "db-2");
        }
    }
});
