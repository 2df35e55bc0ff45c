//! Keys of any type, and scanning them.

use std::ops::ControlFlow;

use super::super::glob::{self, Glob};
use super::super::reply::Reply;
use super::super::value::Value;
use super::super::world::{Failure, SYNTAX, World, fail};
use super::{Args, FAST, READONLY, Spec, WRITE, help, integer, is, small_integer};
use crate::resp::parse_integer;

const ONE: (i32, i32, i32) = (1, 1, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const NONE: (i32, i32, i32) = (0, 0, 0);
const OBJECT: &[(&str, i32)] = &[("encoding", 3), ("refcount", 3), ("idletime", 3), ("freq", 3)];

pub(super) const TABLE: &[Spec] = &[
    Spec::data("del", -2, WRITE, ALL, del),
    Spec::data("unlink", -2, WRITE | FAST, ALL, del),
    Spec::data("exists", -2, READONLY | FAST, ALL, exists),
    Spec::data("touch", -2, READONLY | FAST, ALL, exists),
    Spec::data("type", 2, READONLY | FAST, ONE, type_of),
    Spec::data("rename", 3, WRITE, (1, 2, 1), rename),
    Spec::data("renamenx", 3, WRITE | FAST, (1, 2, 1), renamenx),
    Spec::data("copy", -3, WRITE, (1, 2, 1), copy),
    Spec::data("keys", 2, READONLY, NONE, keys),
    Spec::data("randomkey", 1, READONLY, NONE, randomkey),
    Spec::data("dbsize", 1, READONLY | FAST, NONE, dbsize),
    Spec::data("object", -2, READONLY, (2, 2, 1), object).with(OBJECT),
];

/// Keys looked at in one go.
const PAGE: u64 = 1_000;

fn del(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let count = args[1..].iter().filter(|key| world.delete(key)).count();
    reply.integer(count as i64);
    Ok(())
}

fn exists(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let count = args[1..].iter().filter(|key| world.exists(key)).count();
    reply.integer(count as i64);
    Ok(())
}

fn type_of(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.value(args[1], |value| reply.simple(value.map_or("none", |value| value.type_name())));
    Ok(())
}

/// Whether it was done: not if `to` is there and must not be.
fn moved(world: &mut World<'_>, from: &[u8], to: &[u8], replaces: bool) -> Result<bool, Failure> {
    let held = world.get(from).ok_or(fail("ERR no such key"))?;
    if from == to {
        return Ok(replaces);
    }
    if !replaces && world.exists(to) {
        return Ok(false);
    }
    // What it frees makes room for what is put.
    world.check(to, held.value.len())?;
    world.delete(from);
    world.put(to, held.value, held.lifetime)?;
    Ok(true)
}

fn rename(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    moved(world, args[1], args[2], true)?;
    reply.simple("OK");
    Ok(())
}

fn renamenx(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let is_done = moved(world, args[1], args[2], false)?;
    reply.integer(i64::from(is_done));
    Ok(())
}

fn copy(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let (from, to) = (args[1], args[2]);
    let mut replaces = false;
    let mut rest = args[3..].iter();
    while let Some(arg) = rest.next() {
        if is(arg, "replace") {
            replaces = true;
        } else if is(arg, "db") {
            if small_integer(rest.next().ok_or(SYNTAX)?)? != 0 {
                return Err(fail("ERR DB index is out of range"));
            }
        } else {
            return Err(SYNTAX);
        }
    }
    if from == to {
        return Err(fail("ERR source and destination objects are the same"));
    }
    let held = world.get(from);
    world.counts();
    let is_done = match held {
        None => false,
        Some(_) if !replaces && world.exists(to) => false,
        Some(held) => {
            world.put(to, held.value, held.lifetime)?;
            true
        }
    };
    reply.integer(i64::from(is_done));
    Ok(())
}

/// Shows `then` all keys, a page at a time.
fn each_key(world: &mut World<'_>, mut then: impl FnMut(Vec<u8>) -> ControlFlow<()>) {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (keys, more) = world.keys(after.as_deref(), PAGE);
        after = keys.last().cloned();
        for key in keys {
            if then(key).is_break() {
                return;
            }
        }
        if !more || after.is_none() {
            return;
        }
    }
}

