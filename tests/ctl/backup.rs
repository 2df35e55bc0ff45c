//! `trimtab store backup --admin`: the store of a running server, under load, and what becomes of it when the server goes.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;
use trimtab::embedded::{Options, Store};

use crate::support::{DEADLINE, Folder, Server, TRIMTAB, err, out, relaying};

fn start() -> Server {
    start_on("FOLDER/data")
}

fn start_on(dir: &str) -> Server {
    let store = format!("[store]\ndir = '{dir}'\nresp = '127.0.0.1:0'\n");
    Server::start_with(&(relaying() + &store), "unix:FOLDER/admin.sock")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(TRIMTAB);
    command.arg("store").args(arguments).env_remove("TRIMTAB_ADMIN").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command is built")
}

/// Runs it; it must succeed.
#[track_caller]
fn good(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{arguments:?}");
    out(&output)
}

fn resp(server: &Server) -> Redis {
    let address = server.status(&[])["store"]["clients"]["address"].as_str().unwrap().to_string();
    Redis::connect(&address)
}

/// A client that speaks no more than the protocol.
struct Redis {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Redis {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { address: address.into(), stream: BufReader::new(stream) }
    }

    /// Whether it was answered that it is set.
    fn set(&mut self, key: &str, value: &[u8]) -> bool {
        let mut request =
            format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        let mut line = String::new();
        self.stream.get_mut().write_all(&request).is_ok()
            && self.stream.read_line(&mut line).is_ok()
            && line == "+OK\r\n"
    }
}

/// Sets `WRITER:1`, `WRITER:2` and so on, one after the other, until it is told to end or the server is gone.
struct Writer {
    begun: Arc<AtomicU64>,
    answered: Arc<(Mutex<u64>, Condvar)>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(address: &str, name: usize) -> Self {
        let (begun, is_over) = (Arc::default(), Arc::default());
        let answered: Arc<(Mutex<u64>, Condvar)> = Arc::default();
        let writer = Self {
            begun: Arc::clone(&begun),
            answered: Arc::clone(&answered),
            is_over: Arc::clone(&is_over),
            thread: None,
        };
        let mut redis = Redis::connect(address);
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !is_over.load(Ordering::SeqCst) {
                number += 1;
                begun.store(number, Ordering::SeqCst);
                if !redis.set(&format!("{name}:{number}"), number.to_string().as_bytes()) {
                    return;
                }
                *answered.0.lock().unwrap() = number;
                answered.1.notify_all();
            }
        });
        Self { thread: Some(thread), ..writer }
    }

    fn answered(&self) -> u64 {
        *self.answered.0.lock().unwrap()
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until more than `number` were answered.
    #[track_caller]
    fn pass(&self, number: u64) {
        let answered = self.answered.0.lock().unwrap();
        let waited = self.answered.1.wait_timeout_while(answered, DEADLINE, |answered| *answered <= number);
        assert!(!waited.unwrap().1.timed_out(), "the writer does not go on");
    }

    fn end(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.take().expect("once").join().unwrap();
    }
}

/// What comes into a directory, as the system tells it.
struct Arrivals(File);

impl Arrivals {
    /// From now on.
    #[allow(unsafe_code)]
    fn of(dir: &str) -> Self {
        let path = CString::new(dir).unwrap();
        // SAFETY: it takes flags alone.
        let descriptor = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
        assert!(descriptor >= 0);
        // SAFETY: it was just made, and is nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        // SAFETY: `path` ends with NUL and outlives the call.
        let watch = unsafe {
            libc::inotify_add_watch(descriptor, path.as_ptr(), libc::IN_CREATE | libc::IN_MOVED_TO)
        };
        assert!(watch >= 0, "{dir} cannot be watched");
        Self(file)
    }

    /// Waits until it has come to this.
    #[allow(unsafe_code)]
    #[track_caller]
    fn until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !condition() {
            let left = end.saturating_duration_since(Instant::now()).as_millis();
            let mut polled = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: it is one, and outlives the call.
            let count = unsafe { libc::poll(&raw mut polled, 1, left as i32) };
            assert!(count != 0, "waited in vain: {what}");
            // What they say is looked up instead.
            while self.0.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        }
    }
}

