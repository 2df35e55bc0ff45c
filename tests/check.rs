//! `trimtab check` as a user runs it.

#![cfg(feature = "cli")]

#[path = "shared/certificates.rs"]
#[cfg(all(feature = "tls", feature = "replication"))]
mod certificates;
#[path = "shared/folder.rs"]
#[cfg(all(feature = "tls", feature = "replication"))]
#[allow(dead_code, reason = "each of the tests needs a part of it")]
mod folder;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Runs `trimtab check` in the package's folder, with `input` on standard input.
fn check(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trimtab"));
    command.arg("check").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command is built");
    // It may be done, and its end closed, before it was read.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    child.wait_with_output().expect("it ends")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A file that goes when the test is over.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("trimtab-check-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("the temporary folder is writable");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const GOOD: &str = "\
[runtime]
workers = 1

[[listener]]
name = \"web\"
bind = \"127.0.0.1:8080\"
pool = \"app\"
maxconn = 100
proxy_protocol = \"accept\"

[[pool]]
name = \"app\"
policy = \"source\"
hash = \"maglev\"
proxy_protocol = \"v2\"
[[pool.backend]]
address = \"10.0.0.1:80\"
[[pool.backend]]
name = \"spare\"
address = \"unix:@spare\"
backup = true
admin = \"drain\"

[[pool]]
name = \"unused\"

[admin]
bind = \"unix:/run/trimtab.sock\"
";

const WRONG: &str = "\
[[listener]]
name = \"web\"
bind = \"*:80\"
pool = \"ap\"

[[pool]]
name = \"app\"
";

#[test]
fn the_example_is_good() {
    let output = check(&["examples/trimtab.toml"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).starts_with("examples/trimtab.toml is good; it runs "), "{}", out(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn what_would_run_is_told() {
    let expected = "\
<stdin> is good; it runs 1 worker:
  listener web on 127.0.0.1:8080, to pool app, at most 100 sessions, each with a PROXY header
  pool app: source over maglev, 2 backends (1 in reserve, 1 drained), sending PROXY v2
  pool unused: round-robin, no backend, so nothing can be picked; no listener leads to it
  admin on unix:/run/trimtab.sock
";
    let output = check(&["-"], GOOD.as_bytes());
    assert_eq!((out(&output).as_str(), err(&output).as_str()), (expected, ""));
    assert_eq!(output.status.code(), Some(0));
}

const CLUSTER: &str = "\
[runtime]
workers = 1

[[listener]]
name = \"split\"
mode = \"resp-split\"
bind = \"127.0.0.1:6400\"
reads = \"replicas\"
maxconn = 500

[store]
dir = \"data\"
node = \"db-3\"
resp = \"127.0.0.1:6379\"
password = \"secret\"
health = \"127.0.0.1:8081\"
durability = 2
memory_max = \"1GiB\"
eviction = \"lru\"
disk_bytes_max = \"10GiB\"
peers = { db-1 = \"127.0.0.1:7401\", db-2 = \"127.0.0.2:7401\" }
learners = [\"db-2\", \"db-3\"]
feed_from = [\"db-2\"]
join = true
peer_tls = \"insecure-plaintext\"
";

#[test]
fn what_a_store_would_be_is_told() {
    let expected = "\
<stdin> is good; it runs 1 worker:
  store in data, durability local
  no Redis clients: the store has no resp
";
    let output = check(&["-"], b"[runtime]\nworkers = 1\n[store]\ndir = \"data\"\n");
    assert_eq!((out(&output).as_str(), err(&output).as_str()), (expected, ""));

    let voter = CLUSTER.replace("resp = \"127.0.0.1:6379\"\npassword = \"secret\"\n", "");
    let line = "no Redis clients: the store has no resp";
    let output = check(&["-"], voter.as_bytes());
    assert!(out(&output).contains(&format!("{line}\n")), "a learner: {}", out(&output));
    let output = check(
        &["-"],
        voter
            .replace("\"db-2\", \"db-3\"", "\"db-2\"")
            .replace("db-2 =", "db-3 = \"127.0.0.3:7401\", db-2 =")
            .as_bytes(),
    );
    assert!(out(&output).contains(&format!("{line}; while this node is primary, ")), "{output:?}");

    let output = check(&["-"], CLUSTER.as_bytes());
    let expected = "\
<stdin> is good; it runs 1 worker:
  listener split on 127.0.0.1:6400, to the nodes of the store, reads from replicas, at most 500 clients
  store in data, node db-3, durability quorum and 2 nodes, at most 1GiB of memory (eviction lru), at most 10GiB of disk
  Redis clients on 127.0.0.1:6379, with a password, at most 10000
  health on 127.0.0.1:8081
  learner db-3 of the cluster trimtab, which dials the others, by plaintext with db-1 (127.0.0.1:7401), \
db-2 (127.0.0.2:7401, a learner), fed from db-2 while it is a learner; with an empty directory it waits to be added
";
    assert_eq!((out(&output).as_str(), err(&output).as_str()), (expected, ""));

    let output = check(&["--json", "-"], CLUSTER.as_bytes());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(!out(&output).contains("secret"), "{value}");
    let split = &value["splits"][0];
    assert_eq!(
        (&split["reads"], &split["maxconn"], &split["max_age_ms"]),
        (&"replicas".into(), &500.into(), &1000.into())
    );
    let store = &value["store"];
    assert_eq!((&store["dir"], &store["resp"]), (&"data".into(), &"127.0.0.1:6379".into()));
    assert_eq!((&store["has_password"], &store["health"]), (&true.into(), &"127.0.0.1:8081".into()));
    assert_eq!((&store["durability"], &store["nodes"]), (&"quorum".into(), &2.into()));
    assert_eq!((&store["memory_max"], &store["eviction"]), (&(1u64 << 30).into(), &"lru".into()));
    let cluster = &store["cluster"];
    assert_eq!((&cluster["beginning"], &cluster["links"]), (&"join".into(), &"plaintext".into()));
    assert_eq!((&cluster["listen"], &cluster["feed_from"][0]), (&serde_json::Value::Null, &"db-2".into()));
    let member = serde_json::json!({ "name": "db-2", "address": "127.0.0.2:7401", "is_learner": true });
    assert_eq!(cluster["members"][1], member);
}

#[test]
fn everything_wrong_is_shown_where_it_stands() {
    let file = File::new("wrong.toml", WRONG.as_bytes());
    let path = file.path();
    let output = check(&[path], b"");
    let expected = format!(
        "\
{path}:3:8: bind \"*:80\" names no address; write 0.0.0.0:80 or [::]:80
    3 | bind = \"*:80\"
      |        ^
{path}:4:8: there is no pool named \"ap\"; did you mean \"app\"?
    4 | pool = \"ap\"
      |        ^
trimtab: the configuration {path} cannot run
"
    );
    assert_eq!(err(&output), expected);
    assert_eq!((out(&output).as_str(), output.status.code()), ("", Some(1)));
}

#[test]
fn what_is_about_no_line_shows_none() {
    let output = check(&["-"], b"");
    let expected = "<stdin>: there is no [[listener]] and no [store], so there is nothing to do; add a listener with name, bind and pool, or a store with dir and resp\n\
                    trimtab: the configuration <stdin> cannot run\n";
    assert_eq!((err(&output).as_str(), output.status.code()), (expected, Some(1)));
}

#[test]
fn json_tells_the_same() {
    let output = check(&["--json", "-"], GOOD.as_bytes());
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["good"], true);
    assert_eq!(value["problems"], serde_json::json!([]));
    assert_eq!((&value["workers"], &value["admin"]), (&1.into(), &"unix:/run/trimtab.sock".into()));
    let listener = &value["listeners"][0];
    assert_eq!((&listener["bind"], &listener["pool"]), (&"127.0.0.1:8080".into(), &"app".into()));
    assert_eq!(listener["timeouts_ms"]["idle"], 60_000);
    assert_eq!(listener["proxy_protocol"], "accept");
    let pool = &value["pools"][0];
    assert_eq!((&pool["policy"], &pool["hash"]), (&"source".into(), &"maglev".into()));
    let spare = serde_json::json!({
        "name": "spare", "address": "unix:@spare", "weight": 1, "maxconn": 0, "tier": 1, "admin": "drain"
    });
    assert_eq!(pool["backends"][1], spare);
    assert_eq!(value["pools"][1]["hash"], serde_json::Value::Null);

    let output = check(&["--json", "-"], WRONG.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output), "trimtab: the configuration <stdin> cannot run\n");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = serde_json::json!({ "good": false, "source": "<stdin>", "problems": [
        { "line": 3, "column": 8, "message": "bind \"*:80\" names no address; write 0.0.0.0:80 or [::]:80", "hint": "" },
        { "line": 4, "column": 8, "message": "there is no pool named \"ap\"", "hint": "did you mean \"app\"?" },
    ] });
    assert_eq!(value, expected);
}

#[cfg(all(feature = "tls", feature = "replication"))]
#[test]
fn files_that_it_names_are_read_as_the_start_reads_them() {
    use std::path::Path;

    use crate::certificates::{Authority, BOTH_USES, Issued, Wanted};
    use crate::folder::Folder;

    let folder = Folder::new();
    let authority = Authority::new(&folder, "ours");
    let good = authority.issue(&folder, "db-1");
    let wanted = |name, years| Wanted { names: name, years, usages: BOTH_USES };
    let expired = authority.issue_as(&folder, "expired", &wanted(&["db-1"], (2001, 2002)));
    let other = authority.issue_as(&folder, "other", &wanted(&["db-2"], (2020, 2200)));
    let stranger = Authority::new(&folder, "theirs").issue(&folder, "stranger");
    let (secret, empty) = (folder.write("secret", "secret\n"), folder.write("empty", "\n"));
    let missing = folder.file("missing");
    let text = |issued: &Issued, key: &Path, ca: &Path, password: &str| {
        format!(
            "[store]\ndir = \"data\"\nresp = \"127.0.0.1:6379\"\nnode = \"db-1\"\npassword_file = {password:?}\n\
             peers = {{ db-1 = \"127.0.0.1:7401\", db-2 = \"127.0.0.2:7401\" }}\n\
             [store.peer_tls]\ncertificates = [{:?}]\nkey = {key:?}\nca = {ca:?}\n",
            issued.certificate
        )
    };
    let (ca, secret, empty) = (&authority.ca, secret.to_str().unwrap(), empty.to_str().unwrap());
    let gone = Issued { certificate: missing.clone().into(), key: good.key.clone() };
    let missing = Path::new(&missing);
    for (text, expected) in [
        (text(&good, &good.key, ca, secret), &[][..]),
        (text(&expired, &expired.key, ca, secret), &[(8, "expired.pem"), (8, "expired")]),
        (text(&other, &other.key, ca, secret), &[(8, "other.pem"), (8, "db-1")]),
        (text(&stranger, &stranger.key, ca, secret), &[(8, "stranger.pem")]),
        (text(&good, &other.key, ca, secret), &[(9, "is not the key of the certificate")]),
        (text(&gone, &good.key, ca, secret), &[(8, "missing")]),
        (text(&good, missing, ca, secret), &[(9, "missing")]),
        (text(&good, &good.key, missing, secret), &[(10, "missing")]),
        (text(&good, &good.key, &good.key, secret), &[(10, "has no certificate, but a PRIVATE KEY")]),
        (text(&good, &good.key, ca, empty), &[(5, "is empty, which lets everybody in")]),
        (
            text(&gone, &good.key, ca, missing.to_str().unwrap()),
            &[(5, "cannot read the password in"), (8, "missing")],
        ),
        (
            format!(
                "{GOOD}[[pool]]\nname = \"db\"\n[pool.check]\nkind = \"postgres\"\nuser = \"a\"\n\
                 password_file = {missing:?}\n"
            ),
            &[(34, "cannot read the password in")],
        ),
    ] {
        let output = check(&["--json", "-"], text.as_bytes());
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let problems = value["problems"].as_array().unwrap();
        assert_eq!(value["good"], expected.is_empty(), "{text}\n{value}");
        for (line, part) in expected {
            let is_it = |problem: &serde_json::Value| {
                problem["line"] == *line && problem["message"].as_str().unwrap().contains(part)
            };
            assert!(problems.iter().any(is_it), "{text}\n{value}\n{line} {part}");
        }
        let told = err(&check(&["-"], text.as_bytes()));
        for (line, part) in expected {
            assert!(told.contains(&format!("<stdin>:{line}:")) && told.contains(part), "{told}");
        }
        let output = check(&["--no-files", "-"], text.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    }
}

#[test]
fn what_cannot_be_read_is_1_and_misuse_is_2() {
    let binary = File::new("binary.toml", b"a = 1\n\xff");
    for (arguments, code, part) in [
        (&["/nowhere/trimtab.toml"][..], 1, "trimtab: cannot read the configuration /nowhere/trimtab.toml: "),
        (&["/"], 1, "trimtab: cannot read the configuration /: it is a directory; name a file\n"),
        (&[binary.path()], 1, ":2:1: byte 7 of the text, 0xff, is not UTF-8; save the file as UTF-8\n"),
        (&[], 2, "<FILE>"),
        (&["a", "b"], 2, "unexpected argument"),
    ] {
        let output = check(arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
    let output = check(&["--json", "/nowhere/trimtab.toml"], b"");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &value["good"]), (Some(1), &false.into()));
    assert!(value["problems"][0]["message"].as_str().unwrap().starts_with("cannot read the configuration"));
}

#[test]
fn the_help_says_what_the_codes_mean() {
    let output = check(&["--help"], b"");
    assert!(out(&output).contains("1 it is wrong or cannot be read"), "{}", out(&output));
    assert_eq!(output.status.code(), Some(0));
}
