//! From the first client to the last: answers, durability, ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trimtab::Error;
use trimtab::embedded::Call;
use trimtab::server::Server;

use crate::folder::Folder;
use crate::process::{DEADLINE, Running, until};
use crate::support::{Client, Served, config, encoded};

#[test]
fn what_is_written_is_read_by_all_and_there_after_the_end() {
    for durability in ["local", "memory"] {
        let lines = format!("durability = {durability:?}\nnode = \"db-1\"");
        let served = Served::start(2, &lines);
        let (mut one, mut other) = (served.connect(), served.connect());
        assert_eq!(one.ask("SET greeting hello"), "+OK");
        assert_eq!(other.ask("GET greeting"), "$5|hello");
        assert_eq!(other.number("INCRBY counter 41"), 41);
        assert_eq!(one.number("INCR counter"), 42);
        assert_eq!(one.ask("HSET h f v g w"), ":2");
        assert_eq!(other.ask("HGETALL h"), "*4|$1|f|$1|v|$1|g|$1|w");
        assert_eq!(one.ask("WAITAOF 1 0 0"), "*2|:1|:0");
        // The same keys, from this process.
        let store = served.server.store().unwrap();
        assert_eq!(&*store.get(b"greeting").unwrap().unwrap().value, b"hello");
        store.put(b"own", b"1", &Call::default()).unwrap();
        assert_eq!(one.ask("GET own"), "$1|1");
        let status = served.status();
        assert_eq!((status.keys, status.durability, status.node.as_deref()), (4, durability, Some("db-1")));
        let clients = status.clients.unwrap();
        assert_eq!((clients.present, clients.accepted, clients.refused), (2, 2, 0));
        assert!(one.is_ended_by(|| drop(served.server.drain(None))));
        let folder = served.end();
        assert!(store.get(b"greeting").is_err(), "it is closed with the server");
        drop(store);
        let served = Served::start_in(folder, 1, &lines);
        let mut one = served.connect();
        assert_eq!(one.ask("MGET greeting counter own"), "*3|$5|hello|$2|42|$1|1");
    }
}

#[test]
fn no_signal_ends_a_server_without_its_order() {
    let folder = Folder::new();
    let text = config(&folder.file("data"), 1, "durability = \"memory\"");
    let running = Running::start(&text, None);
    let address = |running: &Running| {
        let status = running.status();
        status["store"]["clients"]["address"].as_str().unwrap().parse::<SocketAddr>().unwrap()
    };
    let mut client = Client::connect(address(&running));
    for (count, signal) in (1..).zip(["HUP", "USR1", "USR2", "HUP"]) {
        running.signal(signal);
        running.until_told("it tells of the signal", |told| told("signal") == count);
        let last = running.told("signal").pop().unwrap();
        assert_eq!(last["value"], format!("SIG{signal}"));
        let parts: &[&str] = match signal {
            "HUP" => &["nothing was read anew", "what is changed in the configuration needs a restart"],
            _ => &["SIGTERM"],
        };
        let detail = last["detail"].as_str().unwrap();
        assert!(parts.iter().all(|part| detail.contains(part)), "{last}");
        // It has none, and whoever changed its file does not want one.
        assert!(!detail.contains("cluster"), "{last}");
        assert_eq!(client.ask(&format!("SET key {count}")), "+OK");
    }
    running.signal("PIPE");
    assert_eq!(client.ask("GET key"), "$1|4");
    assert_eq!((running.count("draining"), running.count("stopped")), (0, 0));
    running.end();
    // At once, and in order all the same: what was in memory alone is on the disk.
    let running = Running::start(&text, None);
    assert_eq!(Client::connect(address(&running)).ask("SET key last"), "+OK");
    running.end_by("QUIT");
    let running = Running::start(&text, None);
    assert_eq!(Client::connect(address(&running)).ask("GET key"), "$4|last");
    running.end();
}

#[test]
fn the_store_is_the_servers_to_close() {
    let folder = Folder::new();
    let text = config(&folder.file("data"), 1, "");
    let server = Server::from_toml(&text, "t").unwrap();
    assert!(matches!(server.store(), Err(Error::State { .. })), "it is not started");
    server.start().unwrap();
    let store = server.store().unwrap();
    let refused = store.close().unwrap_err();
    assert!(matches!(refused, Error::State { what: "store", .. }) && refused.to_string().contains("server"));
    assert!(matches!(store.clone().close(), Err(Error::State { .. })));
    assert!(store.is_lent() && store.put(b"k", b"v", &Call::default()).is_ok());
    drop((store, server.store().unwrap()));
    assert!(server.store().unwrap().get(b"k").unwrap().is_some(), "a handle that goes closes nothing");
    server.stop().unwrap();
    server.wait(Some(DEADLINE)).unwrap();
    let late = server.store().unwrap_err();
    assert!(late.to_string().contains("has ended"), "{late}");
}

