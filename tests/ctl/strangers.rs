//! Whoever else is at the address: nobody, somebody else, or a server that goes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{Folder, Server, TRIMTAB, ctl, err, out, relaying};

#[track_caller]
fn refused(output: &Output, part: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", err(output));
    assert!(err(output).contains(part), "{}", err(output));
    assert_eq!((out(output).as_str(), err(output).lines().count()), ("", 1));
}

/// What `ctl` says of somebody who says this and goes.
fn of_one_who_says(text: &[u8]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = text.to_vec();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(&text).unwrap();
    });
    let output = ctl(&["status", "--admin", &address]);
    stranger.join().unwrap();
    output
}

#[test]
fn nobody_is_told_from_somebody_else() {
    let folder = Folder::new();
    let path = folder.file("admin.sock");
    refused(&ctl(&["status", "--admin", &path]), "there is no socket at unix:");
    drop(UnixListener::bind(&path).unwrap());
    refused(&ctl(&["status", "--admin", &path]), "nobody listens at unix:");
    std::fs::write(folder.file("file"), "").unwrap();
    refused(&ctl(&["status", "--admin", &folder.file("file")]), "nobody listens at unix:");
    refused(&ctl(&["status", "--admin", "unix:@nobody-is-here-at-all"]), "nobody listens at unix:@nobody");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&ctl(&["status", "--admin", &closed.to_string()]), "nobody listens at 127.0.0.1:");
}

#[test]
fn what_is_no_trimtab_is_told() {
    for (text, part) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nServer: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n"[..],
            "but \"nginx/1.22.1\"",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is no trimtab;"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "is no trimtab;"),
        (b"-ERR unknown command\r\n", "is no trimtab;"),
        (b"\x16\x03\x01\x02\x00", "is no trimtab;"),
        (b"HTTP/1.1 200 OK\r\nServer: trimtab/9\r\nContent-Length: 5\r\n\r\nhello", "makes no sense here"),
        (
            b"HTTP/1.1 500 Oh\r\nServer: trimtab/9\r\nContent-Length: 5\r\n\r\nhello",
            "status 500 and said nothing",
        ),
        (b"HTTP/1.1 200 OK\r\nServer: trimtab/9\r\nContent-Length: 99999999999\r\n\r\n", "is longer than"),
    ] {
        refused(&of_one_who_says(text), part);
    }
}

#[test]
fn a_server_that_goes_in_the_middle_is_told() {
    for text in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nServer: trim",
        b"HTTP/1.1 200 OK\r\nServer: trimtab/9\r\nContent-Length: 50\r\n\r\n{\"version\":",
    ] {
        refused(&of_one_who_says(text), "was gone before its answer had ended");
    }
}

#[test]
fn who_does_not_answer_is_waited_for_so_long() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let begun = Instant::now();
    refused(&ctl(&["status", "--admin", &address, "--timeout", "200ms"]), "did not answer within 0.2 s");
    refused(&ctl(&["events", "--admin", &address, "--timeout", "200ms"]), "did not answer within 0.2 s");
    // Somebody who keeps saying a little is no answer either.
    let dripping = std::thread::spawn(move || {
        let (mut connections, mut text) = (Vec::new(), b"HTTP/1.1 200 OK\r\nX: ".to_vec());
        for _ in 0..3 {
            connections.push(listener.accept().unwrap().0);
        }
        let stream = connections.last_mut().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // Until it leaves; each byte when the wait for its end is over.
        while stream.write_all(&text).is_ok() {
            text = b"x".to_vec();
            let _ = stream.read(&mut [0; 4096]);
        }
    });
    refused(&ctl(&["status", "--admin", &address, "--timeout", "200ms"]), "did not answer within 0.2 s");
    dripping.join().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

#[test]
fn who_accepts_nothing_is_waited_for_so_long() {
    let folder = Folder::new();
    let path = folder.file("full.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    // A backlog of nothing has room for one.
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let output = ctl(&["status", "--admin", &path, "--timeout", "200ms"]);
    refused(&output, "takes no connection within 0.2 s");
}

/// Root may connect to anything, so as somebody else.
#[test]
fn the_mode_says_who_may_connect() {
    let launch = |mode: &str| {
        Server::launch(&format!("{}[admin]\nbind = 'unix:FOLDER/admin.sock'\n{mode}", relaying()))
    };
    let mode = |server: &Server| std::fs::metadata(&server.admin["unix:".len()..]).unwrap().mode() & 0o7777;
    let (own, open, shut) = (launch(""), launch("mode = '0666'\n"), launch("mode = '0000'\n"));
    assert_eq!((mode(&own), mode(&open), mode(&shut)), (0o600, 0o666, 0));
    assert_eq!(own.ctl(&["status"]).status.code(), Some(0));
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    // Where somebody else can run it.
    let copy = own.folder.file("trimtab");
    std::fs::copy(TRIMTAB, &copy).unwrap();
    let ask = |server: &Server| {
        let mut command = Command::new(&copy);
        command.args(["ctl", "status", "--admin", &server.admin]);
        if is_root {
            command.uid(65534).gid(65534);
        }
        command.output().unwrap()
    };
    refused(&ask(&shut), "you may not connect to unix:");
    if is_root {
        refused(&ask(&own), "you may not connect to unix:");
    }
    assert_eq!(ask(&open).status.code(), Some(0), "{}", err(&ask(&open)));
}
