//! Clients on a unix socket.

use std::process::Command;

use redis::Commands;

use crate::folder::Folder;
use crate::process::Running;

fn start(folder: &Folder, socket: &str) -> Running {
    let dir = folder.file("data");
    Running::start(&format!("[store]\ndir = {dir:?}\nresp = \"unix:{socket}\"\n"), None)
}

fn redis_cli(socket: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("redis-cli");
    let output = command.args(["-s", socket]).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs it"));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn clients_on_a_unix_socket_before_and_after_a_kill() {
    let folder = Folder::new();
    let socket = folder.file("socket");
    let running = start(&folder, &socket);
    assert_eq!(running.status()["store"]["clients"]["address"], format!("unix:{socket}"));
    assert_eq!(redis_cli(&socket, &["set", "a", "1"]), "OK\n");
    assert!(redis_cli(&socket, &["client", "list"]).contains(&format!(" addr={socket}:0 ")));
    for protocol in ["", "?protocol=resp3"] {
        let client = redis::Client::open(format!("redis+unix://{socket}{protocol}")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut pipe = redis::pipe();
        (0..300).for_each(|_| {
            pipe.incr("count", 1);
        });
        let sums: Vec<i64> = pipe.query(&mut connection).unwrap();
        assert_eq!(sums.last().unwrap() - sums[0], 299);
        let mut other = client.get_connection().unwrap();
        let mut channel = connection.as_pubsub();
        channel.subscribe("news").unwrap();
        assert_eq!(other.publish::<_, _, i64>("news", "x").unwrap(), 1);
        assert_eq!(channel.get_message().unwrap().get_payload::<String>().unwrap(), "x");
    }
    // Dropping it kills it, and leaves the socket's name behind.
    drop(running);
    assert!(std::fs::exists(&socket).unwrap());
    let running = start(&folder, &socket);
    assert_eq!(redis_cli(&socket, &["mget", "a", "count"]), "1\n600\n");
    running.end();
    assert!(!std::fs::exists(&socket).unwrap());
}
