//! The connection, and what the server says of itself.

use super::super::keys::Persistence;
use super::super::reply::{Protocol, Reply};
use super::super::world::{Failure, SYNTAX, World, fail};
use super::generic::{Scan, cursor, scanned};
use super::{
    ADMIN, Args, Context, FAST, GUARDED, LOADING, NO_AUTH, READONLY, Spec, WRITE, failure, is, replication,
    small_integer, wrong_arity,
};
use crate::resp::parse_integer;

pub(super) const TABLE: &[Spec] = &[
    Spec::session("ping", -1, FAST | LOADING, ping),
    Spec::session("echo", 2, FAST | LOADING, echo),
    Spec::session("hello", -1, FAST | LOADING | NO_AUTH, hello),
    Spec::session("auth", -2, FAST | LOADING | NO_AUTH, auth),
    Spec::session("select", 2, FAST | LOADING, select),
    Spec::session("time", 1, FAST | LOADING, time),
    Spec::session("info", -1, LOADING, info),
    Spec::session("scan", -2, READONLY, scan),
    Spec::session("debug", -2, ADMIN | LOADING, debug),
    Spec::data("flushall", -1, WRITE | GUARDED, (0, 0, 0), flush),
    Spec::data("flushdb", -1, WRITE | GUARDED, (0, 0, 0), flush),
];

/// The version of Redis whose behaviour this is.
const REDIS_VERSION: &str = "7.0.15";

fn ping(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if args.len() > 2 {
        return Err(wrong_arity("ping"));
    }
    let is_subscriber = context.hub.client(context.id).subscriptions() > 0;
    match args.get(1) {
        given if is_subscriber && reply.protocol() == Protocol::Resp2 => {
            reply.array(2);
            reply.bulk(b"pong");
            reply.bulk(given.copied().unwrap_or_default());
        }
        Some(text) => reply.bulk(text),
        None => reply.simple("PONG"),
    }
    Ok(())
}

fn echo(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    reply.bulk(args[1]);
    Ok(())
}

fn log_in(context: &mut Context<'_>, user: &[u8], password: &[u8]) -> Result<(), Failure> {
    let is_right =
        user == b"default" && context.hub.options.password.as_ref().is_none_or(|own| is_same(own, password));
    if !is_right {
        return Err(fail("WRONGPASS invalid username-password pair or user is disabled."));
    }
    context.hub.client(context.id).is_authenticated = true;
    Ok(())
}

/// Compares in a time that says nothing of where the two differ.
fn is_same(own: &[u8], given: &[u8]) -> bool {
    let differences =
        given.iter().enumerate().fold(0, |all, (at, byte)| all | (byte ^ own.get(at).unwrap_or(&0)));
    differences == 0 && own.len() == given.len()
}

pub(super) fn check_name(name: &[u8]) -> Result<(), Failure> {
    match name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        true => Ok(()),
        false => Err(fail("ERR Client names cannot contain spaces, newlines or special characters.")),
    }
}

fn hello(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let mut protocol = None;
    if let Some(version) = args.get(1) {
        let version =
            parse_integer(version).ok_or(fail("ERR Protocol version is not an integer or out of range"))?;
        protocol = Some(match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(fail("NOPROTO unsupported protocol version")),
        });
    }
    // Each counts at once, whatever comes of those behind it.
    let mut rest = args.get(2..).unwrap_or_default();
    while let [option, values @ ..] = rest {
        rest = match values {
            [user, password, rest @ ..] if is(option, "auth") => {
                log_in(context, user, password)?;
                rest
            }
            [given, rest @ ..] if is(option, "setname") => {
                check_name(given)?;
                context.hub.client(context.id).name = given.to_vec();
                rest
            }
            _ => {
                let end = option.iter().position(|byte| *byte == 0).unwrap_or(option.len());
                let text = [b"ERR Syntax error in HELLO option '", &option[..end], b"'"].concat();
                return Err(Failure(text.into()));
            }
        };
    }
    let id = context.id;
    let client = context.hub.client(id);
    if !client.is_authenticated {
        return Err(fail(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time",
        ));
    }
    if let Some(protocol) = protocol {
        client.protocol = protocol;
        reply.set_protocol(protocol);
    }
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if reply.protocol() == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id as i64);
    let is_replica = context.hub.topology().is_some_and(|topology| !topology.is_primary());
    for (key, value) in [("mode", "standalone"), ("role", if is_replica { "replica" } else { "master" })] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn auth(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let (user, password) = match args {
        [_, password] if context.hub.options.password.is_some() => (&b"default"[..], *password),
        [_, _] => {
            return Err(fail(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                 your configuration is correct?",
            ));
        }
        [_, user, password] => (*user, *password),
        _ => return Err(SYNTAX),
    };
    log_in(context, user, password)?;
    reply.simple("OK");
    Ok(())
}

fn select(_: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if small_integer(args[1])? != 0 {
        return Err(fail("ERR DB index is out of range"));
    }
    reply.simple("OK");
    Ok(())
}

fn time(context: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let now = context.now.as_millis();
    reply.array(2);
    reply.bulk((now / 1_000).to_string().as_bytes());
    reply.bulk((now % 1_000 * 1_000).to_string().as_bytes());
    Ok(())
}

