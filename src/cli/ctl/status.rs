//! `ctl status`

use std::io::{self, Write};

use clap::Args;
use serde::de::DeserializeOwned;

use crate::cli::ctl::client::Client;
use crate::cli::ctl::member::{Target, pool_path};
use crate::cli::ctl::table::{Side, Table, bytes, limit, printable, time};
use crate::cli::ctl::told::{
    Backend, Backup, Backups, Check, Listener, Opening, Pool, Scrub, Split, Status, Store,
};
use crate::cli::moment::rfc3339;
use crate::cli::{Failure, count};

/// Show what there is: listeners, pools and backends
#[derive(Args)]
pub(super) struct Arguments {
    /// POOL or POOL/BACKEND; everything without
    #[arg(value_name = "POOL[/BACKEND]")]
    target: Option<String>,
}

pub(super) fn run(
    arguments: &Arguments,
    client: &Client,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let target = Target::parse(arguments.target.as_deref())?;
    let path = match &target {
        Target::Server => "/v1/status".to_string(),
        Target::Pool(pool) => pool_path(pool),
        Target::Backend(member) => member.path(),
    };
    let answer = client.ask("GET", &path, None)?;
    if json {
        return Ok(out.write_all(&answer)?);
    }
    match target {
        Target::Server => print_server(&read(&answer)?, out)?,
        Target::Pool(_) => print_pool(&read(&answer)?, out)?,
        Target::Backend(member) => print_backend(&member.to_string(), &read(&answer)?, out)?,
    }
    Ok(())
}

/// What an answer tells.
pub(in crate::cli) fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer)
        .map_err(|error| Failure::Failed(format!("the server's answer makes no sense here: {error}")))
}

fn print_server(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let Status { version, state, pid, workers, totals, admin, .. } = status;
    let workers = match workers {
        0 => "turned by its host".to_string(),
        _ => count(*workers as usize, "worker"),
    };
    writeln!(out, "trimtab {} is {}: process {pid}, {workers}", printable(version), printable(state))?;
    writeln!(
        out,
        "  sessions {}, waiting {}, accepted {}, finished {}, failed {}, retries {}, {} to backends, {} to clients",
        totals.sessions,
        totals.waiting,
        totals.accepted,
        totals.finished,
        totals.failed,
        totals.retries,
        bytes(totals.bytes_to_backends),
        bytes(totals.bytes_to_clients)
    )?;
    write!(out, "  admin clients {}, followers {}, events {}", admin.clients, admin.followers, admin.events)?;
    match admin.events_lost {
        0 => writeln!(out)?,
        lost => writeln!(out, " ({lost} lost by slow followers)")?,
    }
    if let Some(store) = &status.store {
        print_store(store, out)?;
    }
    for split in &status.splits {
        print_split(split, out)?;
    }
    if !status.listeners.is_empty() || status.splits.is_empty() {
        writeln!(out)?;
        print_listeners(&status.listeners, out)?;
    }
    for pool in &status.pools {
        writeln!(out)?;
        print_pool(pool, out)?;
    }
    Ok(())
}

fn print_split(split: &Split, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "  split {} on {}: clients {} of {}, accepted {}, refused {}, cut {} ({} for not reading)",
        printable(&split.name),
        printable(&split.address),
        split.clients,
        split.maxconn,
        split.accepted,
        split.refused,
        split.cut + split.slow,
        split.slow
    )?;
    writeln!(
        out,
        "    reads {} of replicas, {} of the primary, {} too old; writes {}, in doubt {}; sent again {}",
        split.replica_reads, split.primary_reads, split.behind, split.writes, split.in_doubt, split.retries
    )?;
    writeln!(
        out,
        "    waiting for a primary {}, so far {}, in vain {}; connections to nodes {}, broken {}",
        split.waiting, split.held, split.unserved, split.links, split.link_errors
    )
}

