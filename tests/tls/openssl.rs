//! OpenSSL at the other end of a socket.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trimtab::tls::{Client, Fault, Pump, Read, Roots, Server, Versions, WallTime};

use crate::certificates::{Authority, Issued};
use crate::folder::Folder;
use crate::pump::identity;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Carries bytes between a pump and a socket until `is_done` or the other side's end.
fn drive(
    pump: &mut Pump,
    socket: &mut TcpStream,
    mut is_done: impl FnMut(&mut Pump) -> bool,
) -> Result<(), Fault> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let mut out = Vec::new();
        pump.poll_transmit(&mut out);
        socket.write_all(&out).unwrap();
        if is_done(pump) {
            let mut out = Vec::new();
            pump.poll_transmit(&mut out);
            socket.write_all(&out).unwrap();
            return Ok(());
        }
        let bytes = socket.read(&mut buffer).expect("the other side says something in time");
        if bytes == 0 {
            return pump.handle_end();
        }
        let mut rest = &buffer[..bytes];
        if let Err(fault) = pump.handle_bytes(&mut rest) {
            let mut out = Vec::new();
            pump.poll_transmit(&mut out);
            let _ = socket.write_all(&out);
            return Err(fault);
        }
        assert!(rest.is_empty());
    }
}

fn openssl(arguments: &[&str], input: Stdio) -> Process {
    Process(
        Command::new("openssl")
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl is installed"),
    )
}

/// `openssl s_server` that sends back each line in reverse, and its address.
fn s_server(issued: &Issued, authority: &Authority, more: &[&str]) -> (Process, SocketAddr) {
    let (certificate, key, ca) = (text(&issued.certificate), text(&issued.key), text(&authority.ca));
    let mut arguments = vec![
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        &certificate,
        "-key",
        &key,
        "-CAfile",
        &ca,
        "-rev",
    ];
    arguments.extend_from_slice(more);
    let mut process = openssl(&arguments, Stdio::null());
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let accept = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(String::from));
    let address = accept.expect("it says where it listens").parse().unwrap();
    // What else it says has somewhere to go.
    std::thread::spawn(move || lines.for_each(drop));
    (process, address)
}

fn text(path: &std::path::Path) -> String {
    path.to_str().unwrap().to_string()
}

fn say_and_hear(pump: &mut Pump, socket: &mut TcpStream) {
    pump.write(b"trimtab\n");
    let mut heard = Vec::new();
    drive(pump, socket, |pump| {
        let mut buffer = [0; 256];
        while let Read::Bytes(bytes) = pump.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..bytes]);
        }
        heard == b"batmirt\n"
    })
    .unwrap();
}

#[test]
fn our_client_and_its_server() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (first, second) = (authority.issue(&folder, "db-1"), authority.issue(&folder, "db-2"));
    let roots = Roots::load(&authority.ca).unwrap();
    for (versions, more) in [
        (Versions::Newest, &["-Verify", "1", "-verify_return_error", "-alpn", "trimtab-test/1"][..]),
        (Versions::Both, &["-tls1_2", "-Verify", "1", "-verify_return_error"]),
    ] {
        let (_server, address) = s_server(&second, &authority, more);
        let alpn: &[&[u8]] = &[b"trimtab-test/1"];
        let config = Client::new(&roots, Some(&identity(&first)), alpn, versions, WallTime::System).unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        let mut pump = Pump::client(&config, "db-2").unwrap();
        say_and_hear(&mut pump, &mut socket);
        assert_eq!(pump.alpn().is_some(), versions == Versions::Newest);
        // It serves one after the other.
        drop(socket);
        // Under another name it is not believed.
        let mut socket = TcpStream::connect(address).unwrap();
        let mut pump = Pump::client(&config, "db-3").unwrap();
        let fault = drive(&mut pump, &mut socket, |_| false).unwrap_err();
        assert!(fault.to_string().contains("for another name"), "{fault}");
    }
}

