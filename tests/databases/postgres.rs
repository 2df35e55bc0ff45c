//! PostgreSQL: a primary, and a replica that streams from it and is promoted when the primary is gone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::home::{Daemon, Home, run};
use crate::process::until;
use crate::{PASSWORD, await_failure, await_serving, backends, balance, port};

/// Longer than this a primary's failover is not to take: it takes two good probes, 200 ms apart.
const FAILOVER_MAX: Duration = Duration::from_secs(20);

const HBA: &str = "\
local all all trust
local replication all trust
host all all 127.0.0.0/8 scram-sha-256
";

/// A replica that has lost its primary looks for it every `wal_retrieve_retry_interval`, and hears of its promotion
/// in between only.
const CONF: &str = "\
fsync = off
max_connections = 30
shared_buffers = 16MB
password_encryption = 'scram-sha-256'
wal_retrieve_retry_interval = 100ms
";

struct Postgres<'a> {
    home: &'a Home,
    name: &'static str,
    address: SocketAddr,
    daemon: Daemon,
}

impl<'a> Postgres<'a> {
    /// Starts a server whose data are in the folder called `name`.
    fn start(home: &'a Home, name: &'static str, address: SocketAddr) -> Self {
        let mut command = home.command(program("postgres"));
        command.args(["-D", name, "-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-k"]);
        command.arg(home.path());
        let daemon = home.start(command, &format!("{name}.log"));
        let mut postgres = Self { home, name, address, daemon };
        let ready = || run(administrator(home, address, "SELECT 1")).is_ok();
        postgres.daemon.await_ready(ready);
        postgres
    }

    /// As who may do everything, past the balancer.
    #[track_caller]
    fn order(&self, sql: &str) -> String {
        run(administrator(self.home, self.address, sql)).unwrap()
    }
}

impl Drop for Postgres<'_> {
    fn drop(&mut self) {
        // Killed by force it could not clean up after its processes.
        self.daemon.end("QUIT");
    }
}

/// A command of the newest version that is installed.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(|version| {
        let path = version.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let program = path.join("bin").join(name);
        program.exists().then_some((number, program))
    });
    // Elsewhere than in Debian it is where everybody looks.
    versions.max().map_or_else(|| PathBuf::from(name), |(_, program)| program)
}

fn psql(home: &Home, connection: &str, sql: &str) -> Command {
    let mut command = home.command(program("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c", sql]);
    command
}

fn administrator(home: &Home, address: SocketAddr, sql: &str) -> Command {
    let folder = home.path().display();
    psql(home, &format!("host={folder} port={} user=postgres dbname=postgres", address.port()), sql)
}

/// As an application, through the balancer.
fn ask(home: &Home, port: u16, sql: &str) -> Result<String, String> {
    let connection = format!(
        "host=127.0.0.1 port={port} user=app dbname=postgres connect_timeout=5 sslmode=disable gssencmode=disable"
    );
    let mut command = psql(home, &connection, sql);
    command.env("PGPASSWORD", "for the application");
    run(command)
}

/// A write that was accepted.
#[derive(Clone, Copy)]
struct Write {
    number: u64,
    /// The port of who accepted it.
    by: u16,
    at: Instant,
}

