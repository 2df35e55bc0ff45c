//! Bits that rot on the disk of a node while it runs: it tells of it, stays what it is, and loses nothing.

use std::path::{Path, PathBuf};

use crate::command::{status, told};
use crate::process::until;
use crate::support::Cluster;

/// Small segments that are read again ten times a second, and no snapshot but of what is damaged.
const LINES: &str = "segment_bytes = \"64KiB\"\nvalue_max = \"4KiB\"\nmessage_bytes = \"8KiB\"\nsnapshot_bytes = \"1GiB\"\nscrub_interval = \"100ms\"\n\
                     scrub_bytes_per_second = \"1GiB\"";

fn value(number: u32) -> String {
    format!("{number:04}").repeat(250)
}

fn fill(cluster: &Cluster, at: usize, from: u32, to: u32) {
    let mut client = cluster.connect(at);
    for number in from..to {
        let command = format!("SET key{number} {}", value(number));
        assert_eq!(client.ask(&command).as_deref(), Some("+OK"), "{number}");
    }
}

fn check(cluster: &Cluster, at: usize, to: u32) {
    let mut client = cluster.connect(at);
    for number in 0..to {
        let wanted = format!("$1000|{}", value(number));
        assert_eq!(client.ask(&format!("GET key{number}")), Some(wanted), "{number} on n{at}");
    }
}

/// Flips a bit of its first segment in place, as rot does: the node has the file open. Gives the file.
fn rot(dir: &Path) -> PathBuf {
    use std::os::unix::fs::FileExt;
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|it| it == "wal"));
    let path = segments.min().expect("there is one");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 20_000).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 20_000).unwrap();
    file.sync_all().unwrap();
    path
}

#[test]
fn a_segment_that_rots_under_a_node_is_told_and_the_node_goes_on() {
    let mut cluster = Cluster::start(LINES);
    let primary = cluster.primary();
    fill(&cluster, primary, 0, 200);
    let replica = (primary + 1) % 3;
    let mut count = 200;
    for at in [primary, replica] {
        let name = format!("n{at}");
        until("it has all", || cluster.connect(at).ask("DBSIZE") == Some(format!(":{count}")));
        let segment = rot(Path::new(&cluster.folder().file(&name)));
        until("the damage and its end were told", || {
            !cluster.told(at, "store-damaged").is_empty() && !cluster.told(at, "store-mended").is_empty()
        });
        let damage = cluster.told(at, "store-damaged")[0]["detail"].as_str().unwrap().to_owned();
        assert!(damage.contains(&segment.display().to_string()), "{damage}");
        assert!(damage.contains("a snapshot of what is in memory takes its place"), "{damage}");
        until("all is good, and the file is gone", || {
            cluster.status(at)["store"]["scrub"]["damage"].is_null() && !segment.exists()
        });
        assert_eq!(cluster.status(at)["store"]["scrub"]["mended"], 1);
        // It is what it was, and has its vote.
        let seen = status(&cluster.admin(at));
        assert_eq!(
            (seen["node"].as_str(), &seen["trouble"]),
            (Some(name.as_str()), &serde_json::Value::Null),
            "{seen}"
        );
        let shown = told(&["status", "--admin", &cluster.admin(at)], 0);
        assert!(!shown.contains("forgotten"), "{shown}");
        fill(&cluster, cluster.primary(), count, count + 10);
        count += 10;
    }
    assert!(cluster.told((primary + 2) % 3, "store-damaged").is_empty());

    // `kill -9` of both at once: they open again, and with one of them alone the third is a majority.
    cluster.kill(primary);
    cluster.kill(replica);
    cluster.start_node(replica);
    let others = [replica, (primary + 2) % 3];
    let next = cluster.primary_of(&others);
    fill(&cluster, next, count, count + 10);
    count += 10;
    cluster.start_node(primary);
    for at in 0..3 {
        until("it has all", || cluster.connect(at).ask("DBSIZE") == Some(format!(":{count}")));
        check(&cluster, at, count);
        assert_eq!(status(&cluster.admin(at))["trouble"], serde_json::Value::Null);
    }
    for at in [primary, replica] {
        assert!(
            cluster.told(at, "store-damaged").is_empty() && cluster.told(at, "cluster-forgetful").is_empty()
        );
    }
}
