//! Strings and counters.

use super::super::float::Float;
use super::super::reply::Reply;
use super::super::world::{Failure, KEY_TOO_LONG, NOT_AN_INTEGER, SYNTAX, TOO_LONG, World, fail};
use super::expiry::{Unit, deadline};
use super::{Args, DENYOOM, FAST, READONLY, Spec, WRITE, integer, is, wrong_arity};
use crate::resp::parse_integer;
use crate::store::index::{KEY_MAX, Lifetime};

const ONE: (i32, i32, i32) = (1, 1, 1);

pub(super) const TABLE: &[Spec] = &[
    Spec::data("get", 2, READONLY | FAST, ONE, get),
    Spec::data("set", -3, WRITE | DENYOOM, ONE, set),
    Spec::data("setnx", 3, WRITE | DENYOOM | FAST, ONE, setnx),
    Spec::data("setex", 4, WRITE | DENYOOM, ONE, setex),
    Spec::data("psetex", 4, WRITE | DENYOOM, ONE, psetex),
    Spec::data("getset", 3, WRITE | DENYOOM | FAST, ONE, getset),
    Spec::data("getdel", 2, WRITE | FAST, ONE, getdel),
    Spec::data("getex", -2, WRITE | FAST, ONE, getex),
    Spec::data("mget", -2, READONLY | FAST, (1, -1, 1), mget),
    Spec::data("mset", -3, WRITE | DENYOOM, (1, -1, 2), mset),
    Spec::data("msetnx", -3, WRITE | DENYOOM, (1, -1, 2), msetnx),
    Spec::data("append", 3, WRITE | DENYOOM | FAST, ONE, append),
    Spec::data("strlen", 2, READONLY | FAST, ONE, strlen),
    Spec::data("getrange", 4, READONLY, ONE, getrange),
    Spec::data("substr", 4, READONLY, ONE, getrange),
    Spec::data("setrange", 4, WRITE | DENYOOM, ONE, setrange),
    Spec::data("incr", 2, WRITE | DENYOOM | FAST, ONE, incr),
    Spec::data("decr", 2, WRITE | DENYOOM | FAST, ONE, decr),
    Spec::data("incrby", 3, WRITE | DENYOOM | FAST, ONE, incrby),
    Spec::data("decrby", 3, WRITE | DENYOOM | FAST, ONE, decrby),
    Spec::data("incrbyfloat", 3, WRITE | DENYOOM | FAST, ONE, incrbyfloat),
];

/// What `SET` and `GETEX` may be told besides.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) absent: bool,
    pub(super) present: bool,
    pub(super) get: bool,
    pub(super) keep: bool,
    pub(super) persist: bool,
    pub(super) expiry: Option<(Unit, &'a [u8])>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(args: Args<'a>, is_set: bool) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let unit = Unit::ALL.iter().find(|(name, _)| is(arg, name)).map(|(_, unit)| *unit);
            // The same one again replaces it, as in Redis.
            let is_free = !options.keep
                && !options.persist
                && options.expiry.is_none_or(|(before, _)| Some(before) == unit);
            if is_set && is(arg, "nx") && !options.present {
                options.absent = true;
            } else if is_set && is(arg, "xx") && !options.absent {
                options.present = true;
            } else if is_set && is(arg, "get") {
                options.get = true;
            } else if is_set && is(arg, "keepttl") && options.expiry.is_none() {
                options.keep = true;
            } else if !is_set && is(arg, "persist") && options.expiry.is_none() {
                options.persist = true;
            } else if let (Some(unit), true) = (unit, is_free) {
                options.expiry = Some((unit, rest.next().ok_or(SYNTAX)?));
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(options)
    }

    /// How long the key lives that `SET` puts.
    pub(super) fn lifetime(
        &self,
        name: &str,
        now: crate::store::index::Timestamp,
    ) -> Result<Lifetime, Failure> {
        match self.expiry {
            Some((unit, time)) => Ok(Lifetime::Until(deadline(name, unit, time, now)?)),
            None if self.keep => Ok(Lifetime::Keep),
            None => Ok(Lifetime::Unbounded),
        }
    }
}

