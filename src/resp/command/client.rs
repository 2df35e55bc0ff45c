//! `CLIENT`, `CONFIG` and `COMMAND`.

use super::super::glob;
use super::super::hub::Client;
use super::super::reply::{Protocol, Reply};
use super::super::world::{Failure, SYNTAX, fail};
use super::server::check_name;
use super::{ADMIN, Args, Context, FLAGS, LOADING, Spec, all, failure, find, help, integer, is};
use crate::store::index::Timestamp;

const CLIENT: &[(&str, i32)] = &[
    ("id", 2),
    ("getname", 2),
    ("setname", 3),
    ("setinfo", 4),
    ("info", 2),
    ("list", -2),
    ("no-evict", 3),
    ("no-touch", 3),
];
const CONFIG: &[(&str, i32)] = &[("get", -3), ("set", -4), ("resetstat", 2)];
const COMMAND: &[(&str, i32)] = &[("count", 2), ("docs", -2), ("info", -2), ("list", -2)];

pub(super) const TABLE: &[Spec] = &[
    Spec::session("client", -2, LOADING, client).with(CLIENT),
    Spec::session("config", -2, ADMIN | LOADING, config).with(CONFIG),
    Spec::session("command", -1, LOADING, command).with(COMMAND),
];

fn client(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let (id, now) = (context.id, context.now);
    let sub = args[1];
    if is(sub, "help") {
        help("client", CLIENT, reply);
    } else if is(sub, "id") {
        reply.integer(id as i64);
    } else if is(sub, "getname") {
        match &context.hub.client(id).name[..] {
            [] => reply.null(),
            name => reply.bulk(name),
        }
    } else if is(sub, "setname") {
        check_name(args[2])?;
        context.hub.client(id).name = args[2].to_vec();
        reply.simple("OK");
    } else if is(sub, "setinfo") {
        let library = &mut context.hub.client(id).library;
        let (place, name) = match () {
            () if is(args[2], "lib-name") => (&mut library.0, "lib-name"),
            () if is(args[2], "lib-ver") => (&mut library.1, "lib-ver"),
            () => return Err(Failure([b"ERR Unrecognized option '", args[2], b"'"].concat().into())),
        };
        if check_name(args[3]).is_err() {
            return Err(failure(format!(
                "ERR {name} cannot contain spaces, newlines or special characters."
            )));
        }
        *place = args[3].to_vec();
        reply.simple("OK");
    } else if is(sub, "info") {
        let line = line(id, context.hub.client(id), now);
        reply.verbatim(*b"txt", &line);
    } else if is(sub, "list") {
        let chosen = match &args[2..] {
            [] => None,
            [by, kind] if is(by, "type") => match () {
                () if is(kind, "normal") || is(kind, "pubsub") => None,
                () if ["master", "replica", "slave"].iter().any(|name| is(kind, name)) => Some(Vec::new()),
                () => {
                    return Err(Failure([b"ERR Unknown client type '", *kind, b"'"].concat().into()));
                }
            },
            [by, ids @ ..] if is(by, "id") && !ids.is_empty() => {
                let ids: Option<Vec<i64>> = ids.iter().map(|id| integer(id).ok()).collect();
                Some(ids.ok_or(fail("ERR Invalid client ID"))?)
            }
            _ => return Err(SYNTAX),
        };
        let clients = context.hub.clients.iter();
        let clients =
            clients.filter(|(id, _)| chosen.as_ref().is_none_or(|ids| ids.contains(&(**id as i64))));
        let text: Vec<u8> = clients.flat_map(|(id, client)| line(*id, client, now)).collect();
        reply.verbatim(*b"txt", &text);
    } else {
        let is_on = match () {
            () if is(args[2], "on") => true,
            () if is(args[2], "off") => false,
            () => return Err(SYNTAX),
        };
        let client = context.hub.client(id);
        match is(sub, "no-evict") {
            true => client.is_no_evict = is_on,
            false => client.is_no_touch = is_on,
        }
        reply.simple("OK");
    }
    Ok(())
}

