//! Clients that are many, slow, silent or gone.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Server, answer, change, expect_echo, get, relaying_beside};

#[test]
fn idle_clients_keep_nobody_out() {
    let server = Server::start();
    let mut idle = Vec::new();
    // Some have asked before, some never say anything.
    for number in 0..200 {
        let stream = server.connect();
        if number % 2 == 0 {
            // Whoever had to make room already is not answered.
            let _ = (&stream).write_all(get("/v1/pools/app").as_bytes());
        }
        idle.push(stream);
    }
    let begun = Instant::now();
    server.good(&["weight", "app/web-01", "9"]);
    let (code, status) = server.curl_json("/v1/status", &[]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(code, 200);
    assert!(status["admin"]["displaced"].as_u64().unwrap() >= 70, "{}", status["admin"]);
    assert!(status["admin"]["clients"].as_u64().unwrap() <= 128, "{}", status["admin"]);
    let mut relayed = server.relayed();
    expect_echo(&mut relayed, b"meanwhile");
}

#[test]
fn many_clients_at_once_are_all_answered() {
    const THREADS: usize = 50;
    let server = Server::start();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                for number in 0..20 {
                    let stream = server.connect();
                    let text = if number % 2 == 0 {
                        get("/v1/status")
                    } else {
                        change(&format!("{{\"weight\": {}}}", thread + 1))
                    };
                    (&stream).write_all(text.as_bytes()).unwrap();
                    let (status, _, body) = answer(&mut BufReader::new(&stream));
                    assert_eq!(status, 200);
                    serde_json::from_slice::<Value>(&body).unwrap();
                }
            });
        }
    });
    let status = server.until("they are gone", |status| status["admin"]["clients"] == 1);
    assert!(status["admin"]["accepted"].as_u64().unwrap() > 20 * THREADS as u64);
    assert_eq!((&status["admin"]["late"], &status["admin"]["stalled"]), (&0.into(), &0.into()));
}

/// However often a byte comes: the whole request has ten seconds.
#[test]
fn a_request_that_comes_too_slowly_is_refused() {
    let server = Server::start();
    let begun = Instant::now();
    let slow = |start: &str| {
        let mut stream = server.connect();
        stream.write_all(start.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer) {
                Ok(0) => return String::from_utf8(answer).unwrap(),
                Ok(bytes) => answer.extend_from_slice(&buffer[..bytes]),
                // Nothing came: a little more is said.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(begun.elapsed() < Duration::from_secs(40), "it is still listened to");
                    let _ = stream.write_all(b"x");
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let body = change(&format!("{{\"weight\": 3{}}}", " ".repeat(1000)));
    std::thread::scope(|scope| {
        for start in ["GET /v1/", &body[..body.len() - 900]] {
            let slow = &slow;
            scope.spawn(move || {
                let answer = slow(start);
                assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
                assert!(
                    answer.contains("Connection: close\r\n") && answer.contains("did not come to its end"),
                    "{answer}"
                );
            });
        }
    });
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(server.status(&[])["admin"]["late"], 2);
    assert_eq!(server.status(&["app/web-01"])["weight"], 1);
}

/// Who does not take its answer holds its place for ten seconds, and the memory of one answer.
#[test]
fn an_answer_that_nobody_takes_is_cut() {
    let server = Server::start_with(&relaying_beside(8000), "unix:FOLDER/admin.sock");
    let stream = server.connect();
    // More than the system keeps for a connection, by far.
    (&stream).write_all(get("/v1/status").repeat(3).as_bytes()).unwrap();
    server.until("it is cut", |status| status["admin"]["stalled"] == 1);
    // What the system kept is still read, and then the end or the break.
    let mut taken = Vec::new();
    let ended = (&stream).read_to_end(&mut taken);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(taken.starts_with(b"HTTP/1.1 200 OK\r\n") && taken.len() < 1 << 21, "{}", taken.len());
}
