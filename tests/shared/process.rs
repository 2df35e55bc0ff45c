//! `trimtab run` as a process, and what can be seen of it from outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::Folder;

/// After this long nothing will come any more, and the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running command.
pub(crate) struct Running {
    child: Child,
    folder: Folder,
    told: Arc<Told>,
    reader: Option<JoinHandle<()>>,
}

/// What it told of.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<Value>>,
    came: Condvar,
}

impl Running {
    /// Starts it on a configuration without `[admin]`, with at most so many descriptors.
    pub(crate) fn start(config: &str, descriptors: Option<u32>) -> Self {
        let limit = descriptors.map_or(String::new(), |count| format!("ulimit -n {count} && "));
        Self::start_by(&format!("{limit}exec"), &[], config)
    }

    /// The same, by what a shell is told before the command, and with this in its environment.
    pub(crate) fn start_by(by: &str, environment: &[(&str, PathBuf)], config: &str) -> Self {
        let running = Self::begin(by, environment, config);
        running.until_told("it starts", |count| count("started") == 1);
        running
    }

    fn begin(by: &str, environment: &[(&str, PathBuf)], config: &str) -> Self {
        let folder = Folder::new();
        let admin = folder.file("admin");
        let file = folder.write("trimtab.toml", &format!("{config}\n[admin]\nbind = \"unix:{admin}\"\n"));
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{by} \"$0\" run --json \"$1\""))
            .arg(env!("CARGO_BIN_EXE_trimtab"))
            .arg(&file)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let told = Arc::new(Told::default());
        let lines = BufReader::new(child.stderr.take().expect("it is piped"));
        let reader = {
            let told = Arc::clone(&told);
            std::thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                    told.events.lock().unwrap().push(event);
                    told.came.notify_all();
                }
            })
        };
        Self { child, folder, told, reader: Some(reader) }
    }

    /// Starts one that is to refuse by itself; gives what it said.
    pub(crate) fn refused_by(by: &str, config: &str) -> String {
        let mut running = Self::begin(by, &[], config);
        let status = running.child.wait().unwrap();
        running.reader.take().expect("once").join().unwrap();
        let told = running.told.events.lock().unwrap();
        let lines = told.iter().map(|told| told.as_str().map_or_else(|| told.to_string(), str::to_string));
        let lines = lines.collect::<Vec<_>>().join("\n");
        assert!(status.code().is_some_and(|code| code != 0), "{status}: {lines}");
        lines
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The path of its admin socket.
    pub(crate) fn admin(&self) -> String {
        self.folder.file("admin")
    }

    /// How many events of this name it told.
    pub(crate) fn count(&self, event: &str) -> usize {
        count(&self.told.events.lock().unwrap(), event)
    }

    /// The events of this name, in order.
    pub(crate) fn told(&self, event: &str) -> Vec<Value> {
        let events = self.told.events.lock().unwrap();
        events.iter().filter(|told| told["event"] == event).cloned().collect()
    }

    /// What the events of this name told, in order.
    pub(crate) fn details(&self, event: &str) -> Vec<String> {
        let events = self.told.events.lock().unwrap();
        let told = events.iter().filter(|told| told["event"] == event);
        told.map(|told| told["detail"].as_str().unwrap_or_default().to_string()).collect()
    }

    /// Waits until `condition` holds of how many events of each name it told.
    #[track_caller]
    pub(crate) fn until_told(&self, what: &str, condition: impl Fn(&dyn Fn(&str) -> usize) -> bool) {
        let mut events = self.told.events.lock().unwrap();
        while !condition(&|event| count(&events, event)) {
            let (now, waited) = self.told.came.wait_timeout(events, DEADLINE).unwrap();
            assert!(!waited.timed_out(), "waited in vain: {what}: {now:?}");
            events = now;
        }
    }

    /// What it says of itself.
    pub(crate) fn status(&self) -> Value {
        let mut admin = UnixStream::connect(self.folder.file("admin")).expect("the admin socket");
        admin.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        admin.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).expect("JSON")
    }

    /// The one listener's part of the status.
    pub(crate) fn listener(&self) -> Value {
        self.status()["listeners"][0].clone()
    }

    /// Where the one listener listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.listener()["address"].as_str().expect("a text").parse().expect("an address")
    }

    /// A number of the listener.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.listener()[key].as_u64().unwrap_or_else(|| panic!("no number {key}"))
    }

    /// Sessions that ended for this reason.
    pub(crate) fn closed(&self, cause: &str) -> u64 {
        self.listener()["closed"][cause].as_u64().unwrap_or_else(|| panic!("no cause {cause}"))
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count()
    }

    /// Kibibytes of memory that are its own.
    pub(crate) fn memory_kib(&self) -> u64 {
        let smaps = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("it runs");
        let line = smaps.lines().find(|line| line.starts_with("Pss:")).expect("a line of it");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// The processor's time it took so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // The name, in brackets, may hold anything.
        let rest = stat.rsplit_once(") ").expect("a name").1;
        let ticks: u64 = rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Measures a second in which nothing happens: it is to take hardly any of the processor's time. A loop that
    /// spins takes all of it, on however busy a machine.
    #[track_caller]
    pub(crate) fn expect_idle(&self) {
        let before = self.cpu();
        std::thread::sleep(Duration::from_secs(1));
        let took = self.cpu() - before;
        assert!(took <= Duration::from_millis(50), "it took {took:?} of a second in which nothing happened");
    }

    /// Sends it a signal, `HUP` or another.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let told =
            Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Ends it gracefully.
    #[track_caller]
    pub(crate) fn end(self) {
        self.end_by("TERM");
    }

    /// Ends it by a signal that ends it in order.
    #[track_caller]
    pub(crate) fn end_by(mut self, signal: &str) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        self.reader.take().expect("once").join().unwrap();
        assert_eq!(status.code(), Some(0), "{:?}", self.told.events.lock().unwrap());
        assert_eq!(self.count("worker-failed"), 0);
        assert_eq!(self.count("stopped"), 1);
    }

    /// Ends it gracefully, though it cannot end well; gives what it says last.
    #[track_caller]
    #[allow(dead_code, reason = "not every program of tests has servers that fail")]
    pub(crate) fn end_badly(mut self) -> String {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        self.reader.take().expect("once").join().unwrap();
        assert_eq!((status.code(), self.count("stopped")), (Some(1), 1));
        let events = self.told.events.lock().unwrap();
        events.last().and_then(Value::as_str).expect("the last line is no event").to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(events: &[Value], name: &str) -> usize {
    events.iter().filter(|told| told["event"] == name).count()
}
