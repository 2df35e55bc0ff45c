//! Members files: whatever the text, a pool can be built of what it lists, or it is refused with places that
//! exist and changes nothing.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::balance::{Options, Pool};
use trimtab::discovery::file::{MembersFile, PROBLEMS_MAX};
use trimtab::error::Error;

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Any(&'a str),
    Word(u8),
    Number(u64),
    Repeat(u8, u8),
    /// The file is looked at.
    Look,
}

const WORDS: [&str; 24] = [
    "\n",
    " ",
    "\t",
    "#",
    "empty",
    "10.0.0.1:80",
    "10.0.0.2:80",
    "[::1]:80",
    "unix:/a",
    "unix:@a",
    "app.test:80",
    "srv:_s._tcp.test",
    "10.0.0.1",
    " weight=",
    " maxconn=",
    " tier=",
    " backup=",
    " name=",
    " admin=",
    "true",
    "drain",
    "\r\n",
    "=",
    "\u{feff}",
];

fuzz_target!(|parts: Vec<Part<'_>>| {
    let mut file = MembersFile::new("members");
    let mut text = String::new();
    for part in parts.into_iter().chain([Part::Look]) {
        let word = |index: u8| WORDS[usize::from(index) % WORDS.len()];
        match part {
            Part::Any(any) => text.push_str(any),
            Part::Word(index) => text.push_str(word(index)),
            Part::Number(number) => text.push_str(&number.to_string()),
            Part::Repeat(index, times) => text.push_str(&word(index).repeat(usize::from(times))),
            Part::Look => look(&mut file, &text),
        }
    }
});

fn look(file: &mut MembersFile, text: &str) {
    let before = file.members().to_vec();
    match file.handle_text(text) {
        Ok(is_changed) => {
            assert_eq!(is_changed, before != file.members());
            let pool = Pool::new(Options { lanes: 1, picks_max: 1, ..Options::default() }).expect("in range");
            pool.add_all(file.members()).expect("what is taken can be added");
        }
        Err(Error::Config(problems)) => {
            assert_eq!(before, file.members());
            assert!((1..=PROBLEMS_MAX + 1).contains(&problems.len()));
            for problem in &problems {
                let told = problem.to_string();
                assert!(told.lines().count() == 1 && told.len() < 4096, "{told:?}");
                if problem.line == 0 {
                    assert_eq!(problem.column, 0);
                    continue;
                }
                let line = text.split('\n').nth(problem.line as usize - 1).expect("the line exists");
                assert!(
                    (1..=line.chars().count().max(1)).contains(&(problem.column as usize)),
                    "{problem:?}"
                );
            }
        }
        Err(other) => panic!("{other:?}"),
    }
}
