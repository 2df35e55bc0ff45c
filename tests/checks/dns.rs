//! Members by name, from a real dnsmasq whose records change.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;

use crate::process::{Running, until};
use crate::{Folder, Server, free_address, program};

/// A dnsmasq that answers what its files say, and its folder.
struct Dns {
    server: Option<Server>,
    folder: Folder,
    address: SocketAddr,
}

impl Dns {
    fn new(records: &str) -> Self {
        let mut dns = Self { server: None, folder: Folder::new(), address: free_address() };
        dns.say(records);
        dns
    }

    /// Answers otherwise from now on.
    fn say(&mut self, records: &str) {
        self.server = None;
        let config = self.folder.write(
            "dnsmasq.conf",
            &format!(
                "port={}\nlisten-address={}\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\n\
                 local=/test/\nlocal-ttl=1\n{records}\n",
                self.address.port(),
                self.address.ip(),
            ),
        );
        let mut command = Command::new(program("dnsmasq"));
        command.args(["--keep-in-foreground", "--pid-file="]);
        // One argument, so that no other file is read.
        command.arg(format!("--conf-file={}", config.display()));
        self.server = Some(Server::start(&mut command, self.address, Folder::new()));
    }
}

fn config(dns: &Dns, backends: &str) -> String {
    format!(
        "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[pool]]\nname = \"app\"\nbackend = [{backends}]\n\
         [discovery]\nnameservers = [\"{}\"]\nsearch = []\nhosts = \"/dev/null\"\nhold = \"1s\"\nretry_min = \"200ms\"\n\
         ttl_negative_max = \"1s\"\n",
        dns.address
    )
}

/// Address, weight and tier of everybody in the pool.
fn members(running: &Running) -> BTreeSet<(String, u64, u64)> {
    let status = running.status();
    let backends = status["pools"][0]["backends"].as_array().unwrap().clone();
    let number = |backend: &serde_json::Value, key: &str| backend[key].as_u64().unwrap();
    backends
        .iter()
        .map(|backend| {
            (
                backend["address"].as_str().unwrap().to_string(),
                number(backend, "weight"),
                number(backend, "tier"),
            )
        })
        .collect()
}

fn plain(addresses: &[&str]) -> BTreeSet<(String, u64, u64)> {
    addresses.iter().map(|address| (address.to_string(), 1, 0)).collect()
}

fn id(running: &Running, address: &str) -> u64 {
    let status = running.status();
    let backends = status["pools"][0]["backends"].as_array().unwrap().clone();
    let found = backends.iter().find(|backend| backend["address"] == address).expect("a member");
    found["id"].as_u64().unwrap()
}

#[test]
fn addresses_come_and_go_with_the_records() {
    let mut dns =
        Dns::new("host-record=app.test,127.0.0.2\nhost-record=app.test,127.0.0.3\nhost-record=app.test,::1");
    let running = Running::start(&config(&dns, "{ name = \"app\", address = \"app.test:8000\" }"), None);
    until("the records are found", || {
        members(&running) == plain(&["127.0.0.2:8000", "127.0.0.3:8000", "[::1]:8000"])
    });
    let stays = id(&running, "127.0.0.3:8000");
    dns.say("host-record=app.test,127.0.0.3\nhost-record=app.test,127.0.0.4");
    until("the change is found", || members(&running) == plain(&["127.0.0.3:8000", "127.0.0.4:8000"]));
    assert_eq!(id(&running, "127.0.0.3:8000"), stays, "who stays is the same member");
    assert_eq!(crate::backend(&running, 0, "app/127.0.0.4:8000")["address"], "127.0.0.4:8000");

    // No resolver at all: what was good last is held.
    dns.server = None;
    running.until_told("the failure is told", |count| count("discovery-failed") > 0);
    assert_eq!(members(&running), plain(&["127.0.0.3:8000", "127.0.0.4:8000"]));
    // The name is gone: held for a second, then obeyed.
    dns.say("");
    until("an end is obeyed", || members(&running).is_empty());
    dns.say("host-record=app.test,127.0.0.5");
    until("a beginning too", || members(&running) == plain(&["127.0.0.5:8000"]));
    running.end();
}

#[test]
fn services_and_answers_too_long_for_a_datagram() {
    let mut records = String::from(
        "srv-host=_web._tcp.test,one.test,8001,0,30\nsrv-host=_web._tcp.test,two.test,8002,0,10\n\
         srv-host=_web._tcp.test,three.test,8003,5,1\nhost-record=one.test,127.0.0.1\nhost-record=two.test,127.0.0.2\n\
         host-record=three.test,127.0.0.3\n",
    );
    let mut many = BTreeSet::new();
    for number in 0..200 {
        let address = format!("127.1.{}.{}", number / 100, number % 100 + 1);
        records.push_str(&format!("host-record=many.test,{address}\n"));
        many.insert((format!("{address}:9000"), 1, 0));
    }
    let dns = Dns::new(&records);
    let running = Running::start(&config(&dns, "{ address = \"srv:_web._tcp.test\" }"), None);
    let services = BTreeSet::from([
        ("127.0.0.1:8001".to_string(), 30, 0),
        ("127.0.0.2:8002".to_string(), 10, 0),
        ("127.0.0.3:8003".to_string(), 1, 1),
    ]);
    until("weights and tiers are as the records say", || members(&running) == services);
    running.end();
    let running = Running::start(&config(&dns, "{ address = \"many.test:9000\" }"), None);
    until("two hundred come over TCP", || members(&running) == many);
    running.end();
}

#[test]
fn a_file_of_members_is_followed() {
    let folder = Folder::new();
    let path = folder.write("members", "127.0.0.2:80 weight=3\n");
    let config = format!(
        "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[pool]]\nname = \"app\"\nmembers_file = \"{}\"\n\
         backend = [{{ address = \"127.0.0.9:80\" }}]\n",
        path.display()
    );
    let running = Running::start(&config, None);
    let with = |more: &[(&str, u64)]| {
        let mut all = plain(&["127.0.0.9:80"]);
        all.extend(more.iter().map(|(address, weight)| (address.to_string(), *weight, 0)));
        all
    };
    until("it is read", || members(&running) == with(&[("127.0.0.2:80", 3)]));
    // In one step, as who writes configuration should.
    let next = folder.write("next", "127.0.0.2:80 weight=5\n127.0.0.3:80\n");
    std::fs::rename(next, &path).unwrap();
    until("a change is read", || members(&running) == with(&[("127.0.0.2:80", 5), ("127.0.0.3:80", 1)]));
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"nonsense\n").unwrap();
    running.until_told("a mistake is told", |count| count("discovery-failed") > 0);
    assert_eq!(members(&running), with(&[("127.0.0.2:80", 5), ("127.0.0.3:80", 1)]), "and changes nothing");
    running.end();
}

/// Nobody answers at all: the server starts and runs, without members.
#[test]
fn a_name_that_cannot_be_found_stops_nobody() {
    let address = free_address();
    let config = format!(
        "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[pool]]\nname = \"app\"\nbackend = [{{ address = \
         \"app.test:1\" }}]\n[discovery]\nnameservers = [\"{address}\"]\n"
    );
    let running = Running::start(&config, None);
    running.until_told("the failure is told", |count| count("discovery-failed") > 0);
    assert!(members(&running).is_empty());
    assert!(std::net::TcpStream::connect::<SocketAddr>(running.address()).is_ok());
    running.end();
}
