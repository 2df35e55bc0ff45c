//! The admin interface of a server within a process: what the process itself does is told to those who follow,
//! whoever turns the loop. `tests/ctl` has the interface from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use trimtab::balance::Admin;
use trimtab::server::Config;

use crate::support::{DEADLINE, Folder, Mode, Relay, Setup};

/// A server with an admin socket in `folder`.
fn start(mode: Mode, folder: &Folder) -> Relay {
    let text = Setup::new(&["10.0.0.1:80", "10.0.0.2:80"]).text();
    let text = format!("{text}[admin]\nbind = \"unix:{}\"\n", folder.file("admin"));
    Relay::start(mode, Config::parse(&text, "test").unwrap(), |_| {})
}

/// Somebody who follows the events, from the first on.
fn follow(folder: &Folder) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(folder.file("admin")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    reader
}

/// The lines of the next chunk; none at the end.
fn chunk(reader: &mut impl BufRead) -> Vec<serde_json::Value> {
    let mut size = String::new();
    reader.read_line(&mut size).unwrap();
    let mut bytes = vec![0; usize::from_str_radix(size.trim_end(), 16).unwrap() + 2];
    reader.read_exact(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.trim_end().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_the_process_does_reaches_who_follows() {
    for mode in Mode::BOTH {
        let folder = Folder::new();
        let relay = start(mode, &folder);
        let mut reader = follow(&folder);
        assert_eq!(chunk(&mut reader)[0]["event"], "started");
        let pool = relay.pool();
        let id = pool.find("b0").unwrap();
        // The loop sleeps between any two of these.
        for weight in 2..200 {
            pool.set_weight(id, weight).unwrap();
            let lines = chunk(&mut reader);
            assert_eq!((lines.len(), &lines[0]["value"]), (1, &weight.to_string().into()), "{mode:?}");
        }
        pool.set_admin(id, Admin::Drain).unwrap();
        assert_eq!(chunk(&mut reader)[0]["event"], "backend-admin");
    }
}

#[test]
fn what_many_threads_do_is_told_in_one_order() {
    const THREADS: u32 = 3;
    const EACH: u32 = 2000;
    for mode in Mode::BOTH {
        let folder = Folder::new();
        let relay = start(mode, &folder);
        let (mut one, mut two) = (follow(&folder), follow(&folder));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let pool = relay.pool();
                let id = pool.find(&format!("b{}", thread % 2)).unwrap();
                scope.spawn(move || (0..EACH).for_each(|n| pool.set_weight(id, 1 + n % 1000).unwrap()));
            }
        });
        // Two threads on one backend may set what is set already, which changes nothing: one more says where
        // the end is.
        relay.pool().set_maxconn(relay.pool().find("b0").unwrap(), 77).unwrap();
        for reader in [&mut one, &mut two] {
            let mut next = 1;
            let mut is_last = false;
            while !is_last {
                for line in chunk(reader) {
                    match line["event"].as_str() {
                        Some("lost") => next += line["value"].as_str().unwrap().parse::<u64>().unwrap(),
                        event => {
                            assert_eq!(line["sequence"], next);
                            next += 1;
                            is_last = event == Some("backend-maxconn");
                        }
                    }
                }
            }
            assert!(next > u64::from(EACH), "{next}");
        }
    }
}

#[test]
fn the_end_of_the_server_is_the_end_of_the_stream() {
    for mode in Mode::BOTH {
        let folder = Folder::new();
        let relay = start(mode, &folder);
        let mut reader = follow(&folder);
        assert_eq!(chunk(&mut reader).len(), 1);
        drop(relay);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "0\r\n\r\n", "{mode:?}");
    }
}