/// Restores the backup, and gives how far each writer had come: nothing may be missing before that.
fn restored(backup: &str, writers: usize) -> Vec<u64> {
    let folder = Folder::new();
    let to = folder.file("restored");
    good(&["restore", backup, &to]);
    let store = Store::open(&to, Options::default()).expect("what was restored opens");
    (0..writers)
        .map(|writer| {
            let holds = |number: u64| {
                let found = store.get(format!("{writer}:{number}").as_bytes()).unwrap();
                found.inspect(|found| assert_eq!(*found.value, *number.to_string().as_bytes())).is_some()
            };
            let last = (1..).take_while(|number| holds(*number)).last().unwrap_or(0);
            assert!((last + 2..last + 200).all(|number| !holds(number)), "a gap behind {last}");
            last
        })
        .collect()
}

fn names(dir: &str) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

const WRITERS: usize = 3;

#[test]
fn a_backup_under_load_has_what_was_answered_before_and_no_gap() {
    let mut server = start();
    let address = resp(&server).address;
    let writers: Vec<_> = (0..WRITERS).map(|name| Writer::start(&address, name)).collect();
    let folder = Folder::new();
    let to = folder.file("backup");
    for (round, full) in [false, false, true, false].into_iter().enumerate() {
        let before: Vec<_> = writers.iter().map(Writer::answered).collect();
        writers.iter().zip(&before).for_each(|(writer, before)| writer.pass(*before));
        let before: Vec<_> = writers.iter().map(Writer::answered).collect();
        let mut arguments = vec!["backup", "--json", "--admin", &server.admin, &to];
        if full {
            arguments.push("--full");
        }
        let report: Value = serde_json::from_str(&good(&arguments)).unwrap();
        let after: Vec<_> = writers.iter().map(Writer::begun).collect();
        assert_eq!(report["snapshot"].is_u64(), full, "{report}");
        assert!(report["bytes"].as_u64() > Some(0) && report["holds"].is_array(), "{report}");
        let event = server.event("store-backup-ended");
        assert_eq!(event["value"], (round + 1).to_string(), "{event}");
        let status = server.status(&[]);
        let backup = &status["store"]["backup"];
        assert_eq!((&backup["state"], &backup["good"]["report"]), (&Value::from("idle"), &report));
        assert_eq!(backup["good"]["full"], full);
        for (writer, last) in restored(&to, WRITERS).into_iter().enumerate() {
            let (low, high) = (before[writer], after[writer]);
            assert!((low..=high).contains(&last), "writer {writer}: {last} is not within {low} to {high}");
        }
    }
    writers.into_iter().for_each(Writer::end);
    // Without load the text is known.
    good(&["backup", "--admin", &server.admin, &to]);
    let told = good(&["backup", "--admin", &server.admin, &to]);
    assert!(told.starts_with("nothing new; the last entry is "), "{told}");
    assert!(told.contains("\nholds entries 0 to ") || told.contains("\nholds entries 1 to "), "{told}");
    assert!(server.good(&["status"]).contains("  backed up to "));
    // As a directory that nobody has open it goes on where the server ended.
    server.good(&["stop"]);
    let dir = server.folder.file("data");
    server.event("stopped");
    // The store is closed before that is told.
    good(&["backup", &dir, &to]);
    assert!(good(&["verify", &to]).ends_with("good\n"));
}

