//! The PROXY protocol with others that speak it: what HAProxy sends is read, and what is written is taken by
//! HAProxy and by nginx, with the addresses it holds.
//!
//! Both get their listening socket from the test, as standard input: the port is theirs before they run, and
//! a connection waits in the socket's queue until they do.

#![cfg(feature = "proxy")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use trimtab::proxy::proxy_protocol::{
    self as pp, Addresses, Header, Tlvs, Transport, UnixAddresses, Version, parse, tlv, write,
};

/// After this long nothing will come any more, and the test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// A daemon that runs in the foreground with a folder of its own; both go with it.
struct Peer {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Peer {
    fn haproxy(proxy: &str) -> Self {
        let defaults = "defaults\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n";
        let (listener, address) = listen();
        let folder = folder();
        fs::write(folder.join("haproxy.cfg"), format!("{defaults}{proxy}\n")).unwrap();
        let mut command = command("haproxy");
        command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
        Self::start(command, listener, folder, address)
    }

    /// An HTTP server that answers with `text`.
    fn nginx(text: &str) -> Self {
        let (listener, address) = listen();
        let folder = folder();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};\n", folder.join(what).display()))
            .concat();
        let server = format!("listen {address} proxy_protocol;\nlocation / {{ return 200 \"{text}\"; }}");
        fs::write(
            folder.join("nginx.conf"),
            format!(
                "daemon off;\nworker_processes 1;\npid {};\nerror_log stderr;\nevents {{}}\n\
                 http {{\naccess_log off;\n{temporary}server {{\n{server}\n}}\n}}\n",
                folder.join("nginx.pid").display(),
            ),
        )
        .unwrap();
        let mut command = command("nginx");
        // The sockets that it is handed, as when it replaces itself.
        command.env("NGINX", "0;").args(["-e", "stderr", "-p"]).arg(&folder);
        command.arg("-c").arg(folder.join("nginx.conf"));
        Self::start(command, listener, folder, address)
    }

    fn start(mut command: Command, listener: TcpListener, folder: PathBuf, address: SocketAddr) -> Self {
        let log = File::create(folder.join("log")).unwrap();
        // nginx takes it for one of its own and leaves it as it is.
        listener.set_nonblocking(true).unwrap();
        let child = command
            .stdin(OwnedFd::from(listener))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; `make setup` installs it"));
        Self { child, folder, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.address, DEADLINE).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends `header` and a request; gives the answer's text.
    fn ask(&self, header: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(&[header, b"GET / HTTP/1.0\r\n\r\n"].concat()).unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        assert!(read.is_ok(), "{read:?} to {}", header.escape_ascii());
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        assert!(head.split(' ').nth(1) == Some("200"), "{head}");
        text.to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Not killed: nginx takes its worker with it then.
        let terminate = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &terminate]).status().expect("a shell").success());
        self.child.wait().expect("it is ours");
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
        }
        fs::remove_dir_all(&self.folder).expect("it is ours");
    }
}

fn command(name: &str) -> Command {
    // Debian keeps daemons where not every user looks.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin"));
    command
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("trimtab-peer-{}-{number}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    folder
}

/// A socket whose `accept` ends by the deadline.
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A connection to us, and what came first on it.
struct Accepted {
    stream: TcpStream,
    from: SocketAddr,
    header: Header,
    behind: Vec<u8>,
}

fn accept(listener: &TcpListener) -> Accepted {
    let (mut stream, from) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    loop {
        if let Some((header, length)) = parse(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}")) {
            return Accepted { stream, from, header, behind: bytes.split_off(length) };
        }
        let mut more = [0; 512];
        let read = stream.read(&mut more).unwrap();
        assert!(read > 0, "the end after {bytes:?}");
        bytes.extend_from_slice(&more[..read]);
    }
}

