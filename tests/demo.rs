//! `trimtab demo` as a user runs it: with real sockets, in the shortest time there is.

#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use trimtab::server::Config;

/// After this long nothing will come any more, and the test fails.
const DEADLINE: Duration = Duration::from_secs(90);

/// A demo that runs, and the lines of its standard output as they come.
struct Demo {
    child: Child,
    lines: Receiver<String>,
}

/// A demo that has ended.
struct Ended {
    status: ExitStatus,
    out: Vec<String>,
    err: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
        command.arg("demo").args(arguments).stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command is built");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                if sender.send(line.expect("UTF-8")).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Reads on until a line has this in it.
    fn until(&mut self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            if line.unwrap_or_else(|error| panic!("no line with {part:?}: {error}")).contains(part) {
                return;
            }
        }
    }

    /// Waits for its end. The output that was not read before is in the answer.
    fn end(mut self) -> Ended {
        let end = Instant::now() + DEADLINE;
        let mut out = Vec::new();
        // Standard output ends when the process does.
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            out.push(line);
        }
        assert!(Instant::now() < end, "it does not end: {out:#?}");
        let mut err = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("UTF-8");
        Ended { status: self.child.wait().expect("it was started"), out, err }
    }
}

impl Ended {
    fn last(&self) -> &str {
        self.out.last().map_or("", String::as_str)
    }

    #[track_caller]
    fn expect(&self, code: i32, last: &str) {
        assert_eq!((self.status.code(), self.last()), (Some(code), last), "{:#?}\n{}", self.out, self.err);
    }
}

#[test]
fn it_ends_well_and_tells_what_it_did() {
    let ended = Demo::start(&["--seconds", "1"]).end();
    ended.expect(0, "demo: ok");
    assert_eq!(ended.err, "");
    let text = ended.out.join("\n");
    for part in [
        "[[listener]]",
        "web-02 is stopped",
        "web-02 is started again",
        "web-03 is drained",
        "web-01 stands still",
        "web-01 goes on",
        "[store]",
        "is killed with -9",
        "are killed with -9",
        "took over from",
        "p99",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Standard output is no terminal here.
    assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
    // What is printed runs.
    let above = text.lines().take_while(|line| !line.starts_with("The listener is on"));
    let config: Vec<_> = above.filter_map(|line| line.strip_prefix("    ")).collect();
    Config::parse(&config.join("\n"), "printed").unwrap();
}

#[test]
fn json_is_one_value_and_its_counts_hold() {
    let ended = Demo::start(&["--seconds", "1", "--json"]).end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.err);
    assert_eq!(ended.err.lines().last(), Some("demo: ok"));
    let value: Value = serde_json::from_str(&ended.out.join("\n")).expect("JSON");
    assert_eq!((&value["ok"], &value["problems"]), (&true.into(), &serde_json::json!([])));
    Config::parse(value["config"].as_str().unwrap(), "told").unwrap();

    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {value}"));
    let total = &value["total"];
    let (answered, cut) = (number(&total["answered"]), number(&total["cut"]));
    assert_eq!((number(&total["requests"]), number(&total["failed"])), (answered + cut, 0));
    let server = &value["server"];
    // Nobody was turned away, and nothing broke but what was cut.
    let closed = server["closed"].as_object().unwrap();
    let broken = number(&closed["backend_reset"]) + number(&closed["backend_down"]);
    let ended_well = number(&closed["finished"]) + broken;
    assert_eq!(number(&server["accepted"]), ended_well, "{closed:?}");
    assert!(cut + number(&total["closed_idle"]) <= broken, "{value}");
    assert!(number(&closed["backend_down"]) > 0, "what hung was cut: {value}");

    let steps = value["steps"].as_array().unwrap();
    let names: Vec<_> = steps.iter().map(|step| step["name"].as_str().unwrap()).collect();
    let expected = [
        "all up",
        "web-02 stopped",
        "web-02 back",
        "web-03 drained",
        "web-03 ready",
        "web-01 frozen",
        "web-01 thawed",
        "primary killed",
        "store killed",
    ];
    assert_eq!(names, expected);
    let sum = |key: &str| steps.iter().map(|step| number(&step[key])).sum::<u64>();
    assert_eq!((sum("answered"), sum("cut")), (answered, cut));
    // Every answer was counted in the store, which has what it acknowledged though it was killed.
    let store = &value["store"];
    Config::parse(store["config"].as_str().unwrap(), "told").unwrap();
    let [sent, acknowledged, found, lost] =
        ["sent", "acknowledged", "found", "lost"].map(|name| number(&store[name]));
    assert_eq!((sent, lost), (answered, 0), "{store}");
    assert!((acknowledged..=sent).contains(&found) && acknowledged > sent / 2, "{store}");

    let replica = &value["replica"];
    assert!(number(&replica["reads"]) > 0 && number(&replica["stale"]) == 0, "{replica}");

    let tolerance = number(&value["tolerance"]);
    for (step, name) in steps.iter().zip(names) {
        let given: Vec<u64> = step["connections"].as_object().unwrap().values().map(number).collect();
        match name {
            "web-02 stopped" => assert!(given[0] > 0 && given[1] == 0 && given[2] > 0, "{step}"),
            "web-01 frozen" => assert!(given[0] == 0 && given[1] > 0 && given[2] > 0, "{step}"),
            // It is judged by the store.
            "primary killed" | "store killed" => {}
            "web-03 drained" => assert!(given[0] > 0 && given[1] > 0 && given[2] == 0, "{step}"),
            _ => {
                let all: u64 = given.iter().sum();
                assert!(given.iter().all(|count| (3 * count).abs_diff(all) <= 3 * tolerance), "{step}");
                assert!(all > 3 * tolerance, "one that is given nothing would do: {step}");
            }
        }
        let latency = &step["latency_ns"];
        let latency = ["p50", "p90", "p99", "max"].map(|name| number(&latency[name]));
        // A backend works for 4 ms.
        assert!(latency.is_sorted() && latency[0] >= 3_990_000, "{step}");
    }
}

