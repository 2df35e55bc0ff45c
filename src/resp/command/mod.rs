//! The commands: a table for each family, and what runs them.
//!
//! | file | family |
//! |---|---|
//! | `string.rs` | strings and counters |
//! | `lcs.rs` | `LCS` |
//! | `generic.rs` | keys of any type, and scanning them |
//! | `expiry.rs` | deadlines |
//! | `hash.rs` | hashes |
//! | `pubsub.rs` | channels |
//! | `server.rs` | the connection, and what the server says of itself |
//! | `client.rs` | `CLIENT`, `CONFIG` and `COMMAND` |
//! | `replication.rs` | `ROLE`, `READONLY`, what `INFO` says of replication |
//! | `sentinel.rs` | `SENTINEL` |
//! | `blind.rs` | writes that need not read first |
//! | `route.rs` | which node a command is for |

pub(super) mod blind;
pub(super) mod client;
mod expiry;
mod generic;
mod hash;
mod lcs;
mod pubsub;
mod replication;
pub(super) mod route;
mod sentinel;
pub(super) mod server;
mod string;

use std::borrow::Cow;

pub(super) use self::server::NO_DEBUG;
use super::hub::Hub;
use super::keys::{Keys, Persistence};
use super::number::parse_integer;
use super::reply::Reply;
use super::world::{Failure, NOT_AN_INTEGER, World, fail};
use crate::store::index::{Timestamp, View};

/// The arguments of a request, the command's name first.
pub(super) type Args<'a> = &'a [&'a [u8]];

/// Reads and writes keys, and nothing else, so it may be run again.
pub(super) type Data = fn(&mut World<'_>, Args<'_>, &mut Reply<'_>) -> Result<(), Failure>;

/// Does something to the connection or the hub, once.
pub(super) type Session = fn(&mut Context<'_>, Args<'_>, &mut Reply<'_>) -> Result<(), Failure>;

/// Where a session's command is run.
pub(super) struct Context<'a> {
    pub(super) id: u64,
    pub(super) hub: &'a mut Hub,
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    /// For who tells of it.
    pub(super) persistence: Persistence,
}

/// What a command is to know of the disk: nothing, but for the one that tells of it.
pub(super) fn persistence(spec: &Spec, keys: &mut impl Keys) -> Persistence {
    if spec.name == "info" { keys.persistence() } else { Persistence::default() }
}

/// What runs a command.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Data(Data),
    Session(Session),
    /// The connection itself.
    Control(Control),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Wait,
    WaitAof,
    Quit,
    Reset,
    Trimtab,
}

/// Flags of a command, as `COMMAND` tells them.
pub(super) const WRITE: u16 = 1;
pub(super) const READONLY: u16 = 2;
pub(super) const DENYOOM: u16 = 4;
pub(super) const FAST: u16 = 8;
pub(super) const ADMIN: u16 = 16;
pub(super) const PUBSUB: u16 = 32;
pub(super) const NO_AUTH: u16 = 64;
pub(super) const LOADING: u16 = 128;
pub(super) const BLOCKING: u16 = 256;

/// Only done where the configuration allows it; not told by `COMMAND`.
pub(super) const GUARDED: u16 = 512;

/// Some of its subcommands ask something of all clients; not told by `COMMAND`.
pub(super) const ASKING: u16 = 1024;

/// Known in a cluster alone; not told by `COMMAND`.
pub(super) const MEMBER: u16 = 2048;

pub(super) const FLAGS: [(u16, &str); 9] = [
    (WRITE, "write"),
    (READONLY, "readonly"),
    (DENYOOM, "denyoom"),
    (FAST, "fast"),
    (ADMIN, "admin"),
    (PUBSUB, "pubsub"),
    (NO_AUTH, "no_auth"),
    (LOADING, "loading"),
    (BLOCKING, "blocking"),
];

/// A command.
pub(super) struct Spec {
    /// In small letters.
    pub(super) name: &'static str,
    /// How many arguments it has, its name among them; negative: at least so many.
    pub(super) arity: i32,
    pub(super) flags: u16,
    /// The first key, the last one (negative: counted from the end) and the way from one to the next; 0: no keys.
    pub(super) keys: (i32, i32, i32),
    pub(super) subcommands: &'static [(&'static str, i32)],
    pub(super) run: Run,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Spec {
    pub(super) const fn data(
        name: &'static str,
        arity: i32,
        flags: u16,
        keys: (i32, i32, i32),
        run: Data,
    ) -> Self {
        Self { name, arity, flags, keys, subcommands: &[], run: Run::Data(run) }
    }

    pub(super) const fn session(name: &'static str, arity: i32, flags: u16, run: Session) -> Self {
        Self { name, arity, flags, keys: (0, 0, 0), subcommands: &[], run: Run::Session(run) }
    }

    const fn control(name: &'static str, arity: i32, flags: u16, run: Control) -> Self {
        Self { name, arity, flags, keys: (0, 0, 0), subcommands: &[], run: Run::Control(run) }
    }

    const fn with(mut self, subcommands: &'static [(&'static str, i32)]) -> Self {
        self.subcommands = subcommands;
        self
    }

    pub(super) fn is_write(&self) -> bool {
        self.flags & WRITE != 0
    }

    /// The keys that a request names.
    pub(super) fn keys_of<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (first, last, step) = self.keys;
        let end = if last < 0 { args.len() as i32 + last } else { last };
        let (first, step, end) = match (usize::try_from(first), usize::try_from(step), usize::try_from(end)) {
            (Ok(first @ 1..), Ok(step @ 1..), Ok(end)) => (first, step, end),
            _ => (1, 1, 0),
        };
        (first..=end).step_by(step).filter_map(|at| args.get(at).copied())
    }

    /// The name of the subcommand that a request is for, if it has any.
    pub(super) fn subcommand(&self, args: Args<'_>) -> Option<&'static str> {
        let given = args.get(1).filter(|_| !self.subcommands.is_empty())?;
        self.subcommands.iter().map(|(name, _)| *name).find(|name| is(given, name))
    }
}

