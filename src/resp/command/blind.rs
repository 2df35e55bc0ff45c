//! Writes that need not read first: one step of the index does all of it. They need no view, so any number of one
//! connection may be under way.

use super::super::value::needs_mark;
use super::super::world::{Failure, TOO_LONG};
use super::expiry::{Unit, deadline};
use super::string::{Options, negated};
use super::{Args, integer};
use crate::store::index::{Condition, KEY_MAX, Lifetime, OnRefusal, Operation, Step, Timestamp, Transaction};

/// What is answered once it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::resp) enum Expects {
    /// OK, or nothing if the condition did not hold.
    Ok,
    /// 1, or 0 if the condition did not hold.
    One,
    /// How many were deleted.
    Count,
    /// The sum; the key, to say what is wrong with it.
    Sum(Vec<u8>),
}

/// The step that `args` come to; `None` if it takes more than a step.
pub(in crate::resp) fn plan<'a>(
    name: &str,
    args: Args<'a>,
    value_max: u64,
    now: Timestamp,
) -> Result<Option<(Step<'a>, Expects)>, Failure> {
    let Some(key) = args.get(1).copied() else { return Ok(None) };
    let put = |value: &'a [u8], condition, lifetime, expects| {
        // A key that is too long is refused where it comes to being written: a condition that does not hold comes first.
        if key.len() > KEY_MAX {
            return Ok(None);
        }
        if value.len() as u64 > value_max {
            return Err(TOO_LONG);
        }
        if needs_mark(value) {
            return Ok(None);
        }
        Ok(Some((Step::Put { key, value, condition, lifetime, previous: false }, expects)))
    };
    let add = |by| {
        let step = Step::Increment { key, by };
        Ok((key.len() <= KEY_MAX).then(|| (step, Expects::Sum(key.to_vec()))))
    };
    match (name, args) {
        ("set", [_, _, value, rest @ ..]) => {
            let options = Options::parse(rest, true)?;
            if options.get {
                return Ok(None);
            }
            let lifetime = options.lifetime("set", now)?;
            let condition = match (options.absent, options.present) {
                (true, _) => Condition::Absent,
                (_, true) => Condition::Present,
                _ => Condition::Always,
            };
            put(value, condition, lifetime, Expects::Ok)
        }
        ("setnx", [_, _, value]) => put(value, Condition::Absent, Lifetime::Unbounded, Expects::One),
        ("setex", [_, _, time, value]) => {
            let lifetime = Lifetime::Until(deadline("setex", Unit::SECONDS, time, now)?);
            put(value, Condition::Always, lifetime, Expects::Ok)
        }
        ("psetex", [_, _, time, value]) => {
            let lifetime = Lifetime::Until(deadline("psetex", Unit::MILLIS, time, now)?);
            put(value, Condition::Always, lifetime, Expects::Ok)
        }
        ("incr", _) => add(1),
        ("decr", _) => add(-1),
        ("incrby", [_, _, by]) => add(integer(by)?),
        // The type is looked at before the number is negated.
        ("decrby", [_, _, by]) => negated(by).map_or(Ok(None), add),
        ("del" | "unlink", [_, _]) if key.len() <= KEY_MAX => {
            Ok(Some((Step::Delete { key, condition: Condition::Always, previous: false }, Expects::Count)))
        }
        _ => Ok(None),
    }
}

/// How more keys are deleted than can be read and deleted at once, which counts twice: without being read. `None`: so many can be
/// read too, or are too many all the same.
pub(in crate::resp) fn sweep<'a>(name: &str, args: Args<'a>, operations_max: u64) -> Option<Operation<'a>> {
    let keys = &args[1..];
    let count = keys.len() as u64;
    if !matches!(name, "del" | "unlink") || count <= operations_max / 2 || count > operations_max {
        return None;
    }
    let then = keys.iter().filter(|key| key.len() <= KEY_MAX).map(|key| Step::Delete {
        key,
        condition: Condition::Always,
        previous: false,
    });
    Some(Operation::Transaction(Transaction {
        conditions: Vec::new(),
        then: then.collect(),
        otherwise: Vec::new(),
        on_refusal: OnRefusal::Abort,
    }))
}
