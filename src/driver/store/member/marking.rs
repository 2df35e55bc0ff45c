//! What is said of a node's directory that nobody has open: that it was put back from a copy, or is the original though it was
//! moved. It is written into the directory and counts for one opening, after which the directory is the node's as any other.

use std::path::Path;

use serde::Serialize;

use super::Directory;
use super::place::{self, Found, Stage};
use crate::driver::log::Folder;
use crate::error::{Error, Result};
use crate::store::log;

/// Whose a node's directory is, and what its next opening takes it for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// `original`: as the node left it; `copy`: the node votes for nobody until the others have taken it in again; `opening`:
    /// its first opening has not come to its end; `damaged`: it was found damaged and has not been opened since in order.
    pub seen: &'static str,
}

/// Tells whose a directory is, and what its next opening takes it for. Changes nothing. Blocks for the disk.
///
/// # Errors
///
/// `InvalidArgument` for one that is no member's; `Unsupported` when a later release wrote it; `Io`.
pub fn look_at_directory(path: impl AsRef<Path>) -> Result<Marked> {
    seen(place::existing(path.as_ref())?.folder()).map(|(marked, _)| marked)
}

/// Says what a directory is that nobody has open, for its next opening: [`Directory::Copy`] or [`Directory::Original`]. As
/// [`Store::join`](crate::embedded::Store::join) with that, for those who cannot tell it then. Blocks for the disk.
///
/// # Errors
///
/// `State` when somebody has the directory open; `InvalidArgument` for one that is no member's, that has not been opened to
/// the end once, or that was found damaged, for whose node nobody need say anything; `Unsupported`; `Io`.
pub fn mark_directory(path: impl AsRef<Path>, directory: Directory) -> Result<Marked> {
    let stage = match directory {
        Directory::Original => Stage::Settled,
        Directory::Copy => Stage::Copied,
        Directory::Detect | Directory::Promoted => {
            return Err(Error::invalid(
                "directory",
                "is said to be the original or a copy, and nothing else",
            ));
        }
    };
    // Looked at first, so that nothing is made in a directory that is none.
    let disk = place::existing(path.as_ref())?;
    let (before, _) = seen(disk.folder())?;
    log::lock(&disk)?;
    let (_, place) = seen(disk.folder())?;
    let why = match place.found {
        Found::Original | Found::Copy => None,
        Found::Nothing => {
            Some("has not been opened to the end once, so there is nothing that its node has promised")
        }
        Found::Damaged => {
            Some("was found damaged, so its node votes for nobody until it is taken in again in any case")
        }
    };
    if let Some(why) = why {
        return Err(Error::invalid("directory", format!("{} {why}", disk.dir().display())));
    }
    place::mark(disk.folder(), &before.cluster, &before.node.parse()?, place.label, stage)?;
    seen(disk.folder()).map(|(marked, _)| marked)
}

pub(super) fn seen(folder: &Folder) -> Result<(Marked, place::Place)> {
    let (cluster, node) = place::names(folder)?;
    let place = place::look(folder, &cluster, &node.parse()?, true, || Ok(None), false)?;
    let seen = match place.found {
        Found::Original => "original",
        Found::Copy => "copy",
        Found::Nothing => "opening",
        Found::Damaged => "damaged",
    };
    Ok((Marked { cluster, node, seen }, place))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::driver::log::FileDisk;

    #[test]
    fn what_is_said_is_seen_until_it_is_said_otherwise() {
        let dir = std::env::temp_dir().join(format!("trimtab-marking-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(matches!(mark_directory(&dir, Directory::Copy), Err(Error::InvalidArgument { .. })));
        assert!(fs::read_dir(&dir).unwrap().next().is_none(), "nothing is left in it");
        let none = dir.join("none");
        for refused in [look_at_directory(&none), mark_directory(&none, Directory::Copy)] {
            assert!(refused.unwrap_err().to_string().contains("there is no directory "));
        }
        assert!(!none.exists());
        let node = "db-1".parse().unwrap();
        let folder = Folder::open(&dir).unwrap();
        let label = Some(log::Identity { cluster: *b"0123456789abcdef", node: 7 });
        for stage in [Stage::Opening, Stage::Damaged] {
            place::mark(&folder, "orders", &node, label, stage).unwrap();
            assert!(matches!(mark_directory(&dir, Directory::Original), Err(Error::InvalidArgument { .. })));
        }
        place::mark(&folder, "orders", &node, label, Stage::Settled).unwrap();
        assert_eq!(look_at_directory(&dir).unwrap().seen, "original");
        for (directory, seen) in [
            (Directory::Copy, "copy"),
            (Directory::Copy, "copy"),
            (Directory::Original, "original"),
            (Directory::Original, "original"),
        ] {
            let marked = mark_directory(&dir, directory).unwrap();
            assert_eq!(marked, Marked { cluster: "orders".into(), node: "db-1".into(), seen });
            assert_eq!(look_at_directory(&dir).unwrap(), marked);
            assert_eq!(
                place::look(&folder, "orders", &node, true, || Ok(None), false).unwrap().label,
                label,
                "it is kept"
            );
        }
        for none in [Directory::Detect, Directory::Promoted] {
            assert!(matches!(mark_directory(&dir, none), Err(Error::InvalidArgument { .. })));
        }
        let disk = FileDisk::new(&dir).unwrap();
        log::lock(&disk).unwrap();
        assert!(matches!(mark_directory(&dir, Directory::Copy), Err(Error::State { .. })));
        fs::remove_dir_all(&dir).unwrap();
    }
}
