//! A node's directory that nobody has open, and of whose log something is cut off by hand: that is written down before, since the
//! node may have promised what is lost.

use serde::Serialize;

use super::marking::{Marked, seen};
use super::mending;
use super::options::identity_of;
use super::place::{self, Found, Place, Stage};
use crate::driver::log::{FileDisk, Folder};
use crate::driver::store::MEMBER_FILE;
use crate::error::{Damage, Error, Result};
use crate::replication::damage::{Cut, VOTERS_MIN};

/// A node's directory, of whose log something is lost, or is to be cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Forgetting {
    /// The cluster's name.
    cluster: String,
    /// The node's name.
    node: String,
    /// What the node is not to do, and what is better than cutting its log off.
    pub(crate) advice: String,
    /// The others can take the node in again, as far as is known who they are.
    #[serde(skip)]
    pub(crate) is_mendable: bool,
}

/// Whose directory this is, if it is that of a node which may have promised what is in its log. Changes nothing. Blocks for
/// the disk.
///
/// # Errors
///
/// `Unsupported` when a later release wrote it; `Io`.
pub(crate) fn forgetting(disk: &FileDisk, damage: &Damage) -> Result<Option<Forgetting>> {
    let Some(place) = promising(disk.folder())? else { return Ok(None) };
    let Marked { cluster, node, .. } = place.0;
    let own = identity_of(&cluster, &node.parse()?).node;
    let cut = Cut::plan(disk, &Error::Corrupt(Box::new(damage.clone())))?;
    // Where nothing says who they are, they are those of the configuration: mostly three or more.
    let is_mendable = cut.as_ref().is_none_or(|it| it.is_mendable(own, VOTERS_MIN));
    let must_not = format!(
        "it is the directory of {node} in the cluster {cluster}, which may have promised what is lost, and must not vote until \
         it has that again"
    );
    let members = cut.and_then(|it| it.members);
    let better = match is_mendable {
        true => "leave it as it is and start the node: where there are three voters or more, or it is a learner, it cuts its log \
                 off by itself and votes for nobody until the others have given it what it lacks; or have them fill an empty \
                 directory"
            .to_owned(),
        false => mending::by_force(&members.as_ref().map(mending::learners_in).unwrap_or_default()),
    };
    Ok(Some(Forgetting { cluster, node, advice: format!("{must_not}; {better}"), is_mendable }))
}

/// Writes down in a node's directory, for good, that it forgets something, before something durable is taken from it: its
/// node votes for nobody until the others have taken it in again. The caller has the directory's lock. Does nothing in the
/// directory of a store of one node, and in one whose node has promised nothing yet. Blocks for the disk.
///
/// # Errors
///
/// `Unsupported` when a later release wrote whose it is; `Io`. Nothing may be taken away then.
pub(crate) fn mark_forgetting(disk: &FileDisk) -> Result<()> {
    let Some((Marked { cluster, node, .. }, place)) = promising(disk.folder())? else { return Ok(()) };
    place::mark(disk.folder(), &cluster, &node.parse()?, place.label, Stage::Damaged)
}

/// Whose directory it is, if that is a node's which may have promised something.
fn promising(folder: &Folder) -> Result<Option<(Marked, Place)>> {
    let failed = |error| Error::io(format!("look for {MEMBER_FILE} in {}", folder.path().display()), &error);
    if !folder.has(MEMBER_FILE).map_err(failed)? {
        return Ok(None);
    }
    Ok(Some(seen(folder)?).filter(|(_, place)| place.found != Found::Nothing))
}
