//! Channels.

use super::super::glob::{self, Glob};
use super::super::reply::Reply;
use super::super::world::{Failure, fail};
use super::{Args, Context, FAST, LOADING, PUBSUB, Spec, failure, help, is};
use crate::store::index::KEY_MAX;

const SUBCOMMANDS: &[(&str, i32)] =
    &[("channels", -2), ("numsub", -2), ("numpat", 2), ("shardchannels", -2), ("shardnumsub", -2)];

pub(super) const TABLE: &[Spec] = &[
    Spec::session("subscribe", -2, PUBSUB | LOADING, subscribe),
    Spec::session("psubscribe", -2, PUBSUB | LOADING, psubscribe),
    Spec::session("unsubscribe", -1, PUBSUB | LOADING, unsubscribe),
    Spec::session("punsubscribe", -1, PUBSUB | LOADING, punsubscribe),
    Spec::session("publish", 3, PUBSUB | LOADING | FAST, publish),
    Spec::session("pubsub", -2, PUBSUB | LOADING, pubsub).with(SUBCOMMANDS),
];

/// Bytes of a channel's name at most: those of a key, and what notifications have before it. Each is held against all patterns.
const CHANNEL_MAX: usize = KEY_MAX + 64;

fn check_channel(name: &[u8]) -> Result<(), Failure> {
    match name.len() <= CHANNEL_MAX {
        true => Ok(()),
        false => Err(failure(format!(
            "ERR the name of a channel has more than {CHANNEL_MAX} bytes; use a shorter one"
        ))),
    }
}

fn told(kind: &str, name: Option<&[u8]>, count: usize, reply: &mut Reply<'_>) {
    reply.push(3);
    reply.bulk(kind.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

fn add(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>, kind: &str) -> Result<(), Failure> {
    let is_pattern = kind == "psubscribe";
    let max = context.hub.options.subscriptions_max;
    if context.hub.client(context.id).subscriptions() + args.len() - 1 > max {
        return Err(fail("ERR too many subscriptions of one connection; use patterns or another connection"));
    }
    for name in &args[1..] {
        match is_pattern {
            true => drop(glob::bounded(name)?),
            false => check_channel(name)?,
        }
    }
    for name in &args[1..] {
        context.hub.subscribe(context.id, name, is_pattern);
        told(kind, Some(name), context.hub.client(context.id).subscriptions(), reply);
    }
    Ok(())
}

fn remove(
    context: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    kind: &str,
) -> Result<(), Failure> {
    let is_pattern = kind == "punsubscribe";
    let client = context.hub.client(context.id);
    let own = if is_pattern { &client.patterns } else { &client.channels };
    let names: Vec<Vec<u8>> = match &args[1..] {
        [] => own.iter().map(|name| name.to_vec()).collect(),
        names => names.iter().map(|name| name.to_vec()).collect(),
    };
    if names.is_empty() {
        told(kind, None, client.subscriptions(), reply);
    }
    for name in names {
        context.hub.unsubscribe(context.id, &name, is_pattern);
        told(kind, Some(&name), context.hub.client(context.id).subscriptions(), reply);
    }
    Ok(())
}

fn subscribe(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(context, args, reply, "subscribe")
}

fn psubscribe(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    add(context, args, reply, "psubscribe")
}

fn unsubscribe(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    remove(context, args, reply, "unsubscribe")
}

fn punsubscribe(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    remove(context, args, reply, "punsubscribe")
}

fn publish(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    check_channel(args[1])?;
    let count = context.hub.publish(args[1], args[2]);
    reply.integer(count as i64);
    Ok(())
}

fn pubsub(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let hub = &*context.hub;
    match args[1] {
        sub if is(sub, "help") => help("pubsub", SUBCOMMANDS, reply),
        sub if args.len() > 3 && (is(sub, "channels") || is(sub, "shardchannels")) => {
            let text =
                [b"ERR unknown subcommand or wrong number of arguments for '", sub, b"'. Try PUBSUB HELP."];
            return Err(Failure(text.concat().into()));
        }
        sub if is(sub, "channels") => {
            let pattern = args.get(2).copied().unwrap_or(b"*");
            let found = hub.channels_of(&mut Glob::new(glob::bounded(pattern)?));
            reply.array(found.len());
            found.iter().for_each(|name| reply.bulk(name));
        }
        sub if is(sub, "numsub") => {
            reply.array((args.len() - 2) * 2);
            for name in &args[2..] {
                reply.bulk(name);
                reply.integer(hub.subscribers_of(name) as i64);
            }
        }
        sub if is(sub, "numpat") => reply.integer(hub.names(true) as i64),
        sub if is(sub, "shardnumsub") => {
            reply.array((args.len() - 2) * 2);
            for name in &args[2..] {
                reply.bulk(name);
                reply.integer(0);
            }
        }
        _ => reply.array(0),
    }
    Ok(())
}