fn print_store(store: &Store, out: &mut impl Write) -> io::Result<()> {
    let node = store.node.as_ref().map_or(String::new(), |node| format!(" {}", printable(node)));
    let memory_max = match store.memory_max {
        0 => String::new(),
        max => format!(" of {}", bytes(max)),
    };
    let durability = match store.nodes {
        0 => printable(&store.durability),
        nodes => format!("{} and {}", printable(&store.durability), count(nodes as usize, "node")),
    };
    writeln!(
        out,
        "  store{node} in {}: {durability}, {} in {}{memory_max}, sequence {} ({} on disk, snapshot {}), {} of files",
        printable(&store.dir),
        count(store.keys as usize, "key"),
        bytes(store.memory_bytes),
        store.sequence,
        store.durable,
        store.snapshot,
        bytes(store.disk_bytes)
    )?;
    print_opening(&store.opening, out)?;
    print_scrub(&store.scrub, out)?;
    writeln!(
        out,
        "  expiries {}, evictions {}, clock steps {}",
        store.expiries, store.evictions, store.clock_steps
    )?;
    if let Some(clients) = &store.clients {
        writeln!(
            out,
            "  Redis clients {} of {} on {}, accepted {}, refused {}, commands {}, errors {}, cut for not reading {}",
            clients.present,
            clients.maxclients,
            printable(&clients.address),
            clients.accepted,
            clients.refused,
            clients.commands,
            clients.errors,
            clients.slow
        )?;
    }
    if let Some(backups) = &store.backup {
        print_backups(backups, out)?;
    }
    let troubles = [
        ("takes no writes any more", &store.failure),
        ("takes no writes at present", &store.problem),
        ("could not write a snapshot", &store.snapshot_error),
    ];
    for (what, trouble) in troubles {
        if let Some(why) = trouble {
            writeln!(out, "  the store {what}: {}", printable(why))?;
        }
    }
    Ok(())
}

fn print_opening(opening: &Opening, out: &mut impl Write) -> io::Result<()> {
    let closed = if opening.was_closed { "closed in order before" } else { "not closed before" };
    writeln!(out, "  opened with {} from the log, {closed}", entries(opening.replayed))?;
    if let Some(torn) = &opening.torn {
        let (bytes, offset, file) = (torn.bytes, torn.offset, printable(&torn.file));
        writeln!(out, "  opening cut a torn tail off: {bytes} bytes behind byte {offset} of {file}")?;
    }
    if let Some(covered) = &opening.covered {
        let (offset, file, what) = (covered.offset, printable(&covered.file), printable(&covered.what));
        writeln!(
            out,
            "  opening took away what a snapshot stands for: {file} is damaged at byte {offset}: {what}"
        )?;
    }
    if opening.ahead_ms > 0 {
        let ahead = opening.ahead_ms;
        writeln!(out, "  opening found the clock {ahead} ms behind the latest time in the store")?;
    }
    if let Some(why) = &opening.settings_refused {
        writeln!(out, "  the settings asked for are not in force: {}", printable(why))?;
    }
    Ok(())
}

fn entries(number: u64) -> String {
    if number == 1 { "1 entry".into() } else { format!("{number} entries") }
}

fn print_scrub(scrub: &Scrub, out: &mut impl Write) -> io::Result<()> {
    write!(out, "  read again {}", count(scrub.passes as usize, "time"))?;
    if scrub.passes > 0 {
        write!(out, ", the last one ended at {}", rfc3339(scrub.finished_ms))?;
    }
    write!(out, ", {} found good", bytes(scrub.verified_bytes))?;
    match scrub.damages {
        0 => writeln!(out)?,
        damages => {
            writeln!(out, "; found damaged {}, mended {}", count(damages as usize, "time"), scrub.mended)?
        }
    }
    match &scrub.damage {
        None => Ok(()),
        Some(damage) => writeln!(out, "  damaged on disk: {}", printable(damage)),
    }
}

fn print_backups(backups: &Backups, out: &mut impl Write) -> io::Result<()> {
    if let Some(good) = &backups.good {
        let last = good.report.as_ref().map_or(0, |report| report.last);
        writeln!(
            out,
            "  backed up to {} at {}: up to entry {last}",
            printable(&good.to),
            rfc3339(good.began_ms)
        )?;
    }
    if let Some(Backup { to, began_ms, error, .. }) = &backups.failed {
        let why = printable(error.as_deref().unwrap_or_default());
        writeln!(out, "  the backup to {} at {} failed: {why}", printable(to), rfc3339(*began_ms))?;
    }
    if let Some(running) = &backups.running {
        writeln!(
            out,
            "  is being backed up to {} since {}",
            printable(&running.to),
            rfc3339(running.began_ms)
        )?;
    }
    Ok(())
}

