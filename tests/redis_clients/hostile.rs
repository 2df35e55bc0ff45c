//! Clients that mean harm, or are broken: the others are served all the same.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use trimtab::rng::Rng;

use crate::folder::Folder;
use crate::process::{DEADLINE, Running, until};
use crate::support::{Client, Served, config, encoded};

#[test]
fn who_comes_beyond_maxclients_is_told_so_and_makes_room_by_leaving() {
    let served = Served::start(1, "maxclients = 3");
    let mut clients: Vec<Client> = (0..3).map(|_| served.connect()).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.ask("PING"), "+PONG"));
    for _ in 0..500 {
        let mut refused = served.connect();
        assert_eq!(refused.answer(), "-ERR max number of clients reached");
        assert!(refused.is_ended());
    }
    let counted = served.status().clients.unwrap();
    assert_eq!((counted.present, counted.refused), (3, 500));
    clients.pop();
    until("there is room", || served.status().clients.unwrap().present == 2);
    assert_eq!(served.connect().ask("PING"), "+PONG");
    assert_eq!(clients[0].ask("PING"), "+PONG");
}

#[test]
fn half_requests_huge_lengths_and_noise_end_nobody_else() {
    let served = Served::start(1, "");
    let mut good = served.connect();
    let half = served.connect();
    half.0.get_ref().write_all(b"*2\r\n$3\r\nGE").unwrap();
    for (bytes, answer) in [
        (
            &b"*2\r\n$3\r\nGET\r\n$536870913\r\n"[..],
            "-ERR Protocol error: invalid bulk length: an argument has at most 16777216 bytes (value_max)",
        ),
        (b"*2147483648\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n!\r\n", "-ERR Protocol error: expected '$', got '!'"),
        (b"SET a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut bad = served.connect();
        bad.send(bytes);
        assert_eq!(bad.answer(), answer);
        assert!(bad.is_ended());
        assert_eq!(good.ask("PING"), "+PONG");
    }
    let mut rng = Rng::new(7);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..rng.below(2_000)).map(|_| rng.below(256) as u8).collect();
        let bad = served.connect();
        // It may have been ended already.
        let _ = bad.0.get_ref().write_all(&noise);
        let _ = bad.0.get_ref().shutdown(Shutdown::Write);
    }
    assert_eq!(good.ask("SET a 1"), "+OK");
    drop(half);
    until("all have gone", || served.status().clients.unwrap().present == 1);
    assert!(served.status().clients.unwrap().protocol_errors >= 4);
}

#[test]
fn who_does_not_read_is_cut_and_counted() {
    let served = Served::start(1, "output_max = \"2MiB\"\ndurability = \"memory\"");
    let mut good = served.connect();
    let value = vec![b'x'; 700 << 10];
    good.send(&encoded(&[b"SET", b"large", &value]));
    assert_eq!(good.answer(), "+OK");
    // More than the system keeps for it, and more than it may leave unread.
    let mut subscriber = served.connect();
    subscriber.ask("SUBSCRIBE news");
    until("it is cut", || {
        good.send(&encoded(&[b"PUBLISH", b"news", &value]));
        good.answer();
        served.status().clients.unwrap().slow == 1
    });
    assert_eq!(good.ask("PUBLISH news x"), ":0");
    // An answer that is longer than may be.
    let mut greedy = served.connect();
    greedy.send(&encoded(&[b"MGET", b"large", b"large", b"large"]));
    assert!(greedy.is_ended());
    // Many answers that are not: it is left to wait, and gets all of them once it reads.
    let mut patient = served.connect();
    let requests = encoded(&[b"GET", b"large"]).repeat(40);
    patient.send(&requests);
    assert_eq!(good.ask("PING"), "+PONG");
    for _ in 0..40 {
        assert_eq!(patient.answer().len(), value.len() + 8);
    }
    assert_eq!(served.status().clients.unwrap().slow, 2);
}

#[test]
fn a_client_that_breaks_off_within_a_transaction_leaves_nothing() {
    let served = Served::start(1, "");
    let mut good = served.connect();
    for round in 0..50 {
        let mut bad = served.connect();
        bad.send(b"MULTI\r\nSET half 1\r\nSUBSCRIBE x\r\n");
        if round % 2 == 0 {
            assert_eq!(bad.answer(), "+OK");
        }
        let socket = socket2::SockRef::from(bad.0.get_ref());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(bad);
    }
    until("all have gone", || served.status().clients.unwrap().present == 1);
    assert_eq!(good.ask("EXISTS half"), ":0");
}

#[test]
fn what_was_asked_for_before_an_end_is_done_and_answered() {
    let served = Served::start(1, "");
    let mut client = served.connect();
    let mut requests = Vec::new();
    (0..100).for_each(|_| requests.extend(encoded(&[b"INCR", b"n"])));
    client.send(&requests);
    client.0.get_ref().shutdown(Shutdown::Write).unwrap();
    for number in 1..=100 {
        assert_eq!(client.answer(), format!(":{number}"));
    }
    assert!(client.is_ended());
}

