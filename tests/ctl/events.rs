//! Events, as they are followed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{DEADLINE, Server, answer, change, command, err, expect_echo, get};

/// Somebody who follows, and what it says.
struct Follower {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Follower {
    fn ctl(server: &Server, arguments: &[&str]) -> Self {
        let mut command = command(&[&["--admin", &server.admin, "events"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line.trim_end().to_string()
    }

    /// What is left to be said, the exit code and the errors.
    fn rest(mut self) -> (String, Option<i32>, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (rest, output.status.code(), err(&output))
    }
}

/// Lines of a raw stream in chunks, as they come.
struct Lines<R>(R);

impl<R: BufRead> Lines<R> {
    /// Begins behind the head.
    fn new(mut reader: R) -> Self {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        Self(reader)
    }

    /// The next chunk's lines; `None` at the end.
    fn next(&mut self) -> Option<Vec<Value>> {
        let mut size = String::new();
        if self.0.read_line(&mut size).ok()? == 0 {
            return None;
        }
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return None;
        }
        let text = String::from_utf8(chunk).unwrap();
        Some(text.trim_end().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

fn without_times(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, rest)| rest)
}

#[test]
fn a_drain_and_an_add_are_seen_by_all_who_follow() {
    let server = Server::start();
    let mut text = Follower::ctl(&server, &["--recent", "1"]);
    let mut json = Follower::ctl(&server, &["--recent", "1", "--json", "--count", "5"]);
    assert!(without_times(&text.line()).starts_with("started detail=\"web on "));
    let started: Value = serde_json::from_str(&json.line()).unwrap();
    assert_eq!((&started["event"], &started["sequence"]), (&"started".into(), &1.into()));
    assert!(started["unix_ms"].as_u64().unwrap() > 1_700_000_000_000);
    server.good(&["drain", "app/web-01"]);
    server.good(&["add", "app/web-03", "10.0.0.3:80"]);
    server.good(&["weight", "app/web-03", "7"]);
    // All of one change, each by itself.
    server.curl(
        "/v1/pools/app/backends/web-02",
        &["-H", "Content-Type: application/json", "-d", r#"{"maxconn": 5}"#],
    );
    for expected in [
        "backend-admin pool=app backend=web-01 value=drain",
        "backend-added pool=app backend=web-03",
        "backend-weight pool=app backend=web-03 value=7",
        "backend-maxconn pool=app backend=web-02 value=5",
    ] {
        let line = text.line();
        assert!(line.as_bytes()[4] == b'-' && line.contains('T'), "{line}");
        assert_eq!(without_times(&line), expected);
        let told: Value = serde_json::from_str(&json.line()).unwrap();
        assert_eq!((&told["event"], &told["pool"]), (&expected.split(' ').next().into(), &"app".into()));
    }
    assert_eq!(json.rest(), (String::new(), Some(0), String::new()));
    server.good(&["stop"]);
    // The end of the server is the end of the stream, and no failure.
    assert_eq!(text.rest(), (String::new(), Some(0), String::new()));
    assert!(server.wait().success());
}

#[test]
fn what_was_is_told_without_waiting_for_more() {
    let server = Server::start();
    for weight in ["2", "3", "4"] {
        server.good(&["weight", "app/web-01", weight]);
    }
    let values = |arguments: &[&str]| -> Vec<u64> {
        let text = server.good(&[&["events", "--no-follow", "--json"], arguments].concat());
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(values(&[]), [1, 2, 3, 4]);
    assert_eq!(values(&["--recent", "2"]), [3, 4]);
    assert_eq!(values(&["--since", "1"]), [2, 3, 4]);
    assert_eq!(values(&["--since", "4"]), [] as [u64; 0]);
    assert_eq!(values(&["--count", "1"]), [1]);
    let output = server.curl("/v1/events?recent=2&follow=false", &[]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    server.until("nobody follows", |status| status["admin"]["followers"] == 0);
}

#[test]
fn curl_follows_until_it_is_told_to_end() {
    let server = Server::start();
    let socket = &server.admin["unix:".len()..];
    let mut child = std::process::Command::new("curl")
        .args(["-sSN", "--unix-socket", socket, "http://localhost/v1/events"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    server.until("it follows", |status| status["admin"]["followers"] == 1);
    for weight in 2..5 {
        server.good(&["weight", "app/web-01", &weight.to_string()]);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["value"], weight.to_string());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    server.until("it is gone", |status| status["admin"]["followers"] == 0);
}

#[test]
fn a_follower_is_told_when_the_server_is_killed() {
    let mut server = Server::start();
    let mut follower = Follower::ctl(&server, &["--recent", "1"]);
    follower.line();
    server.kill();
    let (rest, code, told) = follower.rest();
    assert_eq!((rest.as_str(), code), ("", Some(1)));
    assert!(told.contains("was gone before its answer had ended"), "{told}");
}

#[test]
fn a_count_that_is_not_reached_is_a_failure() {
    let server = Server::start();
    let mut follower = Follower::ctl(&server, &["--recent", "1", "--count", "3"]);
    follower.line();
    server.good(&["stop"]);
    let (_, code, told) = follower.rest();
    assert_eq!((code, told.as_str()), (Some(1), "trimtab: the server ended after 1 of 3 events\n"));
}

#[test]
fn so_many_follow_and_no_more() {
    let server = Server::start();
    let mut all: Vec<Follower> = (0..16).map(|_| Follower::ctl(&server, &["--recent", "1"])).collect();
    all.iter_mut().for_each(|follower| assert!(follower.line().contains("started")));
    let refused = server.ctl(&["events"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("the limit followers = 16 is reached"), "{}", err(&refused));
    // Others are answered as ever.
    server.good(&["drain", "app/web-01"]);
    all.iter_mut().for_each(|follower| assert!(follower.line().contains("backend-admin")));
    for mut follower in all {
        follower.child.kill().unwrap();
        follower.child.wait().unwrap();
    }
    server.until("they are gone", |status| status["admin"]["followers"] == 0);
    server.good(&["events", "--no-follow"]);
}

/// Changes the weight so many times, without a pause.
fn flood(server: &Server, times: usize) {
    const AHEAD: usize = 50;
    let stream = server.connect();
    let mut reader = BufReader::new(&stream);
    let changes = [change(r#"{"weight": 2}"#), change(r#"{"weight": 3}"#)].concat().repeat(AHEAD / 2);
    for _ in 0..times / AHEAD {
        (&stream).write_all(changes.as_bytes()).unwrap();
        for _ in 0..AHEAD {
            assert_eq!(answer(&mut reader).0, 200);
        }
    }
}

/// A follower that reads nothing loses what is beyond the buffers and is told how much; the relay, the other
/// followers and the one that floods wait for nobody.
#[test]
fn a_slow_reader_is_told_what_it_lost_and_nobody_waits() {
    const FLOOD: usize = 8000;
    let server = Server::start();
    let slow = server.connect();
    (&slow).write_all(get("/v1/events?recent=1").as_bytes()).unwrap();
    server.until("it follows", |status| status["admin"]["followers"] == 1);
    let mut relayed = server.relayed();
    expect_echo(&mut relayed, b"before");
    // One that keeps up sees all.
    let quick = server.connect();
    (&quick).write_all(get("/v1/events?since=1").as_bytes()).unwrap();
    let quick = std::thread::spawn(move || {
        let mut lines = Lines::new(BufReader::new(quick));
        let mut next = 2;
        while next < 2 + FLOOD as u64 {
            for event in lines.next().unwrap() {
                match event["event"].as_str() {
                    // Even one that reads may be late on a machine that is busy, but then it is told.
                    Some("lost") => next += event["value"].as_str().unwrap().parse::<u64>().unwrap(),
                    _ => {
                        assert_eq!(event["sequence"], next);
                        next += 1;
                    }
                }
            }
        }
    });
    flood(&server, FLOOD);
    expect_echo(&mut relayed, b"after");
    quick.join().unwrap();
    // Now it reads, to the last.
    slow.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut lines = Lines::new(BufReader::new(&slow));
    let (mut lost, mut next) = (0, 1);
    while next < 2 + FLOOD as u64 {
        for event in lines.next().expect("it goes on") {
            match event["event"].as_str() {
                Some("lost") => {
                    let count = event["value"].as_str().unwrap().parse::<u64>().unwrap();
                    lost += count;
                    next += count;
                }
                _ => {
                    assert_eq!(event["sequence"], next, "nothing is missing but what is told as lost");
                    next += 1;
                }
            }
        }
    }
    assert!(lost > 0, "the buffers are larger than the flood");
    let counted = server.status(&[])["admin"]["events_lost"].as_u64().unwrap();
    assert!(counted >= lost, "{counted} {lost}");
}

/// One that reads nothing at all is cut after a while.
#[test]
fn a_follower_that_reads_nothing_is_cut_and_counted() {
    let server = Server::start();
    let dead = server.connect();
    (&dead).write_all(get("/v1/events?recent=1").as_bytes()).unwrap();
    flood(&server, 8000);
    let status = server.until("it is cut", |status| status["admin"]["stalled"] == 1);
    assert_eq!(status["admin"]["followers"], 0);
    let mut relayed = server.relayed();
    expect_echo(&mut relayed, b"meanwhile");
}

/// Between events an empty line says every fifteen seconds that the server is there. Who follows nothing is
/// ended after thirty, without a word.
#[test]
fn silence_is_broken_for_who_follows_and_ends_who_does_not() {
    let server = Server::start();
    let (idle, stream) = (server.connect(), server.connect());
    let mut idle_reader = BufReader::new(&idle);
    (&idle).write_all(get("/v1/pools/app").as_bytes()).unwrap();
    assert_eq!(answer(&mut idle_reader).0, 200);
    (&stream).write_all(get("/v1/events").as_bytes()).unwrap();
    let mut reader = BufReader::new(&stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    let begun = Instant::now();
    let mut chunk = [0; 6];
    reader.read_exact(&mut chunk).unwrap();
    assert_eq!(&chunk, b"1\r\n\n\r\n");
    assert!(begun.elapsed() > Duration::from_secs(14), "{:?}", begun.elapsed());
    assert_eq!(idle_reader.read(&mut [0; 64]).unwrap(), 0);
    assert!(begun.elapsed() > Duration::from_secs(29), "{:?}", begun.elapsed());
    reader.read_exact(&mut chunk).unwrap();
    server.good(&["stop"]);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "0\r\n\r\n");
}
