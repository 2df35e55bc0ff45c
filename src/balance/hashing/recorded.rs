//! Holds every placement against the outputs recorded in `tests/data/hashing-v1`. They are frozen: a
//! difference here moves the keys or the turns of everyone who upgrades.

use std::fmt::Write;

use crate::balance::draw::alias::Alias;
use crate::balance::draw::golden::Golden;
use crate::balance::draw::order::Order;
use crate::balance::hashing::Place;
use crate::balance::hashing::key::{hash32, hash64};
use crate::balance::hashing::maglev::Maglev;
use crate::balance::hashing::rendezvous::Rendezvous;
use crate::balance::hashing::ring::Ring;
use crate::rng::mix;

macro_rules! recorded {
    ($file:literal, $fresh:expr) => {
        compare($file, include_str!(concat!("../../../tests/data/hashing-v1/", $file)), &$fresh)
    };
}

#[test]
fn keys() {
    let mut text = String::from("# key (hex) | seed | hash64 | hash32\n");
    for len in [0, 1, 3, 4, 8, 9, 16, 17, 64, 128, 129, 240, 241, 1024, 1025, 5000] {
        let key: Vec<u8> = (0..len).map(|at| mix(at) as u8).collect();
        // Long keys are named by their length; byte `at` is the low byte of SplitMix64's mix of `at`.
        let shown = if len <= 17 { hex(&key) } else { format!("first {len} bytes") };
        for seed in [0, 1, u64::MAX] {
            writeln!(text, "{shown} | {seed} | {:016x} | {:08x}", hash64(&key, seed), hash32(&key))
                .expect(ENDLESS);
        }
    }
    recorded!("keys.txt", text);
}

#[test]
fn ring() {
    let mut text = String::new();
    for members in pools() {
        let ring = Ring::build(&places(&members));
        let evenly = (0..=0xffffu32).map(|step| ring.member(ring.locate(step << 16)));
        let owners = evenly.flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        heading(&mut text, &members);
        writeln!(text, "digest of the members at 0, 65536, ... {:016x}", hash64(&owners, 0)).expect(ENDLESS);
        for key in keys_to_place() {
            let member = ring.member(ring.locate(hash32(key.as_bytes()))) as usize;
            writeln!(text, "{key} | {}", members[member].0).expect(ENDLESS);
        }
    }
    recorded!("ring.txt", text);
}

#[test]
fn maglev() {
    let mut text = String::new();
    for members in pools() {
        for seed in [0, 42] {
            let maglev = Maglev::build(&places(&members), seed);
            let owners =
                (0..maglev.slots()).flat_map(|slot| maglev.member(slot).to_le_bytes()).collect::<Vec<_>>();
            heading(&mut text, &members);
            let digest = hash64(&owners, 0);
            writeln!(text, "seed {seed} | slots {} | digest {digest:016x}", maglev.slots()).expect(ENDLESS);
            for key in keys_to_place() {
                let slot = maglev.locate(hash64(key.as_bytes(), seed));
                let member = maglev.member(slot) as usize;
                writeln!(text, "{key} | {slot} | {}", members[member].0).expect(ENDLESS);
            }
        }
    }
    recorded!("maglev.txt", text);
}

#[test]
fn rendezvous() {
    let mut text = String::new();
    for members in pools() {
        for seed in [0, 42] {
            let rendezvous = Rendezvous::build(&places(&members), seed);
            heading(&mut text, &members);
            writeln!(text, "seed {seed} | key | member | bits of its score").expect(ENDLESS);
            for key in keys_to_place() {
                let hash = hash64(key.as_bytes(), seed);
                let best = rendezvous.best(hash, |_| true).expect("all are eligible");
                let score = rendezvous.score(hash, best).to_bits();
                writeln!(text, "{key} | {} | {score:016x}", members[best as usize].0).expect(ENDLESS);
            }
        }
    }
    recorded!("rendezvous.txt", text);
}

#[test]
fn order() {
    let mut text = String::from("# weights | exact | turns from position 0\n");
    for weights in WEIGHTS {
        let order = Order::build(weights);
        let turns = row((0..64).map(|position| order.at(position)));
        writeln!(text, "{weights:?} | {} | {turns}", order.is_exact()).expect(ENDLESS);
    }
    recorded!("order.txt", text);
}

#[test]
fn golden() {
    let mut text = String::from("# weights | turns from position 0 | at mix(0), mix(1), ...\n");
    for weights in WEIGHTS {
        let golden = Golden::from_weights(weights);
        let turns = row((0..64).map(|position| golden.at(position)));
        let far = row((0..64).map(|position| golden.at(mix(position))));
        writeln!(text, "{weights:?} | {turns} | {far}").expect(ENDLESS);
    }
    recorded!("golden.txt", text);
}

#[test]
fn alias() {
    let mut text = String::from("# weights | draws for mix(0), mix(1), ... | pairs from the same numbers\n");
    for weights in WEIGHTS {
        let alias = Alias::build(weights);
        let draws = row((0..64).map(|number| alias.draw(mix(number))));
        let mut number = 0;
        let mut random = || {
            number += 1;
            mix(number - 1)
        };
        let pairs = row((0..16).flat_map(|_| <[u32; 2]>::from(alias.draw_two(&mut random))));
        writeln!(text, "{weights:?} | {draws} | {pairs}").expect(ENDLESS);
    }
    recorded!("alias.txt", text);
}

const WEIGHTS: [&[u32]; 8] = [
    &[1],
    &[1, 1, 1],
    &[5, 1, 1],
    &[3, 2, 1, 1],
    &[65_535, 1],
    &[65_535, 2, 1],
    &[65_521, 65_519, 3],
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000, 20, 20, 20, 20, 7],
];

const ENDLESS: &str = "a string takes what memory holds";

/// Weights as they are written at the head of a table, over a list of names.
fn pools() -> Vec<Vec<(String, u32)>> {
    let pool = |count: u32, weight: fn(u32) -> u32| {
        (0..count).map(|n| (format!("10.0.{}.{}:80", n >> 8, n & 255), weight(n))).collect::<Vec<_>>()
    };
    let mixed =
        ["10.1.2.3:8080", "[2001:db8::7]:443", "/run/app.sock", "unix:/run/db.sock", "db.example:5432"];
    vec![
        pool(1, |_| 1),
        pool(3, |_| 1),
        pool(3, |n| [5, 1, 1][n as usize]),
        pool(40, |n| 1 + n % 7),
        pool(700, |_| 2),
        mixed.into_iter().zip(1..).map(|(name, weight)| (name.to_string(), weight)).collect(),
    ]
}

fn places(members: &[(String, u32)]) -> Vec<Place<'_>> {
    members.iter().map(|(name, weight)| Place { name: name.as_bytes(), weight: *weight }).collect()
}

fn keys_to_place() -> impl Iterator<Item = String> {
    (0..40).map(|number| format!("/key/{number}"))
}

fn heading(text: &mut String, members: &[(String, u32)]) {
    let shown = members.iter().take(5).map(|(name, weight)| format!("{name} {weight}")).collect::<Vec<_>>();
    let more = if members.len() > 5 { ", ..." } else { "" };
    writeln!(text, "# {} members: {}{more}", members.len(), shown.join(", ")).expect(ENDLESS);
}

fn row(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(file: &str, recorded: &str, fresh: &str) {
    let line =
        recorded.lines().zip(fresh.lines()).position(|(old, new)| old != new).map_or(0, |line| line + 1);
    assert!(recorded == fresh, "{file} differs, first in line {line} (0: in length); fresh text:\n{fresh}");
}