fn print_listeners(listeners: &[Listener], out: &mut impl Write) -> io::Result<()> {
    use Side::{Left, Right};
    let mut table = Table::new([
        ("listener", Left),
        ("address", Left),
        ("pool", Left),
        ("maxconn", Right),
        ("sessions", Right),
        ("accepted", Right),
        ("failed", Right),
        ("queued", Right),
        ("retries", Right),
        ("to backends", Right),
        ("to clients", Right),
    ]);
    for listener in listeners {
        table.push([
            listener.name.clone(),
            listener.address.clone(),
            listener.pool.clone(),
            limit(listener.maxconn),
            listener.sessions.to_string(),
            listener.accepted.to_string(),
            listener.failed().to_string(),
            listener.queued.to_string(),
            listener.retries.to_string(),
            bytes(listener.bytes_to_backends),
            bytes(listener.bytes_to_clients),
        ]);
    }
    table.print("", out)
}

fn print_pool(pool: &Pool, out: &mut impl Write) -> io::Result<()> {
    use Side::{Left, Right};
    writeln!(
        out,
        "pool {}: {}, {} of {} serving, waiting {}, picks {}, in flight {}, refused {}",
        printable(&pool.name),
        printable(&pool.policy),
        pool.serving,
        count(pool.backends.len(), "backend"),
        pool.waiting,
        pool.picks,
        pool.in_flight,
        pool.refused
    )?;
    if pool.backends.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("backend", Left),
        ("address", Left),
        ("admin", Left),
        ("observed", Left),
        ("tier", Right),
        ("weight", Right),
        ("share", Right),
        ("maxconn", Right),
        ("in flight", Right),
        ("picks", Right),
        ("failures", Right),
        ("response", Right),
    ]);
    for backend in &pool.backends {
        table.push([
            backend.name.clone(),
            backend.address.clone(),
            backend.admin.clone(),
            observed(backend),
            backend.tier.to_string(),
            backend.weight.to_string(),
            share(backend),
            limit(backend.maxconn),
            backend.in_flight.to_string(),
            backend.picks.to_string(),
            backend.outcomes.failures().to_string(),
            time(backend.response_mean_ns),
        ]);
    }
    table.print("  ", out)?;
    for backend in pool.backends.iter().filter(|backend| !backend.serving) {
        if let Some(reason) = &backend.reason {
            writeln!(out, "  {}: {}", printable(&backend.name), printable(reason))?;
        }
    }
    Ok(())
}

fn print_backend(member: &str, backend: &Backend, out: &mut impl Write) -> io::Result<()> {
    let outcomes = &backend.outcomes;
    writeln!(out, "{}", printable(member))?;
    for (what, value) in [
        ("address", printable(&backend.address)),
        ("admin", printable(&backend.admin)),
        ("observed", printable(&observed(backend))),
        ("reason", backend.reason.as_deref().map_or("-".into(), printable)),
        ("serving", if backend.serving { "yes".into() } else { "no".to_string() }),
        ("tier", backend.tier.to_string()),
        ("weight", backend.weight.to_string()),
        ("share", share(backend)),
        ("maxconn", limit(backend.maxconn)),
        ("limit", limit(backend.limit)),
        ("in flight", backend.in_flight.to_string()),
        ("picks", backend.picks.to_string()),
        ("succeeded", outcomes.success.to_string()),
        ("not reached", outcomes.connect_failed.to_string()),
        ("failed", outcomes.failed.to_string()),
        ("timed out", outcomes.timed_out.to_string()),
        ("cancelled", outcomes.cancelled.to_string()),
        ("response", time(backend.response_mean_ns)),
    ] {
        writeln!(out, "  {what:12} {value}")?;
    }
    if let Some(part) = backend.slow_start.filter(|part| *part < 1.0) {
        writeln!(out, "  {:12} {:.0}% of its weight so far", "slow start", 100.0 * part)?;
    }
    if let Some(check) = &backend.check {
        writeln!(out, "  {:12} {}", "check", checked(check))?;
    }
    Ok(())
}

/// What is known of it: its state, and of a database its role too.
fn observed(backend: &Backend) -> String {
    let role = backend.check.as_ref().and_then(|check| check.role.as_deref().map(|role| (check, role)));
    let Some((check, role)) = role else { return backend.observed.clone() };
    let behind = match (check.lag_ms, check.lag_bytes) {
        (Some(ms), _) => format!(", {} behind", time(ms.max(1) * 1_000_000)),
        (None, Some(lag)) => format!(", {} behind", bytes(lag)),
        (None, None) => String::new(),
    };
    format!("{} ({role}{behind})", backend.observed)
}

