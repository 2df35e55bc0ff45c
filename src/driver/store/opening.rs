//! Opening a store: one thread reads the log and holds it against its checksums while another makes the index of what
//! was read.

use std::panic::resume_unwind;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use super::options::Options;
use super::shared::now;
use crate::driver::log::FileDisk;
use crate::error::Result;
use crate::store::engine::{self, Batch, Build, Engine, Report};
use crate::store::log::Identity;
use crate::sync::cores;
use crate::sys;

/// Batches that were read and are not taken yet, at most.
const BATCHES_MAX: usize = 4;

/// Opens the store in a directory, or makes one there; [`engine::open`] has the errors. A hosted store has no threads, and
/// reads and builds by turns. Blocks while it reads.
pub(super) fn open(
    disk: &FileDisk,
    options: &Options,
    identity: Identity,
    seed: u64,
) -> Result<(Engine, Report)> {
    match options.is_hosted || cores() == 1 {
        true => engine::open(disk, options.engine.clone(), identity, seed, now()),
        false => open_by_two(disk, &options.engine, identity, seed),
    }
}

fn open_by_two(
    disk: &FileDisk,
    options: &engine::Options,
    identity: Identity,
    seed: u64,
) -> Result<(Engine, Report)> {
    let (read_in, read_out) = sync_channel::<Batch>(BATCHES_MAX);
    let (empty_in, empty_out) = channel();
    thread::scope(|scope| {
        let reading = {
            let _masked = sys::signal::mask_all();
            let read = move || {
                engine::read(disk, options, identity, seed, &mut |batch| {
                    // Nobody takes it only if the other side has panicked, which is told there.
                    let _ = read_in.send(batch);
                    empty_out.try_recv().unwrap_or_default()
                })
            };
            thread::Builder::new().name("trimtab-read".into()).spawn_scoped(scope, read)
        };
        let Ok(reading) = reading else {
            // The system gives no thread: it goes without.
            return engine::open(disk, options.clone(), identity, seed, now());
        };
        // On this thread, whose memory the index is for the rest of its life.
        let mut build = Build::new(options, identity);
        for mut batch in read_out {
            build.take(disk, &mut batch);
            // Once all is read nobody wants it back.
            let _ = empty_in.send(batch);
        }
        let found = reading.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        build.finish(disk, found, now())
    })
}