/// What `TRIMTAB` can do.
pub(super) const TRIMTAB: &[(&str, i32)] = &[("position", 2), ("after", -6), ("bound", -3)];

const CONTROL: &[Spec] = &[
    Spec::control("multi", 1, FAST | LOADING, Control::Multi),
    Spec::control("exec", 1, LOADING, Control::Exec),
    Spec::control("discard", 1, FAST | LOADING, Control::Discard),
    Spec { keys: (1, -1, 1), ..Spec::control("watch", -2, FAST | LOADING, Control::Watch) },
    Spec::control("unwatch", 1, FAST | LOADING, Control::Unwatch),
    Spec::control("wait", 3, BLOCKING, Control::Wait),
    Spec::control("waitaof", 4, BLOCKING, Control::WaitAof),
    Spec::control("quit", -1, FAST | LOADING | NO_AUTH, Control::Quit),
    Spec::control("reset", 1, FAST | LOADING | NO_AUTH, Control::Reset),
    Spec::control("trimtab", -2, LOADING, Control::Trimtab).with(TRIMTAB),
];

const FAMILIES: [&[Spec]; 11] = [
    CONTROL,
    string::TABLE,
    lcs::TABLE,
    generic::TABLE,
    expiry::TABLE,
    hash::TABLE,
    pubsub::TABLE,
    server::TABLE,
    client::TABLE,
    replication::TABLE,
    sentinel::TABLE,
];

/// All commands.
pub(super) fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.iter().copied().flatten()
}

/// The command with this name, in letters of any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Spec> {
    static SORTED: std::sync::LazyLock<Vec<(u128, &'static Spec)>> = std::sync::LazyLock::new(|| {
        let number = |spec: &Spec| number_of(spec.name.as_bytes()).expect("names are short");
        let mut sorted: Vec<_> = all().map(|spec| (number(spec), spec)).collect();
        sorted.sort_by_key(|(number, _)| *number);
        sorted
    });
    let number = number_of(name)?;
    let at = SORTED.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    // A name and the same with zeros behind it have the same number.
    Some(SORTED[at].1).filter(|spec| spec.name.len() == name.len())
}

/// A name of up to 16 bytes in small letters, as a number: compared at once.
fn number_of(name: &[u8]) -> Option<u128> {
    let mut bytes = [0; 16];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    bytes.make_ascii_lowercase();
    Some(u128::from_be_bytes(bytes))
}