fn string_or_null(world: &mut World<'_>, key: &[u8], reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.string(key, |string| match string {
        Some(string) => reply.bulk(string),
        None => reply.null(),
    })
}

fn get(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    string_or_null(world, args[1], reply)
}

fn set(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let (key, value) = (args[1], args[2]);
    let options = Options::parse(&args[3..], true)?;
    let lifetime = options.lifetime("set", world.now())?;
    let mut before = None;
    if options.get {
        let found = world.string(key, |string| string.map(<[u8]>::to_vec));
        world.counts();
        before = found?;
    }
    let is_met = match (options.absent, options.present) {
        (false, false) => true,
        (absent, _) => world.exists(key) != absent,
    };
    if is_met {
        world.put_string(key, value, lifetime)?;
    }
    match before {
        _ if !options.get && is_met => reply.simple("OK"),
        Some(before) => reply.bulk(&before),
        None => reply.null(),
    }
    Ok(())
}

fn setnx(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let is_there = world.exists(args[1]);
    if !is_there {
        world.put_string(args[1], args[2], Lifetime::Unbounded)?;
    }
    reply.integer(i64::from(!is_there));
    Ok(())
}

fn setex(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let deadline = deadline("setex", Unit::SECONDS, args[2], world.now())?;
    world.put_string(args[1], args[3], Lifetime::Until(deadline))?;
    reply.simple("OK");
    Ok(())
}

fn psetex(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let deadline = deadline("psetex", Unit::MILLIS, args[2], world.now())?;
    world.put_string(args[1], args[3], Lifetime::Until(deadline))?;
    reply.simple("OK");
    Ok(())
}

fn getset(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let before = world.string(args[1], |string| string.map(<[u8]>::to_vec));
    world.counts();
    let before = before?;
    world.put_string(args[1], args[2], Lifetime::Unbounded)?;
    match before {
        Some(before) => reply.bulk(&before),
        None => reply.null(),
    }
    Ok(())
}

fn getdel(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let told = string_or_null(world, args[1], reply);
    world.counts();
    told?;
    world.delete(args[1]);
    Ok(())
}

fn getex(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let key = args[1];
    let options = Options::parse(&args[2..], false)?;
    let before = world.string(key, |string| string.map(<[u8]>::to_vec));
    world.counts();
    let Some(before) = before? else {
        reply.null();
        return Ok(());
    };
    if let Some((unit, time)) = options.expiry {
        let deadline = deadline("getex", unit, time, world.now())?;
        match deadline <= world.now() {
            true => {
                world.delete(key);
            }
            false => world.set_lifetime(key, Lifetime::Until(deadline)),
        }
    } else if options.persist && matches!(world.lifetime(key), Some(Lifetime::Until(_))) {
        world.set_lifetime(key, Lifetime::Unbounded);
    }
    reply.bulk(&before);
    Ok(())
}

/// With an answer longer than that it is looked first how long all of it would be: one that is too long is not made up.
const WEIGHED_FROM: usize = 4 << 20;

fn mget(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    reply.array(args.len() - 1);
    let room = reply.room();
    let mut is_weighed = false;
    for (at, key) in (1..).zip(&args[1..]) {
        // What is no string is nothing here.
        if string_or_null(world, key, reply).is_err() {
            reply.null();
        }
        if !is_weighed && room - reply.room() > WEIGHED_FROM {
            is_weighed = true;
            let rest =
                args[at + 1..].iter().fold(0, |sum: usize, key| sum.saturating_add(world.string_len(key)));
            reply.is_to_hold(rest);
        }
        if reply.is_over() {
            break;
        }
    }
    Ok(())
}

fn pairs<'a>(name: &str, args: Args<'a>) -> Result<std::slice::ChunksExact<'a, &'a [u8]>, Failure> {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity(name));
    }
    let pairs = args[1..].chunks_exact(2);
    // All or nothing: seen to before the first is put.
    if pairs.clone().any(|pair| pair[0].len() > KEY_MAX) {
        return Err(KEY_TOO_LONG);
    }
    Ok(pairs)
}

