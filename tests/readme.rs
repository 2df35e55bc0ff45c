//! The commands of README's tour, as a reader pastes them, but on an address of the test's own, and with waiting for what a
//! reader gives a second or two.

#[path = "shared/address.rs"]
mod address;
#[path = "shared/folder.rs"]
mod folder;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::address::own_address;
use crate::folder::Folder;

const README: &str = include_str!("../README.md");

/// After this many seconds nothing will come any more, and the test fails.
const DEADLINE: u32 = 90;

/// Waits until clients are answered on all of the ports; it is the deadline that ends it otherwise.
const READY: &str = "ready() {
    until (for port; do redis-cli -p $port ping | grep -q PONG || exit 1; done) 2>/dev/null; do sleep 0.05; done
}";

/// The blocks of README below a heading that begin so, one behind the other.
fn blocks(heading: &str, begins: &[&str]) -> String {
    let section = README.split_once(&format!("\n## {heading}\n")).expect("the heading is there").1;
    let section = section.split("\n## ").next().expect("a split has a first part");
    let fenced: Vec<&str> = section.split("\n```\n").collect();
    let block = |begin: &&str| {
        let found = fenced.iter().find(|part| part.starts_with(begin));
        *found.unwrap_or_else(|| panic!("no block begins with {begin:?} below {heading:?}"))
    };
    begins.iter().map(block).fold(String::new(), |all, block| all + block + "\n")
}

/// What a shell prints that is given the commands, and what remains running ends with it.
fn paste(commands: &str, ready: &str) -> String {
    let folder = Folder::new();
    let address = own_address().to_string();
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_trimtab")).parent().expect("it lies in a folder");
    // What is killed is nobody else's.
    let unique = address.replace('.', "-");
    let commands = commands
        .replace("sleep 1", ready)
        .replace("sleep 2", ready)
        .replace("127.0.0.1", &address)
        .replace("redis-cli", &format!("redis-cli -h {address}"))
        .replace(".toml", &format!("-{unique}.toml"));
    let ready_function = READY.replace("redis-cli", &format!("redis-cli -h {address}"));
    // A file: its text is not to be in the command line, where what is to be killed is looked for.
    let script = format!("{ready_function}\n{commands}\nkill $(jobs -p)\nwait\n");
    folder.write("tour", &script);
    // Files, too: what is left running does not keep them from being read.
    let [out, err] = ["out", "err"].map(|name| folder.file(name));
    let mut timeout = Command::new("timeout");
    timeout.args(["--signal=KILL", &DEADLINE.to_string(), "bash", "tour"]);
    timeout.current_dir(folder.path()).process_group(0).stdin(Stdio::null());
    timeout.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let path = std::env::var("PATH").expect("there is one");
    timeout.env("PATH", format!("{}:{path}", binaries.display()));
    let mut child = timeout.spawn().expect("there are timeout and bash");
    let status = child.wait().expect("it was started");
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .stderr(Stdio::null())
        .status();
    let [out, err] = [out, err].map(|file| std::fs::read_to_string(file).expect("UTF-8"));
    assert!(status.success(), "{status}: {out}\n{err}\nof\n{script}");
    assert!(!err.contains("not found"), "{err}");
    out
}

#[test]
fn a_store_comes_back_and_is_backed_up() {
    let tour = blocks("A store for Redis clients", &["cat > store.toml", "trimtab store backup"]);
    let out = paste(&(tour + "trimtab wal check restored"), "ready 6379");
    let lines: Vec<&str> = out.lines().collect();
    for line in ["not closed in order", "hello", "holds entries 1 to 2", "holds entries 1 to 3"] {
        assert!(lines.iter().any(|other| other.starts_with(line)), "no {line:?} in {out}");
    }
    // Of the log after the crash, of the backup, and of what was restored.
    assert_eq!(lines.iter().filter(|line| **line == "good").count(), 3, "{out}");
}

#[test]
fn three_nodes_go_on_without_one() {
    // Nobody is to be killed before all three vote.
    let voters = "ready 6401 6402 6403 6503; until trimtab store status --admin unix:db-1.sock 2>/dev/null | grep -cE \
                  '^db-. +(primary|replica) +up' | grep -q 3; do sleep 0.05; done";
    let out = paste(&blocks("Three nodes of it", &["for n in 1 2 3"]), voters);
    assert!(out.starts_with("OK\n") && out.ends_with("hello\n"), "{out}");
    assert!(out.contains(" as db-1 sees it: epoch "), "{out}");
}
