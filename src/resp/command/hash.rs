//! Hashes. A hash is one value, so what changes a field writes all of it.

use std::collections::HashMap;

use super::super::float::Float;
use super::super::reply::{Protocol, Reply};
use super::super::world::{Failure, SYNTAX, World, fail};
use super::OVERFLOW;
use super::generic::{Scan, cursor};
use super::string::NOT_A_FLOAT;
use super::{Args, DENYOOM, FAST, READONLY, Spec, WRITE, integer, is, wrong_arity};
use crate::resp::parse_integer;

const ONE: (i32, i32, i32) = (1, 1, 1);

pub(super) const TABLE: &[Spec] = &[
    Spec::data("hset", -4, WRITE | DENYOOM | FAST, ONE, hset),
    Spec::data("hmset", -4, WRITE | DENYOOM | FAST, ONE, hmset),
    Spec::data("hsetnx", 4, WRITE | DENYOOM | FAST, ONE, hsetnx),
    Spec::data("hget", 3, READONLY | FAST, ONE, hget),
    Spec::data("hmget", -3, READONLY | FAST, ONE, hmget),
    Spec::data("hgetall", 2, READONLY, ONE, hgetall),
    Spec::data("hkeys", 2, READONLY, ONE, hkeys),
    Spec::data("hvals", 2, READONLY, ONE, hvals),
    Spec::data("hdel", -3, WRITE | FAST, ONE, hdel),
    Spec::data("hlen", 2, READONLY | FAST, ONE, hlen),
    Spec::data("hexists", 3, READONLY | FAST, ONE, hexists),
    Spec::data("hstrlen", 3, READONLY | FAST, ONE, hstrlen),
    Spec::data("hincrby", 4, WRITE | DENYOOM | FAST, ONE, hincrby),
    Spec::data("hincrbyfloat", 4, WRITE | DENYOOM | FAST, ONE, hincrbyfloat),
    Spec::data("hscan", -3, READONLY, ONE, hscan),
    Spec::data("hrandfield", -2, READONLY, ONE, hrandfield),
];

fn put_all(world: &mut World<'_>, args: Args<'_>, name: &str) -> Result<usize, Failure> {
    if !args.len().is_multiple_of(2) {
        return Err(wrong_arity(name));
    }
    world.change_hash(args[1], |fields| {
        Ok(args[2..].chunks_exact(2).filter(|pair| fields.put(pair[0], pair[1])).count())
    })
}

fn hset(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let count = put_all(world, args, "hset")?;
    reply.integer(count as i64);
    Ok(())
}

fn hmset(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    put_all(world, args, "hmset")?;
    reply.simple("OK");
    Ok(())
}

fn hsetnx(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let is_new = world.change_hash(args[1], |fields| {
        let is_new = fields.value(args[2]).is_none();
        Ok(is_new && fields.put(args[2], args[3]))
    })?;
    reply.integer(i64::from(is_new));
    Ok(())
}

fn hget(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| match pairs.and_then(|pairs| pairs.value(args[2])) {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    })
}

fn hmget(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        // Looked up rather than searched for: many fields of a long hash.
        let values: HashMap<&[u8], &[u8]> = pairs.iter().flat_map(|pairs| pairs.iter()).collect();
        reply.array(args.len() - 2);
        for field in &args[2..] {
            match values.get(*field) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            }
        }
    })
}

fn hgetall(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        reply.map(pairs.as_ref().map_or(0, |pairs| pairs.len()));
        for (field, value) in pairs.iter().flat_map(|pairs| pairs.iter()) {
            reply.bulk(field);
            reply.bulk(value);
        }
    })
}

fn hkeys(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        reply.array(pairs.as_ref().map_or(0, |pairs| pairs.len()));
        pairs.iter().flat_map(|pairs| pairs.iter()).for_each(|(field, _)| reply.bulk(field));
    })
}

fn hvals(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        reply.array(pairs.as_ref().map_or(0, |pairs| pairs.len()));
        pairs.iter().flat_map(|pairs| pairs.iter()).for_each(|(_, value)| reply.bulk(value));
    })
}

fn hdel(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let count = world
        .change_hash(args[1], |fields| Ok(args[2..].iter().filter(|field| fields.remove(field)).count()))?;
    reply.integer(count as i64);
    Ok(())
}