impl Client {
    fn is_ended_by(&mut self, end: impl FnOnce()) -> bool {
        end();
        self.is_ended()
    }
}

#[test]
fn pipelines_are_answered_in_their_order() {
    for durability in ["local", "memory"] {
        let served = Served::start(1, &format!("durability = {durability:?}"));
        let mut client = served.connect();
        let mut requests = Vec::new();
        for number in 0..300 {
            let text = number.to_string();
            requests.extend(encoded(&[b"SET", b"key", text.as_bytes()]));
            requests.extend(encoded(&[b"GET", b"key"]));
            requests.extend(encoded(&[b"HINCRBY", b"hash", b"field", b"1"]));
            requests.extend(encoded(&[b"ECHO", text.as_bytes()]));
        }
        client.send(&requests);
        for number in 0..300 {
            let text = number.to_string();
            let bulk = format!("${}|{text}", text.len());
            assert_eq!(client.answer(), "+OK");
            assert_eq!(client.answer(), bulk);
            assert_eq!(client.answer(), format!(":{}", number + 1));
            assert_eq!(client.answer(), bulk);
        }
    }
}

/// What is looked at before its turn is answered as what is not: the same requests, a pipeline at once and one by one.
#[test]
fn a_pipeline_of_many_keys_is_answered_as_its_requests_one_by_one() {
    let mut requests = Vec::new();
    for number in 0..400 {
        let key = |number: u32| format!("key:{}", number.wrapping_mul(0x9e37_79b9) >> 22).into_bytes();
        let (key, other, long) = (key(number), key(number + 1), vec![b'k'; number as usize % 300]);
        let value = number.to_string().into_bytes();
        requests.push(encoded(&[b"set", &key, &value]));
        requests.push(encoded(&[b"GET", &other]));
        requests.push(match number % 8 {
            0 => encoded(&[b"PING"]),
            1 => encoded(&[b"DEL", &key, &other]),
            2 => b"GET by hand\r\n".to_vec(),
            3 => encoded(&[b"NOSUCH", &key]),
            4 => encoded(&[b"APPEND", &long, &value]),
            5 => encoded(&[b"MULTI"]),
            6 => encoded(&[b"INCR", &key]),
            _ => encoded(&[b"EXEC"]),
        });
        let keys: Vec<_> = (0..number % 40).map(|more| format!("key:{more}").into_bytes()).collect();
        let mget = [b"MGET".to_vec(), key, long].into_iter().chain(keys).collect::<Vec<_>>();
        requests.push(encoded(&mget.iter().map(Vec::as_slice).collect::<Vec<_>>()));
    }
    for durability in ["local", "memory"] {
        let lines = format!("durability = {durability:?}");
        let (served, alone) = (Served::start(1, &lines), Served::start(1, &lines));
        let (mut client, mut other) = (served.connect(), alone.connect());
        client.send(&requests.concat());
        for request in &requests {
            other.send(request);
            assert_eq!(client.answer(), other.answer(), "{}", request.escape_ascii());
        }
    }
}

