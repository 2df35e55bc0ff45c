//! `trimtab store` as an operator runs it.

use std::path::Path;
use std::process::{Command, Output};

use trimtab::embedded::Store;

use super::{content, tiny};
use crate::support::{Folder, local, value_of};

fn store(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trimtab"))
        .arg("store")
        .args(arguments)
        .args(paths)
        .output()
        .expect("the command is built")
}

fn told(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    if code == 0 { out.into_owned() } else { format!("{out}{err}") }
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).expect("one value")
}

#[test]
fn a_directory_is_backed_up_verified_and_restored() {
    let (folder, backup, to) = (Folder::new("command"), Folder::new("backup"), Folder::new("to"));
    let open = Store::open(folder.path(), tiny()).expect("it opens");
    for number in 0..10_u8 {
        open.put(b"n", &[b'0' + number], &local()).expect("there is room");
    }
    let text = told(&store(&["backup"], &[folder.path(), backup.path()]), 1);
    assert!(text.contains("is open already") && text.contains("trimtab_store_backup"), "{text}");
    open.close().expect("all is written");

    let text = told(&store(&["backup"], &[folder.path(), backup.path()]), 0);
    assert!(text.starts_with("added the log up to entry 10 (10 records)\n"), "{text}");
    assert!(text.contains("holds entries 1 to 10, 20"), "{text}");
    let text = told(&store(&["backup"], &[folder.path(), backup.path()]), 0);
    assert!(text.starts_with("nothing new; the last entry is 10\n"), "{text}");
    let output = store(&["backup", "--json"], &[folder.path(), backup.path()]);
    told(&output, 0);
    assert_eq!((&json(&output)["last"], &json(&output)["entries"]), (&10.into(), &0.into()));

    let text = told(&store(&["verify"], &[backup.path()]), 0);
    assert!(text.contains("node 1 of cluster ") && text.ends_with("good\n"), "{text}");
    let found = json(&store(&["verify", "--json"], &[backup.path()]));
    assert_eq!((&found["good"], &found["holds"][0]["last"]), (&true.into(), &10.into()));
    let time = found["holds"][0]["first_ms"].as_u64().expect("a number");

    let text = told(&store(&["restore", "--to-sequence", "4"], &[backup.path(), to.path()]), 0);
    assert!(text.starts_with("restored up to entry 4, of 20"), "{text}");
    let restored = Store::open(to.path(), tiny()).expect("it opens");
    assert_eq!(value_of(&restored, b"n"), Some(b"3".to_vec()));
    drop(restored);
    let text = told(&store(&["restore"], &[backup.path(), to.path()]), 2);
    assert!(text.contains("restore into an empty one"), "{text}");

    let elsewhere = to.path().join("a/b");
    let output = store(&["restore", "--json", "--same-identity"], &[backup.path(), &elsewhere]);
    told(&output, 0);
    assert_eq!((&json(&output)["last"], &json(&output)["cluster"]), (&10.into(), &found["cluster"]));
    let restored = Store::open(&elsewhere, tiny()).expect("it opens");
    assert_eq!((restored.identity(), content(&restored).len()), (open.identity(), 1));

    let elsewhere = to.path().join("c");
    let text =
        told(&store(&["restore", "--to-time", "1999-12-31T23:59:59Z"], &[backup.path(), &elsewhere]), 2);
    assert!(text.contains("1999-12-31T23:59:59.000Z is not in the backup, which holds 20"), "{text}");
    // As `verify` has them.
    let held = told(&store(&["verify"], &[backup.path()]), 0);
    let held =
        held.lines().find_map(|line| line.split_once(", ").filter(|_| line.starts_with("holds "))).unwrap().1;
    assert!(text.contains(held), "{text}{held}");
    let text = told(&store(&["restore", "--to-time", "noon"], &[backup.path(), &elsewhere]), 2);
    assert!(text.contains("milliseconds since 1970"), "{text}");
    let text = told(&store(&["restore", "--to-sequence", "11"], &[backup.path(), &elsewhere]), 2);
    assert!(text.contains("which holds the sequences 1 to 10"), "{text}");
    told(&store(&["restore", "--to-time", &(time + 3_600_000).to_string()], &[backup.path(), &elsewhere]), 2);
    told(&store(&["restore", "--to-time", &time.to_string()], &[backup.path(), &elsewhere]), 0);
}

#[test]
fn a_damaged_backup_is_told() {
    let (folder, backup, to) = (Folder::new("command"), Folder::new("backup"), Folder::new("to"));
    let open = Store::open(folder.path(), tiny()).expect("it opens");
    open.put(b"n", b"1", &local()).expect("there is room");
    open.close().expect("all is written");
    told(&store(&["backup"], &[folder.path(), backup.path()]), 0);
    let file = backup.path().join("0000000000000001.entries");
    let mut bytes = std::fs::read(&file).expect("it is there");
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).expect("it is written");
    for output in [store(&["verify"], &[backup.path()]), store(&["restore"], &[backup.path(), to.path()])] {
        let text = told(&output, 1);
        assert!(text.contains("0000000000000001.entries is damaged at byte 64: "), "{text}");
    }
    let output = store(&["verify", "--json"], &[backup.path()]);
    told(&output, 1);
    assert_eq!((&json(&output)["good"], &json(&output)["damage"]["offset"]), (&false.into(), &64.into()));
    let text = told(&store(&["verify"], &[folder.path()]), 1);
    assert!(text.contains("there is no backup in"), "{text}");
    told(&store(&["restore"], &[backup.path()]), 2);
}

#[test]
fn of_a_damaged_snapshot_too_another_backup_is_advised() {
    let (folder, backup, to) = (Folder::new("command"), Folder::new("backup"), Folder::new("to"));
    let open = Store::open(folder.path(), tiny()).expect("it opens");
    open.put(b"n", b"1", &local()).expect("there is room");
    open.close().expect("all is written");
    let text = told(&store(&["backup", "--full"], &[folder.path(), backup.path()]), 0);
    assert!(text.contains("added a snapshot of entry 1\n"), "{text}");
    let file = backup.path().join("0000000000000001.snapshot");
    let whole = std::fs::read(&file).expect("it is there");
    // In the header, and in a chunk.
    for (at, told_at) in [(20, 0), (100, 72)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).expect("it is written");
        for output in [store(&["verify"], &[backup.path()]), store(&["restore"], &[backup.path(), to.path()])]
        {
            let text = told(&output, 1);
            assert!(text.contains(&format!("1.snapshot is damaged at byte {told_at}: ")), "{text}");
            assert!(text.contains("; take another backup, or restore to a point before"), "{text}");
            assert!(!text.contains("restore the directory"), "{text}");
        }
    }
}
