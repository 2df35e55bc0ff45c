//! `CLIENT`, `CONFIG` and `COMMAND`.

use super::super::clients::{Filter, Kind, Question, What};
use super::super::glob;
use super::super::reply::Reply;
use super::super::world::{Failure, SYNTAX, fail};
use super::server::check_name;
use super::{
    ADMIN, ASKING, Args, BLOCKING, Context, FAST, FLAGS, LOADING, PUBSUB, READONLY, Spec, WRITE, all,
    failure, find, help, is,
};
use crate::resp::parse_integer;

const CLIENT: &[(&str, i32)] = &[
    ("id", 2),
    ("getname", 2),
    ("setname", 3),
    ("setinfo", 4),
    ("info", 2),
    ("list", -2),
    ("kill", -3),
    ("no-evict", 3),
    ("no-touch", 3),
];
const CONFIG: &[(&str, i32)] = &[("get", -3), ("set", -4), ("resetstat", 2)];
const COMMAND: &[(&str, i32)] = &[("count", 2), ("docs", -2), ("getkeys", -4), ("info", -2), ("list", -2)];

pub(super) const TABLE: &[Spec] = &[
    Spec::session("client", -2, LOADING | ASKING, client).with(CLIENT),
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
        let line = context.hub.client(id).line(id, now);
        reply.verbatim(*b"txt", &line);
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

/// What `CLIENT LIST` or `CLIENT KILL` asks of all clients; `None` for what is no such request.
pub(in crate::resp) fn question(args: Args<'_>, asker: u64) -> Option<Result<Question, Failure>> {
    let asked = match args.get(1)? {
        sub if is(sub, "list") => list(&args[2..]),
        sub if is(sub, "kill") => match &args[2..] {
            [address] => Ok((What::KillOne, Filter { address: Some(address.to_vec()), ..Filter::default() })),
            options => kill(options, asker).map(|filter| (What::Kill, filter)),
        },
        _ => return None,
    };
    Some(asked.map(|(what, filter)| Question { what, filter, asker }))
}

fn list(options: Args<'_>) -> Result<(What, Filter), Failure> {
    match options {
        [] => Ok((What::List(None), Filter::default())),
        [by, kind] if is(by, "type") => {
            Ok((What::List(None), Filter { kind: Some(Kind::parse(kind)?), ..Filter::default() }))
        }
        [by, ids @ ..] if is(by, "id") && !ids.is_empty() => {
            let ids: Option<Vec<i64>> = ids.iter().map(|id| parse_integer(id)).collect();
            let ids = ids.ok_or(fail("ERR Invalid client ID"))?;
            Ok((What::List(Some(ids)), Filter::default()))
        }
        _ => Err(SYNTAX),
    }
}

fn kill(options: Args<'_>, asker: u64) -> Result<Filter, Failure> {
    let mut filter = Filter { skipped: Some(asker), ..Filter::default() };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(SYNTAX) };
        let value = *value;
        match () {
            () if is(name, "id") => {
                let id = parse_integer(value).filter(|id| *id > 0);
                filter.id = Some(id.ok_or(fail("ERR client-id should be greater than 0"))? as u64);
            }
            () if is(name, "type") => filter.kind = Some(Kind::parse(value)?),
            () if is(name, "addr") => filter.address = Some(value.to_vec()),
            () if is(name, "laddr") => filter.local = Some(value.to_vec()),
            () if is(name, "user") => {
                if value != b"default" {
                    return Err(Failure([b"ERR No such user '", value, b"'"].concat().into()));
                }
            }
            () if is(name, "skipme") && is(value, "yes") => filter.skipped = Some(asker),
            () if is(name, "skipme") && is(value, "no") => filter.skipped = None,
            () if is(name, "maxage") => {
                let age = parse_integer(value).ok_or(fail("ERR maxage is not an integer or out of range"))?;
                let age = u64::try_from(age).ok().filter(|age| *age > 0);
                filter.age = Some(age.ok_or(fail("ERR maxage should be greater than 0"))?);
            }
            () => return Err(SYNTAX),
        }
    }
    Ok(filter)
}

