//! What an unfriendly world does to `trimtab run`: each gets a counted end, nobody else is disturbed, and when it
//! is over nothing is left: no session, no descriptor, no time spent.

#![cfg(target_os = "linux")]

#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;
#[path = "../shared/process.rs"]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use process::{DEADLINE, Running, until};

fn config(listener: &str, pool: &str, backend: SocketAddr) -> String {
    format!(
        "[runtime]\nworkers = 2\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n{listener}\n\
         [[pool]]\nname = \"app\"\n{pool}\n[[pool.backend]]\naddress = \"{backend}\"\n"
    )
}

/// A backend that serves each connection on a thread.
struct Backend {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        SockRef::from(&listener).listen(4096).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let serve = Arc::new(serve);
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let serve = Arc::clone(&serve);
                std::thread::Builder::new().stack_size(64 << 10).spawn(move || serve(stream)).unwrap();
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }

    /// Sends back what comes.
    fn echo() -> Self {
        Self::new(|mut stream| {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Gets the thread out of `accept`.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().expect("once").join();
    }
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[track_caller]
fn expect_echo(mut client: &TcpStream) {
    client.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

/// Whether the connection is over within the deadline, without a byte.
#[track_caller]
fn expect_over(mut client: TcpStream) {
    match client.read(&mut [0; 16]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

/// More clients than there are descriptors for: those who fit are served, the others wait in the backlog without
/// costing anything, and are served when there is room again.
#[test]
fn descriptors_run_out() {
    let backend = Backend::echo();
    let running = Running::start(&config("backlog = 1024", "", backend.address), Some(64));
    let before = running.descriptors();
    let address = running.address();
    let clients: Vec<TcpStream> = (0..200).map(|_| connect(address)).collect();
    running.until_told("it runs out", |count| count("accept-paused") > 0);
    running.expect_idle();
    // Those who were accepted go, which makes room for others. Which these are nobody knows: each worker accepts
    // from a backlog of its own.
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || {
                expect_echo(&client);
                client.shutdown(Shutdown::Write).unwrap();
                expect_over(client);
            });
        }
    });
    until("everybody is gone", || running.number("sessions") == 0);
    assert_eq!(running.number("accepted"), 200);
    assert_eq!(running.closed("finished"), 200);
    assert_eq!(running.closed("no_descriptor"), 0);
    // Events come by another way than the status, and who has nothing left to accept tries again after 100 ms.
    running.until_told("it goes on", |count| count("accept-paused") == count("accept-resumed"));
    // Told once each time, not for each attempt: not more often than it could accept again.
    assert!((1..=200).contains(&running.count("accept-resumed")));
    until("descriptors are given back", || running.descriptors() <= before + 1);
    running.expect_idle();
    running.end();
}

/// Ten thousand connections that never send their header. Everybody else is served meanwhile, the deadline ends
/// them all, and their memory is bounded.
#[test]
fn ten_thousand_half_open() {
    const CLIENTS: usize = 10_000;
    let backend = Backend::echo();
    let listener = "proxy_protocol = \"accept\"\nbacklog = 4096\ntimeouts = { header = \"20s\" }";
    let running = Running::start(&config(listener, "", backend.address), None);
    let (before, memory) = (running.descriptors(), running.memory_kib());
    let address = running.address();
    // Some begin a header and leave it at that.
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = connect(address);
        if number % 2 == 0 {
            client.write_all(&b"PROXY TCP4 192.0.2.1"[..1 + number % 20]).unwrap();
        }
        clients.push(client);
    }
    until("all are accepted", || running.number("accepted") == CLIENTS as u64);
    let each = (running.memory_kib() - memory) * 1024 / CLIENTS as u64;
    assert!(each < 4096, "{each} bytes for each client that has said nothing");
    let mut good = connect(address);
    good.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").unwrap();
    expect_echo(&good);
    until("the deadline ends them", || running.closed("header_timeout") == CLIENTS as u64);
    for client in clients {
        expect_over(client);
    }
    expect_echo(&good);
    good.shutdown(Shutdown::Write).unwrap();
    expect_over(good);
    until("everybody is gone", || running.number("sessions") == 0);
    assert_eq!(running.closed("finished"), 1);
    until("descriptors are given back", || running.descriptors() <= before + 1);
    running.expect_idle();
    running.end();
}