/// Writes one row after another through a port, whether they are accepted or not.
struct Writer {
    accepted: Arc<Mutex<Vec<Write>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(home: Arc<Home>, port: u16) -> Self {
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (list, over) = (Arc::clone(&accepted), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for number in 1.. {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let sql = format!("INSERT INTO writes VALUES ({number}) RETURNING inet_server_port()");
                if let Ok(by) = ask(&home, port, &sql) {
                    let write = Write { number, by: by.parse().expect("a port"), at: Instant::now() };
                    list.lock().unwrap().push(write);
                }
            }
        });
        Self { accepted, is_over, thread: Some(thread) }
    }

    /// How many writes this server accepted.
    fn count(&self, by: SocketAddr) -> usize {
        self.accepted.lock().unwrap().iter().filter(|write| write.by == by.port()).count()
    }

    /// Ends it; what was accepted.
    fn end(mut self) -> Vec<Write> {
        self.is_over.store(true, Ordering::Release);
        self.thread.take().expect("once").join().unwrap();
        std::mem::take(&mut self.accepted.lock().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A new cluster in the folder `one`.
fn init(home: &Home) {
    let mut initdb = home.command(program("initdb"));
    initdb.args(["-D", "one", "-U", "postgres", "--no-sync", "--no-locale", "-E", "UTF8"]);
    run(initdb).unwrap();
    let folder = home.path().join("one");
    std::fs::write(folder.join("pg_hba.conf"), HBA).unwrap();
    std::fs::write(folder.join("postgresql.conf"), CONF).unwrap();
}

/// A copy of `primary` in the folder `two`, made to follow it.
fn copy(primary: &Postgres<'_>) {
    let mut command = primary.home.command(program("pg_basebackup"));
    command.args(["-R", "-D", "two", "-X", "stream", "-c", "fast", "--no-sync", "-U", "postgres", "-h"]);
    command.arg(primary.home.path()).args(["-p", &primary.address.port().to_string()]);
    run(command).unwrap();
}

#[test]
fn ports_follow_the_roles() {
    let home = Arc::new(Home::new("postgres"));
    let addresses = home.addresses();
    init(&home);
    let mut one = Postgres::start(&home, "one", addresses[0]);
    one.order(&format!("CREATE ROLE monitor LOGIN PASSWORD '{PASSWORD}'"));
    one.order("CREATE ROLE app LOGIN PASSWORD 'for the application'");
    one.order("CREATE TABLE writes (number bigint PRIMARY KEY)");
    one.order("GRANT ALL ON writes TO app");
    copy(&one);
    let two = Postgres::start(&home, "two", addresses[1]);
    until("the replica streams", || one.order("SELECT state FROM pg_stat_replication") == "streaming");

    let running = balance(&home, "kind = \"postgres\"\ndatabase = \"postgres\"", addresses);
    await_serving(&running, "primary", &["one"]);
    await_serving(&running, "replica", &["two"]);
    let (writes, reads) = (port(&running, "writes"), port(&running, "reads"));
    let who = |port| ask(&home, port, "SELECT pg_is_in_recovery(), inet_server_port()");
    for _ in 0..4 {
        assert_eq!(who(writes), Ok(format!("f|{}", one.address.port())));
        assert_eq!(who(reads), Ok(format!("t|{}", two.address.port())));
    }
    await_failure(&running, "primary", "two", "requirement", "it is replica, wanted primary");
    await_failure(&running, "replica", "one", "requirement", "it is primary, wanted replica");
    for backend in ["one", "two"] {
        let says = "password authentication failed for user \"monitor\"";
        await_failure(&running, "locked-out", backend, "answer", says);
    }

    // A replica that is too far behind gets no reads, and gets them again when it has caught up. How far that is
    // it tells by the last transaction it has replayed.
    let rows = || ask(&home, reads, "SELECT number FROM writes ORDER BY number");
    ask(&home, writes, "INSERT INTO writes VALUES (-1)").unwrap();
    until("the first row is there", || rows() == Ok("-1".to_string()));
    two.order("SELECT pg_wal_replay_pause()");
    ask(&home, writes, "INSERT INTO writes VALUES (0)").unwrap();
    await_serving(&running, "replica", &[]);
    await_failure(&running, "replica", "two", "requirement", " behind, 5s at most are wanted");
    assert!(rows().is_err());
    two.order("SELECT pg_wal_replay_resume()");
    await_serving(&running, "replica", &["two"]);
    assert_eq!(rows(), Ok("-1\n0".to_string()));

    // From now on what is accepted is on the replica's disk too: nothing may be lost.
    one.order("ALTER SYSTEM SET synchronous_standby_names = '*'");
    one.order("SELECT pg_reload_conf()");
    until("it is synchronous", || one.order("SELECT sync_state FROM pg_stat_replication") == "sync");
    let writer = Writer::start(Arc::clone(&home), writes);
    until("it writes", || writer.count(one.address) >= 10);
    one.daemon.end("QUIT");
    let mut promote = home.command(program("pg_ctl"));
    promote.args(["promote", "-w", "-t", "30", "-D", two.name]);
    let ordered = Instant::now();
    run(promote).unwrap();
    let took = ordered.elapsed();
    until("it writes again", || writer.count(two.address) >= 10);
    let accepted = writer.end();

    let first = accepted.iter().find(|write| write.by == two.address.port()).expect("there are ten");
    let after = first.at - ordered;
    println!("PostgreSQL: promotion took {took:?}; the first write was accepted {after:?} after its order");
    assert!(after < FAILOVER_MAX, "{after:?}");
    let stored: BTreeSet<u64> = ask(&home, writes, "SELECT number FROM writes WHERE number > 0")
        .unwrap()
        .lines()
        .map(|number| number.parse().unwrap())
        .collect();
    let lost: Vec<u64> =
        accepted.iter().map(|write| write.number).filter(|number| !stored.contains(number)).collect();
    assert!(lost.is_empty(), "{lost:?} of {} were accepted and are gone", accepted.len());
    await_failure(&running, "primary", "one", "connection", "refused");
    await_serving(&running, "primary", &["two"]);
    await_serving(&running, "replica", &[]);
    await_failure(&running, "replica", "two", "requirement", "it is primary, wanted replica");
    assert_eq!(backends(&running, "primary")[1]["check"]["role"], "primary");
    assert_eq!(who(writes), Ok(format!("f|{}", two.address.port())));
    assert!(who(reads).is_err());
    running.end();
}