fn config(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let sub = args[1];
    if is(sub, "help") {
        help("config", CONFIG, reply);
    } else if is(sub, "get") {
        let all = parameters(context);
        // A name is told as it was asked for, a pattern's by its own.
        let told = |name: &'static str| {
            let exact = args[2..].iter().find(|arg| is(arg, name)).map(|arg| arg.to_vec());
            let is_match = |arg: &&&[u8]| glob::matches(&arg.to_ascii_lowercase(), name.as_bytes());
            exact.or_else(|| args[2..].iter().find(is_match).map(|_| name.as_bytes().to_vec()))
        };
        let found: Vec<_> = all.iter().filter_map(|(name, value)| Some((told(name)?, value))).collect();
        reply.map(found.len());
        for (name, value) in found {
            reply.bulk(&name);
            reply.bulk(value.as_bytes());
        }
    } else if is(sub, "resetstat") {
        context.hub.reset_totals();
        reply.simple("OK");
    } else {
        if args.len() % 2 == 1 {
            return Err(SYNTAX);
        }
        let known = parameters(context);
        for (at, pair) in args[2..].chunks_exact(2).enumerate() {
            let name = String::from_utf8_lossy(pair[0]);
            if is(pair[0], "notify-keyspace-events") {
                if args[2..].chunks_exact(2).take(at).any(|before| before[0].eq_ignore_ascii_case(pair[0])) {
                    return Err(failure(format!(
                        "ERR CONFIG SET failed (possibly related to argument '{name}') - duplicate parameter"
                    )));
                }
                continue;
            }
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
    // In whole seconds, and 0 only where nothing ends who says nothing.
    let idle = context.hub.options.idle;
    let idle = idle.as_secs() + u64::from(idle.subsec_nanos() > 0);
    vec![
        ("maxmemory", settings.memory_max.to_string()),
        ("maxclients", context.hub.options.clients_max.to_string()),
        ("proto-max-bulk-len", settings.value_max.to_string()),
        ("databases", "1".into()),
        ("save", String::new()),
        ("appendonly", "yes".into()),
        ("timeout", idle.to_string()),
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
        let names = listed(&args[2..])?;
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    } else if is(sub, "getkeys") {
        let keys = keys_of(&args[2..])?;
        reply.array(keys.len());
        keys.iter().for_each(|key| reply.bulk(key));
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

/// Categories of `FILTERBY ACLCAT` that the flags of commands tell.
fn is_in_category(spec: &Spec, category: &[u8]) -> bool {
    let has = |flag: u16| spec.flags & flag != 0;
    match () {
        () if is(category, "fast") => has(FAST),
        () if is(category, "slow") => !has(FAST),
        () if is(category, "read") => has(READONLY),
        () if is(category, "write") => has(WRITE),
        () if is(category, "admin") => has(ADMIN),
        () if is(category, "pubsub") => has(PUBSUB),
        () if is(category, "blocking") => has(BLOCKING),
        () => false,
    }
}

/// The names of commands that `COMMAND LIST` tells, and those of their subcommands.
fn listed(options: Args<'_>) -> Result<Vec<String>, Failure> {
    let filter = match options {
        [] => None,
        [by, kind, value] if is(by, "filterby") => match () {
            () if is(kind, "module") || is(kind, "aclcat") || is(kind, "pattern") => Some((*kind, *value)),
            () => return Err(SYNTAX),
        },
        _ => return Err(SYNTAX),
    };
    let subcommands = |spec: &'static Spec| {
        spec.subcommands.iter().map(move |(sub, _)| (spec, format!("{}|{sub}", spec.name)))
    };
    let names = all().flat_map(|spec| [(spec, spec.name.to_owned())].into_iter().chain(subcommands(spec)));
    let is_told = |spec: &Spec, name: &str| match filter {
        None => true,
        Some((kind, category)) if is(kind, "aclcat") => is_in_category(spec, category),
        Some((kind, pattern)) if is(kind, "pattern") => {
            glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())
        }
        // There are no modules.
        Some(_) => false,
    };
    Ok(names.filter(|(spec, name)| is_told(spec, name)).map(|(_, name)| name).collect())
}

/// The keys among the arguments of a command, which is not done.
fn keys_of<'a>(args: Args<'a>) -> Result<Vec<&'a [u8]>, Failure> {
    let invalid = fail("ERR Invalid command specified");
    let spec = find(args[0]).ok_or(invalid.clone())?;
    let sub = args.get(1).filter(|_| !spec.subcommands.is_empty());
    let mut arity = spec.arity;
    match sub {
        // Of which Redis says that it has no keys.
        Some(sub) if is(sub, "help") => return Err(NO_KEYS),
        Some(sub) => {
            let found = spec.subcommands.iter().find(|(name, _)| is(sub, name));
            arity = found.ok_or(invalid)?.1;
        }
        None => {}
    }
    let (first, last, step) = spec.keys;
    if first == 0 {
        return Err(NO_KEYS);
    }
    let len = args.len() as i32;
    if (arity > 0 && arity != len) || len < -arity {
        return Err(fail("ERR Invalid number of arguments specified for command"));
    }
    let last = if last < 0 { len + last } else { last };
    Ok((first..=last).step_by(step as usize).filter_map(|at| args.get(at as usize).copied()).collect())
}

const NO_KEYS: Failure = fail("ERR The command has no key arguments");

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
