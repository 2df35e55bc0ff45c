//! Where a member's directory lies: a file in it says whose it is, and which file it is. A copy of the directory has another
//! file, so it is seen for what it is: it may have forgotten what the node promised since.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::options::identity_of;
use crate::error::{Error, Result};
use crate::peer::NodeName;
use crate::store::log::Identity;

const NAME: &str = crate::driver::store::MEMBER_FILE;
const NEW_NAME: &str = "member.new";
/// What it begins with, and the version.
const FIRST: &str = "trimtab member 1";
/// Whose the log says it is, where a store of one node became the first of a cluster.
const LOG: &str = "log";
/// It is being opened for the first time.
const OPENING: &str = "opening";
/// It was damaged, and what was of no use any more is being taken away.
const DAMAGED: &str = "damaged";
/// Nothing of ours is so long.
const BYTES_MAX: u64 = 4_096;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: no member has been here, or its first opening did not come to its end.
    Nothing,
    /// It is where it was.
    Original,
    /// It is a copy, or was moved to another file system.
    Copy,
    /// It was damaged, and has not been opened since in order.
    Damaged,
}

/// What is under way with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing: it is its node's.
    Settled,
    /// It is being opened for the first time: before there is anything else.
    Opening,
    /// It was found damaged, and is mended.
    Damaged,
    /// It was said to be a copy.
    Copied,
}

/// Whose the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) found: Found,
    /// Whose the log says it is, where that is a store of one node.
    pub(super) label: Option<Identity>,
}

impl Place {
    const NOTHING: Self = Self { found: Found::Nothing, label: None };
    const COPY: Self = Self { found: Found::Copy, label: None };
}

/// Looks whose the directory is. Blocks for the disk.
///
/// - `label`: whose the log that is there says it is, if there is one and it says so; asked where nothing else tells.
/// - `adopts`: the log of a store of one node may become the node's.
///
/// # Errors
///
/// `InvalidArgument` for the directory of another cluster or node, and for a store that is no member's; `Corrupt` is not
/// told: a file that says nothing counts as a copy's, as does one that is gone where the log is the node's. `Io`.
pub(super) fn look(
    dir: &Path,
    cluster: &str,
    node: &NodeName,
    has_log: bool,
    label: impl FnOnce() -> Result<Option<Identity>>,
    adopts: bool,
) -> Result<Place> {
    let path = dir.join(NAME);
    let failed = |error: &std::io::Error| Error::io(format!("read {}", path.display()), error);
    let file = match fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && has_log => {
            let (own, label) = (identity_of(cluster, node), label()?);
            let why = match label {
                Some(label) if label == own => return Ok(Place::COPY),
                Some(label) if label.cluster == own.cluster => format!(
                    "{} has the log of another node of the cluster {cluster}, and no {NAME} that says of which; name an empty \
                     directory, and the others fill it",
                    dir.display()
                ),
                Some(_) if adopts => return Ok(Place { label, ..Place::NOTHING }),
                _ => format!(
                    "{} has a store that belongs to no cluster; to make that the first node of a new one, with all it has, \
                     have the node adopt it (adopt = true in [store]). If it was a node's, and lost its {NAME}, or to join a \
                     cluster that is there, name an empty directory, and the others fill it",
                    dir.display()
                ),
            };
            return Err(Error::invalid("directory", why));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Place::NOTHING),
        other => other.map_err(|error| failed(&error))?,
    };
    if file.len() > BYTES_MAX {
        return Ok(Place::COPY);
    }
    let text = String::from_utf8_lossy(&fs::read(&path).map_err(|error| failed(&error))?).into_owned();
    let mut lines = text.lines();
    if lines.next() != Some(FIRST) {
        let detail = format!("{}: it was written by a later release; use that", path.display());
        return Err(Error::Unsupported { what: "member", detail: detail.into() });
    }
    let (mut inode, mut is_opening, mut is_damaged, mut label) = (None, false, false, None);
    for line in lines {
        match line.split_once(' ') {
            Some(("cluster", other)) if other != cluster => {
                let why = format!("{} is of the cluster {other}, and this is {cluster}", dir.display());
                return Err(Error::invalid("directory", why));
            }
            Some(("node", other)) if other != node.as_str() => {
                let why = format!("{} is of the node {other}, and this is {node}", dir.display());
                return Err(Error::invalid("directory", why));
            }
            Some((LOG, text)) => {
                let read = read_identity(text);
                label = Some(read.ok_or_else(|| Error::Unsupported {
                    what: "member",
                    detail: format!("{}: it says not whose the log is", path.display()).into(),
                })?);
            }
            Some(("inode", number)) => inode = number.parse::<u64>().ok(),
            None if line == OPENING => is_opening = true,
            None if line == DAMAGED => is_damaged = true,
            _ => {}
        }
    }
    let found = match inode == Some(file.ino()) {
        _ if is_damaged => Found::Damaged,
        _ if is_opening => Found::Nothing,
        true => Found::Original,
        false => Found::Copy,
    };
    Ok(Place { found, label })
}

