//! A node's directory that is damaged when it is opened: what is still of use in it is kept, and from where on the others
//! have to give it again.
//!
//! What goes may be entries and votes that the node had promised to remember. So a node whose directory was cut begins as one
//! that has forgotten something ([`Start::is_damaged`](super::Start::is_damaged)): it votes for nobody until the others have
//! taken it in again, and is sent what it lacks. With fewer than three voters nobody could take one in again: there nothing
//! is cut, and the damage is told.
//!
//! Damage in the last batch that was written cannot be told from a write that a crash cut off (`docs/wal-format.md`).

use super::membership::Membership;
use super::node::membership_in_record;
use crate::error::{Damage, Error, Result};
use crate::store::log::record::Body;
use crate::store::log::{Disk, File, Repair, dump};

/// The fewest voters of a cluster that takes in one of them again: two others have to agree on it.
pub const VOTERS_MIN: usize = 3;

/// What makes a damaged directory one that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// What is wrong.
    pub damage: Box<Damage>,
    /// The log is cut there; `None`: nothing of it is of use.
    repair: Option<Repair>,
    /// The files that go when nothing is of use, in the order in which they do.
    gone: Vec<File>,
    /// Who was in the cluster, as far as that can be read.
    pub members: Option<Membership>,
}

impl Cut {
    /// Looks through a directory that could not be opened; `None` when there is nothing wrong with its log. Changes nothing,
    /// and blocks while it reads.
    ///
    /// - `opening`: what opening said.
    ///
    /// # Errors
    ///
    /// `Io`; `Unsupported` when a later release wrote it.
    pub fn plan(disk: &impl Disk, opening: &Error) -> Result<Option<Self>> {
        let Error::Corrupt(damage) = opening else { return Ok(None) };
        let mut files = disk.list().map_err(|error| Error::io("list the directory", &error))?;
        files.sort();
        let repair = match Repair::plan(disk) {
            Ok(repair) => repair,
            Err(Error::Corrupt(_) | Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        // What does not say who is in the cluster is of no use: the node would be none of it.
        let has_snapshot = files.iter().any(|file| matches!(file, File::Snapshot(_)));
        let repair = match repair {
            Some(it) if has_snapshot || says_who(disk, &it)? => Some(it),
            _ => None,
        };
        let damage = repair.as_ref().map_or_else(|| damage.clone(), |it| it.damage.clone());
        // From the end: so what is left, if this is interrupted, is no less damaged than it was.
        let gone = files
            .into_iter()
            .rev()
            .filter(|file| matches!(file, File::Segment(_) | File::Snapshot(_) | File::Unfinished(_)));
        let gone = if repair.is_some() { Vec::new() } else { gone.collect() };
        Ok(Some(Self { damage, repair, gone, members: last_membership(disk)? }))
    }

    /// Whether the others can take the node in again, as far as is known who they are.
    ///
    /// - `node`: the node.
    /// - `voters`: how many voters there are by what was configured: it counts where nothing can be read.
    pub fn is_mendable(&self, node: u64, voters: usize) -> bool {
        match &self.members {
            Some(members) if members.learners.contains(&node) => true,
            Some(members) => members.voters.len() >= VOTERS_MIN,
            None => voters >= VOTERS_MIN,
        }
    }

    /// The files that are changed or go.
    pub fn touched(&self) -> impl Iterator<Item = File> + '_ {
        self.repair.iter().flat_map(Repair::touched).chain(self.gone.iter().copied())
    }

    /// Whether this file stays, and is cut.
    pub fn cuts(&self, file: File) -> bool {
        self.repair.as_ref().and_then(|it| it.cut).is_some_and(|(cut, _)| cut == file)
    }

    /// Whether a part of the log stays.
    pub fn keeps_log(&self) -> bool {
        self.repair.is_some()
    }

    /// Does it. The caller has the directory's lock, and has written down for good that the node has forgotten something.
    /// Stopped midway it can be done again. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// `Io`.
    pub fn run(&self, disk: &impl Disk) -> Result<()> {
        if let Some(repair) = &self.repair {
            return repair.apply(disk);
        }
        for file in &self.gone {
            disk.remove(*file).map_err(|error| Error::io(format!("remove {}", disk.name(*file)), &error))?;
        }
        disk.sync_names().map_err(|error| Error::io("sync the directory", &error))
    }
}

/// Whether what stays of the log says who is in the cluster.
fn says_who(disk: &impl Disk, repair: &Repair) -> Result<bool> {
    let end = repair.cut.or_else(|| repair.removed.first().map(|file| (*file, 0)));
    let mut found = false;
    dump(disk, &mut |file, offset, record| {
        let stays = end.is_none_or(|end| (file, offset) < end);
        found |= stays && matches!(record.body, Body::Membership(_));
        stays && !found
    })?;
    Ok(found)
}

/// Who was in the cluster, by the latest record that can be read and says so.
fn last_membership(disk: &impl Disk) -> Result<Option<Membership>> {
    let mut last: Option<Membership> = None;
    dump(disk, &mut |_, _, record| {
        if let Body::Membership(bytes) = record.body
            && let Some(members) = membership_in_record(bytes)
            && last.as_ref().is_none_or(|it| it.sequence <= members.sequence)
        {
            last = Some(members);
        }
        true
    })?;
    Ok(last)
}
