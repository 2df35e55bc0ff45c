//! Why a connection ends reaches who is still sending: it is closed when that has been read, or there was time to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::process::{DEADLINE, until};
use crate::support::Served;

/// A store, and where its clients come in, so many: at the store, and where reads are split from writes.
fn served(clients_max: u32) -> (Served, [SocketAddr; 2]) {
    let split = "[[listener]]\nname = \"split\"\nbind = \"127.0.0.1:0\"\nmode = \"resp-split\"";
    let lines = format!("maxclients = {clients_max}\n{split}\nmaxconn = {clients_max}");
    let served = Served::start(1, &lines);
    let split = served.server.status().unwrap().splits[0].address.parse().unwrap();
    let addresses = [served.address(), split];
    (served, addresses)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What it is told until the other side has ended its half.
fn told(stream: &mut TcpStream) -> String {
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it is not broken off");
    told
}

/// How many clients are in, at the store and where reads are split from writes.
fn present(served: &Served) -> [u32; 2] {
    let status = served.server.status().unwrap();
    [status.store.unwrap().clients.unwrap().present, status.splits[0].clients]
}

const TOO_LONG: &str =
    "-ERR Protocol error: invalid bulk length: an argument has at most 16777216 bytes (value_max)\r\n";

/// As clients do it: all is sent, and then the answer is read.
#[test]
fn who_sends_a_value_that_is_too_long_reads_why() {
    let (_served, addresses) = served(100);
    let mut request = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$16777217\r\n".to_vec();
    request.resize(request.len() + (16 << 20) + 1, b'v');
    request.extend_from_slice(b"\r\n*1\r\n$4\r\nPING\r\n");
    for address in addresses {
        for _ in 0..5 {
            let mut client = connect(address);
            client.write_all(&request).expect("all of it is taken");
            assert_eq!(told(&mut client), TOO_LONG);
        }
    }
}

/// Even if all that comes does so when the answer has been given.
#[test]
fn what_is_wrong_is_read_on_behind() {
    let (served, addresses) = served(100);
    let rest = vec![b'v'; 1 << 20];
    for address in addresses {
        for (head, answer) in [
            ("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$16777217\r\n", TOO_LONG),
            ("*1048577\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
            ("*1\r\n!\r\n", "-ERR Protocol error: expected '$', got '!'\r\n"),
        ] {
            let mut client = connect(address);
            client.write_all(head.as_bytes()).unwrap();
            assert_eq!(told(&mut client), answer);
            for _ in 0..17 {
                client.write_all(&rest).expect("it is taken");
            }
            client.shutdown(Shutdown::Write).unwrap();
        }
        // Nobody reads on what is answered at once by an end.
        let mut client = connect(address);
        client.write_all(b"POST / HTTP/1.1\r\n").unwrap();
        assert_eq!(told(&mut client), "");
        until("it is broken off", || client.write_all(&rest).is_err());
    }
    until("all have gone", || present(&served) == [0, 0]);
}

#[test]
fn who_lingers_has_a_place_and_who_finds_none_reads_so() {
    const FULL: &str = "-ERR max number of clients reached\r\n";
    let (served, addresses) = served(1);
    for (at, address) in addresses.into_iter().enumerate() {
        let mut bad = connect(address);
        bad.write_all(b"*1\r\n!\r\n").unwrap();
        assert!(told(&mut bad).starts_with("-ERR Protocol error"));
        for _ in 0..40 {
            let mut refused = connect(address);
            assert_eq!(told(&mut refused), FULL);
            for _ in 0..2 {
                refused.write_all(b"*1\r\n$4\r\nPING\r\n").expect("it is not broken off");
            }
            assert_eq!(present(&served)[at], 1);
        }
        // More of them than are waited for, who stay: the oldest go.
        let mut refused: Vec<TcpStream> = (0..40).map(|_| connect(address)).collect();
        refused.iter_mut().for_each(|refused| assert_eq!(told(refused), FULL));
        until("the first is not waited for", || refused[0].write_all(b"PING\r\n").is_err());
        drop(bad);
        until("it has gone", || present(&served)[at] == 0);
        let mut good = connect(address);
        good.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        good.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    }
}

#[test]
fn who_lingers_holds_up_no_end_of_the_server() {
    let (served, addresses) = served(100);
    let mut clients: Vec<TcpStream> = addresses.into_iter().map(connect).collect();
    for client in &mut clients {
        client.write_all(b"*1\r\n!\r\n").unwrap();
        assert!(told(client).starts_with("-ERR Protocol error"));
    }
    assert_eq!(present(&served), [1, 1]);
    // They go on sending, so they would be there for half a minute.
    let drip = |mut client: TcpStream| {
        std::thread::spawn(move || {
            loop {
                if let Err(error) = client.write_all(b"x") {
                    return error.kind();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let dripping: Vec<_> = clients.into_iter().map(drip).collect();
    served.server.drain(Some(Duration::from_secs(3600))).unwrap();
    served.server.wait(Some(Duration::from_secs(15))).expect("it waits for nobody");
    for client in dripping {
        let kind = client.join().unwrap();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
    }
}
