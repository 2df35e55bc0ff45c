//! Three nodes and a learner as processes, each in a network namespace of its own, while real clients write and read:
//! nodes are killed, stand still, are cut off in both directions or in one, are started anew one after the other, and
//! run out of disk. What the clients saw is held against what a single register would have shown
//! ([`trimtab::sim::cluster::checker`]), and what was acknowledged must be there in the end.

mod clients;
#[path = "../shared/folder.rs"]
mod folder;
mod hub;
mod nodes;
mod part;
mod scenes;

use std::process::Command;

/// Has a scene played by this test program, in namespaces of its own: it may make networks there.
#[track_caller]
fn play(scene: &str) {
    // Debian keeps tools for networks where not every user looks.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--net", "--mount", "--kill-child"])
        .arg(std::env::current_exe().expect("a test knows its own path"))
        .args(["--exact", "part::plays_its_part", "--nocapture", "--test-threads=1"])
        .env("TRIMTAB_SCENE", scene)
        .env("PATH", path)
        .output()
        .expect("unshare can be started");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("scene: done"), "{}\n{out}\n{err}", output.status);
}

#[test]
fn a_primary_that_is_killed_loses_nothing() {
    play("kill");
}

#[test]
fn a_primary_that_stood_still_shows_nothing_old() {
    play("freeze");
}

#[test]
fn a_replica_that_stands_still_holds_up_nobody() {
    play("stall");
}

#[test]
fn a_primary_that_is_cut_off_gives_way() {
    play("cut");
}

#[test]
fn a_node_that_is_not_heard_does_no_harm() {
    play("deaf");
}

#[test]
fn nodes_are_started_anew_one_after_the_other() {
    play("restart");
}

#[test]
fn a_replica_whose_disk_was_full_goes_on_when_there_is_room() {
    play("refill");
}

#[test]
fn a_primary_whose_disk_is_full_takes_nothing_and_loses_nothing() {
    play("full");
}