fn inet(source: &str, destination: &str) -> Addresses {
    Addresses::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn written(version: Version, addresses: &Addresses, tlvs: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(version, addresses, tlvs, &mut out);
    out
}

/// Asks HAProxy, which sends a header by `options`, for a connection to us.
fn sent_by_haproxy(options: &str) -> (Header, SocketAddr, SocketAddr) {
    let (backend, address) = listen();
    let peer = Peer::haproxy(&format!(
        "listen in\n mode tcp\n bind fd@0\n unique-id-format id-%ci-%cp\n server us {address} {options}"
    ));
    let mut client = peer.connect();
    client.write_all(b"hello").unwrap();
    let Accepted { mut stream, header, mut behind, .. } = accept(&backend);
    let came = behind.len();
    behind.resize(5, 0);
    stream.read_exact(&mut behind[came..]).unwrap();
    assert_eq!(behind, b"hello");
    (header, client.local_addr().unwrap(), peer.address)
}

#[test]
fn what_haproxy_sends_is_read() {
    for (options, version) in [("send-proxy", Version::V1), ("send-proxy-v2", Version::V2)] {
        let (header, source, destination) = sent_by_haproxy(options);
        assert_eq!((header.version, header.command), (version, pp::Command::Proxy));
        assert_eq!(header.transport, Transport::Stream);
        assert_eq!(header.addresses, Addresses::Inet { source, destination });
        assert!(header.tlvs.is_empty());
    }
}

/// HAProxy adds a checksum and a name for the connection; read, written again and sent to a second HAProxy,
/// the name is still there.
#[test]
fn additions_pass_from_haproxy_to_haproxy() {
    let (header, source, destination) = sent_by_haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id");
    assert_eq!(header.addresses, Addresses::Inet { source, destination });
    let name = format!("id-{}-{}", source.ip(), source.port());
    let tlvs: Vec<_> = Tlvs::new(&header.tlvs).map(|tlv| (tlv.kind, tlv.value)).collect();
    assert_eq!(tlvs, [(tlv::UNIQUE_ID, name.as_bytes())]);

    let second = Peer::haproxy(&accepting("%[src]:%[src_port] %[fc_pp_unique_id]"));
    let text = second.ask(&written(Version::V2, &header.addresses, &header.tlvs));
    assert_eq!(text, format!("{source} {name}"));
}

/// A health check is nobody's connection: LOCAL in version 2, with a checksum in the block that is skipped.
/// Version 1 cannot say so and tells of the check's own connection.
#[test]
fn checks_of_haproxy_are_read() {
    for (options, version) in
        [("send-proxy", Version::V1), ("send-proxy-v2 proxy-v2-options crc32c", Version::V2)]
    {
        let (backend, address) = listen();
        let _peer = Peer::haproxy(&format!(
            "listen in\n mode tcp\n bind fd@0\n server us {address} {options} check check-send-proxy"
        ));
        let Accepted { from, header, behind, .. } = accept(&backend);
        assert_eq!((header.version, behind), (version, Vec::new()));
        if version == Version::V2 {
            assert_eq!((header.command, header.addresses), (pp::Command::Local, Addresses::Unspecified));
        } else {
            assert_eq!(header.addresses, Addresses::Inet { source: from, destination: address });
        }
    }
}

/// An HAProxy that expects a header and answers with `format`.
fn accepting(format: &str) -> String {
    format!(
        "frontend in\n mode http\n bind fd@0 accept-proxy\n \
         http-request return status 200 content-type text/plain lf-string \"{format}\""
    )
}

/// Headers, and what a receiver should see in them: source, its port, destination, its port. `None` where it
/// has to fall back on the real endpoints.
fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let mut all = Vec::new();
    for version in [Version::V1, Version::V2] {
        for (addresses, seen) in [
            (inet("192.0.2.1:40000", "198.51.100.2:443"), "192.0.2.1 40000 198.51.100.2 443"),
            (inet("0.0.0.1:1", "255.255.255.255:65535"), "0.0.0.1 1 255.255.255.255 65535"),
            (inet("[::ffff:192.0.2.1]:7", "[::ffff:192.0.2.2]:8"), "192.0.2.1 7 192.0.2.2 8"),
            (inet("[2001:db8::1]:40000", "[2001:db8::2]:443"), "2001:db8::1 40000 2001:db8::2 443"),
            (inet("[2001:db8:1:2:3:4:5:6]:65535", "[fe80::1]:1"), "2001:db8:1:2:3:4:5:6 65535 fe80::1 1"),
        ] {
            all.push((written(version, &addresses, &[]), Some(seen)));
        }
        all.push((written(version, &Addresses::Unspecified, &[]), None));
    }
    let unix = UnixAddresses { source: [0; 108], destination: [b'x'; 108] };
    all.push((written(Version::V1, &Addresses::Unix(Box::new(unix)), &[]), None));
    let name = [tlv::UNIQUE_ID, 0, 1, b'7'];
    all.push((written(Version::V2, &Addresses::Unspecified, &name), None));
    all
}

#[test]
fn haproxy_takes_what_is_written() {
    let peer = Peer::haproxy(&accepting("%[src] %[src_port] %[dst] %[dst_port]"));
    let real = format!("127.0.0.1 {}", peer.address.port());
    for (header, seen) in headers() {
        let text = peer.ask(&header);
        match seen {
            Some(seen) => assert_eq!(text, seen),
            None => assert!(text.starts_with("127.0.0.1 ") && text.ends_with(&real), "{text}"),
        }
    }
    // Mixed families come as IPv6, the IPv4 address mapped.
    for version in [Version::V1, Version::V2] {
        let text = peer.ask(&written(version, &inet("192.0.2.1:7", "[2001:db8::2]:8"), &[]));
        assert_eq!(text, "::ffff:192.0.2.1 7 2001:db8::2 8");
    }
}

#[test]
fn haproxy_takes_additions() {
    let peer = Peer::haproxy(&accepting("%[src] %[fc_pp_authority] %[fc_pp_unique_id]"));
    let mut tlvs = Vec::new();
    for (kind, value) in [(0xe0, &[7; 1000][..]), (tlv::AUTHORITY, b"example.org"), (tlv::UNIQUE_ID, b"x-1")]
    {
        tlvs.push(kind);
        tlvs.extend_from_slice(&(value.len() as u16).to_be_bytes());
        tlvs.extend_from_slice(value);
    }
    let text = peer.ask(&written(Version::V2, &inet("192.0.2.1:40000", "198.51.100.2:443"), &tlvs));
    assert_eq!(text, "192.0.2.1 example.org x-1");
}

#[test]
fn nginx_takes_what_is_written() {
    let peer = Peer::nginx(
        "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port",
    );
    for (header, seen) in headers() {
        let text = peer.ask(&header);
        match seen {
            Some(seen) => assert_eq!(text, seen),
            None => assert_eq!(text.trim(), ""),
        }
    }
}