/// The names of the cluster and the node whose directory this is. Blocks for the disk.
///
/// # Errors
///
/// `InvalidArgument` for one that is no member's; `Unsupported` when a later release wrote it; `Io`.
pub(super) fn names(dir: &Path) -> Result<(String, String)> {
    let path = dir.join(NAME);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let why =
                format!("{} is no directory of a node of a cluster: there is no {NAME} in it", dir.display());
            return Err(Error::invalid("directory", why));
        }
        read => read.map_err(|error| Error::io(format!("read {}", path.display()), &error))?,
    };
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let is_known = lines.next() == Some(FIRST);
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        values.next().filter(|_| is_known).map(str::to_owned)
    };
    match (value("cluster"), value("node")) {
        (Some(cluster), Some(node)) => Ok((cluster, node)),
        _ => {
            let detail = format!("{}: it was written by a later release; use that", path.display());
            Err(Error::Unsupported { what: "member", detail: detail.into() })
        }
    }
}

/// Says whose the directory is from now on, durably. Blocks for the disk.
pub(super) fn mark(
    dir: &Path,
    cluster: &str,
    node: &NodeName,
    label: Option<Identity>,
    stage: Stage,
) -> Result<()> {
    let path = dir.join(NEW_NAME);
    let write = || {
        let mut file = fs::File::create(&path)?;
        // No file has this number.
        let inode = if stage == Stage::Copied { 0 } else { file.metadata()?.ino() };
        write!(file, "{FIRST}\ncluster {cluster}\nnode {node}\ninode {inode}\n")?;
        if let Some(label) = label {
            write!(file, "{LOG} ")?;
            label.cluster.iter().try_for_each(|byte| write!(file, "{byte:02x}"))?;
            writeln!(file, " {}", label.node)?;
        }
        match stage {
            Stage::Settled | Stage::Copied => {}
            Stage::Opening => writeln!(file, "{OPENING}")?,
            Stage::Damaged => writeln!(file, "{DAMAGED}")?,
        }
        file.sync_all()?;
        fs::rename(&path, dir.join(NAME))?;
        fs::File::open(dir)?.sync_all()
    };
    write().map_err(|error| Error::io(format!("write {}", path.display()), &error))
}

