//! A backup's manifest (`docs/backup-format.md`): whose it is, and which files make it up. A file that it does not name
//! is no part of the backup.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::store::log::{Disk, File, Identity, Options, Sequence};

use super::entries::damaged;

/// The version that this release writes, and the only one it reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The longest manifest there may be, in bytes: none that is longer is written, nor read.
pub const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What a part adds to a manifest at most, in bytes.
const PART_BYTES_MAX: u64 = 512;

/// The most parts that one addition makes: a snapshot, and entries.
const ADDED_PARTS_MAX: u64 = 2;

const FORMAT: &str = "trimtab-backup";

/// What a file of a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The state after one entry.
    Snapshot,
    /// Entries, one after the other.
    Entries,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What it holds.
    pub kind: Kind,
    /// The first entry in it; for a snapshot the same as `last`.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Its epoch.
    pub last_epoch: u64,
    /// When the first was written, in milliseconds since 1970; for a snapshot, when that was taken.
    pub first_clock_ms: u64,
    /// When the last was written; for a snapshot as `first_clock_ms`.
    pub last_clock_ms: u64,
    /// All that there was up to this time is in this part and those before.
    pub through_ms: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The CRC-32C of the last entry's payload, by which the store it came from is known again. A snapshot has none
    /// when the log had let go of that entry, or an earlier release wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_payload_crc32c: Option<u32>,
}

impl Part {
    /// Its file.
    pub fn file(&self) -> File {
        match self.kind {
            Kind::Snapshot => File::Snapshot(Sequence(self.last)),
            Kind::Entries => File::Entries(Sequence(self.first)),
        }
    }
}

/// What there is to go back to without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first sequence.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The earliest time, in milliseconds since 1970.
    pub first_ms: u64,
    /// The latest.
    pub last_ms: u64,
}

/// What a backup is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Whose store it is of.
    pub identity: Identity,
    /// The length of the store's segments.
    pub segment_bytes: u64,
    /// The store was one of several that replicate.
    pub is_replicated: bool,
    /// The files, in the order in which they were made.
    pub parts: Vec<Part>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    version: u32,
    cluster: String,
    node: u64,
    segment_bytes: u64,
    replicated: bool,
    parts: Vec<Part>,
}

impl Manifest {
    /// One of a backup that has nothing yet.
    pub fn new(identity: Identity, segment_bytes: u64) -> Self {
        Self { identity, segment_bytes, is_replicated: false, parts: Vec::new() }
    }

    /// The last entry in the backup; 0: none.
    pub fn last(&self) -> Sequence {
        Sequence(self.parts.iter().map(|part| part.last).max().unwrap_or(0))
    }

    /// The part that ends with the last entry, the one that says most of it.
    pub fn last_part(&self) -> Option<&Part> {
        let last = self.last().0;
        let ends = self.parts.iter().filter(|part| part.last == last);
        ends.max_by_key(|part| (part.last_payload_crc32c.is_some(), part.kind == Kind::Entries))
    }

    /// Whether there is a snapshot of this sequence: then it is not written again, since no file changes that is named.
    pub fn has_snapshot(&self, sequence: Sequence) -> bool {
        self.parts.iter().any(|part| part.file() == File::Snapshot(sequence))
    }

