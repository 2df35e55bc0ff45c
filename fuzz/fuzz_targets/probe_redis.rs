//! Replies of Redis, with a password and a role to ask for and without.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::health::probe::redis::{Options, Redis};
use trimtab::health::{Kind, Progress};

#[path = "../common/dialogue.rs"]
mod dialogue;
#[path = "../common/words.rs"]
mod words;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    has_password: bool,
    role: bool,
    parts: Vec<words::Part<'a>>,
    cuts: dialogue::Cuts,
}

const WORDS: &str = "+OK¶|+PONG¶|-NOAUTH no¶|-LOADING¶|*|$|:|-1|¶|*3¶|*5¶|$6¶master¶|$5¶slave¶|:12¶|*0¶|$1¶h¶|\
                     $9¶connected¶|*1¶|$-1¶|$8¶sentinel¶|*-1¶";

fuzz_target!(|run: Run<'_>| {
    let password = run.has_password.then(|| "secret".into());
    let options = Options { user: None, password, role: run.role };
    let kind = Kind::Redis(Arc::new(Redis::new(&options).expect("it is right")));
    let answer = dialogue::check(&kind, &words::text(&run.parts, WORDS), &run.cuts, true);
    if let Progress::Good(facts) = answer {
        assert_eq!(facts.role.is_some(), run.role);
    }
});