fn mset(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    for pair in pairs("mset", args)? {
        world.put_string(pair[0], pair[1], Lifetime::Unbounded)?;
    }
    reply.simple("OK");
    Ok(())
}

fn msetnx(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let pairs = pairs("msetnx", args)?;
    if pairs.clone().any(|pair| world.exists(pair[0])) {
        reply.integer(0);
        return Ok(());
    }
    for pair in pairs {
        world.put_string(pair[0], pair[1], Lifetime::Unbounded)?;
    }
    reply.integer(1);
    Ok(())
}

fn append(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let max = world.value_max();
    let whole = world.string(args[1], |string| {
        let before = string.unwrap_or_default();
        let len = (before.len() + args[2].len()) as u64;
        (len <= max).then(|| [before, args[2]].concat())
    })?;
    let whole = whole.ok_or(TOO_LONG)?;
    world.put_string(args[1], &whole, Lifetime::Keep)?;
    reply.integer(whole.len() as i64);
    Ok(())
}

fn strlen(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let len = world.string(args[1], |string| string.map_or(0, <[u8]>::len))?;
    reply.integer(len as i64);
    Ok(())
}

fn getrange(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let (start, end) = (integer(args[2])?, integer(args[3])?);
    world.string(args[1], |string| {
        let string = string.unwrap_or_default();
        let len = string.len() as i64;
        // Both counted from the end and in the wrong order: nothing, before either is moved to the beginning.
        if start < 0 && end < 0 && start > end {
            return reply.bulk(b"");
        }
        let from_end = |at: i64| if at < 0 { (len + at.max(-len)).max(0) } else { at };
        let (start, end) = (from_end(start), from_end(end).min(len - 1));
        match start > end || len == 0 {
            true => reply.bulk(b""),
            false => reply.bulk(&string[start as usize..=end as usize]),
        }
    })
}

fn setrange(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let offset = integer(args[2])?;
    let offset = u64::try_from(offset).map_err(|_| fail("ERR offset is out of range"))?;
    let (key, part) = (args[1], args[3]);
    let mut string = world.string(key, |string| string.map(<[u8]>::to_vec))?.unwrap_or_default();
    if part.is_empty() {
        reply.integer(string.len() as i64);
        return Ok(());
    }
    let end = offset.saturating_add(part.len() as u64);
    if end > world.value_max() {
        return Err(TOO_LONG);
    }
    if string.len() < end as usize {
        string.resize(end as usize, 0);
    }
    string[offset as usize..end as usize].copy_from_slice(part);
    world.put_string(key, &string, Lifetime::Keep)?;
    reply.integer(string.len() as i64);
    Ok(())
}

use super::OVERFLOW;

fn add(world: &mut World<'_>, key: &[u8], by: i64, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let number = world.string(key, |string| string.map_or(Some(0), parse_integer))?;
    let sum = number.ok_or(NOT_AN_INTEGER)?.checked_add(by).ok_or(OVERFLOW)?;
    world.put_string(key, sum.to_string().as_bytes(), Lifetime::Keep)?;
    reply.integer(sum);
    Ok(())
}

fn incr(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(world, args[1], 1, reply)
}

fn decr(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(world, args[1], -1, reply)
}

fn incrby(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(world, args[1], integer(args[2])?, reply)
}

/// What `DECRBY` adds.
pub(super) fn negated(arg: &[u8]) -> Result<i64, Failure> {
    integer(arg)?.checked_neg().ok_or(fail("ERR decrement would overflow"))
}

fn decrby(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(world, args[1], negated(args[2])?, reply)
}

pub(super) const NOT_A_FLOAT: Failure = fail("ERR value is not a valid float");

fn incrbyfloat(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let number = world.string(args[1], |string| string.map_or(Some(Float::ZERO), Float::parse))?;
    let number = number.ok_or(NOT_A_FLOAT)?;
    let by = Float::parse(args[2]).ok_or(NOT_A_FLOAT)?;
    let sum = number.add(by).ok_or(fail("ERR increment would produce NaN or Infinity"))?;
    let text = sum.to_string();
    world.put_string(args[1], text.as_bytes(), Lifetime::Keep)?;
    reply.bulk(text.as_bytes());
    Ok(())
}
