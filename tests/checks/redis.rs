//! A primary and a replica of Redis, and two ports that follow them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::process::{DEADLINE, Running, until};
use crate::{Folder, Server, free_address, program};

fn redis(more: &[&str]) -> Server {
    let folder = Folder::new();
    let address = free_address();
    let mut command = Command::new(program("redis-server"));
    command.args(["--port", &address.port().to_string(), "--bind", &address.ip().to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--requirepass", "secret", "--masterauth", "secret", "--repl-diskless-sync-delay", "0"]);
    command.arg("--dir").arg(folder.path()).args(more);
    Server::start(&mut command, address, folder)
}

/// One command to whoever answers there.
fn say(address: SocketAddr, command: &str) -> std::io::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    (&stream).write_all(format!("AUTH secret\r\n{command}\r\n").as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    let mut next = || lines.next().unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()));
    next()?;
    next()
}

#[test]
fn ports_follow_the_roles() {
    let first = redis(&[]);
    let second = redis(&["--replicaof", &format!("{} {}", first.address.ip(), first.address.port())]);
    let secrets = Folder::new();
    let password = secrets.write("password", "secret\n");
    let pool = |role: &str| {
        format!(
            "[[pool]]\nname = \"{role}\"\nrole = \"{role}\"\ncheck = {{ kind = \"redis\", password_file = \"{}\", \
             interval = \"100ms\", initial = \"down\", rise = 1, fall = 1 }}\nbackend = [{{ name = \"first\", address = \
             \"{}\" }}, {{ name = \"second\", address = \"{}\" }}]\n",
            password.display(),
            first.address,
            second.address,
        )
    };
    let config = format!(
        "[runtime]\nworkers = 2\n[[listener]]\nname = \"write\"\nbind = \"127.0.0.1:0\"\npool = \"primary\"\n\
         [[listener]]\nname = \"read\"\nbind = \"127.0.0.1:0\"\npool = \"replica\"\n{}{}",
        pool("primary"),
        pool("replica"),
    );
    let running = Running::start(&config, None);
    let listeners = running.status()["listeners"].clone();
    let address = |at: usize| listeners[at]["address"].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let (write, read) = (address(0), address(1));
    let role = |pool: usize, name: &str| crate::backend(&running, pool, name)["check"]["role"].clone();
    // Both pools ask for themselves, each at its own time.
    until("the roles are known", || {
        role(0, "first") == "primary" && role(0, "second") == "replica" && role(1, "second") == "replica"
    });

    until("writes reach the primary", || say(write, "SET key one").is_ok_and(|answer| answer == "+OK"));
    until("a replica refuses them", || {
        say(read, "SET key two").is_ok_and(|answer| answer.starts_with("-READONLY"))
    });
    let told = crate::backend(&running, 0, "second");
    assert_eq!(
        (&told["observed"], &told["check"]["failure_source"]),
        (&"down".into(), &"requirement".into()),
        "{told}"
    );

    // The primary dies, the replica is promoted: the port for writes follows.
    drop(first);
    let there = second.address;
    assert_eq!(say(there, "REPLICAOF NO ONE").unwrap(), "+OK");
    until("writes reach the new primary", || say(write, "SET key three").is_ok_and(|answer| answer == "+OK"));
    assert_eq!(say(there, "INCR count").unwrap(), ":1");
    until("nobody is left to read from", || say(read, "GET key").is_err());
    running.end();
}