    /// All there is to go back to, earliest first.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        parts.sort_by_key(|part| (part.first, part.kind == Kind::Snapshot));
        for part in parts {
            let follows = |span: &&mut Span| match part.kind {
                Kind::Snapshot => part.last <= span.last,
                Kind::Entries => part.first <= span.last + 1,
            };
            match spans.last_mut().filter(follows) {
                Some(span) => {
                    span.last = span.last.max(part.last);
                    span.last_ms = span.last_ms.max(part.through_ms);
                }
                // Entries that begin behind nothing are no use without what is before.
                None if part.kind == Kind::Snapshot || part.first == 1 => spans.push(Span {
                    first: part.first,
                    last: part.last,
                    first_ms: part.first_clock_ms,
                    last_ms: part.through_ms,
                }),
                None => {}
            }
        }
        spans
    }

    /// The bytes of its parts together.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).fold(0, u64::saturating_add)
    }

    /// Whether whatever an addition makes can be named too, in a manifest of at most `bytes_max`.
    ///
    /// # Errors
    ///
    /// `State` when it cannot.
    pub(super) fn check_room(&self, disk: &impl Disk, bytes_max: u64) -> Result<()> {
        let bytes = self.encode().len() as u64 + ADDED_PARTS_MAX * PART_BYTES_MAX;
        if bytes <= bytes_max { Ok(()) } else { Err(self.full(disk, bytes_max)) }
    }

    fn full(&self, disk: &impl Disk, bytes_max: u64) -> Error {
        Error::State {
            what: "backup",
            detail: format!(
                "takes no more: {} names {} files, and may have {bytes_max} bytes at most; what is there can be \
                 restored; begin another backup in an empty directory",
                disk.name(File::Manifest),
                self.parts.len()
            )
            .into(),
        }
    }

    /// As it is written: JSON, and a last line with its checksum.
    pub fn encode(&self) -> Vec<u8> {
        let written = Written {
            format: FORMAT.into(),
            version: MANIFEST_VERSION,
            cluster: self.identity.cluster.iter().map(|byte| format!("{byte:02x}")).collect(),
            node: self.identity.node,
            segment_bytes: self.segment_bytes,
            replicated: self.is_replicated,
            parts: self.parts.clone(),
        };
        let mut bytes = serde_json::to_vec_pretty(&written).expect("names are strings, and memory takes it");
        bytes.push(b'\n');
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(format!("crc32c {crc:08x}\n").as_bytes());
        bytes
    }

    /// Reads what [`Manifest::encode`] has written. The error says at which byte it is not that, and why; `None` for
    /// the place: it is of another version, of that number.
    pub fn decode(bytes: &[u8]) -> std::result::Result<Self, ManifestFault> {
        let fault = |offset: usize, what: String| ManifestFault::Damaged { offset: offset as u64, what };
        // The last line: `crc32c`, a space, eight digits, a line's end.
        let Some(at) = bytes.len().checked_sub(16).filter(|at| *at > 0 && bytes[at - 1] == b'\n') else {
            return Err(fault(bytes.len(), "it ends early".into()));
        };
        let (text, line) = bytes.split_at(at);
        if line != format!("crc32c {:08x}\n", crc32c::crc32c(text)).as_bytes() {
            return Err(fault(at, "the checksum does not match".into()));
        }
        let wrong = |error: serde_json::Error| {
            let before = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
            let offset = before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1);
            fault(offset.min(at), error.to_string())
        };
        let any: serde_json::Value = serde_json::from_slice(text).map_err(wrong)?;
        match any.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(MANIFEST_VERSION) => {}
            Some(version) => return Err(ManifestFault::Version(version)),
            None => return Err(fault(0, "there is no version in it".into())),
        }
        let written: Written = serde_json::from_slice(text).map_err(wrong)?;
        if written.format != FORMAT {
            return Err(fault(0, format!("the format is {:?}, not {FORMAT:?}", written.format)));
        }
        let Some(cluster) = cluster(&written.cluster) else {
            return Err(fault(0, "the cluster is not 32 hexadecimal digits".into()));
        };
        if let Err(error) = (Options { segment_bytes: written.segment_bytes, ..Options::default() }).check() {
            return Err(fault(0, format!("no log has such segments: {error}")));
        }
        for part in &written.parts {
            let is_right = part.first > 0
                && part.first <= part.last
                && part.last < u64::MAX
                && (part.kind == Kind::Entries || part.first == part.last);
            if !is_right {
                return Err(fault(0, format!("there is no part from {} to {}", part.first, part.last)));
            }
        }
        Ok(Self {
            identity: Identity { cluster, node: written.node },
            segment_bytes: written.segment_bytes,
            is_replicated: written.replicated,
            parts: written.parts,
        })
    }

    /// The manifest of the backup in a directory; `None` when there is none.
    ///
    /// # Errors
    ///
    /// `Corrupt`, `Unsupported` when a later release wrote it, `Io`.
    pub fn read(disk: &impl Disk) -> Result<Option<Self>> {
        let file = File::Manifest;
        let failed = |error: std::io::Error| Error::io(format!("read {}", disk.name(file)), &error);
        let length = match disk.bytes(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            length => length.map_err(failed)?,
        };
        if length > MANIFEST_BYTES_MAX {
            return Err(damaged(disk, file, MANIFEST_BYTES_MAX, "it is longer than any manifest"));
        }
        let mut bytes = vec![0; length as usize];
        let read = disk.read(file, 0, &mut bytes).map_err(failed)?;
        match Self::decode(&bytes[..read]) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(ManifestFault::Damaged { offset, what }) => Err(damaged(disk, file, offset, what)),
            Err(ManifestFault::Version(version)) => Err(Error::Unsupported {
                what: "backup version",
                detail: format!(
                    "{} has version {version}, this release reads {MANIFEST_VERSION}; use a later release",
                    disk.name(file)
                )
                .into(),
            }),
        }
    }

    /// Writes it in place of the one before, which is there until this one is durable. Blocks for the syncs.
    ///
    /// # Errors
    ///
    /// `State` when it is longer than any may be, `Io`.
    pub fn write(&self, disk: &impl Disk) -> Result<()> {
        let (from, to) = (File::NextManifest, File::Manifest);
        let bytes = self.encode();
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(self.full(disk, MANIFEST_BYTES_MAX));
        }
        disk.create(from, 0)
            .and_then(|()| disk.write(from, 0, &bytes))
            .and_then(|()| disk.sync(from))
            .and_then(|()| disk.rename(from, to))
            .and_then(|()| disk.sync_names())
            .map_err(|error| Error::io(format!("write {} durably", disk.name(to)), &error))
    }
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestFault {
    /// They are not what was written.
    Damaged {
        /// Where.
        offset: u64,
        /// In what way.
        what: String,
    },
    /// Another release wrote them.
    Version(u64),
}

