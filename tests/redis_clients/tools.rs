//! redis-cli and redis-benchmark, as they are installed.

use std::process::Command;

use crate::support::Served;

fn run(served: &Served, name: &str, arguments: &[&str]) -> String {
    let port = served.address().port().to_string();
    let mut command = Command::new(name);
    command.args(["-p", &port]).args(arguments);
    let output = command.output();
    let output =
        output.unwrap_or_else(|error| panic!("{command:?}: {error}; packaging/setup.sh installs it"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn redis_cli_in_both_protocols() {
    let served = Served::start(2, "flush = \"allow\"");
    assert_eq!(run(&served, "redis-cli", &["set", "a", "b c"]), "OK\n");
    assert_eq!(run(&served, "redis-cli", &["-3", "get", "a"]), "b c\n");
    run(&served, "redis-cli", &["hset", "h", "f", "v"]);
    assert_eq!(run(&served, "redis-cli", &["-3", "--no-raw", "hgetall", "h"]), "1# \"f\" => \"v\"\n");
    assert_eq!(run(&served, "redis-cli", &["--scan"]), "a\nh\n");
    assert!(run(&served, "redis-cli", &["info", "keyspace"]).contains("db0:keys=2,expires=0"));
    assert_eq!(run(&served, "redis-cli", &["flushall"]), "OK\n");
    assert_eq!(run(&served, "redis-cli", &["dbsize"]), "0\n");
}

/// All of its tests that are of commands there are.
#[test]
fn redis_benchmark() {
    let tests = "ping_inline,ping_mbulk,set,get,incr,hset,mset";
    for (durability, workers) in [("local", 1), ("memory", 2)] {
        let served = Served::start(workers, &format!("durability = {durability:?}"));
        for more in [&["-P", "1"][..], &["-P", "16"], &["-P", "4", "-3"]] {
            let arguments =
                [&["-q", "--csv", "-n", "800", "-c", "20", "-r", "500", "-t", tests], more].concat();
            let told = run(&served, "redis-benchmark", &arguments);
            assert!(!told.contains("ERR"), "{told}");
            assert_eq!(told.lines().filter(|line| line.starts_with('"')).count(), 8, "{told}");
        }
        assert!(served.connect().number("DBSIZE") > 500);
        assert_eq!(served.status().clients.unwrap().protocol_errors, 0);
    }
}

/// As a page does that is open in a browser beside the server.
#[test]
fn curl_writes_nothing() {
    let served = Served::start(1, "");
    let to = format!("http://{}/", served.address());
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "--http0.9",
        "-H",
        "Content-Type: text/plain",
        "--data-binary",
        "SET pwned yes\r\n",
        &to,
    ]);
    let output = command.output().expect("curl is installed");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(served.connect().ask("GET pwned"), "$-1");
    let counted = served.status().clients.unwrap();
    assert_eq!((counted.protocol_errors, counted.slow), (1, 0));
}