#[test]
fn its_server_that_does_not_know_us() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let (stranger, second) = (other.issue(&folder, "db-1"), authority.issue(&folder, "db-2"));
    let (_server, address) = s_server(&second, &authority, &["-Verify", "1", "-verify_return_error"]);
    let roots = Roots::load(&authority.ca).unwrap();
    let config =
        Client::new(&roots, Some(&identity(&stranger)), &[], Versions::Newest, WallTime::System).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let mut pump = Pump::client(&config, "db-2").unwrap();
    let fault = drive(&mut pump, &mut socket, |_| false).unwrap_err();
    assert!(matches!(fault, Fault::Alert(_)), "{fault:?}");
    assert!(fault.to_string().contains("authority of this side's certificate"), "{fault}");
}

/// `openssl s_client` against our server: what became of it here, and its exit and words.
fn s_client(server: &Server, more: &[&str], is_heard: bool) -> (Result<(), Fault>, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut arguments = vec!["s_client", "-connect", &address, "-servername", "db-2", "-verify_return_error"];
    arguments.extend_from_slice(more);
    let mut process = openssl(&arguments, Stdio::piped());
    let mut socket = listener.accept().unwrap().0;
    let mut pump = Pump::server(server).unwrap();
    let mut input = process.0.stdin.take().unwrap();
    input.write_all(b"trimtab\n").unwrap();
    let mut heard = Vec::new();
    let outcome = drive(&mut pump, &mut socket, |pump| {
        let mut buffer = [0; 256];
        while let Read::Bytes(bytes) = pump.read(&mut buffer) {
            heard.extend_from_slice(&buffer[..bytes]);
        }
        if heard != b"trimtab\n" {
            return false;
        }
        pump.write(b"heard\n");
        pump.close();
        true
    });
    assert_eq!(outcome.is_ok() && heard == b"trimtab\n", is_heard, "{outcome:?}");
    drop(socket);
    drop(input);
    let mut words = String::new();
    process.0.stdout.take().unwrap().read_to_string(&mut words).unwrap();
    process.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    (outcome, words)
}

#[test]
fn our_server_and_its_client() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let (first, second) = (authority.issue(&folder, "db-1"), authority.issue(&folder, "db-2"));
    let stranger = other.issue(&folder, "stranger");
    let roots = Roots::load(&authority.ca).unwrap();
    let alpn: &[&[u8]] = &[b"trimtab-test/1"];
    let server =
        |versions| Server::new(&identity(&second), Some(&roots), alpn, versions, WallTime::System).unwrap();
    let (ca, certificate, key) = (text(&authority.ca), text(&first.certificate), text(&first.key));
    let good = ["-CAfile", &ca, "-cert", &certificate, "-key", &key, "-verify_hostname", "db-2"];

    let (_, words) =
        s_client(&server(Versions::Newest), &[&good[..], &["-alpn", "trimtab-test/1"]].concat(), true);
    assert!(words.contains("TLSv1.3") && words.contains("ALPN protocol: trimtab-test/1"), "{words}");
    assert!(words.contains("Verify return code: 0 (ok)") && words.contains("heard"), "{words}");
    let (_, words) = s_client(&server(Versions::Both), &[&good[..], &["-tls1_2"]].concat(), true);
    assert!(words.contains("TLSv1.2") && words.contains("heard"), "{words}");

    // What it does not have, and what it does not know.
    let (outcome, _) = s_client(&server(Versions::Newest), &["-CAfile", &ca], false);
    assert_eq!(outcome, Err(Fault::NoCertificate));
    let (certificate, key) = (text(&stranger.certificate), text(&stranger.key));
    let foreign = ["-CAfile", &ca, "-cert", &certificate, "-key", &key];
    let (outcome, words) = s_client(&server(Versions::Newest), &foreign, false);
    assert!(matches!(outcome, Err(Fault::Certificate(_))), "{outcome:?}");
    assert!(words.contains("unknown ca"), "{words}");
    let (outcome, words) = s_client(&server(Versions::Newest), &[&good[..], &["-tls1_2"]].concat(), false);
    assert!(matches!(outcome, Err(Fault::NothingInCommon(_))), "{outcome:?}");
    assert!(words.contains("protocol version"), "{words}");
    let (outcome, words) =
        s_client(&server(Versions::Newest), &[&good[..], &["-alpn", "h2"]].concat(), false);
    assert!(matches!(outcome, Err(Fault::NothingInCommon(_))), "{outcome:?}");
    assert!(words.contains("no application protocol"), "{words}");
}