/// The command that a request is for, or what is wrong with its name or the number of its arguments.
pub(super) fn of_request(args: Args<'_>) -> Result<&'static Spec, Failure> {
    let Some(spec) = find(args[0]) else { return Err(unknown(args)) };
    check_arity(spec.name, spec.arity, args)?;
    if let (false, Some(name)) = (spec.subcommands.is_empty(), args.get(1)) {
        if name.eq_ignore_ascii_case(b"help") {
            check_arity(&format!("{}|help", spec.name), 2, args)?;
            return Ok(spec);
        }
        match spec.subcommands.iter().find(|(sub, _)| name.eq_ignore_ascii_case(sub.as_bytes())) {
            Some((sub, arity)) => check_arity(&format!("{}|{sub}", spec.name), *arity, args)?,
            None => {
                let upper = spec.name.to_ascii_uppercase();
                let quoted = quotable(name, 128);
                let text = [b"ERR unknown subcommand '", quoted, b"'. Try ", upper.as_bytes(), b" HELP."];
                return Err(Failure(Cow::Owned(text.concat())));
            }
        }
    }
    Ok(spec)
}

pub(super) const OVERFLOW: Failure = fail("ERR increment or decrement would overflow");

fn check_arity(name: &str, arity: i32, args: Args<'_>) -> Result<(), Failure> {
    let len = args.len() as i64;
    let arity = i64::from(arity);
    if (arity > 0 && len != arity) || len < -arity { Err(wrong_arity(name)) } else { Ok(()) }
}

pub(super) fn wrong_arity(name: &str) -> Failure {
    failure(format!("ERR wrong number of arguments for '{name}' command"))
}

/// What a command is answered that is not known.
pub(super) fn unknown(args: Args<'_>) -> Failure {
    let mut text =
        [b"ERR unknown command '", quotable(args[0], 128), b"', with args beginning with: "].concat();
    let mut len = 0usize;
    for arg in &args[1..] {
        if len >= 128 {
            break;
        }
        let quoted = [b"'", quotable(arg, 128 - len), b"' "].concat();
        len += quoted.len();
        text.extend_from_slice(&quoted);
    }
    Failure(Cow::Owned(text))
}

/// As much of `text` as an error quotes: up to a zero byte.
fn quotable(text: &[u8], max: usize) -> &[u8] {
    let len = text.iter().take(max).take_while(|byte| **byte != 0).count();
    &text[..len]
}

/// An error with a text of its own.
pub(super) fn failure(text: String) -> Failure {
    Failure(Cow::Owned(text.into_bytes()))
}

pub(super) fn integer(arg: &[u8]) -> Result<i64, Failure> {
    parse_integer(arg).ok_or(NOT_AN_INTEGER)
}

/// An integer of 32 bits.
pub(super) fn small_integer(arg: &[u8]) -> Result<i32, Failure> {
    i32::try_from(integer(arg)?)
        .map_err(|_| fail("ERR value is out of range, value must between -2147483648 and 2147483647"))
}

/// Whether `arg` is this word, in letters of any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// What `HELP` says: the subcommands.
pub(super) fn help(name: &str, subcommands: &[(&str, i32)], reply: &mut Reply<'_>) {
    reply.array(subcommands.len() + 1);
    reply.simple(&format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        name.to_ascii_uppercase()
    ));
    for (sub, _) in subcommands {
        reply.simple(&sub.to_ascii_uppercase());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once_and_found_in_any_case() {
        let mut names: Vec<_> = all().map(|spec| spec.name).collect();
        assert!(names.iter().all(|name| find(name.to_ascii_uppercase().as_bytes()).unwrap().name == *name));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count());
        assert!(find(b"").is_none() && find(b"ge").is_none() && find(b"gett").is_none());
        assert!(find(b"get\0").is_none() && find(&[b'g'; 17]).is_none());
    }

    #[test]
    fn errors_quote_as_redis_does() {
        let text = |args: Args<'_>| match of_request(args) {
            Ok(spec) => spec.name.to_owned(),
            Err(Failure(text)) => String::from_utf8(text.into_owned()).unwrap(),
        };
        assert_eq!(
            text(&[b"NOPE", b"a", b"b\0c"]),
            "ERR unknown command 'NOPE', with args beginning with: 'a' 'b' "
        );
        assert_eq!(text(&[b"GET"]), "ERR wrong number of arguments for 'get' command");
        assert_eq!(text(&[b"Config", b"get"]), "ERR wrong number of arguments for 'config|get' command");
        assert_eq!(text(&[b"config", b"X"]), "ERR unknown subcommand 'X'. Try CONFIG HELP.");
        assert_eq!(text(&[b"gEt", b"a"]), "get");
    }
}