/// Bytes that are no header, a header without an end, one byte at a time: refused or cut, each counted.
#[test]
fn headers_that_are_none() {
    const CLIENTS: u64 = 500;
    let backend = Backend::echo();
    let listener = "proxy_protocol = \"accept\"\ntimeouts = { header = \"3s\" }";
    let running = Running::start(&config(listener, "", backend.address), None);
    let before = running.descriptors();
    let address = running.address();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut waiting = Vec::new();
    for number in 0..CLIENTS {
        let mut client = connect(address);
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = [0; 300];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (state.rotate_left(at as u32 % 64) >> 32) as u8 ^ at as u8;
        }
        // Neither version begins with this.
        bytes[0] |= 0x80;
        match number % 3 {
            // It may be over before all of it is sent.
            0 => drop(client.write_all(&bytes)),
            1 => drop(client.write_all(&[b'P'; 108])),
            _ => drop(client.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")),
        }
        waiting.push(client);
    }
    for client in waiting {
        expect_over(client);
    }
    // A byte now and then keeps nobody alive beyond the deadline.
    let mut slow = connect(address);
    slow.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut sent = 0;
    for byte in b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2" {
        if slow.write_all(&[*byte]).is_err() {
            break;
        }
        sent += 1;
        match slow.read(&mut [0; 1]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    assert!((5..30).contains(&sent), "{sent} bytes in three seconds, one each 200 ms");
    until("everybody is gone", || running.number("sessions") == 0);
    assert_eq!(running.closed("header_invalid"), CLIENTS);
    assert_eq!(running.closed("header_timeout"), 1);
    until("descriptors are given back", || running.descriptors() <= before + 1);
    running.expect_idle();
    running.end();
}

/// Clients that break off at every moment, and backends that do: every session ends, and those that keep to the
/// rules see nothing of it.
#[test]
fn both_sides_break_off() {
    const ROUNDS: usize = 600;
    let number = std::sync::atomic::AtomicUsize::new(0);
    let backend = Backend::new(move |mut stream| {
        let mut buffer = [0; 4096];
        match number.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => reset(stream),
            1 => {
                let _ = stream.read(&mut buffer);
                let _ = stream.write_all(&[7; 100_000]);
                reset(stream);
            }
            _ => {
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let running = Running::start(&config("", "", backend.address), None);
    let before = running.descriptors();
    let address = running.address();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for round in 0..ROUNDS / 4 {
                    let mut client = connect(address);
                    match (round + thread) % 4 {
                        0 => reset(client),
                        1 => {
                            let _ = client.write_all(&[1; 50_000]);
                            reset(client);
                        }
                        2 => {
                            let _ = client.write_all(b"hello");
                            let _ = client.read(&mut [0; 3]);
                        }
                        _ => {
                            let _ = client.write_all(b"hello");
                            let _ = client.shutdown(Shutdown::Write);
                            let _ = client.read_to_end(&mut Vec::new());
                        }
                    }
                }
            });
        }
    });
    until("everybody is gone", || running.number("sessions") == 0);
    let status = running.status();
    let totals = &status["totals"];
    let count = |key: &str| totals[key].as_u64().unwrap();
    // One that was reset while it waited to be accepted may never have been.
    assert!(count("accepted") <= ROUNDS as u64 && count("accepted") > ROUNDS as u64 / 2, "{totals}");
    assert_eq!(count("finished") + count("failed"), count("accepted"), "{totals}");
    assert!(running.closed("client_reset") + running.closed("client_left") > 0, "{status}");
    assert!(running.closed("backend_reset") > 0, "{status}");
    assert_eq!(status["pools"][0]["in_flight"], 0, "{status}");
    until("descriptors are given back", || running.descriptors() <= before + 40);
    running.expect_idle();
    running.end();
}

/// Backends that accept and say nothing, with clients that wait, send without an answer, and do not read.
#[test]
fn a_silent_backend() {
    const CLIENTS: u64 = 100;
    // The system accepts; nobody takes the connections.
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    SockRef::from(&backend).listen(1024).unwrap();
    let listener = "timeouts = { idle = \"4s\", connect = \"2s\" }";
    let running = Running::start(&config(listener, "", backend.local_addr().unwrap()), None);
    let before = running.descriptors();
    let address = running.address();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = connect(address);
        if number % 2 == 0 {
            client.set_nonblocking(true).unwrap();
            // As much as all the buffers on the way take.
            while client.write(&[3; 65_536]).is_ok() {}
            client.set_nonblocking(false).unwrap();
        }
        clients.push(client);
    }
    until("all are relayed", || running.number("accepted") == CLIENTS);
    running.expect_idle();
    until("silence ends them", || running.closed("idle_timeout") == CLIENTS);
    for client in clients {
        expect_over(client);
    }
    until("descriptors are given back", || running.descriptors() <= before + 40);
    running.expect_idle();
    running.end();
}

/// A port in use is told with its place in the file, and nothing is left listening.
#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let text = config("", "", taken.local_addr().unwrap())
        .replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let file = std::env::temp_dir().join(format!("trimtab-hostile-taken-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_trimtab")).arg("run").arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("listener in") && told.contains(".toml:5:8") && told.contains("in use"), "{told}");
}
