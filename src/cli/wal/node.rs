//! Logs of nodes of a cluster: others rely on what is in one, so it is not cut off as if nobody had been promised anything.

use crate::driver::log::FileDisk;
use crate::error::{Damage, Result};

#[cfg(feature = "replication")]
pub(super) use crate::driver::store::Forgetting;

/// The node whose damaged directory this is, if it is one's.
#[cfg(feature = "replication")]
pub(super) fn find(disk: &FileDisk, damage: &Damage) -> Result<Option<Forgetting>> {
    crate::driver::store::forgetting(disk, damage)
}

/// Writes down that the node forgets something, before it does. The caller has the lock.
#[cfg(feature = "replication")]
pub(super) fn mark(disk: &FileDisk) -> Result<()> {
    crate::driver::store::mark_forgetting(disk)
}

/// A build without clusters knows none.
#[cfg(not(feature = "replication"))]
#[derive(serde::Serialize)]
pub(super) struct Forgetting {
    pub(super) advice: String,
    #[serde(skip)]
    pub(super) is_mendable: bool,
}

#[cfg(not(feature = "replication"))]
pub(super) fn find(disk: &FileDisk, _: &Damage) -> Result<Option<Forgetting>> {
    let advice =
        "it is the directory of a node of a cluster; use a build of trimtab that has clusters".to_owned();
    Ok(is_member(disk)?.then_some(Forgetting { advice, is_mendable: true }))
}

#[cfg(not(feature = "replication"))]
pub(super) fn mark(disk: &FileDisk) -> Result<()> {
    use crate::error::Error;
    match is_member(disk)? {
        false => Ok(()),
        true => Err(Error::Unsupported {
            what: "member",
            detail: "this build of trimtab has no clusters, and cannot say that the node forgets something"
                .into(),
        }),
    }
}

#[cfg(not(feature = "replication"))]
fn is_member(disk: &FileDisk) -> Result<bool> {
    let name = crate::driver::store::MEMBER_FILE;
    let failed =
        |error| crate::error::Error::io(format!("look for {name} in {}", disk.dir().display()), &error);
    disk.folder().has(name).map_err(failed)
}
