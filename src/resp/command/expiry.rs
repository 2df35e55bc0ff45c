//! Deadlines.

use super::super::reply::Reply;
use super::super::world::{Failure, World, fail};
use super::{Args, FAST, READONLY, Spec, WRITE, failure, integer, is};
use crate::store::index::{Lifetime, Timestamp};

const ONE: (i32, i32, i32) = (1, 1, 1);

pub(super) const TABLE: &[Spec] = &[
    Spec::data("expire", -3, WRITE | FAST, ONE, expire),
    Spec::data("pexpire", -3, WRITE | FAST, ONE, pexpire),
    Spec::data("expireat", -3, WRITE | FAST, ONE, expireat),
    Spec::data("pexpireat", -3, WRITE | FAST, ONE, pexpireat),
    Spec::data("persist", 2, WRITE | FAST, ONE, persist),
    Spec::data("ttl", 2, READONLY | FAST, ONE, ttl),
    Spec::data("pttl", 2, READONLY | FAST, ONE, pttl),
    Spec::data("expiretime", 2, READONLY | FAST, ONE, expiretime),
    Spec::data("pexpiretime", 2, READONLY | FAST, ONE, pexpiretime),
];

/// How a time is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    is_seconds: bool,
    /// From now on, not since 1970.
    is_relative: bool,
}

impl Unit {
    pub(super) const SECONDS: Self = Self { is_seconds: true, is_relative: true };
    pub(super) const MILLIS: Self = Self { is_seconds: false, is_relative: true };
    const SECONDS_AT: Self = Self { is_seconds: true, is_relative: false };
    const MILLIS_AT: Self = Self { is_seconds: false, is_relative: false };
    /// As options.
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("ex", Self::SECONDS), ("px", Self::MILLIS), ("exat", Self::SECONDS_AT), ("pxat", Self::MILLIS_AT)];

    /// Milliseconds since 1970, which may lie before.
    fn millis(self, name: &str, time: i64, now: Timestamp) -> Result<i64, Failure> {
        let base = if self.is_relative { now.as_millis() as i64 } else { 0 };
        let scale = if self.is_seconds { 1_000 } else { 1 };
        time.checked_mul(scale).and_then(|time| time.checked_add(base)).ok_or_else(|| invalid(name))
    }
}

fn invalid(name: &str) -> Failure {
    failure(format!("ERR invalid expire time in '{name}' command"))
}

/// The deadline that `SET` and its like are told.
pub(super) fn deadline(name: &str, unit: Unit, time: &[u8], now: Timestamp) -> Result<Timestamp, Failure> {
    let time = integer(time)?;
    if time <= 0 {
        return Err(invalid(name));
    }
    Ok(Timestamp::from_millis(unit.millis(name, time, now)?.unsigned_abs()))
}

#[derive(Default)]
struct Conditions {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn parse(args: Args<'_>) -> Result<Self, Failure> {
        let mut conditions = Self::default();
        for arg in args {
            match () {
                () if is(arg, "nx") => conditions.none = true,
                () if is(arg, "xx") => conditions.some = true,
                () if is(arg, "gt") => conditions.later = true,
                () if is(arg, "lt") => conditions.earlier = true,
                () => {
                    let end = arg.iter().position(|byte| *byte == 0).unwrap_or(arg.len());
                    return Err(Failure([b"ERR Unsupported option ", &arg[..end]].concat().into()));
                }
            }
        }
        let Self { none, some, later, earlier } = conditions;
        if none && (some || later || earlier) {
            return Err(fail("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if later && earlier {
            return Err(fail("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    fn hold(&self, before: Option<i64>, new: i64) -> bool {
        (!self.none || before.is_none())
            && (!self.some || before.is_some())
            && (!self.later || before.is_some_and(|before| new > before))
            && (!self.earlier || before.is_none_or(|before| new < before))
    }
}

fn set(
    world: &mut World<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    name: &str,
    unit: Unit,
) -> Result<(), Failure> {
    let conditions = Conditions::parse(&args[3..])?;
    let new = unit.millis(name, integer(args[2])?, world.now())?;
    let key = args[1];
    let is_met = match world.lifetime(key) {
        None => false,
        Some(Lifetime::Until(before)) => conditions.hold(Some(before.as_millis() as i64), new),
        Some(_) => conditions.hold(None, new),
    };
    if is_met {
        match u64::try_from(new).map(Timestamp::from_millis) {
            Ok(deadline) if deadline > world.now() => world.set_lifetime(key, Lifetime::Until(deadline)),
            _ => {
                world.delete(key);
            }
        }
    }
    reply.integer(i64::from(is_met));
    Ok(())
}

fn expire(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(world, args, reply, "expire", Unit::SECONDS)
}

fn pexpire(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(world, args, reply, "pexpire", Unit::MILLIS)
}

fn expireat(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(world, args, reply, "expireat", Unit::SECONDS_AT)
}

fn pexpireat(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(world, args, reply, "pexpireat", Unit::MILLIS_AT)
}

fn persist(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let has_deadline = matches!(world.lifetime(args[1]), Some(Lifetime::Until(_)));
    if has_deadline {
        world.set_lifetime(args[1], Lifetime::Unbounded);
    }
    reply.integer(i64::from(has_deadline));
    Ok(())
}

/// -2 without a key, -1 without a deadline; otherwise what `then` makes of the deadline.
fn told(
    world: &mut World<'_>,
    key: &[u8],
    reply: &mut Reply<'_>,
    then: fn(u64, u64) -> u64,
) -> Result<(), Failure> {
    let now = world.now().as_millis();
    reply.integer(match world.lifetime(key) {
        None => -2,
        Some(Lifetime::Until(deadline)) => then(deadline.as_millis(), now) as i64,
        Some(_) => -1,
    });
    Ok(())
}

fn ttl(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    told(world, args[1], reply, |deadline, now| (deadline - now).saturating_add(500) / 1_000)
}

fn pttl(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    told(world, args[1], reply, |deadline, now| deadline - now)
}

fn expiretime(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    told(world, args[1], reply, |deadline, _| deadline.saturating_add(500) / 1_000)
}

fn pexpiretime(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    told(world, args[1], reply, |deadline, _| deadline)
}
