//! Servers that are slow, or not what the check takes them for; a resolver that lies. Each becomes `down`, or is held,
//! with a reason that says where to look.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::nginx::nginx;
use crate::process::{Running, until};
use crate::{Folder, Server, backend, free_address, program};

/// A server that does the same with each connection, on a thread of its own.
struct Odd {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Odd {
    fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_over, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, is_over, thread: Some(thread) }
    }

    /// Says this at once and then nothing, until the other side has gone.
    fn says(text: &'static [u8]) -> Self {
        Self::new(move |mut stream| {
            let _ = stream.write_all(text);
            while let Ok(1..) = stream.read(&mut [0; 4096]) {}
        })
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Gets the thread out of `accept`.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().expect("once").join();
    }
}

/// A pool of one backend each, with its check.
fn config(pools: &[(String, &str, SocketAddr)]) -> String {
    let pools: Vec<String> = pools
        .iter()
        .map(|(name, check, address)| {
            format!(
                "[[pool]]\nname = \"{name}\"\ncheck = {{ {check}, interval = \"100ms\", timeout = \"400ms\", rise = 1, \
                 fall = 2 }}\nbackend = [{{ name = \"it\", address = \"{address}\" }}]\n"
            )
        })
        .collect();
    let first = "pool-0";
    format!("[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"{first}\"\n{}", pools.concat())
}

const KINDS: [(&str, &str); 7] = [
    ("http", "kind = \"http\""),
    ("redis", "kind = \"redis\""),
    ("postgres", "kind = \"postgres\""),
    ("mysql", "kind = \"mysql\""),
    ("smtp", "kind = \"smtp\""),
    ("tls", "kind = \"tls\""),
    ("agent", "kind = \"agent\""),
];

