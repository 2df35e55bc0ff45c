//! Web servers that stop, freeze and answer with errors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::process::{DEADLINE, Running, until};
use crate::{Folder, Server, backend, free_address, program};

/// An nginx that answers with its name; it fails its check while there is a file `broken`, and sends the file `page`
/// slowly while there is a file `slowly`.
pub(crate) fn nginx(name: &str) -> (Server, std::path::PathBuf) {
    let folder = Folder::new();
    let address = free_address();
    let root = folder.path().display();
    let config = folder.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;\n\
             uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;\n\
             server {{ listen {address}; keepalive_timeout 0;\n\
             location /healthz {{ if (-e {root}/broken) {{ return 500; }} return 200 \"fine\"; }}\n\
             location /page {{ root {root}; if (-e {root}/slowly) {{ set $limit_rate 1k; }} }}\n\
             location / {{ return 200 \"{name}\"; }} }}\n}}\n"
        ),
    );
    let broken = folder.path().join("broken");
    let mut command = Command::new(program("nginx"));
    command.arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("error.log")).arg("-c").arg(config);
    (Server::start(&mut command, address, folder), broken)
}

/// One request on a connection of its own; who answered.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_string()),
        _ => Err(std::io::Error::other(format!("no whole answer: {answer:?}"))),
    }
}

fn config(servers: [SocketAddr; 3], more: &str) -> String {
    let backends: Vec<String> = servers
        .iter()
        .zip(["a", "b", "c"])
        .map(|(address, name)| format!("{{ name = \"{name}\", address = \"{address}\" }}"))
        .collect();
    format!(
        "[runtime]\nworkers = 2\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n\
         timeouts = {{ connect = \"500ms\" }}\n[[pool]]\nname = \"app\"\n{more}\nbackend = [{}]\n",
        backends.join(", ")
    )
}

const CHECK: &str = "check = { kind = \"http\", path = \"/healthz\", expect = \"fine\", interval = \"200ms\", \
                     interval_transition = \"50ms\", timeout = \"300ms\", rise = 2, fall = 3 }";

fn state(running: &Running, name: &str) -> String {
    backend(running, 0, name)["observed"].as_str().unwrap_or("").to_string()
}

/// Killed under load, of three: nothing is lost but what was inside. Frozen, broken and mended: out and in, with the
/// reason; nobody who is out gets anything.
#[test]
fn a_backend_of_three_fails_in_every_way() {
    let (a, _a_broken) = nginx("a");
    let (b, b_broken) = nginx("b");
    let (c, _c_broken) = nginx("c");
    let running = Running::start(&config([a.address, b.address, c.address], CHECK), None);
    let address = running.address();
    for name in ["a", "b", "c"] {
        until("all are up", || state(&running, name) == "up");
    }

    // It answers with an error.
    std::fs::write(&b_broken, "").unwrap();
    until("an answer of 500 is noticed", || state(&running, "b") == "down");
    let told = backend(&running, 0, "b");
    assert_eq!(told["check"]["failure_source"], "answer", "{told}");
    assert!(told["check"]["failure"].as_str().unwrap().contains("500"), "{told}");
    assert!(told["reason"].as_str().unwrap().starts_with("3 bad probes in a row"), "{told}");
    for _ in 0..30 {
        assert_ne!(ask(address).unwrap(), "b");
    }
    std::fs::remove_file(&b_broken).unwrap();
    until("it is mended", || state(&running, "b") == "up");

    // It freezes: the system goes on accepting for it, so nobody but the check can know.
    let frozen = Instant::now();
    b.signal("STOP");
    until("the silence is noticed", || state(&running, "b") == "down");
    println!("frozen to no new traffic: {:?}", frozen.elapsed());
    let told = backend(&running, 0, "b");
    assert_eq!(told["check"]["failure_source"], "timeout", "{told}");
    for _ in 0..30 {
        assert_ne!(ask(address).unwrap(), "b");
    }
    b.signal("CONT");
    until("it goes on", || state(&running, "b") == "up");
    let mut answered = std::collections::BTreeSet::new();
    answered.extend((0..30).map(|_| ask(address).unwrap()));
    assert_eq!(answered.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);

    // It is killed under load.
    let (is_over, asked, lost) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    if ask(address).is_err() {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let enough = |count: u64| asked.load(Ordering::Relaxed) >= count;
        until("there is load", || enough(200));
        drop(c);
        until("the death is noticed", || state(&running, "c") == "down");
        let then = asked.load(Ordering::Relaxed);
        until("there is load afterwards", || enough(then + 200));
        is_over.store(true, Ordering::Relaxed);
    });
    let (asked, lost) = (asked.into_inner(), lost.into_inner());
    println!("killed under load: {lost} of {asked} requests lost");
    // Each of the four could have one inside the server when it died.
    assert!(lost <= 4, "{lost} of {asked} requests were lost");
    running.end();
}

/// One that refuses connections is out long before its beat: sessions that could not reach it make it suspect.
#[test]
fn a_session_that_fails_hastens_the_check() {
    let (a, _a) = nginx("a");
    let (b, _b) = nginx("b");
    let check = "check = { kind = \"tcp\", interval = \"1h\", interval_transition = \"50ms\", initial = \"up\", rise = 1, \
                 fall = 2 }";
    let running = Running::start(&config([a.address, b.address, free_address()], check), None);
    let address = running.address();
    let start = Instant::now();
    until("the dead one is out", || {
        // Retried on another backend, so nobody sees it.
        ask(address).unwrap();
        state(&running, "c") == "down"
    });
    assert!(start.elapsed() < Duration::from_secs(600), "an hour was not waited for");
    assert_eq!(state(&running, "a"), "up");
    running.end();
}

/// All that are down get nothing, unless that is asked for.
#[test]
fn failing_open_is_a_choice() {
    let check = "check = { kind = \"http\", path = \"/missing\", statuses = [\"204\"], interval = \"100ms\", fall = 1 }";
    let (a, _a) = nginx("a");
    for (more, answers) in [("", false), ("fail_open = true\n", true)] {
        let running = Running::start(
            &config([a.address, free_address(), free_address()], &format!("{more}{check}")),
            None,
        );
        for name in ["a", "b", "c"] {
            until("all are down", || state(&running, name) == "down");
        }
        assert_eq!((0..6).all(|_| ask(running.address()).is_ok()), answers);
        running.end();
    }
}
