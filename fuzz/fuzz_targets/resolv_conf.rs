//! The system's files, whatever they hold: what is read is in range, and names are completed to names.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::discovery::domain::{DomainName, NAME_MAX};
use trimtab::discovery::hosts::{ADDRESSES_MAX, Hosts};
use trimtab::discovery::name::{GivenName, Source};
use trimtab::discovery::resolv_conf::Resolvers;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    parts: Vec<Part<'a>>,
    name: &'a str,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Any(&'a [u8]),
    Word(u8),
    Number(u64),
    Repeat(u8, u8),
}

const WORDS: [&str; 24] = [
    "\n",
    "nameserver ",
    "search ",
    "domain ",
    "options ",
    "ndots:",
    "timeout:",
    "attempts:",
    "rotate ",
    "use-vc ",
    "no-aaaa ",
    "edns0 ",
    "10.0.0.1",
    "::1",
    "fe80::1%eth0",
    "fe80::1%",
    "one.test",
    "two.test.",
    "app",
    " ",
    "#",
    ";",
    "\t",
    ".",
];

fuzz_target!(|run: Run<'_>| {
    let mut text = Vec::new();
    for part in run.parts {
        let word = |index: u8| WORDS[usize::from(index) % WORDS.len()].as_bytes();
        match part {
            Part::Any(any) => text.extend_from_slice(any),
            Part::Word(index) => text.extend_from_slice(word(index)),
            Part::Number(number) => text.extend_from_slice(number.to_string().as_bytes()),
            Part::Repeat(index, times) => text.extend_from_slice(&word(index).repeat(usize::from(times))),
        }
    }
    let resolvers = Resolvers::parse(&text, |zone| (zone == "eth0").then_some(2));
    resolvers.check().expect("what is read is in range");
    let hosts = Hosts::parse(&text);
    for name in [run.name, "app", "one.test", "localhost"] {
        let Ok(given) = GivenName::parse(name) else { continue };
        let candidates = given.candidates(&resolvers.search, resolvers.ndots);
        assert!((1..=resolvers.search.len() + 1).contains(&candidates.len()));
        assert!(candidates.contains(given.name()));
        for candidate in candidates {
            let text = candidate.to_string();
            assert!(text.len() <= NAME_MAX && DomainName::parse(&text).as_ref() == Ok(&candidate));
            assert!(hosts.lookup(&candidate).len() <= ADDRESSES_MAX);
        }
    }
    match run.name.parse::<Source>() {
        Ok(source) => assert_eq!(source.to_string().parse(), Ok(source)),
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
    }
});