fn keys(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let mut pattern = Glob::of_keys(glob::bounded(args[1])?);
    let (mut found, mut bytes) = (Vec::new(), 0);
    each_key(world, |key| {
        if pattern.matches(&key) {
            bytes += key.len() + 5;
            found.push(key);
        }
        if bytes > reply.room() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    reply.array(found.len());
    for key in found {
        reply.bulk(&key);
    }
    Ok(())
}

fn randomkey(world: &mut World<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    // Some tries first, which find one soon unless most are expired or changed; then the first there is.
    let state = world.state();
    for _ in 0..100 {
        let len = state.len();
        let Some((key, _)) = (len > 0).then(|| state.nth(world.random() % len)).flatten() else { break };
        let is_there = world.exists(&key);
        // Nobody has asked for it.
        world.take_lookups(false);
        if is_there {
            reply.bulk(&key);
            return Ok(());
        }
    }
    match world.keys(None, 1).0.first() {
        Some(key) => reply.bulk(key),
        None => reply.null(),
    }
    Ok(())
}

fn dbsize(world: &mut World<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    reply.integer(world.len() as i64);
    Ok(())
}

fn object(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if is(args[1], "help") {
        help("object", OBJECT, reply);
        return Ok(());
    }
    if is(args[1], "freq") && world.exists(args[2]) {
        return Err(fail(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    world.value(args[2], |value| match value {
        None => reply.null(),
        Some(_) if is(args[1], "refcount") => reply.integer(1),
        Some(_) if is(args[1], "idletime") => reply.integer(0),
        Some(value) => reply.bulk(encoding(&value).as_bytes()),
    });
    Ok(())
}

/// As Redis has a value of that size, with its defaults.
fn encoding(value: &Value<'_>) -> &'static str {
    match value {
        Value::String(string) if parse_integer(string).is_some() => "int",
        Value::String(string) if string.len() <= 44 => "embstr",
        Value::String(_) => "raw",
        Value::Hash(pairs) => {
            let is_small = pairs.len() <= 128
                && pairs.iter().all(|(field, value)| field.len() <= 64 && value.len() <= 64);
            if is_small { "listpack" } else { "hashtable" }
        }
    }
}

/// What `SCAN` and its like may be told besides.
pub(super) struct Scan<'a> {
    pub(super) count: u64,
    pub(super) pattern: Option<Glob<'a>>,
    pub(super) type_name: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    pub(super) fn parse(args: Args<'a>, has_type: bool) -> Result<Self, Failure> {
        let mut scan = Scan { count: 10, pattern: None, type_name: None };
        for pair in args.chunks(2) {
            let [name, value] = pair else { return Err(SYNTAX) };
            match () {
                () if is(name, "count") => {
                    scan.count = match integer(value)? {
                        count if count < 1 => return Err(SYNTAX),
                        count => count.unsigned_abs(),
                    };
                }
                () if is(name, "match") => scan.pattern = Some(Glob::of_keys(glob::bounded(value)?)),
                () if has_type && is(name, "type") => scan.type_name = Some(value),
                () => return Err(SYNTAX),
            }
        }
        Ok(scan)
    }

    pub(super) fn is_match(&mut self, text: &[u8]) -> bool {
        self.pattern.as_mut().is_none_or(|pattern| pattern.matches(text))
    }
}

/// The number that a cursor is.
pub(super) fn cursor(arg: &[u8]) -> Result<u64, Failure> {
    // As strtoul(3) reads it, without blanks before it: nothing is 0, and a minus is minded modulo 2^64.
    let text = arg.split(|byte| *byte == 0).next().unwrap_or_default();
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = match digits {
        Some("") if text.is_empty() => Some(0),
        digits => digits.and_then(|digits| digits.parse::<u64>().ok()),
    };
    let number = number.ok_or(fail("ERR invalid cursor"))?;
    Ok(if is_negative { number.wrapping_neg() } else { number })
}

/// Keys looked at for one answer, at most.
const SCAN_MAX: u64 = 10_000;

/// The keys for an answer to `SCAN`, from behind `after` on, and behind which to go on.
pub(super) fn scanned(
    world: &mut World<'_>,
    after: Option<&[u8]>,
    scan: &mut Scan<'_>,
) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let (mut keys, more) = world.keys(after, scan.count.min(SCAN_MAX));
    let next = if more { keys.last().cloned() } else { None };
    keys.retain(|key| {
        scan.is_match(key)
            && scan.type_name.is_none_or(|name| {
                world.value(key, |value| value.is_some_and(|value| is(name, value.type_name())))
            })
    });
    (keys, next)
}