#[test]
fn who_waits_without_end_is_let_go_with_its_connection_or_the_server() {
    let served = Served::start(1, "");
    let mut good = served.connect();
    for _ in 0..20 {
        let mut waiter = served.connect();
        waiter.ask("SET a 1");
        waiter.say("WAIT 1 0");
    }
    until("all have gone", || served.status().clients.unwrap().present == 1);
    let mut waiter = served.connect();
    waiter.say("WAIT 1 0");
    assert_eq!(good.ask("PING"), "+PONG");
    served.server.drain(Some(Duration::from_secs(3600))).unwrap();
    served.server.wait(Some(DEADLINE)).unwrap();
    assert!(waiter.is_ended());
}

#[test]
fn without_a_descriptor_clients_wait_and_are_served_later() {
    let folder = Folder::new();
    let running = Running::start(&config(&folder.file("data"), 1, ""), None);
    let address = running.status()["store"]["clients"]["address"].as_str().unwrap().parse().unwrap();
    // Fewer than it was started with.
    limit_descriptors(running.pid(), 80);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    running.until_told("it pauses", |count| count("accept-paused") == 1);
    clients.iter_mut().for_each(|client| client.say("PING"));
    // The first of them make room for the last.
    for mut client in clients {
        assert_eq!(client.answer(), "+PONG");
    }
    running.until_told("it goes on", |count| count("accept-resumed") == 1);
    running.end();
}

#[test]
fn idle_clients_leave_the_descriptors_that_writes_need() {
    let folder = Folder::new();
    let extra = "segment_bytes = \"64KiB\"\nvalue_max = \"32KiB\"\n";
    let running = Running::start(&config(&folder.file("data"), 1, extra), Some(100));
    let status = &running.status()["store"]["clients"];
    let most = status["maxclients"].as_u64().unwrap();
    assert!((2..60).contains(&most), "{status}");
    let told = running.details("store-opened");
    let begins = format!("maxclients of the store is {most} instead of 10000: of 100 descriptors ");
    assert!(told.len() == 1 && told[0].starts_with(&begins), "{told:?}");

    let address = status["address"].as_str().unwrap().parse().unwrap();
    let mut writer = Client::connect(address);
    assert_eq!(writer.ask("PING"), "+PONG");
    assert!(writer.ask("CONFIG GET maxclients").ends_with(&format!("|{most}")));
    let mut idle: Vec<Client> = (0..150).map(|_| Client::connect(address)).collect();
    let last = idle.last_mut().unwrap();
    assert_eq!(last.answer(), "-ERR max number of clients reached");
    // Through many segments.
    let value = vec![b'x'; 20_000];
    for number in 0..40 {
        writer.send(&encoded(&[b"SET", format!("key{}", number % 4).as_bytes(), &value]));
        assert_eq!(writer.answer(), "+OK");
    }
    assert_eq!(running.count("store-full") + running.count("accept-paused"), 0);
    running.end();
}

#[test]
fn too_few_descriptors_for_any_client_are_refused() {
    let folder = Folder::new();
    let said = Running::refused_by("ulimit -n 60 && exec", &config(&folder.file("data"), 1, ""));
    assert!(
        said.contains("cannot serve any of maxclients = 10000 clients of the store: of 60 descriptors"),
        "{said}"
    );
}

#[test]
fn a_write_that_fits_no_segment_is_told_so_and_others_are_taken() {
    let served = Served::start(1, "segment_bytes = \"64KiB\"");
    let mut client = served.connect();
    let limit =
        client.ask("CONFIG GET proto-max-bulk-len").rsplit('|').next().unwrap().parse::<usize>().unwrap();
    assert!((16_000..48_000).contains(&limit), "{limit}");
    let whole = vec![b'x'; limit];
    client.send(&encoded(&[b"SET", b"a", &whole]));
    assert_eq!(client.answer(), "+OK");
    client.send(&encoded(&[b"SET", b"a", &vec![b'x'; limit + 1]]));
    assert_eq!(client.answer(), "-ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    client.send(&encoded(&[b"MSET", b"b", &whole, b"c", &whole, b"d", &whole]));
    let answer = client.answer();
    assert!(
        answer.starts_with("-ERR nothing was written: ") && answer.contains("write less at once"),
        "{answer}"
    );
    assert_eq!((client.ask("EXISTS a b c d"), client.ask("SET b 1")), (":1".into(), "+OK".into()));
}

#[allow(unsafe_code)]
fn limit_descriptors(pid: u32, count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    // SAFETY: a process that was not waited for yet, so its number is no other's; a limit that outlives the call, and the old
    // one is not asked for.
    let set =
        unsafe { libc::prlimit(pid as i32, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}