/// How its check stands, in a line.
fn checked(check: &Check) -> String {
    let Check { kind, state, since_ms, probes, failed, failure, failure_ago_ms, .. } = check;
    let ago = |ms: u64| time(ms.max(1) * 1_000_000);
    let mut text = format!("{kind}, {state} for {}, {failed} of {probes} failed", ago(*since_ms));
    if let (Some(why), Some(ms)) = (failure, failure_ago_ms) {
        text += &format!(", the last one {} ago: {why}", ago(*ms));
    }
    printable(&text)
}

fn share(backend: &Backend) -> String {
    format!("{:.1}%", 100.0 * backend.share)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown<T: DeserializeOwned>(
        value: serde_json::Value,
        print: impl FnOnce(&T, &mut Vec<u8>) -> io::Result<()>,
    ) -> String {
        let mut out = Vec::new();
        let told = read(value.to_string().as_bytes()).unwrap_or_else(|_| panic!("it is not read"));
        print(&told, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn backend(name: &str) -> serde_json::Value {
        json!({
            "id": 1, "name": name, "address": "10.0.0.1:80", "weight": 2, "maxconn": 500, "tier": 0, "tag": 0,
            "admin": "ready", "observed": "unknown", "serving": true, "picks": 1200, "in_flight": 3,
            "outcomes": { "success": 1190, "connect_failed": 4, "failed": 2, "timed_out": 1, "cancelled": 7 },
            "response_mean_ns": 1_234_567, "share": 0.6667, "reason": null
        })
    }

    #[test]
    fn a_server_is_shown_as_tables() {
        let value = json!({
            "version": "0.1.0", "state": "running", "pid": 4711, "workers": 2,
            "totals": { "sessions": 3, "waiting": 1, "accepted": 120, "finished": 110, "failed": 7, "retries": 2,
                "bytes_to_backends": 1500, "bytes_to_clients": 35_000_000 },
            "listeners": [{ "name": "web", "address": "127.0.0.1:8080", "pool": "app", "maxconn": 0, "sessions": 3,
                "accepted": 120, "retries": 2, "queued": 5, "bytes_to_backends": 1500,
                "bytes_to_clients": 35_000_000, "closed": { "finished": 110, "client_reset": 4, "no_backend": 3 } }],
            "pools": [
                { "name": "app", "policy": "round-robin", "waiting": 1, "serving": 1, "picks": 1200, "in_flight": 3,
                    "refused": 3, "backends": [backend("web-01")] },
                { "name": "cache", "policy": "source" }
            ],
            "admin": { "clients": 2, "followers": 1, "events": 12, "events_lost": 9 }
        });
        let expected = "\
trimtab 0.1.0 is running: process 4711, 2 workers
  sessions 3, waiting 1, accepted 120, finished 110, failed 7, retries 2, 1.5 KiB to backends, 33 MiB to clients
  admin clients 2, followers 1, events 12 (9 lost by slow followers)

listener  address         pool  maxconn  sessions  accepted  failed  queued  retries  to backends  to clients
web       127.0.0.1:8080  app         -         3       120       7       5        2      1.5 KiB      33 MiB

pool app: round-robin, 1 of 1 backend serving, waiting 1, picks 1200, in flight 3, refused 3
  backend  address      admin  observed  tier  weight  share  maxconn  in flight  picks  failures  response
  web-01   10.0.0.1:80  ready  unknown      0       2  66.7%      500          3   1200         7    1.2 ms

pool cache: source, 0 of 0 backends serving, waiting 0, picks 0, in flight 0, refused 0
";
        assert_eq!(shown(value, |status: &Status, out| print_server(status, out)), expected);
    }

    #[test]
    fn where_all_listeners_split_there_is_no_table_of_others() {
        let split = json!({ "splits": [{ "name": "redis", "address": "127.0.0.1:6400" }] });
        let told = shown(split, |status: &Status, out| print_server(status, out));
        assert!(told.contains("split redis on 127.0.0.1:6400") && !told.contains("\nlistener "), "{told}");
    }

    #[test]
    fn what_a_store_has_found_is_shown() {
        let value = json!({
            "dir": "data", "durability": "quorum", "nodes": 2, "keys": 1, "memory_bytes": 200,
            "opening": {
                "was_closed": false, "segments": 1, "replayed": 1, "ahead_ms": 1500,
                "torn": { "file": "data/1.wal", "offset": 8192, "bytes": 72 },
                "settings_refused": "value_max 0 is out of range"
            },
            "scrub": {
                "passes": 1, "verified_bytes": 1500, "finished_ms": 0, "damages": 2, "mended": 1,
                "damage": "data/1.wal is damaged at byte 9000"
            },
            "clock_steps": 3, "expiries": 4, "evictions": 5
        });
        let expected = "  \
  store in data: quorum and 2 nodes, 1 key in 200 B, sequence 0 (0 on disk, snapshot 0), 0 B of files
  opened with 1 entry from the log, not closed before
  opening cut a torn tail off: 72 bytes behind byte 8192 of data/1.wal
  opening found the clock 1500 ms behind the latest time in the store
  the settings asked for are not in force: value_max 0 is out of range
  read again 1 time, the last one ended at 1970-01-01T00:00:00.000Z, 1.5 KiB found good; found damaged 2 times, mended 1
  damaged on disk: data/1.wal is damaged at byte 9000
  expiries 4, evictions 5, clock steps 3
";
        assert_eq!(shown(value, |store: &Store, out| print_store(store, out)), expected);
    }

    #[test]
    fn a_backend_is_shown_with_all_there_is() {
        let text =
            shown(backend("web\u{1b}01"), |told: &Backend, out| print_backend("app/w\u{1b}", told, out));
        for line in [
            "app/w\u{fffd}\n",
            "  address      10.0.0.1:80\n",
            "  serving      yes\n",
            "  share        66.7%\n",
            "  not reached  4\n",
            "  cancelled    7\n",
            "  response     1.2 ms\n",
            "  reason       -\n",
            "  limit        -\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("check") && !text.contains("slow start"), "{text}");
    }

    #[test]
    fn it_is_told_why_and_of_databases_which_is_which() {
        let with = |name: &str, more: serde_json::Value| {
            let mut told = backend(name);
            told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            told
        };
        let check = |role: &str, more: serde_json::Value| {
            let mut told = json!({ "kind": "postgres", "state": "up", "since_ms": 1500, "probes": 9, "failed": 0,
                "role": role });
            told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            told
        };
        let down = with(
            "db-03",
            json!({ "observed": "down", "serving": false, "reason": "connection refused",
            "slow_start": 0.25, "limit": 40, "check": { "kind": "postgres", "state": "down", "since_ms": 61_000,
            "probes": 50, "failed": 3, "failure": "connection refused", "failure_ago_ms": 900 } }),
        );
        let pool = json!({ "name": "db", "policy": "round-robin", "serving": 2, "backends": [
            with("db-01", json!({ "observed": "up", "reason": "primary", "check": check("primary", json!({})) })),
            with("db-02", json!({ "observed": "up", "check": check("replica", json!({ "lag_ms": 12 })) })),
            with("db-04", json!({ "observed": "up", "check": check("replica", json!({ "lag_bytes": 4096 })) })),
            down.clone(),
        ]});
        let text = shown(pool, |told: &Pool, out| print_pool(told, out));
        for part in
            ["ready  up (primary)", "ready  up (replica, 12 ms behind)", "up (replica, 4.0 KiB behind)"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            text.ends_with("\n  db-03: connection refused\n"),
            "a reason where it does not serve: {text}"
        );
        let text = shown(down, |told: &Backend, out| print_backend("db/db-03", told, out));
        for line in [
            "  observed     down\n",
            "  reason       connection refused\n",
            "  limit        40\n",
            "  slow start   25% of its weight so far\n",
            "  check        postgres, down for 61 s, 3 of 50 failed, the last one 900 ms ago: connection refused\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn what_another_version_tells_is_shown_as_far_as_it_goes() {
        let text =
            shown(json!({ "state": "new", "later": [1] }), |status: &Status, out| print_server(status, out));
        assert!(text.starts_with("trimtab  is new: process 0, turned by its host\n"), "{text}");
        assert!(read::<Status>(b"5").is_err() && read::<Status>(b"nonsense").is_err());
    }
}
