//! What things are called: numbers with a meaning, and the files of a log's directory.

use std::fmt;
use std::str::FromStr;

/// The number of an entry: 1 for the first, one more for each next. 0 stands for "none yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before this; that of 0 is 0.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose reign an entry was written in (the consensus library's term); it never goes back along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose log it is. A directory that bears another identity is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, the same on all of its nodes.
    pub cluster: [u8; 16],
    /// The node, from 1.
    pub node: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster ", self.node)?;
        self.cluster.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How many records were appended to a log since it was opened, up to and with one of them. Other than a
/// sequence it is never given twice, whatever is replaced: so it is what to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A file of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum File {
    /// Held while a store is open.
    Lock,
    /// A segment, by its ordinal: 1 for a log's first, one more for each next.
    Segment(u64),
    /// A segment being made, or one whose records nobody needs, to be used again.
    Spare(u64),
    /// The state at a sequence.
    Snapshot(Sequence),
    /// A snapshot being written.
    Unfinished(Sequence),
    /// There while a directory is being restored: what lies in it is no log yet.
    Restoring,
    /// Of a backup: entries, from this one on.
    Entries(Sequence),
    /// Of a backup: what is in it.
    Manifest,
    /// Of a backup: its next manifest being written.
    NextManifest,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            File::Lock => f.write_str("lock"),
            File::Segment(ordinal) => write!(f, "{ordinal:016x}.wal"),
            File::Spare(number) => write!(f, "{number:016x}.spare"),
            File::Snapshot(sequence) => write!(f, "{:016x}.snapshot", sequence.0),
            File::Unfinished(sequence) => write!(f, "{:016x}.unfinished", sequence.0),
            File::Restoring => f.write_str("restoring"),
            File::Entries(sequence) => write!(f, "{:016x}.entries", sequence.0),
            File::Manifest => f.write_str("manifest.json"),
            File::NextManifest => f.write_str("manifest.next"),
        }
    }
}

impl FromStr for File {
    type Err = ();

    /// Names that are none of ours are an error: they are left alone.
    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "lock" => return Ok(File::Lock),
            "restoring" => return Ok(File::Restoring),
            "manifest.json" => return Ok(File::Manifest),
            "manifest.next" => return Ok(File::NextManifest),
            _ => {}
        }
        let (digits, kind) = name.split_once('.').ok_or(())?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 16 || !digits.bytes().all(is_hex) {
            return Err(());
        }
        let number = u64::from_str_radix(digits, 16).map_err(|_| ())?;
        match kind {
            "wal" => Ok(File::Segment(number)),
            "spare" => Ok(File::Spare(number)),
            "snapshot" => Ok(File::Snapshot(Sequence(number))),
            "unfinished" => Ok(File::Unfinished(Sequence(number))),
            "entries" => Ok(File::Entries(Sequence(number))),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_are_none_of_ours() {
        let sequence = Sequence(0xabc);
        for file in [
            File::Lock,
            File::Segment(1),
            File::Segment(u64::MAX),
            File::Spare(7),
            File::Snapshot(sequence),
            File::Unfinished(sequence),
            File::Restoring,
            File::Entries(sequence),
            File::Manifest,
            File::NextManifest,
        ] {
            assert_eq!(file.to_string().parse(), Ok(file));
        }
        for name in [
            "",
            "lock2",
            "1.wal",
            "000000000000000A.wal",
            "0000000000000001.wal~",
            "+000000000000001.wal",
            "a.b",
        ] {
            assert_eq!(name.parse::<File>(), Err(()), "{name}");
        }
    }
}
