//! The command as a user runs it.

#![cfg(feature = "cli")]

use std::process::{Command, Output};

fn trimtab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trimtab")).args(arguments).output().expect("the command is built")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn the_version_is_the_packages() {
    let output = trimtab(&["--version"]);
    assert_eq!(out(&output), format!("trimtab {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_trace_is_the_sequence_of_the_policy() {
    let output =
        trimtab(&["pick", "a=10.0.0.1:80*5", "b=10.0.0.2:80", "c=10.0.0.3:80", "-n", "7", "--trace"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).starts_with("a\na\nb\na\nc\na\na\n\n"), "{}", out(&output));
    assert!(out(&output).contains(" 71.43%"), "{}", out(&output));
}

#[test]
fn json_is_one_value() {
    let output = trimtab(&[
        "pick",
        "--json",
        "--explain",
        "--policy",
        "hash",
        "--key",
        "k",
        "a=10.0.0.1:80",
        "b=10.0.0.2:80",
    ]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["picks"], 1);
    let picked = value["backends"].as_array().unwrap().iter().find(|backend| backend["picks"] == 1).unwrap();
    assert_eq!(value["explanation"]["picked"], picked["id"]);
}

#[test]
fn explain_says_who_is_left_out() {
    let backends = ["a=10.0.0.1:80", "b=10.0.0.2:80", "c=10.0.0.3:80~1"];
    let output =
        trimtab(&[&["pick", "--explain", "--down", "a", "--drain", "10.0.0.2:80"], &backends[..]].concat());
    let text = out(&output);
    for line in ["a        down", "b        drain", "c        picked"] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn misuse_is_2_and_failure_is_1_each_with_a_reason() {
    for (arguments, code, part) in [
        (&["pick", "10.0.0.1"][..], 2, "write 10.0.0.1:80"),
        (&["pick", "10.0.0.1:80*0"], 2, "drain the backend"),
        (&["pick", "10.0.0.1:80*many"], 2, "weight \"many\" is not a number"),
        (&["pick", "10.0.0.1:80", "10.0.0.1:80"], 2, "is in the pool already"),
        (&["pick", "10.0.0.1:80", "--policy", "leastconn"], 2, "least-connections"),
        (&["pick", "10.0.0.1:80", "--drain", "x"], 2, "none of the backends is called \"x\""),
        (&["pick", "10.0.0.1:80", "--bounded-load", "1.5"], 2, "source and hash"),
        (&["pick"], 2, "BACKEND"),
        (&["pick", "10.0.0.1:80", "--down", "10.0.0.1:80"], 1, "none of the 1 in the pool is usable"),
        (&["nonsense"], 2, "unrecognized subcommand"),
    ] {
        let output = trimtab(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "");
    }
}

#[test]
fn completions_and_the_manual_name_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&trimtab(&["completions", shell]));
        for word in ["pick", "ctl", "maxconn", "no-follow"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(out(&trimtab(&["man"])).contains("trimtab\\-pick"));
    assert!(out(&trimtab(&["man", "pick"])).contains(".TH trimtab-pick 1"));
    assert!(out(&trimtab(&["man", "ctl"])).contains("trimtab\\-ctl\\-drain"));
    let drain = out(&trimtab(&["man", "ctl", "drain"]));
    assert!(drain.contains(".TH trimtab-ctl-drain 1") && drain.contains("TRIMTAB_ADMIN"), "{drain}");
    for nonsense in [&["nonsense"][..], &["ctl", "nonsense"], &["pick", "ctl"]] {
        assert_eq!(trimtab(&[&["man"], nonsense].concat()).status.code(), Some(2), "{nonsense:?}");
    }
}
