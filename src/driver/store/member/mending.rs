//! A member's directory that is damaged when it is opened: what is of no use any more goes, and the others give it again.
//! The node votes for nobody meanwhile ([`replication::damage`](crate::replication::damage)).

use std::io::{self, ErrorKind};

use super::people::name_in;
use super::{ClusterEvent, ClusterOptions, place};
use crate::driver::log::{FileDisk, Folder};
use crate::error::{Error, Result};
use crate::replication::Membership;
use crate::replication::damage::{Cut, VOTERS_MIN};
use crate::store::log::{Disk, Identity};

/// What was of no use is kept there, until the node has been opened in order again.
const FOLDER: &str = "set-aside";

/// Makes a directory that could not be opened one that can. Gives what was done; `None` when `opening` speaks of no damage to
/// the log. Blocks for the disk.
///
/// - `label`: whose the log says it is, where it was a store of one node.
/// - `is_first`: nothing was mended at this opening yet. Otherwise who is in the cluster was looked for when more of the log was there.
/// - `was_damaged`: it was before this opening. What was kept of it then is not replaced, nor is what an earlier pass has kept.
///
/// # Errors
///
/// `opening`, and what to do, where the others could not take the node in again; `Io`.
pub(super) fn mend(
    disk: &FileDisk,
    opening: &Error,
    cluster: &ClusterOptions,
    label: Option<Identity>,
    is_first: bool,
    was_damaged: bool,
) -> Result<Option<ClusterEvent>> {
    let Some(cut) = Cut::plan(disk, opening)? else { return Ok(None) };
    let voters = cluster.members.iter().filter(|it| !it.is_learner).count();
    let own = cluster.identity().node;
    if is_first && !cut.is_mendable(own, voters) {
        let configured = cluster.members.iter().filter(|it| it.is_learner).map(|it| it.name.to_string());
        let learners = match &cut.members {
            Some(members) => learners_in(members),
            None => configured.collect(),
        };
        let mut damage = cut.damage;
        damage.hint = by_force(&learners);
        return Err(Error::Corrupt(damage));
    }
    // From here on the node has forgotten something, whatever comes in between.
    place::mark(disk.folder(), &cluster.cluster, &cluster.node, label, place::Stage::Damaged)?;
    set_aside(disk, &cut, is_first && !was_damaged)?;
    cut.run(disk)?;
    let done = match cut.keeps_log() {
        true => "the log was cut off there",
        false => "nothing of it is of use",
    };
    let detail = format!(
        "{}; {done}, what was taken away is in {FOLDER}, and the node votes for nobody until the others have taken it in \
         again, for which most of the voters have to be well",
        cut.damage.what
    );
    Ok(Some(ClusterEvent::Damaged { file: cut.damage.file.clone(), offset: cut.damage.offset, detail }))
}

/// What to do with a damaged directory whose node nobody could take in again.
///
/// - `learners`: the names of those that may have all of it.
pub(super) fn by_force(learners: &[String]) -> String {
    let first = match learners {
        [] => "restore the directory from a backup".to_owned(),
        learners => format!(
            "{} may have everything: let it be, stop that and promote its directory by force (\"trimtab store promote --dir DIR \
             --force\"), and fill this node anew under another name. Without it restore the directory from a backup",
            learners.join(" or ")
        ),
    };
    format!(
        "there are fewer than {VOTERS_MIN} voters, so the others cannot take this node in again: {first}, or cut the log off \
         with \"trimtab wal repair\" and promote this directory by force, with what is left"
    )
}

/// The names of those that follow without a vote.
pub(super) fn learners_in(members: &Membership) -> Vec<String> {
    let name = |number: &u64| members.about.get(number).and_then(|about| name_in(about));
    members.learners.iter().filter_map(name).collect()
}

/// Takes away what an earlier opening has set aside: the node is whole again. What cannot be taken away stays.
pub(super) fn clear(disk: &FileDisk) {
    let _ = disk.folder().remove_within(FOLDER);
}

/// Keeps the files that are changed or go as they are: under another name, or as a copy where they are cut.
fn set_aside(disk: &FileDisk, cut: &Cut, replaces: bool) -> Result<()> {
    let path = disk.dir().join(FOLDER);
    let failed = |what: String, error: io::Error| Error::io(what, &error);
    let folder = disk
        .folder()
        .make_within(FOLDER)
        .map_err(|error| failed(format!("make {}", path.display()), error))?;
    for file in cut.touched() {
        let name = file.to_string();
        keep(disk.folder(), &folder, &name, cut.cuts(file), replaces)
            .map_err(|error| failed(format!("keep {} in {}", disk.name(file), path.display()), error))?;
    }
    folder.handle().sync_all().map_err(|error| failed(format!("sync {}", path.display()), error))
}

fn keep(from: &Folder, to: &Folder, name: &str, is_cut: bool, replaces: bool) -> io::Result<()> {
    if !replaces && to.file(name, false).is_ok() {
        return Ok(());
    }
    match to.remove(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if !is_cut {
        return from.link(name, to);
    }
    let mut copy = to.create_new(name)?;
    io::copy(&mut from.file(name, false)?, &mut copy)?;
    copy.sync_all()
}