fn hlen(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| reply.integer(pairs.map_or(0, |pairs| pairs.len()) as i64))
}

fn hexists(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        reply.integer(i64::from(pairs.is_some_and(|pairs| pairs.value(args[2]).is_some())));
    })
}

fn hstrlen(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    world.hash(args[1], |pairs| {
        reply.integer(pairs.and_then(|pairs| pairs.value(args[2])).map_or(0, <[u8]>::len) as i64);
    })
}

fn hincrby(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let by = integer(args[3])?;
    let sum = world.change_hash(args[1], |fields| {
        let number = fields.value(args[2]).map_or(Some(0), parse_integer);
        let number = number.ok_or(fail("ERR hash value is not an integer"))?;
        let sum = number.checked_add(by).ok_or(OVERFLOW)?;
        fields.put(args[2], sum.to_string().as_bytes());
        Ok(sum)
    })?;
    reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let by = Float::parse(args[3]).ok_or(NOT_A_FLOAT)?;
    let text = world.change_hash(args[1], |fields| {
        let number = fields.value(args[2]).map_or(Some(Float::ZERO), Float::parse);
        let number = number.ok_or(fail("ERR hash value is not a float"))?;
        let sum = number.add(by).ok_or(fail("ERR increment would produce NaN or Infinity"))?;
        let text = sum.to_string();
        fields.put(args[2], text.as_bytes());
        Ok(text)
    })?;
    reply.bulk(text.as_bytes());
    Ok(())
}

/// All at once, as Redis does for a hash that is not large; the cursor does not matter.
fn hscan(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    cursor(args[2])?;
    world.hash(args[1], |pairs| {
        let mut scan = match pairs {
            Some(_) => Scan::parse(&args[3..], false)?,
            None => Scan { count: 0, pattern: None, type_name: None },
        };
        let found = pairs.iter().flat_map(|pairs| pairs.iter()).filter(|(field, _)| scan.is_match(field));
        let found: Vec<_> = found.collect();
        reply.array(2);
        reply.bulk(b"0");
        reply.array(found.len() * 2);
        for (field, value) in found {
            reply.bulk(field);
            reply.bulk(value);
        }
        Ok(())
    })?
}

/// What any bytes have around them at least.
const BULK_BYTES: usize = b"$0\r\n\r\n".len();

fn hrandfield(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let mut rng = crate::rng::Rng::new(world.random());
    let Some(count) = args.get(2) else {
        return world.hash(args[1], |pairs| {
            let field = pairs.and_then(|pairs| pairs.iter().nth(rng.below(pairs.len() as u64) as usize));
            match field {
                Some((field, _)) => reply.bulk(field),
                None => reply.null(),
            }
        });
    };
    let count = integer(count)?;
    if count == i64::MIN {
        let text =
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(fail(text));
    }
    let with_values = match args.get(3) {
        None => false,
        Some(arg) if args.len() == 4 && is(arg, "withvalues") => true,
        Some(_) => return Err(SYNTAX),
    };
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(fail("ERR value is out of range"));
    }
    world.hash(args[1], |pairs| {
        let mut all: Vec<_> = pairs.iter().flat_map(|pairs| pairs.iter()).collect();
        let chosen = match count {
            _ if all.is_empty() => 0,
            ..0 => count.unsigned_abs() as usize,
            _ => all.len().min(count as usize),
        };
        let len = |(field, value): &(&[u8], &[u8])| field.len() + if with_values { value.len() } else { 0 };
        let shortest = all.iter().map(len).min().unwrap_or(0) + BULK_BYTES;
        if !reply.is_to_hold(chosen.saturating_mul(shortest)) {
            return;
        }
        let is_nested = with_values && reply.protocol() == Protocol::Resp3;
        reply.array(if with_values && !is_nested { chosen * 2 } else { chosen });
        for at in 0..chosen {
            let place = match count {
                ..0 => rng.below(all.len() as u64) as usize,
                _ => {
                    let place = at + rng.below((all.len() - at) as u64) as usize;
                    all.swap(at, place);
                    at
                }
            };
            let (field, value) = all[place];
            if is_nested {
                reply.array(2);
            }
            reply.bulk(field);
            if with_values {
                reply.bulk(value);
            }
            if reply.is_over() {
                return;
            }
        }
    })
}