/// A cluster in hexadecimal digits, and a node.
fn read_identity(text: &str) -> Option<Identity> {
    let (digits, node) = text.split_once(' ')?;
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut cluster = [0; 16];
    for (at, byte) in cluster.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    let node = node.parse().ok().filter(|node| *node != 0)?;
    Some(Identity { cluster, node })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks, where no log may be taken over.
    fn look(dir: &Path, cluster: &str, node: &NodeName, has_log: bool) -> Result<Found> {
        super::look(dir, cluster, node, has_log, || Ok(None), false).map(|place| place.found)
    }

    fn mark(dir: &Path, cluster: &str, node: &NodeName, stage: Stage) -> Result<()> {
        super::mark(dir, cluster, node, None, stage)
    }

    #[test]
    fn whose_the_log_was_is_kept() {
        let dir = std::env::temp_dir().join(format!("trimtab-place-lone-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let node: NodeName = "db-1".parse().unwrap();
        let lone = Identity { cluster: *b"0123456789\n\0\xff ab", node: 7 };
        let seen = |found| Ok(Place { found, label: Some(lone) });
        let look = |label, adopts| super::look(&dir, "c", &node, true, || Ok(label), adopts);
        assert_eq!(look(Some(lone), true), seen(Found::Nothing));
        let refused = look(Some(lone), false).unwrap_err().to_string();
        assert!(refused.contains("adopt = true"), "{refused}");
        // Of a log that is the node's own, or another's, there is nothing to be adopted.
        let own = identity_of("c", &node);
        let other = identity_of("c", &"db-2".parse().unwrap());
        for adopts in [false, true] {
            assert_eq!(look(Some(own), adopts), Ok(Place::COPY));
            let refused = look(Some(other), adopts).unwrap_err().to_string();
            assert!(refused.contains("another node of the cluster c"), "{refused}");
        }
        for (stage, found) in [
            (Stage::Opening, Found::Nothing),
            (Stage::Damaged, Found::Damaged),
            (Stage::Settled, Found::Original),
        ] {
            super::mark(&dir, "c", &node, Some(lone), stage).unwrap();
            assert_eq!(look(None, false), seen(found));
        }
        for wrong in
            ["", "00 1", "zz", "0123456789abcdef0123456789abcdef 0", "+123456789abcdef0123456789abcdef 1"]
        {
            assert!(read_identity(wrong).is_none(), "{wrong}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_directory_knows_whose_it_is_and_a_copy_is_seen() {
        let dir = std::env::temp_dir().join(format!("trimtab-place-{}", std::process::id()));
        let copy = dir.join("copy");
        fs::create_dir_all(&copy).unwrap();
        let (a, b): (NodeName, NodeName) = ("db-1".parse().unwrap(), "db-2".parse().unwrap());
        assert_eq!(look(&dir, "c", &a, false), Ok(Found::Nothing));
        assert!(look(&dir, "c", &a, true).unwrap_err().to_string().contains("belongs to no cluster"));
        mark(&dir, "c", &a, Stage::Opening).unwrap();
        assert_eq!(look(&dir, "c", &a, true), Ok(Found::Nothing), "a crash came in between");
        mark(&dir, "c", &a, Stage::Damaged).unwrap();
        assert_eq!(look(&dir, "c", &a, true), Ok(Found::Damaged), "and here it was damaged");
        mark(&dir, "c", &a, Stage::Settled).unwrap();
        assert_eq!(look(&dir, "c", &a, true), Ok(Found::Original));
        assert_eq!(names(&dir), Ok(("c".to_owned(), "db-1".to_owned())));
        assert!(matches!(names(&copy), Err(Error::InvalidArgument { .. })));
        assert!(look(&dir, "c", &b, true).unwrap_err().to_string().contains("of the node db-1"));
        assert!(look(&dir, "d", &a, true).unwrap_err().to_string().contains("of the cluster c"));
        fs::copy(dir.join(NAME), copy.join(NAME)).unwrap();
        assert_eq!(look(&copy, "c", &a, true), Ok(Found::Copy));
        mark(&copy, "c", &a, Stage::Settled).unwrap();
        assert_eq!(look(&copy, "c", &a, true), Ok(Found::Original));
        fs::write(copy.join(NAME), "trimtab member 2\n").unwrap();
        assert!(matches!(look(&copy, "c", &a, true), Err(Error::Unsupported { .. })));
        fs::remove_dir_all(&dir).unwrap();
    }
}
