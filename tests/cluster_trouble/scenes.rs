//! What happens to the nodes.

use std::io::Write;
use std::process::Command;

use redis::Commands;

use crate::clients::Clients;
use crate::nodes::{NODES, Nodes, VOTERS, connect, until};

/// Writes that are to be acknowledged before something happens, and after it.
const SOME: u64 = 300;

#[track_caller]
fn primary(nodes: &Nodes) -> usize {
    let mut found = None;
    until("a primary", || {
        found = nodes.primary();
        found.is_some()
    });
    found.expect("it was waited for")
}

/// The primary is killed three times, and started again on what it wrote.
pub(crate) fn kill() {
    let mut nodes = Nodes::start();
    let clients = Clients::start();
    for _ in 0..3 {
        clients.until_more("writes before", SOME);
        let victim = primary(&nodes);
        nodes.kill(victim);
        clients.until_more("writes without it", SOME);
        assert_ne!(primary(&nodes), victim);
        nodes.start_one(victim);
        clients.until_more("writes with it", SOME);
    }
    clients.check();
}

/// The primary stands still, and goes on where it stood when another has its place.
pub(crate) fn freeze() {
    let nodes = Nodes::start();
    let clients = Clients::start();
    for _ in 0..2 {
        clients.until_more("writes before", SOME);
        let victim = primary(&nodes);
        nodes.signal(victim, "STOP");
        clients.until_more("writes without it", SOME);
        nodes.signal(victim, "CONT");
        clients.until_more("writes with it", SOME);
    }
    clients.check();
}

/// A replica stands still, then another one: with `quorum` the others go on, and the one that stood still comes to what they
/// wrote meanwhile.
pub(crate) fn stall() {
    let nodes = Nodes::start();
    let clients = Clients::start();
    for round in 0..2 {
        clients.until_more("writes before", SOME);
        let victim = primary(&nodes) % VOTERS + 1;
        nodes.signal(victim, "STOP");
        clients.until_more("writes while it stands still", 3 * SOME);
        until("a mark", || {
            let mark = |mut to: redis::Connection| to.set::<_, _, ()>("mark", round);
            nodes.primary().and_then(|node| connect(node).and_then(mark).ok()).is_some()
        });
        nodes.signal(victim, "CONT");
        clients.until_more("writes with it", SOME);
        until("it has what was written meanwhile", || {
            let look = |mut at: redis::Connection| at.get::<_, Option<i32>>("mark");
            connect(victim).and_then(look).is_ok_and(|mark| mark == Some(round))
        });
    }
    clients.check();
}

/// The primary is parted from all others, in both directions; clients reach it still.
pub(crate) fn cut() {
    let nodes = Nodes::start();
    let clients = Clients::start();
    for _ in 0..2 {
        clients.until_more("writes before", SOME);
        let victim = primary(&nodes);
        for other in (1..=NODES).filter(|node| *node != victim) {
            nodes.hub.deafen(victim, other);
            nodes.hub.deafen(other, victim);
        }
        clients.until_more("writes without it", SOME);
        nodes.hub.heal();
        clients.until_more("writes with it", SOME);
        until("all follow one", || nodes.primary().is_some());
    }
    clients.check();
}

/// The primary hears nothing of the others and goes on talking; then a replica does.
pub(crate) fn deaf() {
    let nodes = Nodes::start();
    let clients = Clients::start();
    for is_primary in [true, false] {
        clients.until_more("writes before", SOME);
        let first = primary(&nodes);
        let victim = if is_primary { first } else { first % VOTERS + 1 };
        for other in (1..=NODES).filter(|node| *node != victim) {
            nodes.hub.deafen(victim, other);
        }
        clients.until_more("writes without it", SOME);
        nodes.hub.heal();
        clients.until_more("writes with it", SOME);
    }
    clients.check();
}

/// Each node is ended in good order and started again, the primary as well.
pub(crate) fn restart() {
    let mut nodes = Nodes::start();
    let clients = Clients::start();
    for node in 1..=NODES {
        clients.until_more("writes before", SOME);
        nodes.end(node);
        clients.until_more("writes without it", SOME);
        nodes.start_one(node);
        clients.until_more("writes with it", SOME);
    }
    clients.check();
}

/// Each on a small disk of its own, with segments that are soon full.
fn on_small_disks() -> Nodes {
    let lines = "segment_bytes = \"128KiB\"\nvalue_max = \"64KiB\"\nmessage_bytes = \"16KiB\"\n";
    Nodes::start_with(lines, |dir| {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(dir).status();
        assert!(mounted.expect("there is mount").success());
    })
}

/// Something else fills the disk of a replica, and gives it back while as much is written as the disk has: the log does not
/// take what the next snapshot needs.
pub(crate) fn refill() {
    let nodes = on_small_disks();
    let clients = Clients::start();
    let value = vec![7u8; 48 << 10];
    let mut number = 0u32;
    let mut put = |count| {
        for _ in 0..count {
            number += 1;
            until("a write is taken", || {
                let Some(primary) = nodes.primary() else { return false };
                let key = format!("large-{}", number % 32);
                connect(primary).is_ok_and(|mut it| it.set::<_, _, ()>(key, &value).is_ok())
            });
        }
    };
    put(100);
    let victim = (1..=VOTERS).find(|it| *it != primary(&nodes)).expect("there are others");
    let count = |event: &str| nodes.told(victim).matches(&format!("\"event\":\"{event}\"")).count();
    let before = count("store-full");
    let ballast = nodes.dir(victim).join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("there is room yet");
    until("it says that it has no room", || {
        while file.write_all(&[0; 4096]).is_ok() {}
        put(1);
        count("store-full") > before
    });
    drop(file);
    std::fs::remove_file(&ballast).expect("it is there");
    put(500);
    until("it has room", || count("store-full") == count("store-recovered"));
    clients.until_more("writes when there is room again", SOME);
    clients.check();
}

/// There is no room on the primary's disk: another one takes over. When there is room again it goes on.
pub(crate) fn full() {
    let nodes = on_small_disks();
    let clients = Clients::start();
    clients.until_more("writes before", SOME);
    let victim = primary(&nodes);
    let ballast = nodes.dir(victim).join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("there is room yet");
    // It lacks room for one more segment; what segments that go leave is taken, too.
    until("it says that it has no room", || {
        while file.write_all(&[0; 4096]).is_ok() {}
        nodes.told(victim).contains("\"event\":\"store-full\"")
    });
    drop(file);
    until("another one takes over", || nodes.primary().is_some_and(|it| it != victim));
    clients.until_more("writes though it has no room", SOME);
    std::fs::remove_file(&ballast).expect("it is there");
    clients.until_more("writes when there is room again", SOME);
    until("all follow one", || nodes.primary().is_some());
    clients.check();
}