#[test]
fn quiet_gives_the_result_alone() {
    let ended = Demo::start(&["--seconds", "1", "--quiet"]).end();
    assert_eq!((ended.status.code(), &ended.out[..], &*ended.err), (Some(0), &["demo: ok".into()][..], ""));
    let ended = Demo::start(&["--seconds", "1", "--quiet", "--json"]).end();
    let value: Value = serde_json::from_str(&ended.out.join("\n")).expect("JSON");
    assert_eq!((ended.status.code(), &value["ok"], &*ended.err), (Some(0), &true.into(), ""));
}

#[test]
fn a_signal_ends_it() {
    // The first step of an hour's demo is not over soon; of twelve seconds, three are.
    for (signal, seconds, step) in
        [(libc::SIGTERM, "3600", "backends are up"), (libc::SIGINT, "12", "web-02 is stopped")]
    {
        let mut demo = Demo::start(&["--seconds", seconds]);
        demo.until(step);
        system::signal(&demo.child, signal);
        demo.end().expect(1, "demo: failed: interrupted");
    }
    let mut demo = Demo::start(&["--seconds", "3600", "--json"]);
    let mut err = BufReader::new(demo.child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("backends are up") {
        line.clear();
        assert!(err.read_line(&mut line).expect("UTF-8") > 0, "the end instead of the first step");
    }
    system::signal(&demo.child, libc::SIGINT);
    demo.child.stderr = Some(err.into_inner());
    let ended = demo.end();
    let value: Value = serde_json::from_str(&ended.out.join("\n")).expect("JSON");
    assert_eq!((ended.status.code(), &value["ok"]), (Some(1), &false.into()));
    assert_eq!(value["problems"], serde_json::json!(["interrupted"]));
}

#[test]
fn what_cannot_be_is_a_failure() {
    // No descriptor more from here on: no client gets a connection.
    let mut demo = Demo::start(&["--seconds", "30"]);
    demo.until("backends are up");
    system::deny_descriptors(&demo.child);
    let ended = demo.end();
    let last = ended.last();
    assert_eq!(ended.status.code(), Some(1), "{last}");
    assert!(last.starts_with("demo: failed: all up: ") && last.contains("Too many open files"), "{last}");
    assert_eq!(ended.err, "");
}

#[test]
fn who_closes_its_output_ends_it() {
    let mut demo = Demo::start(&["--seconds", "3600"]);
    demo.until("backends are up");
    // The reading thread ends with the next line, and closes the pipe.
    demo.lines = channel().1;
    let mut err = String::new();
    demo.child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("UTF-8");
    assert_eq!(demo.child.wait().expect("it was started").code(), Some(1));
    assert!(err.starts_with("trimtab: ") && err.contains("nobody reads"), "{err}");
}

#[test]
fn misuse_is_2_and_the_help_says_so() {
    for arguments in [&["--seconds", "0"][..], &["--seconds", "3601"], &["--seconds", "x"], &["more"]] {
        let ended = Demo::start(arguments).end();
        assert_eq!((ended.status.code(), ended.out.len()), (Some(2), 0), "{arguments:?}");
    }
    let ended = Demo::start(&["--help"]).end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.out.join("\n").contains("1 they do not or it was interrupted"), "{:#?}", ended.out);
}

/// What std lacks to disturb a process from outside.
#[allow(unsafe_code)]
mod system {
    use std::process::Child;
    use std::ptr;

    pub(super) fn signal(child: &Child, signal: i32) {
        // SAFETY: a process that was not waited for yet, so its number is no other's.
        let sent = unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
    }

    pub(super) fn deny_descriptors(child: &Child) {
        // As many as there are for certain, since poll refuses to look at more than the limit.
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        // SAFETY: as above, and a limit that outlives the call; the old one is not asked for.
        let set = unsafe {
            libc::prlimit(child.id() as i32, libc::RLIMIT_NOFILE, &raw const limit, ptr::null_mut())
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}
