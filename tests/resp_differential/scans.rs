//! Whole scans: the keys they find.

use std::collections::BTreeSet;

use trimtab::rng::Rng;

use crate::client::Client;
use crate::local::Local;
use crate::{elements, encoded, words};

/// One step: the cursor to go on with, and what was found.
fn step(answer: &[u8]) -> (String, Vec<Vec<u8>>) {
    let parts = elements(answer);
    let [cursor, found] = &parts[..] else { panic!("{}", answer.escape_ascii()) };
    let text = String::from_utf8_lossy(cursor);
    let cursor = text.split("\r\n").nth(1).expect("a cursor is a string").to_owned();
    (cursor, elements(found))
}

fn whole(options: &str, mut ask: impl FnMut(&[u8]) -> Vec<u8>) -> (BTreeSet<Vec<u8>>, usize) {
    let (mut cursor, mut all, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let answer = ask(&encoded(&words(&format!("SCAN {cursor}{options}"))));
        let (next, found) = step(&answer);
        all.extend(found);
        cursor = next;
        steps += 1;
        if cursor == "0" {
            return (all, steps);
        }
    }
}

/// Both find the same keys, however many at a time.
pub(crate) fn compare(theirs: &mut Client, local: &mut Local, ours: u64, rng: &mut Rng, now: u64) {
    let filters = [
        "",
        " TYPE hash",
        " TYPE string",
        " TYPE list",
        " MATCH [a-c]",
        " MATCH h*",
        " MATCH *",
        " MATCH **",
    ];
    let filter = filters[rng.below(filters.len() as u64) as usize];
    let options = format!(" COUNT {}{filter}", 1 + rng.below(4));
    let (expected, _) = whole(&options, |request| theirs.ask(request).0);
    let (found, _) = whole(&options, |request| local.ask(ours, request, now));
    let shown = |keys: &BTreeSet<Vec<u8>>| {
        keys.iter().map(|key| key.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown(&found), shown(&expected), "SCAN{options}, ours first");
}

/// Hundreds of keys, of which some come and go meanwhile: what is there all the time is found by both.
#[test]
fn keys_that_stay_are_found_by_both() {
    let redis = crate::redis::Redis::start();
    let mut theirs = Client::connect(&redis);
    let mut local = Local::new(trimtab::resp::Options::default());
    let ours = local.connect();
    for at in 0..400 {
        let request = encoded(&words(&format!("SET key{at} v")));
        theirs.ask(&request);
        local.ask(ours, &request, 0);
    }
    let mut turns = [0, 0];
    let (expected, steps) = whole(" COUNT 7", |request| {
        turns[0] += 1;
        theirs.ask(&encoded(&words(&format!("DEL key{}", turns[0] % 100))));
        theirs.ask(&encoded(&words(&format!("SET new{} v", turns[0]))));
        theirs.ask(request).0
    });
    let (found, own_steps) = whole(" COUNT 7", |request| {
        turns[1] += 1;
        local.ask(ours, &encoded(&words(&format!("DEL key{}", turns[1] % 100))), 0);
        local.ask(ours, &encoded(&words(&format!("SET new{} v", turns[1]))), 0);
        local.ask(ours, request, 0)
    });
    assert!(steps > 10 && own_steps > 10);
    for at in 100..400 {
        let name = format!("key{at}");
        let key = format!("${}\r\n{name}\r\n", name.len()).into_bytes();
        assert!(expected.contains(&key) && found.contains(&key), "key{at}");
    }
}