/// Every kind of check against every sort of server that is none of its own.
#[test]
fn servers_that_are_no_such_servers_are_down_with_a_reason() {
    let garbage = Odd::says(b"\x00\x01\xfe\xffgarbage\r\n\r\n\r\n");
    let nothing = Odd::says(b"");
    let ssh = Odd::says(b"SSH-2.0-OpenSSH_9.6\r\n");
    let endless = Odd::new(|mut stream| while stream.write_all(&[b'a'; 4096]).is_ok() {});
    let dripping = Odd::new(|mut stream| {
        for byte in b"HTTP/1.1 200 OK\r\n".iter().cycle() {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let (web, _broken) = nginx("web");
    let address = free_address();
    let mut redis = Command::new(program("redis-server"));
    redis.args(["--port", &address.port().to_string(), "--bind", &address.ip().to_string()]);
    redis.args(["--save", "", "--appendonly", "no"]);
    let redis = Server::start(&mut redis, address, Folder::new());
    let (web, redis_address) = (web.address, redis.address);
    until("Redis answers", || TcpStream::connect(redis_address).is_ok());
    let servers = [
        ("garbage", garbage.address),
        ("nothing", nothing.address),
        ("ssh", ssh.address),
        ("endless", endless.address),
        ("dripping", dripping.address),
        ("web", web),
        ("redis", redis_address),
    ];

    let silence = "timeout: connected, but no answer within 400ms";
    // Where nobody says anything, or both wait for the other; elsewhere the reason names what the server is not.
    let is_silent = |kind: &str, server: &str| match (kind, server) {
        (_, "nothing") => true,
        // The first byte tells.
        ("redis", "dripping") => false,
        (_, "dripping") => true,
        ("mysql" | "smtp" | "agent", "web" | "redis") => true,
        ("postgres" | "tls", "redis") => true,
        _ => false,
    };
    let says = |kind: &str, server: &str| match (kind, server) {
        _ if is_silent(kind, server) => silence,
        // Redis takes a request of HTTP for an attack, and hangs up.
        ("http", "redis") => "answer: the connection was closed before the end of the answer's head",
        ("smtp" | "agent", "endless") => "answer: a line of more than 1024 bytes",
        ("http", _) => "answer: no HTTP/1: the answer begins with",
        ("redis", _) => "answer: no Redis: the answer begins with",
        ("postgres", _) => "answer: no PostgreSQL: the answer begins with",
        ("mysql", _) => "answer: no MySQL: the answer begins with",
        ("smtp", _) => "answer: no SMTP: the answer has the line",
        ("tls", _) => "answer: no TLS: the answer begins with",
        _ => "which is no order",
    };
    let mut pools = Vec::new();
    let mut cases = Vec::new();
    for (kind, check) in KINDS {
        for (server, address) in servers {
            if [("redis", "redis"), ("http", "web")].contains(&(kind, server)) {
                continue;
            }
            cases.push((kind, server));
            pools.push((format!("pool-{}", pools.len()), check, address));
        }
    }
    let running = Running::start(&config(&pools), None);
    let mut wrong = Vec::new();
    for (pool, (kind, server)) in cases.iter().enumerate() {
        until(&format!("{kind} of {server} is down"), || backend(&running, pool, "it")["observed"] == "down");
        let told = backend(&running, pool, "it");
        let reason = told["reason"].as_str().unwrap_or_default();
        let wanted = says(kind, server);
        if !reason.starts_with("2 bad probes in a row, the last: ") || !reason.contains(wanted) {
            wrong.push(format!("{kind} against {server}: {reason:?}, wanted {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    running.end();
}

/// What a TLS check verifies is that a TLS server answers. That its certificate is out of date is for clients to judge.
#[test]
fn a_certificate_that_is_out_of_date_answers_all_the_same() {
    let folder = Folder::new();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new(program("openssl"));
        let done = command.current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    openssl(&[
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "request", "-subj", "/CN=old",
    ]);
    openssl(&["x509", "-req", "-in", "request", "-signkey", "key", "-days", "-1", "-out", "certificate"]);
    let mut is_expired = Command::new(program("openssl"));
    is_expired.current_dir(folder.path()).args(["x509", "-in", "certificate", "-noout", "-checkend", "0"]);
    assert!(!is_expired.output().unwrap().status.success(), "the certificate is of the past");
    let address = free_address();
    let mut command = Command::new(program("openssl"));
    command.current_dir(folder.path()).args(["s_server", "-accept", &address.to_string()]);
    command.args(["-key", "key", "-cert", "certificate", "-quiet"]);
    let _server = Server::start(&mut command, address, folder);
    let running = Running::start(&config(&[("pool-0".to_string(), "kind = \"tls\"", address)]), None);
    until("it is up", || backend(&running, 0, "it")["observed"] == "up");
    running.end();
}

/// A web server that sends slowly, and one that comes to its turn now and then only: each is out by its timeout, and
/// in again when it is as fast as ever.
#[test]
fn a_web_server_that_is_slow_is_out_by_its_timeout() {
    let (slow, _) = nginx("slow");
    let (starved, _) = nginx("starved");
    // More than the system takes at once, at 1 KiB a second, and what is looked for at its end.
    let mut page = "x".repeat(32 << 10);
    page.push_str("the end");
    std::fs::write(slow.folder().join("page"), page).unwrap();
    let limited = slow.folder().join("slowly");
    std::fs::write(&limited, "").unwrap();
    let pools = [
        ("pool-0".to_string(), "kind = \"http\", path = \"/page\", expect = \"the end\"", slow.address),
        ("pool-1".to_string(), "kind = \"http\", path = \"/healthz\", expect = \"fine\"", starved.address),
    ];
    let running = Running::start(&config(&pools), None);
    let observed = |pool: usize| backend(&running, pool, "it")["observed"].clone();
    let failure = |pool: usize| {
        let told = backend(&running, pool, "it");
        told["reason"].as_str().unwrap_or_default().to_string()
    };
    let silence = "2 bad probes in a row, the last: timeout: connected, but no answer within 400ms";
    until("who sends slowly is down", || observed(0) == "down");
    assert_eq!(failure(0), silence);
    std::fs::remove_file(limited).unwrap();
    until("who sends fast is up", || observed(0) == "up");

    until("who is not starved is up", || observed(1) == "up");
    let mut reason = String::new();
    until("who is starved is down", || {
        // A hundredth of the time is left to it.
        starved.signal("STOP");
        std::thread::sleep(Duration::from_millis(500));
        starved.signal("CONT");
        std::thread::sleep(Duration::from_millis(5));
        // Both of one answer: it runs on now, and is up again soon.
        let told = backend(&running, 1, "it");
        reason = told["reason"].as_str().unwrap_or_default().to_string();
        told["observed"] == "down"
    });
    assert_eq!(reason, silence);
    until("who runs on is up", || observed(1) == "up");
    running.end();
}

/// How the resolver lies: the name of each, and what is told of it.
const LIES: [(&str, &str); 5] = [
    ("nothing", ""),
    ("another number", "it did not answer in time"),
    ("another name", "it did not answer in time"),
    ("more records than there are", "its answer makes no sense"),
    ("a name that points to itself", "its answer makes no sense"),
];

/// The answer to a question: 127.0.0.9 for a second, or a lie that would lead to 127.0.0.66.
fn answer(asked: &[u8], lie: usize) -> Vec<u8> {
    let end = 12 + asked[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
    let is_a = asked[end - 4..end - 2] == [0, 1];
    let mut answer = asked[..end].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
    let mut owner = [0xc0, 12];
    let mut last = if lie == 0 { 9 } else { 66 };
    match LIES[lie].0 {
        "another number" => answer[0] ^= 0xff,
        "another name" => answer[13] ^= 0x01,
        "more records than there are" => answer[7] = 7,
        "a name that points to itself" => {
            answer[7] = 1;
            owner = [0xc0, end as u8];
        }
        _ => last = 9,
    }
    if is_a || owner != [0xc0, 12] {
        answer.extend_from_slice(&owner);
        answer.extend_from_slice(&[0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, last]);
    }
    answer
}

/// A resolver that begins to lie: the members stay, and what is wrong is told.
#[test]
fn a_resolver_that_lies_changes_nothing() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let lie = Arc::new(AtomicU8::new(0));
    // How many true answers there were.
    let truths = Arc::new(AtomicU64::new(0));
    let (told_lies, told_truths) = (Arc::clone(&lie), Arc::clone(&truths));
    let is_over = Arc::new(AtomicBool::new(false));
    let is_over_there = Arc::clone(&is_over);
    let resolver = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if is_over_there.load(Ordering::Acquire) {
                return;
            }
            let lie = usize::from(told_lies.load(Ordering::Acquire));
            let _ = socket.send_to(&answer(&buffer[..length], lie), from);
            told_truths.fetch_add(u64::from(lie == 0), Ordering::AcqRel);
        }
    });
    let folder = Folder::new();
    let resolv_conf = folder.write("resolv.conf", "options timeout:1 attempts:1\n");
    let config = format!(
        "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\npool = \"app\"\n[[pool]]\nname = \"app\"\n\
         backend = [{{ name = \"app\", address = \"app.test:80\" }}]\n[discovery]\n\
         nameservers = [\"127.0.0.1:{port}\"]\nsearch = []\nhosts = \"/dev/null\"\nfamilies = \"ipv4\"\n\
         resolv_conf = \"{}\"\nhold = \"0s\"\nretry_min = \"200ms\"\nretry_max = \"200ms\"\n",
        resolv_conf.display()
    );
    let running = Running::start(&config, None);
    let members = || running.status()["pools"][0]["backends"].clone();
    let is_there = || members()[0]["address"] == "127.0.0.9:80" && members().as_array().unwrap().len() == 1;
    until("the member is there", is_there);
    let id = members()[0]["id"].clone();
    for (number, (name, says)) in LIES.iter().enumerate().skip(1) {
        let before = running.details("discovery-failed").len();
        lie.store(number as u8, Ordering::Release);
        until(&format!("{name} is told"), || running.details("discovery-failed").len() > before);
        let details = running.details("discovery-failed");
        let told = &details[before];
        assert!(told.contains("app.test") && told.contains(says), "{name}: {told}");
        assert!(told.contains(&format!("127.0.0.1:{port}")), "who said so: {told}");
        assert!(is_there(), "{name}: {}", members());
        // The truth in between, so that the next lie is news.
        lie.store(0, Ordering::Release);
        let said = truths.load(Ordering::Acquire);
        until("it has looked again, twice", || truths.load(Ordering::Acquire) >= said + 2);
    }
    assert_eq!(members()[0]["id"], id);
    running.end();
    is_over.store(true, Ordering::Release);
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(b"x", (Ipv4Addr::LOCALHOST, port)).unwrap();
    resolver.join().unwrap();
}
