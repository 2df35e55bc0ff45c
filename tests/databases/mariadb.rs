//! MariaDB: a primary and a replica, which change roles as an operator has it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::home::{Daemon, Home, run};
use crate::process::until;
use crate::{PASSWORD, await_failure, await_serving, backends, balance, port};

struct MariaDb<'a> {
    home: &'a Home,
    address: SocketAddr,
    socket: PathBuf,
    /// Killed when the test is over.
    _daemon: Daemon,
}

impl<'a> MariaDb<'a> {
    /// Starts a server whose data are in the folder called `name`.
    fn start(home: &'a Home, name: &str, number: u32, address: SocketAddr, is_read_only: bool) -> Self {
        let socket = home.path().join(format!("{name}.sock"));
        let mut command = home.command("mariadbd");
        command.args(["--no-defaults", "--skip-networking=0", "--skip-name-resolve", "--log-slave-updates"]);
        command.args(["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"]);
        command.arg(format!("--datadir={}", home.path().join(name).display()));
        command.arg(format!("--socket={}", socket.display()));
        command.arg(format!("--pid-file={}", home.path().join(format!("{name}.pid")).display()));
        command.arg(format!("--bind-address={}", address.ip())).arg(format!("--port={}", address.port()));
        command.arg(format!("--server-id={number}")).args(["--log-bin=log", "--relay-log=relay"]);
        command.arg(format!("--read-only={}", u8::from(is_read_only)));
        let mut daemon = home.start(command, &format!("{name}.log"));
        daemon.await_ready(|| run(administrator(home, &socket, "SELECT 1")).is_ok());
        Self { home, address, socket, _daemon: daemon }
    }

    /// As who may do everything, past the balancer.
    #[track_caller]
    fn order(&self, sql: &str) -> String {
        run(administrator(self.home, &self.socket, sql)).unwrap()
    }

    /// Makes it follow another, from where it has come to.
    fn follow(&self, primary: &Self) {
        self.order("SET GLOBAL gtid_slave_pos = @@gtid_current_pos");
        self.order(&format!(
            "CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = 'follower', \
             MASTER_PASSWORD = 'for the replica', MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos",
            primary.address.ip(),
            primary.address.port(),
        ));
        self.order("START SLAVE");
    }
}

fn client(home: &Home, sql: &str) -> Command {
    let mut command = home.command("mariadb");
    command.args(["--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=5", "-e", sql]);
    command
}

fn administrator(home: &Home, socket: &Path, sql: &str) -> Command {
    let mut command = client(home, sql);
    command.arg(format!("--user={}", home.user())).arg(format!("--socket={}", socket.display()));
    command
}

/// As an application, through the balancer.
fn ask(home: &Home, port: u16, sql: &str) -> Result<String, String> {
    let mut command = client(home, sql);
    command.args(["--protocol=tcp", "--host=127.0.0.1", "--user=app", "--database=shop"]);
    command.arg(format!("--port={port}")).env("MYSQL_PWD", "for the application");
    run(command)
}

/// Fresh data in the folders `one` and `two`.
fn init(home: &Home) {
    let mut install = home.command("mariadb-install-db");
    install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=socket"]);
    install.arg(format!("--auth-root-socket-user={}", home.user()));
    install.arg(format!("--datadir={}", home.path().join("one").display()));
    run(install).unwrap();
    let mut copy = home.command("cp");
    copy.args(["-R", "one", "two"]);
    run(copy).unwrap();
}

#[test]
fn ports_follow_the_roles() {
    let home = Home::new("mysql");
    let addresses = home.addresses();
    init(&home);
    let one = MariaDb::start(&home, "one", 1, addresses[0], false);
    let two = MariaDb::start(&home, "two", 2, addresses[1], true);
    let native = |user: &str, password: &str| {
        one.order(&format!(
            "CREATE USER {user} IDENTIFIED VIA mysql_native_password USING PASSWORD('{password}')"
        ));
    };
    native("monitor", PASSWORD);
    native("app", "for the application");
    native("follower", "for the replica");
    one.order("GRANT REPLICA MONITOR ON *.* TO monitor");
    one.order("GRANT REPLICATION SLAVE ON *.* TO follower");
    one.order("CREATE DATABASE shop; CREATE TABLE shop.writes (number BIGINT PRIMARY KEY)");
    one.order("GRANT SELECT, INSERT ON shop.* TO app");
    two.follow(&one);

    let running = balance(&home, "kind = \"mysql\"", addresses);
    await_serving(&running, "primary", &["one"]);
    await_serving(&running, "replica", &["two"]);
    let (writes, reads) = (port(&running, "writes"), port(&running, "reads"));
    let who = |port| ask(&home, port, "SELECT @@read_only, @@port");
    for _ in 0..4 {
        assert_eq!(who(writes), Ok(format!("0\t{}", one.address.port())));
        assert_eq!(who(reads), Ok(format!("1\t{}", two.address.port())));
    }
    await_failure(&running, "primary", "two", "requirement", "it is replica, wanted primary");
    await_failure(&running, "replica", "one", "requirement", "it is primary, wanted replica");
    assert!(backends(&running, "replica")[1]["check"]["lag_ms"].is_u64());
    for backend in ["one", "two"] {
        await_failure(&running, "locked-out", backend, "answer", "Access denied for user 'monitor'");
    }

    // A replica that stands still is behind nobody knows how far.
    ask(&home, writes, "INSERT INTO writes VALUES (0)").unwrap();
    two.order("STOP SLAVE");
    await_serving(&running, "replica", &[]);
    await_failure(&running, "replica", "two", "requirement", "how far it is behind is not known");
    assert!(who(reads).is_err());
    two.order("START SLAVE");
    await_serving(&running, "replica", &["two"]);
    until("the row is there", || ask(&home, reads, "SELECT number FROM writes") == Ok("0".to_string()));

    // The replica has all there is before it becomes the primary.
    one.order("SET GLOBAL read_only = 1");
    let last = one.order("SELECT @@gtid_binlog_pos");
    assert_eq!(two.order(&format!("SELECT MASTER_GTID_WAIT('{last}', 20)")), "0");
    two.order("STOP SLAVE; RESET SLAVE ALL");
    let ordered = Instant::now();
    two.order("SET GLOBAL read_only = 0");
    let mut number = 0;
    until("it writes again", || {
        number += 1;
        ask(&home, writes, &format!("INSERT INTO writes VALUES ({number})")).is_ok()
    });
    println!(
        "MariaDB: the first write was accepted {:?} after the new primary took writes",
        ordered.elapsed()
    );
    one.follow(&two);
    await_serving(&running, "primary", &["two"]);
    await_serving(&running, "replica", &["one"]);
    for _ in 0..4 {
        assert_eq!(who(writes), Ok(format!("0\t{}", two.address.port())));
        assert_eq!(who(reads), Ok(format!("1\t{}", one.address.port())));
    }
    await_failure(&running, "primary", "one", "requirement", "it is replica, wanted primary");
    await_failure(&running, "replica", "two", "requirement", "it is primary, wanted replica");
    let all = format!("0\n{number}");
    until("the write is there", || {
        ask(&home, reads, "SELECT number FROM writes ORDER BY number") == Ok(all.clone())
    });
    running.end();
}
