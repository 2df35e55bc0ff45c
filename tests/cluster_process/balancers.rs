//! Balancers that ask the nodes which of them is primary: HAProxy over HTTP, and our own by `ROLE`.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use crate::process::{Running, until};
use crate::support::{Client, Cluster};

struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn asks(address: SocketAddr, command: &str) -> Option<String> {
    Client::connect(address)?.ask(command)
}

/// Through `writes` to the primary, through `reads` to a replica, whoever they are.
fn follow(cluster: &mut Cluster, writes: SocketAddr, reads: SocketAddr) {
    let first = cluster.primary();
    until("writes go to the primary", || asks(writes, "SET key 1").as_deref() == Some("+OK"));
    until("reads go to a replica", || asks(reads, "ROLE").is_some_and(|role| role.contains("slave")));
    until("it is there", || asks(reads, "GET key").as_deref() == Some("$1|1"));
    cluster.kill(first);
    until("writes go to the next", || asks(writes, "SET key 2").as_deref() == Some("+OK"));
    until("reads go to the one that is left", || {
        asks(reads, "ROLE").is_some_and(|role| role.contains("slave"))
            && asks(reads, "GET key").as_deref() == Some("$1|2")
    });
    cluster.start_node(first);
}

#[test]
fn haproxy_follows_the_primary() {
    let mut cluster = Cluster::start("forward = false\nhealth = \"0.0.0.0:0\"");
    let here = Cluster::free_ip();
    let servers: Vec<String> = (0..3)
        .map(|at| format!("server n{at} {} port {}", cluster.resp(at), cluster.health(at).port()))
        .collect();
    let listen = |name: &str, port: u16, path: &str| {
        format!(
            "listen {name}\n  bind {here}:{port}\n  option httpchk GET {path}\n  \
             default-server check inter 50ms fall 1 rise 1 on-marked-down shutdown-sessions\n  {}\n",
            servers.join("\n  ")
        )
    };
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n{}{}",
        listen("primary", 6380, "/primary"),
        listen("replicas", 6381, "/replica?lag=5s")
    );
    let file = cluster.folder().write("haproxy.cfg", &config);
    let haproxy = Command::new("haproxy").args(["-db", "-f"]).arg(&file).stderr(Stdio::null()).spawn();
    let _haproxy = Haproxy(haproxy.expect("packaging/setup.sh installs it"));
    follow(&mut cluster, (here, 6380).into(), (here, 6381).into());
}

#[test]
fn our_own_balancer_follows_the_primary() {
    let mut cluster = Cluster::start("forward = false");
    let here: Ipv4Addr = Cluster::free_ip();
    let backends: Vec<String> =
        (0..3).map(|at| format!("{{ address = \"{}\" }}", cluster.resp(at))).collect();
    let pool = |name: &str, port: u16, role: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nbind = \"{here}:{port}\"\npool = \"{name}\"\n\
             [[pool]]\nname = \"{name}\"\nrole = \"{role}\"\nbackend = [{}]\n\
             check = {{ kind = \"redis\", interval = \"50ms\", rise = 1, fall = 1, initial = \"down\" }}\n",
            backends.join(", ")
        )
    };
    let config = [pool("primary", 6380, "primary"), pool("replicas", 6381, "replica")].concat();
    let _balancer = Running::start(&config, None);
    follow(&mut cluster, (here, 6380).into(), (here, 6381).into());
}
