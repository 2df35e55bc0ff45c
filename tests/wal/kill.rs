//! A process that writes is killed, again and again: what it said is durable is there.
//!
//! `TRIMTAB_WAL_ROUNDS=N` has it killed so often.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use trimtab::rng::Rng;
use trimtab::store::log::{Epoch, Sequence};
use trimtab::wal::Mode;

use crate::support::{Folder, child, open_checked, payload, small, soon};

const ROUNDS: u64 = 200;

/// Writes until it is killed; each entry's number is printed when it is durable.
pub(super) fn write(dir: &Path) {
    let (wal, _, _) = open_checked(dir, small(), Mode::Threads);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let appended = wal
                        .update(Some(soon()), |log| {
                            let bytes = payload(log.state().last.next());
                            log.append(Epoch(1), 0, &bytes)
                        })
                        .expect("there is room");
                    wal.wait_durable(appended.ticket, soon()).expect("it becomes durable");
                    // One write: what is killed in between has not said it.
                    let line = format!("{}\n", appended.sequence);
                    std::io::stdout().write_all(line.as_bytes()).expect("the parent reads");
                }
            });
        }
        scope.spawn(|| {
            let mut done = wal.state().snapshot.sequence;
            loop {
                let (ticket, durable) = wal.durable();
                if durable.0 >= done.0 + 300 {
                    let fill = |writer: &mut trimtab::store::log::SnapshotWriter, disk: &_| {
                        writer.data(disk, &durable.0.to_le_bytes())
                    };
                    wal.snapshot(durable, Epoch(1), 0, fill).expect("a snapshot is written");
                    done = durable;
                }
                let next = trimtab::store::log::Ticket(ticket.0 + 1);
                wal.wait_durable(next, soon()).expect("others write");
            }
        });
    });
}

#[test]
fn what_was_told_durable_survives_the_process() {
    let rounds = std::env::var("TRIMTAB_WAL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let folder = Folder::new("kill");
    let mut rng = Rng::new(rounds);
    let mut told = Sequence(0);
    let mut snapshots = 0;
    for round in 0..rounds {
        let mut process = child("write", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        // So many it says before it is killed; how far it is then is up to the scheduler.
        let enough = rng.below(60);
        let mut count = 0;
        let mut take = |line: String, count: &mut u64| {
            if let Ok(sequence) = line.parse() {
                told = told.max(Sequence(sequence));
                *count += 1;
            }
        };
        while count <= enough {
            let line = lines.next().expect("the child writes until it is killed").expect("it is text");
            take(line, &mut count);
        }
        std::thread::sleep(Duration::from_micros(rng.below(3_000)));
        process.kill().expect("it runs");
        process.wait().expect("it ends");
        for line in lines {
            take(line.expect("it is text"), &mut count);
        }
        let (wal, report, covered) = open_checked(folder.path(), small(), Mode::Inline);
        assert!(report.last >= told, "round {round}: {told} was told durable, {} is the last", report.last);
        assert!(
            report.torn.is_none(),
            "round {round}: what is written stays with the system: {:?}",
            report.torn
        );
        snapshots += u64::from(covered > Sequence(0));
        drop(wal);
    }
    assert!(told.0 > rounds * 20, "{told} entries in {rounds} rounds");
    assert!(rounds < 100 || snapshots > rounds / 2, "{snapshots} rounds with a snapshot");
}