/// What DEBUG is answered, in a transaction at once.
pub(in crate::resp) const NO_DEBUG: Failure = fail(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a \
     local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

fn debug(_: &mut Context<'_>, _: Args<'_>, _: &mut Reply<'_>) -> Result<(), Failure> {
    Err(NO_DEBUG)
}

fn scan(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let cursor = cursor(args[1])?;
    let mut scan = Scan::parse(&args[2..], true)?;
    let after = match cursor {
        0 => None,
        cursor => match context.hub.find_scan(cursor) {
            Some(key) => Some(key),
            None => {
                return Err(fail("ERR this scan is forgotten or was begun elsewhere; begin again from 0"));
            }
        },
    };
    let mut world = World::new(context.view, context.now, false, 0);
    let (keys, next) = scanned(&mut world, after.as_deref(), &mut scan);
    context.hub.counters.looked_up(world.take_lookups(false));
    let next = context.hub.step_scan(cursor, next);
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.array(keys.len());
    keys.iter().for_each(|key| reply.bulk(key));
    Ok(())
}

fn flush(world: &mut World<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    match &args[1..] {
        [] => {}
        [mode] if is(mode, "async") || is(mode, "sync") => {}
        _ => return Err(SYNTAX),
    }
    world.clear();
    reply.simple("OK");
    Ok(())
}

const SECTIONS: [&str; 7] =
    ["server", "clients", "memory", "persistence", "stats", "replication", "keyspace"];

fn info(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let is_asked = |section: &str| {
        args.len() == 1
            || args[1..].iter().any(|arg| {
                ["all", "everything", "default"].iter().any(|every| is(arg, every)) || is(arg, section)
            })
    };
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| is_asked(section)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {}{}\r\n", section[..1].to_ascii_uppercase(), &section[1..]));
        for (name, value) in fields(context, section) {
            text.push_str(&format!("{name}:{value}\r\n"));
        }
    }
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn fields(context: &Context<'_>, section: &str) -> Vec<(String, String)> {
    if section == "replication" {
        return replication::fields(context);
    }
    own_fields(context, section).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn own_fields(context: &Context<'_>, section: &str) -> Vec<(&'static str, String)> {
    let Context { hub, view, now, .. } = context;
    let uptime = now.as_millis().saturating_sub(hub.started.as_millis()) / 1_000;
    let (clients, counters) = hub.totals();
    match section {
        "server" => vec![
            ("redis_version", REDIS_VERSION.into()),
            ("redis_mode", "standalone".into()),
            ("trimtab_version", env!("CARGO_PKG_VERSION").into()),
            ("os", std::env::consts::OS.into()),
            ("arch_bits", usize::BITS.to_string()),
            ("run_id", hub.topology().map_or_else(|| hub.run_id.clone(), |it| it.run_id(it.own()))),
            ("uptime_in_seconds", uptime.to_string()),
            ("uptime_in_days", (uptime / 86_400).to_string()),
        ],
        "clients" => vec![
            ("connected_clients", clients.to_string()),
            ("maxclients", hub.options.clients_max.to_string()),
            ("blocked_clients", "0".into()),
            (
                "pubsub_clients",
                hub.clients.values().filter(|client| client.subscriptions() > 0).count().to_string(),
            ),
        ],
        "memory" => vec![
            ("used_memory", view.memory().to_string()),
            ("maxmemory", view.settings().memory_max.to_string()),
        ],
        "persistence" => persistence(&context.persistence),
        "stats" => vec![
            ("total_connections_received", counters.connections.to_string()),
            ("total_commands_processed", counters.commands.to_string()),
            ("total_error_replies", counters.errors.to_string()),
            ("client_output_buffer_limit_disconnections", counters.slow_readers.to_string()),
            ("notification_gap_disconnections", counters.left_out.to_string()),
            ("protocol_errors", counters.protocol_errors.to_string()),
            ("transaction_retries", counters.retries.to_string()),
            ("expired_keys", view.removed().expired.to_string()),
            ("evicted_keys", view.removed().evicted.to_string()),
            ("keyspace_hits", counters.hits.to_string()),
            ("keyspace_misses", counters.misses.to_string()),
            ("pubsub_channels", hub.names(false).to_string()),
            ("pubsub_patterns", hub.names(true).to_string()),
        ],
        _ if view.is_empty() => Vec::new(),
        _ => {
            let text = format!("keys={},expires={},avg_ttl=0", view.len(), view.keys_with_deadline());
            vec![("db0", text)]
        }
    }
}

/// Under Redis' names: the log is its append only file, and snapshots are its dumps and what the file is rewritten from.
fn persistence(disk: &Persistence) -> Vec<(&'static str, String)> {
    let status = |is_bad| if is_bad { "err" } else { "ok" }.to_owned();
    vec![
        ("loading", "0".into()),
        ("rdb_changes_since_last_save", disk.changes.to_string()),
        ("rdb_bgsave_in_progress", u8::from(disk.is_snapshotting).to_string()),
        ("rdb_last_save_time", (disk.snapshotted_at.as_millis() / 1_000).to_string()),
        ("rdb_last_bgsave_status", status(disk.has_snapshot_failed)),
        ("aof_enabled", "1".into()),
        ("aof_last_bgrewrite_status", status(disk.has_snapshot_failed)),
        ("aof_last_write_status", status(disk.is_failing)),
        ("aof_current_size", disk.bytes.to_string()),
    ]
}

/// What a command answers that `allows_flush` is off for.
pub(in crate::resp) fn flush_refused(name: &str) -> Failure {
    failure(format!("ERR {} is off; allow it in the configuration", name.to_ascii_uppercase()))
}
