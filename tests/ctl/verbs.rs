//! What each verb does, what it says, and how it refuses.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Server, command, ctl, err, out};

#[test]
fn each_verb_changes_what_it_says() {
    let server = Server::start();
    let first = server.status(&["app/web-01"])["address"].as_str().unwrap().to_string();
    let line = |rest: &str| format!("app/web-01 at {first}: {rest}, in flight 0\n");
    for (arguments, told, key, value) in [
        (&["weight", "app/web-01", "50"][..], "ready, weight 50, maxconn -, tier 0", "weight", json!(50)),
        (&["maxconn", "app/web-01", "7"], "ready, weight 50, maxconn 7, tier 0", "maxconn", json!(7)),
        (&["maxconn", "app/web-01", "0"], "ready, weight 50, maxconn -, tier 0", "maxconn", json!(0)),
        (&["tier", "app/web-01", "255"], "ready, weight 50, maxconn -, tier 255", "tier", json!(255)),
        (&["drain", "app/web-01"], "drain, weight 50, maxconn -, tier 255", "admin", json!("drain")),
        (
            &["maintain", "app/web-01"],
            "maintenance, weight 50, maxconn -, tier 255",
            "admin",
            json!("maintenance"),
        ),
        (&["ready", "app/web-01"], "ready, weight 50, maxconn -, tier 255", "admin", json!("ready")),
    ] {
        assert_eq!(server.good(arguments), line(told), "{arguments:?}");
        assert_eq!(server.status(&["app/web-01"])[key], value, "{arguments:?}");
    }
    let added =
        server.good(&["add", "app/new", "10.0.0.4:80", "--weight", "3", "--maxconn", "9", "--backup"]);
    assert_eq!(added, "app/new at 10.0.0.4:80: ready, weight 3, maxconn 9, tier 1, in flight 0\n");
    let drained = server.good(&["add", "app/more", "unix:@more", "--tier", "2", "--drained"]);
    assert_eq!(drained, "app/more at unix:@more: drain, weight 1, maxconn -, tier 2, in flight 0\n");
    assert_eq!(server.good(&["remove", "app/new"]), "app/new: removed\n");
    let names = |status: &Value| -> Vec<String> {
        let backends = status["backends"].as_array().unwrap();
        backends.iter().map(|backend| backend["name"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(names(&server.status(&["app"])), ["web-01", "web-02", "more"]);
    // What is asked for as JSON is what the interface answers.
    let answer: Value = serde_json::from_str(&server.good(&["--json", "weight", "app/web-01", "4"])).unwrap();
    assert_eq!(answer, server.status(&["app/web-01"]));
    assert_eq!(server.good(&["remove", "--json", "app/more"]), "");
}

#[test]
fn a_drained_backend_gets_nothing_new_and_the_others_do() {
    let server = Server::start();
    let mut old: Vec<_> = (0..2).map(|_| server.relayed()).collect();
    old.iter_mut().for_each(|stream| crate::support::expect_echo(stream, b"old"));
    server.good(&["drain", "app/web-01"]);
    let before = server.status(&["app/web-01"]);
    assert_eq!(before["in_flight"], 1);
    let mut new: Vec<_> = (0..6).map(|_| server.relayed()).collect();
    new.iter_mut().for_each(|stream| crate::support::expect_echo(stream, b"new"));
    let after = server.status(&["app/web-01"]);
    assert_eq!((&after["picks"], &after["in_flight"]), (&before["picks"], &json!(1)));
    old.iter_mut().for_each(|stream| crate::support::expect_echo(stream, b"still there"));
    assert_eq!(server.status(&["app"])["in_flight"], 8);
    let told = server.good(&["status", "app/web-01"]);
    assert!(told.starts_with("app/web-01\n") && told.contains("  admin        drain\n"), "{told}");
    drop((old, new));
    server.until("no session", |status| status["totals"]["sessions"] == 0);
}

#[test]
fn the_status_is_a_table_of_everything() {
    let server = Server::start();
    let mut stream = server.relayed();
    crate::support::expect_echo(&mut stream, b"hello");
    let text = server.good(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    let head =
        format!("trimtab {} is running: process {}, 2 workers", env!("CARGO_PKG_VERSION"), server.pid());
    assert_eq!(lines[0], head);
    assert!(lines[1].starts_with("  sessions 1, waiting 0, accepted 1, finished 0, failed 0"), "{text}");
    assert!(
        lines[4].starts_with("listener  address") && lines[5].starts_with("web       127.0.0.1:"),
        "{text}"
    );
    let pools: Vec<_> = lines.iter().filter(|line| line.starts_with("pool ")).collect();
    assert_eq!(pools.len(), 2, "{text}");
    assert!(
        pools[1].starts_with("pool app: round-robin, 2 of 2 backends serving, waiting 0, picks 1"),
        "{text}"
    );
    // Every column of the backends ends or begins where its heading does.
    let rows: Vec<_> = lines.iter().skip_while(|line| !line.starts_with("  backend")).collect();
    assert_eq!(rows.len(), 3, "{text}");
    assert_eq!((rows[1].len(), rows[2].len()), (rows[0].len(), rows[0].len()), "{text}");
    assert_eq!(server.good(&["status", "app"]).lines().collect::<Vec<_>>(), lines[lines.len() - 4..]);
}

#[test]
fn names_of_all_kinds_are_reached() {
    let config = "listener = [{ name = 'web', bind = '127.0.0.1:0', pool = 'a é%' }]\n\
                  pool = [{ name = 'a é%', backend = [{ address = 'unix:/run/a b.sock' }, { name = '..', address = \
                  '10.0.0.1:80' }, { name = '?x=1#y', address = '10.0.0.2:80' }] }]\n";
    let server = Server::start_with(config, "unix:FOLDER/admin.sock");
    for name in ["unix:/run/a b.sock", "..", "?x=1#y"] {
        let member = format!("a é%/{name}");
        server.good(&["weight", &member, "9"]);
        let status = server.status(&[&member]);
        assert_eq!((&status["name"], &status["weight"]), (&json!(name), &json!(9)));
    }
    server.good(&["add", "a é%/10.0.0.3:80", "10.0.0.3:80"]);
    server.good(&["add", "a é%/x/y//z", "10.0.0.4:80"]);
    assert_eq!(server.status(&["a é%/x/y//z"])["address"], "10.0.0.4:80");
    server.good(&["remove", "a é%/x/y//z"]);
    server.good(&["remove", "a é%/10.0.0.3:80"]);
    assert_eq!(server.status(&["a é%"])["backends"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_refused_is_told_why() {
    let server = Server::start();
    for (arguments, code, part) in [
        (
            &["drain", "app/web-1"][..],
            1,
            "there is no backend \"web-1\" in the pool \"app\"; did you mean \"web-0",
        ),
        (&["ready", "ap/web-01"], 1, "there is no pool \"ap\"; did you mean \"app\"?"),
        (&["status", "nothing"], 1, "there is no pool \"nothing\"; there are: \"empty\", \"app\""),
        (&["status", "empty/x"], 1, "in the pool \"empty\"; the pool is empty"),
        (&["remove", "app/nothing"], 1, "there are: \"web-01\", \"web-02\""),
        (
            &["add", "app/web-01", "10.0.0.9:80"],
            1,
            "a backend with the name \"web-01\" is in the pool already",
        ),
        (&["add", "app/x", "10.0.0.9"], 2, "write 10.0.0.9:80"),
        (&["add", "app/x", "10.0.0.9:80", "--weight", "0"], 2, "weight 0 is outside 1 to 65535"),
        (&["add", "app/x", "10.0.0.9:80", "--tier", "1", "--backup"], 2, "cannot be used with"),
        (&["weight", "app/web-01", "0"], 2, "weight 0 is outside 1 to 65535; to give it no new traffic"),
        (&["weight", "app/web-01", "65536"], 2, "weight 65536 is outside 1 to 65535"),
        (&["weight", "app/web-01", "many"], 2, "invalid value 'many'"),
        (&["weight", "app/web-01"], 2, "<WEIGHT>"),
        (&["maxconn", "app/web-01", "1073741825"], 2, "outside 0 to 1073741824"),
        (&["tier", "app/web-01", "256"], 2, "outside 0 to 255"),
        (&["drain", "web-01"], 2, "it is no member; write POOL/BACKEND"),
        (&["drain", "app/"], 2, "it is no member; write POOL/BACKEND"),
        (&["drain"], 2, "<POOL/BACKEND|--all>"),
        (&["drain", "app/web-01", "--all"], 2, "cannot be used with"),
        (&["drain", "app/web-01", "--within", "5s"], 2, "cannot be used with"),
        (&["drain", "--within", "5s"], 2, "<POOL/BACKEND|--all>"),
        (&["drain", "--all", "--within", "5"], 2, "\"5\" is not a duration: a number has no unit"),
        (&["drain", "--all", "--within", "31d"], 2, "timeout_ms 2678400000 is outside 0 to 2592000000"),
        (&["status", "app/"], 2, "write POOL/BACKEND"),
        (&["status", "--timeout", "0s"], 2, "longer than nothing"),
        (&["events", "--recent", "1", "--since", "1"], 2, "cannot be used with"),
        (&["events", "--since", "1000"], 1, "none has the number 1000"),
        (&["reload"], 2, "unrecognized subcommand"),
        (&[], 2, "Usage"),
    ] {
        let output = server.ctl(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
    // Nothing of that did anything.
    let status = server.status(&["app"]);
    assert_eq!(status["backends"].as_array().unwrap().len(), 2);
    assert_eq!(server.status(&[])["admin"]["events"], 1);
}

#[test]
fn the_address_comes_from_where_it_is_said() {
    let server = Server::start();
    let file = server.folder.file("trimtab.toml");
    let path = &server.admin["unix:".len()..];
    let good = |output: std::process::Output| {
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
        assert!(out(&output).starts_with("pool app:"), "{}", out(&output));
    };
    good(ctl(&["status", "app", "--admin", path]));
    good(ctl(&["status", "--config", &file, "app"]));
    good(command(&["status", "app"]).env("TRIMTAB_ADMIN", path).output().unwrap());
    // What is said on the command line goes before the environment.
    good(command(&["--admin", path, "status", "app"]).env("TRIMTAB_ADMIN", "/nowhere").output().unwrap());
    for (arguments, variable, code, part) in [
        (&["status"][..], "", 2, "give --admin ADDRESS or --config FILE, or set TRIMTAB_ADMIN"),
        (&["status"], "nonsense", 2, "TRIMTAB_ADMIN of the environment: \"nonsense\" is no address"),
        (
            &["status", "--admin", "localhost:80"],
            "",
            2,
            "--admin: \"localhost:80\" is a host name; write 127.0.0.1:80",
        ),
        (&["status", "--admin", path, "--config", &file], "", 2, "give one of them"),
        (&["status", "--config", "/nowhere.toml"], "", 1, "cannot read the configuration /nowhere.toml"),
    ] {
        let output = command(arguments).env("TRIMTAB_ADMIN", variable).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
    }
    let silent = server.folder.file("silent.toml");
    std::fs::write(&silent, crate::support::relaying()).unwrap();
    let output = ctl(&["status", "--config", &silent]);
    assert!(err(&output).contains("has no [admin]"), "{}", err(&output));
    let chosen = server.folder.file("chosen.toml");
    std::fs::write(&chosen, crate::support::relaying() + "admin = { bind = '127.0.0.1:0' }\n").unwrap();
    let output = ctl(&["status", "--config", &chosen]);
    assert!(err(&output).contains("lets the system choose the port"), "{}", err(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Server::start_with(&crate::support::relaying_beside(2000), "unix:FOLDER/admin.sock");
    for arguments in [&["status"][..], &["events", "--recent", "1"]] {
        let mut child = command(&[&["--admin", &server.admin], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        // Should it have said all it had before, there is more.
        server.good(&["drain", "app/web-01"]);
        server.good(&["ready", "app/web-01"]);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}
