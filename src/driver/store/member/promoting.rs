//! The promotion by force of a directory that nobody has open.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::options::identity_of;
use super::people::name_in;
use super::place;
use crate::driver::log::FileDisk;
use crate::driver::store::shared::now;
use crate::error::{Error, Result};
use crate::replication::{self, Node, Start};
use crate::store::engine;
use crate::store::log::{self, Disk, find_label};
use crate::sys::entropy;

/// What a promotion by force came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promoted {
    /// The cluster's name.
    pub cluster: String,
    /// The name of the node that is its primary now.
    pub node: String,
    /// Counts promotions by force.
    pub generation: u64,
    /// The last entry that it has.
    pub last: u64,
    /// Those that voted beside it, and are out.
    pub out: Vec<String>,
    /// Those that follow it.
    pub learners: Vec<String>,
}

/// Makes the node whose directory this is the primary of its cluster, by force, with what is in it: it alone votes from now
/// on, learners follow it, and all others that voted are out, together with what they had and this one has not. For when
/// they are gone for good. Blocks while it reads the log.
///
/// # Errors
///
/// `State` when somebody has the directory open; `InvalidArgument` for one that is no member's, or of a node that was taken
/// out; those of opening a store.
pub fn promote_directory(path: impl AsRef<Path>) -> Result<Promoted> {
    let random = entropy::bytes().map_err(|error| Error::io("read random bytes", &error))?;
    let word =
        |at: usize| u64::from_le_bytes(random[8 * at..8 * at + 8].try_into().expect("eight of 32 bytes"));
    // Looked at first, so that nothing is made in a directory that is none.
    let disk = place::existing(path.as_ref())?;
    let (cluster, node) = place::names(disk.folder())?;
    // The lock comes before all else: whoever has the directory open goes on undisturbed.
    log::lock(&disk)?;
    let found = place::look(disk.folder(), &cluster, &node.parse()?, true, || Ok(None), false)?;
    let label = find_label(&disk)?;
    let identity = identity_of(&cluster, &node.parse()?);
    let log = log::Options { segment_bytes: label.segment_bytes, ..log::Options::default() };
    let options = engine::Options { log, ..engine::Options::default() };
    let open = |start: &Start, seed| {
        let default = replication::Options::default();
        // It sends nothing; only what it is checked against is to fit.
        let message_bytes = default.message_bytes.min(label.segment_bytes / 8);
        let replication = replication::Options { message_bytes, ..default };
        Node::open(&disk, options.clone(), replication, identity, start, seed, now())
    };
    // As it was before, for who is in the cluster then.
    let (mut before, report) = open(&Start { label: Some(label.identity), ..Start::default() }, word(0))?;
    close(&mut before, &disk)?;
    let (mut promoted, _) =
        open(&Start { label: Some(label.identity), is_promoted: true, ..Start::default() }, word(1))?;
    close(&mut promoted, &disk)?;
    // What it has forgotten is nobody's any more: it alone says what was.
    place::mark(disk.folder(), &cluster, &node.parse()?, found.label, place::Stage::Settled)?;
    // A node that was killed may not have written down yet that the last changes count, the first among them.
    let (known, expected, members) = (before.members(), &report.expected, promoted.members());
    let about = |number: &u64| expected.about.get(number).or_else(|| known.about.get(number));
    let name =
        |number: &u64| about(number).and_then(|it| name_in(it)).unwrap_or_else(|| format!("node {number}"));
    let voted: BTreeSet<u64> =
        [known, expected].iter().flat_map(|it| it.voters.union(&it.outgoing)).copied().collect();
    Ok(Promoted {
        cluster,
        node,
        generation: members.generation,
        last: promoted.state().sequence(),
        out: voted.iter().filter(|it| !members.voters.contains(it)).map(name).collect(),
        learners: members.learners.iter().map(name).collect(),
    })
}

/// Has all that a node has written come to disk.
fn close(node: &mut Node, disk: &FileDisk) -> Result<()> {
    node.close(now());
    loop {
        if let Some(flush) = node.poll_flush(now()) {
            let result = flush.run(disk);
            node.handle_flushed(flush, result, now(), |file| disk.name(file));
        } else if !node.is_drained()
            && let Some(work) = node.poll_upkeep()
        {
            // The record that closes it may need a further segment.
            let result = work.run(disk);
            node.handle_upkeep(&work, result, now(), |file| disk.name(file));
        } else {
            break;
        }
    }
    node.engine().failure().cloned().map_or(Ok(()), Err)
}