fn cluster(digits: &str) -> Option<[u8; 16]> {
    let mut cluster = [0; 16];
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in cluster.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: Kind, first: u64, last: u64) -> Part {
        Part {
            kind,
            first,
            last,
            last_epoch: 1,
            first_clock_ms: first * 10,
            last_clock_ms: last * 10,
            through_ms: last * 10 + 5,
            bytes: 100,
            last_payload_crc32c: (kind == Kind::Entries).then_some(7),
        }
    }

    fn manifest() -> Manifest {
        let parts = vec![
            part(Kind::Entries, 1, 10),
            part(Kind::Entries, 11, 12),
            part(Kind::Snapshot, 20, 20),
            part(Kind::Entries, 21, 30),
            part(Kind::Snapshot, 35, 35),
            part(Kind::Entries, 31, 40),
            part(Kind::Snapshot, 41, 41),
            part(Kind::Entries, 41, 41),
        ];
        let identity = Identity { cluster: *b"0123456789abcdef", node: 1 };
        Manifest { parts, ..Manifest::new(identity, 65_536) }
    }

    #[test]
    fn what_is_written_reads_back_and_every_bit_counts() {
        let manifest = manifest();
        let mut bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(Manifest::decode(&bytes), Err(ManifestFault::Damaged { .. })), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn no_part_is_longer_than_is_reckoned_with() {
        let longest = Part {
            kind: Kind::Snapshot,
            first: u64::MAX,
            last: u64::MAX,
            last_epoch: u64::MAX,
            first_clock_ms: u64::MAX,
            last_clock_ms: u64::MAX,
            through_ms: u64::MAX,
            bytes: u64::MAX,
            last_payload_crc32c: Some(u32::MAX),
        };
        let bytes = |manifest: &Manifest| manifest.encode().len() as u64;
        let manifest = manifest();
        let mut longer = manifest.clone();
        longer.parts.push(longest);
        // And the times of those that are there may have more digits than before.
        assert!(bytes(&longer) + 64 <= bytes(&manifest) + PART_BYTES_MAX);
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let text = "{\"version\": 2, \"new\": 1}\n";
        let bytes = format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()));
        assert_eq!(Manifest::decode(bytes.as_bytes()), Err(ManifestFault::Version(2)));
    }

    #[test]
    fn segments_that_no_log_has_are_damage() {
        for segment_bytes in [0, 100_000, 2 << 30] {
            let bytes = Manifest { segment_bytes, ..manifest() }.encode();
            let Err(ManifestFault::Damaged { what, .. }) = Manifest::decode(&bytes) else {
                panic!("it reads")
            };
            assert!(what.contains("segment_bytes"), "{what}");
        }
    }

    #[test]
    fn spans_end_where_something_is_missing() {
        let span = |first, last| Span { first, last, first_ms: first * 10, last_ms: last * 10 + 5 };
        let manifest = manifest();
        assert_eq!(manifest.spans(), [span(1, 12), span(20, 41)]);
        assert_eq!((manifest.last(), manifest.bytes()), (Sequence(41), 800));
        let lost = Manifest { parts: vec![part(Kind::Entries, 5, 9)], ..manifest };
        assert_eq!(lost.spans(), []);
    }
}
