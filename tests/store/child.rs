//! The parts that children play: this test program starts itself again with one of them in its environment.

use std::path::Path;

use crate::{backup, calls, crash, faults, held, hosted};

/// Does nothing unless it was started to play a part; then it fails when that does.
#[test]
fn plays_its_part() {
    let Ok(part) = std::env::var("TRIMTAB_STORE_PART") else { return };
    let dir = std::env::var("TRIMTAB_STORE_DIR").expect("a child is told its folder");
    let dir = Path::new(&dir);
    match part.as_str() {
        "write" => crash::write(dir, false),
        "write-hosted" => crash::write(dir, true),
        "back-up" => backup::crash::back_up(dir),
        "restore" => backup::crash::restore_once(dir),
        "failing-sync" => faults::sync::fail(dir, false),
        "failing-sync-hosted" => faults::sync::fail(dir, true),
        "failing-segments" => faults::files::fail_segments(dir),
        "failing-snapshots" => faults::files::fail_snapshots(dir),
        "failing-directories" => faults::files::fail_directories(dir),
        "fill" => faults::room::fill_the_disk(dir, false),
        "fill-hosted" => faults::room::fill_the_disk(dir, true),
        "overwrite" => faults::room::overwrite(dir, false),
        "overwrite-hosted" => faults::room::overwrite(dir, true),
        "grow" => faults::room::grow(dir),
        "shrink" => faults::room::shrink(dir),
        "give-back" => faults::room::give_back(dir, false),
        "give-back-hosted" => faults::room::give_back(dir, true),
        "open-refused" => faults::directories::open_refused(dir),
        "forbidden" => faults::directories::forbidden(dir),
        "read-only" => faults::directories::read_only(dir),
        "step-back" => faults::clock::step_back(dir),
        "step-aside" => held::step_aside(dir),
        "hosted" => hosted::use_all_of_it(dir),
        "open" => calls::open_in_child(dir),
        other => panic!("there is no part {other}"),
    }
    println!("part: done");
}
