//! What the parts make of whole texts.

#[cfg(feature = "replication")]
mod cluster;
mod errors;
mod members;
mod properties;
#[cfg(feature = "store")]
mod store;
mod values;

use crate::error::Error;
use crate::server::config::Config;

/// The configuration `text` gives; told why when it gives none.
fn good(text: &str) -> Config {
    Config::parse(text, "t").unwrap_or_else(|error| panic!("{error:#?}\n{text}"))
}

/// What is told of `text`, one problem a line.
fn told(text: &str) -> Vec<String> {
    match Config::parse(text, "t") {
        Ok(config) => panic!("taken: {config:#?}\n{text}"),
        Err(Error::Config(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

/// A listener and a pool, complete, in seven lines; more of the pool can follow.
const BASE: &str = "\
[[listener]]
name = \"web\"
bind = \"127.0.0.1:8080\"
pool = \"app\"

[[pool]]
name = \"app\"
";

/// [`BASE`] with `lines` in the listener, from line 2 on.
fn listener(lines: &str) -> String {
    BASE.replacen("[[listener]]\n", &format!("[[listener]]\n{lines}\n"), 1)
}

/// [`BASE`] with `lines` in the pool, from line 8 on.
fn pool(lines: &str) -> String {
    format!("{BASE}{lines}\n")
}

/// [`BASE`] with a backend, whose header is line 8, with `lines` from line 9 on.
fn backend(lines: &str) -> String {
    format!("{BASE}[[pool.backend]]\n{lines}\n")
}