fn line(id: u64, client: &Client, now: Timestamp) -> Vec<u8> {
    let seconds = |since: Timestamp| now.as_millis().saturating_sub(since.as_millis()) / 1_000;
    let mut flags = String::new();
    for (is_set, flag) in [
        (client.subscriptions() > 0, 'P'),
        (client.queued >= 0, 'x'),
        (client.is_no_evict, 'e'),
        (client.is_no_touch, 'T'),
    ] {
        flags.extend(is_set.then_some(flag));
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let mut out = format!("id={id} addr={} name=", client.address).into_bytes();
    out.extend_from_slice(&client.name);
    out.extend_from_slice(
        format!(
            " age={} idle={} flags={flags} db=0 sub={} psub={} multi={} cmd={} user=default resp={} lib-name=",
            seconds(client.since),
            seconds(client.active),
            client.channels.len(),
            client.patterns.len(),
            client.queued,
            client.last_command,
            if client.protocol == Protocol::Resp3 { 3 } else { 2 },
        )
        .as_bytes(),
    );
    out.extend_from_slice(&client.library.0);
    out.extend_from_slice(b" lib-ver=");
    out.extend_from_slice(&client.library.1);
    out.push(b'\n');
    out
}

fn config(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let sub = args[1];
    if is(sub, "help") {
        help("config", CONFIG, reply);
    } else if is(sub, "get") {
        let all = parameters(context);
        let is_asked = |name: &str| {
            args[2..].iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
        };
        let found: Vec<_> = all.iter().filter(|(name, _)| is_asked(name)).collect();
        reply.map(found.len());
        for (name, value) in found {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    } else if is(sub, "resetstat") {
        context.hub.counters = Default::default();
        reply.simple("OK");
    } else {
        if args.len() % 2 == 1 {
            return Err(super::wrong_arity("config|set"));
        }
        let known = parameters(context);
        for pair in args[2..].chunks_exact(2) {
            if is(pair[0], "notify-keyspace-events") {
                continue;
            }
            let name = String::from_utf8_lossy(pair[0]);
            let is_known = known.iter().any(|(known, _)| is(pair[0], known));
            return Err(failure(match is_known {
                true => format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
                ),
                false => format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"),
            }));
        }
        for pair in args[2..].chunks_exact(2) {
            let done = context.hub.configure(pair[1], context.view);
            done.ok_or(fail(
                "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event \
                 class character. Use 'Ag$lshzxeKEtmdn'.",
            ))?;
            if let Some(peers) = &mut context.hub.peers {
                peers.configure(pair[1]);
            }
        }
        reply.simple("OK");
    }
    Ok(())
}

fn parameters(context: &Context<'_>) -> Vec<(&'static str, String)> {
    let settings = context.view.settings();
    vec![
        ("maxmemory", settings.memory_max.to_string()),
        ("maxclients", context.hub.options.clients_max.to_string()),
        ("proto-max-bulk-len", settings.value_max.to_string()),
        ("databases", "1".into()),
        ("save", String::new()),
        ("appendonly", "yes".into()),
        ("timeout", "0".into()),
        ("notify-keyspace-events", context.hub.notifications.text()),
    ]
}

fn command(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let Some(sub) = args.get(1) else {
        reply.array(all().count());
        all().for_each(|spec| told(spec, reply));
        return Ok(());
    };
    if is(sub, "help") {
        help("command", COMMAND, reply);
    } else if is(sub, "count") {
        reply.integer(all().count() as i64);
    } else if is(sub, "list") {
        if args.len() > 2 {
            return Err(SYNTAX);
        }
        reply.array(all().count());
        all().for_each(|spec| reply.bulk(spec.name.as_bytes()));
    } else if is(sub, "info") {
        let named = &args[2..];
        reply.array(if named.is_empty() { all().count() } else { named.len() });
        if named.is_empty() {
            all().for_each(|spec| told(spec, reply));
        }
        for name in named {
            match find(name) {
                Some(spec) => told(spec, reply),
                None => reply.null(),
            }
        }
    } else {
        let named: Vec<&Spec> = match &args[2..] {
            [] => all().collect(),
            names => names.iter().filter_map(|name| find(name)).collect(),
        };
        reply.map(named.len());
        for spec in named {
            reply.bulk(spec.name.as_bytes());
            reply.map(2);
            reply.bulk(b"summary");
            reply.bulk(format!("As {} of Redis.", spec.name.to_ascii_uppercase()).as_bytes());
            reply.bulk(b"arity");
            reply.integer(i64::from(spec.arity));
        }
    }
    Ok(())
}

fn told(spec: &Spec, reply: &mut Reply<'_>) {
    reply.array(10);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    let flags = || FLAGS.iter().filter(|(flag, _)| spec.flags & flag != 0);
    reply.set(flags().count());
    flags().for_each(|(_, name)| reply.simple(name));
    let (first, last, step) = spec.keys;
    for number in [first, last, step] {
        reply.integer(i64::from(number));
    }
    // Categories of access, hints, places of keys, subcommands: none are told.
    reply.set(0);
    reply.array(0);
    reply.array(0);
    reply.array(0);
}
