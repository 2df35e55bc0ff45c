//! Bytes of a node in pieces: its answers end at the same places however they are cut, and whatever is refused whole is
//! refused in pieces.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::split::{Fault, Scanner};

#[derive(Arbitrary, Debug)]
struct Run {
    cuts: Vec<u8>,
    bytes: Vec<u8>,
}

/// Where answers end, and what was refused.
fn ends(run: &Run, cuts: impl Iterator<Item = usize>) -> (Vec<usize>, Option<Fault>) {
    let mut scanner = Scanner::default();
    let (mut ends, mut at) = (Vec::new(), 0);
    for cut in cuts.chain([run.bytes.len()]) {
        while at < cut {
            match scanner.scan(&run.bytes[at..cut]) {
                Ok(scanned) => {
                    assert!(scanned.len > 0 && at + scanned.len <= cut);
                    assert!(scanned.is_whole || at + scanned.len == cut);
                    at += scanned.len;
                    if scanned.is_whole {
                        assert!(scanner.is_between());
                        ends.push(at);
                    }
                }
                Err(fault) => return (ends, Some(fault)),
            }
        }
    }
    (ends, None)
}

fuzz_target!(|run: Run| {
    let mut at = 0;
    let cuts = run.cuts.iter().map_while(|cut| {
        at += usize::from(*cut);
        (at < run.bytes.len()).then_some(at)
    });
    assert_eq!(ends(&run, cuts), ends(&run, std::iter::empty()));
});