/// Eight clients on two workers, each doing all of `requests` so many times.
fn by_eight(served: &Served, times: usize, requests: &'static [&'static str]) {
    let address = served.address();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..times {
                    for request in requests {
                        let answer = client.ask(request);
                        assert!(!answer.starts_with('-'), "{request}: {answer}");
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn many_clients_change_one_key_and_none_is_lost() {
    for durability in ["memory", "local"] {
        let served = Served::start(2, &format!("durability = {durability:?}"));
        by_eight(&served, 200, &["HINCRBY shared field 1", "INCR plain"]);
        let mut client = served.connect();
        assert_eq!(client.ask("HGET shared field"), "$4|1600");
        assert_eq!(client.ask("GET plain"), "$4|1600");
        // Workers know of each other's writes.
        assert!(client.ask("INFO stats").contains("transaction_retries:0|"));
    }
}

#[test]
fn whoever_reads_first_is_not_kept_from_writing_by_those_who_do_not() {
    let served = Served::start(2, "");
    by_eight(&served, 200, &["SET one 1", "APPEND one 2", "DEL two", "HSET two f v", "GETDEL one"]);
    assert_eq!(served.connect().number("INCR three"), 1);
}

#[test]
fn a_transaction_is_whole_and_a_watched_key_stops_it() {
    let served = Served::start(2, "");
    let (mut one, mut other) = (served.connect(), served.connect());
    one.ask("SET balance 10");
    assert_eq!(one.ask("WATCH balance"), "+OK");
    assert_eq!(one.ask("MULTI"), "+OK");
    assert_eq!(one.ask("DECRBY balance 3"), "+QUEUED");
    assert_eq!(other.ask("SET balance 2"), "+OK");
    assert_eq!(one.ask("EXEC"), "*-1");
    assert_eq!(one.ask("MULTI"), "+OK");
    assert_eq!(one.ask("DECRBY balance 1"), "+QUEUED");
    assert_eq!(one.ask("GET balance"), "+QUEUED");
    assert_eq!(one.ask("EXEC"), "*2|:1|$1|1");
}

#[test]
fn waiting_ends_with_its_time() {
    let served = Served::start(1, "durability = \"memory\"");
    let mut client = served.connect();
    client.ask("SET a 1");
    let begun = Instant::now();
    assert_eq!(client.ask("WAIT 1 60"), ":0");
    assert!(begun.elapsed() >= Duration::from_millis(60));
    assert_eq!(client.ask("WAITAOF 1 0 0"), "*2|:1|:0");
    assert!(served.status().durable >= 1);
}

#[test]
fn the_idle_are_ended_and_those_who_wait_are_not() {
    let served = Served::start(1, "idle = \"80ms\"");
    let (mut idle, mut subscriber, mut waiter) = (served.connect(), served.connect(), served.connect());
    let mut balancer = served.connect();
    assert_eq!(balancer.ask("TRIMTAB BOUND 0"), "+OK");
    assert_eq!(idle.ask("PING"), "+PONG");
    assert_eq!(subscriber.ask("SUBSCRIBE news"), "*3|$9|subscribe|$4|news|:1");
    waiter.say("WAIT 1 400");
    assert!(idle.is_ended());
    assert_eq!(waiter.answer(), ":0");
    assert_eq!(served.connect().ask("PUBLISH news x"), ":1");
    assert_eq!(subscriber.answer(), "*3|$7|message|$4|news|$1|x");
    assert_eq!(balancer.ask("PING"), "+PONG");
    assert!(served.status().clients.unwrap().idle >= 1);
}

#[test]
fn passwords_are_asked_for_where_there_is_one() {
    let folder = Folder::new();
    let file = folder.write("password", "se cret\r\n");
    let lines = format!("password_file = {:?}", file.to_str().unwrap());
    let served = Served::start_in(folder, 1, &lines);
    let mut client = served.connect();
    assert_eq!(client.ask("GET a"), "-NOAUTH Authentication required.");
    assert!(client.ask("AUTH wrong").starts_with("-WRONGPASS"));
    client.send(&encoded(&[b"AUTH", b"se cret"]));
    assert_eq!(client.answer(), "+OK");
    assert_eq!(client.ask("GET a"), "$-1");
}

#[test]
fn an_empty_password_file_lets_nobody_start() {
    for empty in ["", "\n", "\r\n\n"] {
        let folder = Folder::new();
        let file = folder.write("password", empty);
        let file = file.to_str().unwrap();
        let text = config(&folder.file("data"), 1, &format!("password_file = {file:?}"));
        let server = Server::from_toml(&text, "t").unwrap();
        let told = server.start().unwrap_err().to_string();
        let expected = format!("t:6:17: password_file {file} is empty, which lets everybody in");
        assert!(told.starts_with(&expected), "{told}");
        folder.write("password", "secret\n");
        server.start().unwrap();
    }
}

#[test]
fn what_cannot_be_opened_is_told_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let served = Served::start_in(folder, 1, "");
    let taken = served.address();
    let other = Folder::new();
    let dir = other.file("data");
    let text = config(&dir, 1, "").replace("127.0.0.1:0", &taken.to_string());
    let server = Server::from_toml(&text, "t").unwrap();
    let told = server.start().unwrap_err().to_string();
    assert!(told.contains(&format!("bind {taken} for the store (t:5:8)")), "{told}");
    drop(served);
    // What failed holds nothing: the same server starts now.
    server.start().unwrap();
    drop(server);
    let text = config("/proc/nowhere/data", 1, "");
    let told = Server::from_toml(&text, "t").unwrap().start().unwrap_err().to_string();
    assert!(told.contains("/proc/nowhere/data"), "{told}");
}

#[test]
fn a_host_that_turns_the_server_serves_them_too() {
    let folder = Folder::new();
    let server = Server::from_toml(&config(&folder.file("data"), 1, ""), "t").unwrap();
    server.start_hosted().unwrap();
    let address = match server.resp_address().unwrap().unwrap() {
        trimtab::proxy::options::Bind::Inet(address) => address,
        other => panic!("{other}"),
    };
    let client = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        assert_eq!(client.ask("SET a 1"), "+OK");
        assert_eq!(client.ask("GET a"), "$1|1");
        assert_eq!(client.ask("HSET h f v"), ":1");
    });
    until("the client is done", || {
        server.turn(Some(Duration::from_millis(50))).unwrap();
        client.is_finished()
    });
    client.join().unwrap();
    server.drain(None).unwrap();
    until("it ends", || {
        server.turn(Some(Duration::from_millis(50))).ok();
        server.state() == trimtab::server::State::Stopped
    });
}