#[test]
fn a_server_that_is_killed_midway_leaves_the_backup_as_it_was() {
    let folder = Folder::new();
    let (data, to) = (folder.file("data"), folder.file("backup"));
    let mut server = start_on(&data);
    let mut redis = resp(&server);
    let value = vec![b'x'; 1 << 20];
    assert!((0..64).all(|number| redis.set(&format!("big:{number}"), &value)));
    let writer = Writer::start(&redis.address, 0);
    writer.pass(10);
    good(&["backup", "--admin", &server.admin, &to]);
    let (files, manifest) = (names(&to), std::fs::read(Path::new(&to).join("manifest.json")).unwrap());
    let before = restored(&to, 1)[0];
    let mut arrivals = Arrivals::of(&to);
    let backup = command(&["backup", "--full", "--admin", &server.admin, &to])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    arrivals.until("it writes", || names(&to).difference(&files).any(|name| name != "lock"));
    server.kill();
    let output = backup.wait_with_output().unwrap();
    let last = writer.begun();
    writer.end();
    println!("{}", err(&output));
    assert!(good(&["verify", &to]).ends_with("good\n"));
    let after = restored(&to, 1)[0];
    if std::fs::read(Path::new(&to).join("manifest.json")).unwrap() == manifest {
        assert_eq!(after, before);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
        let told = err(&output);
        assert!(told.contains("the server was gone before it told how the backup ended"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    } else {
        // It was quicker than the kill: then all of it is there.
        assert!((before..=last).contains(&after), "{before} {after} {last}");
    }
    // The next one takes away what was left, and goes on.
    let server = start_on(&data);
    good(&["backup", "--admin", &server.admin, &to]);
    assert!(good(&["verify", &to]).ends_with("good\n"));
    assert!(restored(&to, 1)[0] >= before);
}

#[test]
fn a_server_that_ends_midway_gives_the_backup_up() {
    let folder = Folder::new();
    let (data, to) = (folder.file("data"), folder.file("backup"));
    let mut server = start_on(&data);
    let mut redis = resp(&server);
    let value = vec![b'x'; 1 << 20];
    assert!((0..64).all(|number| redis.set(&format!("big:{number}"), &value)));
    drop(redis);
    good(&["backup", "--admin", &server.admin, &to]);
    server.event("store-backup-ended");
    let files = names(&to);
    let mut arrivals = Arrivals::of(&to);
    let backup = command(&["backup", "--full", "--admin", &server.admin, &to])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    arrivals.until("it writes", || names(&to).difference(&files).any(|name| name != "lock"));
    server.good(&["stop"]);
    // Whatever came first, it is told before the server has stopped.
    let mut told = Vec::new();
    loop {
        let event = server.any_event();
        let name = event["event"].as_str().unwrap_or_default().to_string();
        told.push(event);
        if name == "stopped" {
            break;
        }
    }
    let ended = told.iter().find(|event| event["value"] == "2").unwrap_or_else(|| panic!("{told:?}"));
    println!("{ended}");
    let output = backup.wait_with_output().unwrap();
    if ended["event"] == "store-backup-failed" {
        let detail = ended["detail"].as_str().unwrap();
        assert!(detail.ends_with("the server ended before it; the backup is as it was before"), "{detail}");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            err(&output).contains("the server ended before it told how the backup ended"),
            "{}",
            err(&output)
        );
    } else {
        assert_eq!(ended["event"], "store-backup-ended");
    }
    assert!(server.wait().success());
    assert!(good(&["verify", &to]).ends_with("good\n"));
}

#[test]
fn what_cannot_be_is_refused() {
    let server = start();
    let admin = server.admin.as_str();
    let folder = Folder::new();
    std::fs::write(folder.file("letter"), "dear").unwrap();
    std::fs::create_dir(folder.file("other")).unwrap();
    std::fs::write(folder.file("other/letter"), "dear").unwrap();
    let data = server.folder.file("data");
    let (under_a_file, other) = (folder.file("letter/backup"), folder.file("other"));
    for (arguments, code, part) in [
        (&["backup", "--admin", admin, "backup"][..], 2, "so it must be a whole path"),
        (&["backup", "--admin", admin, &data, "/b"], 2, "with --admin there is no DIR"),
        (&["backup", "/b"], 2, "or --admin ADDRESS"),
        (&["backup", "--timeout", "1s", "/a", "/b"], 2, "--admin"),
        (&["backup", "--admin", "nowhere", "/b"], 2, "--admin: "),
        (&["backup", "--admin", "/no/such/socket", "/b"], 1, "there is no socket at"),
        (&["backup", "--admin", admin, &data], 2, "take an empty one"),
        (&["backup", "--admin", admin, &other], 2, "has letter in it and is no backup"),
        (&["backup", "--admin", admin, &under_a_file], 1, "cannot "),
        (&["backup", &data, "/b"], 1, "--admin ADDRESS TO for a trimtab run"),
    ] {
        let output = run(arguments);
        let told = err(&output);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(code), ""), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
    let json = ["-H", "Content-Type: application/json", "-d"];
    let (status, answer) = server.curl_json("/v1/store/backup", &[&json[..], &["{\"to\": \"b\"}"]].concat());
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("write the whole path"), "{answer}");
    // Those that were begun are told, the newest first.
    let (status, recent) = server.curl_json("/v1/store/backup", &[]);
    assert_eq!((status, recent["ended"].as_array().map(Vec::len)), (200, Some(3)), "{recent}");
    assert!(server.good(&["status"]).contains("  the backup to "));
    // A backup of another store is none to add to.
    let to = folder.file("backup");
    good(&["backup", "--admin", admin, &to]);
    let another = start();
    let output = run(&["backup", "--admin", &another.admin, &to]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert_eq!(names(&other), BTreeSet::from(["letter".to_string()]));
}

#[test]
fn a_server_without_a_store_says_so() {
    let server = Server::start();
    let output = run(&["backup", "--admin", &server.admin, "/b"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("there is no store [store] in the configuration"), "{}", err(&output));
    let (status, _) = server.curl_json("/v1/store/backup", &[]);
    assert_eq!(status, 404);
    assert_eq!(server.status(&[]).get("store"), None);
}
