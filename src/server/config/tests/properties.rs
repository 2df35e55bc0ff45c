//! Whatever the text: no panic, and places that exist.

use proptest::prelude::*;

use super::BASE;
use crate::balance;
use crate::error::Error;
use crate::server::config::{Config, excerpt};

/// What holds of any text: an answer, whose problems are in the text, in order and in one line each, or whose
/// pools can be built.
fn check(text: &str) {
    match Config::parse(text, "t") {
        Ok(config) => {
            assert!(!config.listeners.is_empty() && (1..=64).contains(&config.runtime.workers));
            for listener in &config.listeners {
                assert!(listener.pool < config.pools.len());
            }
            for pool in config.pools {
                let built = balance::Pool::new(pool.options).expect("the options were checked");
                built.add_all(&pool.backends).expect("the backends were checked");
            }
        }
        Err(Error::Config(problems)) => {
            assert!(!problems.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in &problems {
                let one_line = problem.to_string();
                assert_eq!(one_line.lines().count(), 1, "{one_line:?}");
                assert!(one_line.len() < 4096, "{one_line}");
                let shown = excerpt(text, problem);
                if problem.line == 0 {
                    assert_eq!((problem.column, &*shown), (0, ""));
                    continue;
                }
                let line = lines.get(problem.line as usize - 1).expect("the line exists");
                assert!((1..=line.chars().count() + 1).contains(&(problem.column as usize)), "{problem:?}");
                assert_eq!(shown.lines().count(), 2, "{shown:?}");
            }
            let places: Vec<_> = problems
                .iter()
                .take(crate::server::config::PROBLEMS_MAX)
                .map(|problem| (problem.line, problem.column))
                .collect();
            assert!(places.is_sorted(), "{places:?}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Lines that are right, wrong and nearly right.
fn line() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "name",
        "bind",
        "pool",
        "mode",
        "maxconn",
        "backlog",
        "proxy_protocol",
        "abort_on_close",
        "timeouts",
        "timeouts.idle",
        "policy",
        "hash",
        "bounded_load",
        "blend",
        "gain",
        "history",
        "floor",
        "tick",
        "stale",
        "decay",
        "seed",
        "queue_max",
        "retry.attempts",
        "retry.budget",
        "retries_max",
        "connection_rate",
        "pending_max",
        "adaptive",
        "adaptive.max",
        "on_down",
        "address",
        "weight",
        "backup",
        "tier",
        "admin",
        "workers",
        "tls",
        "listener",
        "\"\\u00e9\"",
        "a.b.c",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "\"web\"",
            "\"app\"",
            "\"127.0.0.1:80\"",
            "\"127.0.0.1:0\"",
            "\"unix:@a\"",
            "\":80\"",
            "\"hash\"",
            "\"ring\"",
            "\"drain\"",
            "\"5s\"",
            "\"0s\"",
            "true",
            "0",
            "1",
            "-1",
            "1.5",
            "nan",
            "1e308",
            "1979-05-27",
            "{}",
            "[]",
            "[{}]",
            "{ idle = \"1s\" }",
            "\"\"\"\né\"\"\"",
            "0x",
            "5s",
        ])
        .prop_map(str::to_string),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[0-9]{1,4}(ms|s|m|h|d)".prop_map(|text| format!("{text:?}")),
        ".{0,20}".prop_map(|text| format!("{text:?}")),
    ];
    let headers = prop::sample::select(vec![
        "[[listener]]",
        "[[pool]]",
        "[[pool.backend]]",
        "[listener.timeouts]",
        "[admin]",
        "[runtime]",
        "[store]",
        "[pool]",
        "[[pool.backend.x]]",
        "# comment",
        "",
    ]);
    prop_oneof![
        3 => (keys, values).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => headers.prop_map(str::to_string),
    ]
}

proptest! {
    #[test]
    fn any_text(text in "(?s).{0,200}") {
        check(&text);
    }

    #[test]
    fn any_text_of_toml_s_own_characters(text in r#"[a.="'\[\]{},#\\\n\r 0-9é-]{0,60}"#) {
        check(&text);
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(line(), 0..25), base in any::<bool>()) {
        let lines = lines.join("\n");
        check(&if base { format!("{BASE}{lines}") } else { lines });
    }

    #[test]
    fn a_good_text_with_something_cut_or_put_in(
        at in 0..200usize,
        cut in 0..4usize,
        put in r#"[\[\]{}="'.\na0é]{0,3}"#,
    ) {
        let text = format!("{BASE}[[pool.backend]]\naddress = \"10.0.0.1:80\"\nweight = 5\n[admin]\nbind = \"unix:@a\"\n");
        let mut characters: Vec<char> = text.chars().collect();
        let start = at.min(characters.len());
        let end = (start + cut).min(characters.len());
        characters.splice(start..end, put.chars());
        check(&characters.into_iter().collect::<String>());
    }
}
