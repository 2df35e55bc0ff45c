//! What two nodes say of themselves before anything else, [`Hello`], and why one is refused, [`Refusal`].
//!
//! ```text
//! 0     2   the lowest version of the protocol that it speaks      numbers are little-endian
//! 2     2   the highest
//! 4     16  cluster; zeros: it belongs to none yet
//! 20    8   its number in the cluster; 0: it has none yet
//! 28    8   boot: a random number, drawn when its process began
//! 36    12  its windows, in bytes: urgent, normal, bulk
//! 48    4   the longest message that it takes, in bytes
//! 52    1+n its name, behind its length
//! ..    1+n the name of who it means to talk to
//! ..    1+n where it listens, as text; empty: nowhere
//! ..    8   the generation of its cluster; 0, or not there: it does not say
//! ..        what a later version adds, ignored
//! ```
//!
//! A refusal is a code of two bytes and a text behind its length of one byte; with [`Reason::OldGeneration`] the cluster,
//! 16 bytes, and its generation, 8 bytes, follow.

use std::fmt;

use crate::peer::Fault;
use crate::peer::name::{NAME_BYTES_MAX, NodeName};

/// The version of the protocol: of frames, hello and what messages hold. The only one so far.
pub const PROTOCOL_VERSION: u16 = 1;

/// Which cluster a node belongs to.
pub type ClusterId = [u8; 16];

/// The longest text in a refusal, in bytes.
const DETAIL_BYTES_MAX: usize = u8::MAX as usize;
/// The longest address in a hello, in bytes.
const ADDRESS_BYTES_MAX: usize = 255;

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest and the highest version of the protocol it speaks.
    pub versions: (u16, u16),
    /// Its cluster; `None`: it belongs to none yet.
    pub cluster: Option<ClusterId>,
    /// Its number in the cluster; 0: it has none yet.
    pub number: u64,
    /// A random number, drawn when its process began.
    pub boot: u64,
    /// How many bytes of each class it takes before they are taken from it.
    pub windows: [u32; 3],
    /// The longest message it takes, in bytes.
    pub message_bytes_max: u32,
    /// Its name.
    pub name: NodeName,
    /// Who it means to talk to.
    pub target: NodeName,
    /// Where it listens; empty: nowhere. For messages about it only.
    pub address: String,
    /// The generation of its cluster, which counts promotions by force; 0: it does not say, or is in no cluster yet.
    pub generation: u64,
}

/// Why a node is refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It belongs to another cluster.
    OtherCluster,
    /// No node of that name is known.
    UnknownNode,
    /// It was taken out of the cluster.
    RemovedNode,
    /// The two speak no version in common.
    Version,
    /// Another process with its name is linked.
    DuplicateName,
    /// It speaks plaintext where TLS is demanded.
    TlsDemanded,
    /// It speaks TLS where plaintext was asked for.
    PlaintextOnly,
    /// Its certificate is for another name.
    CertificateName,
    /// It meant to reach another node.
    WrongNode,
    /// Of the two, the other one dials.
    Direction,
    /// It is this very process.
    Itself,
    /// It has another number than the node of that name.
    NumberMismatch,
    /// It was put out of its cluster by a promotion by force that it has not heard of.
    OldGeneration {
        /// The cluster that both belong to.
        cluster: ClusterId,
        /// The generation that counts, which is later than that of the one refused.
        generation: u64,
    },
    /// A reason that a later release knows.
    Other(u16),
}

/// Why a node is refused, with the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub reason: Reason,
    /// The facts and what to do, one line.
    pub detail: String,
}

impl Hello {
    /// The version that both speak, the highest there is.
    pub fn version_with(&self, other: &Hello) -> Option<u16> {
        let highest = self.versions.1.min(other.versions.1);
        (highest >= self.versions.0.max(other.versions.0)).then_some(highest)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(128);
        to.extend_from_slice(&self.versions.0.to_le_bytes());
        to.extend_from_slice(&self.versions.1.to_le_bytes());
        to.extend_from_slice(&self.cluster.unwrap_or_default());
        to.extend_from_slice(&self.number.to_le_bytes());
        to.extend_from_slice(&self.boot.to_le_bytes());
        self.windows.iter().for_each(|window| to.extend_from_slice(&window.to_le_bytes()));
        to.extend_from_slice(&self.message_bytes_max.to_le_bytes());
        put_text(&mut to, self.name.as_str(), NAME_BYTES_MAX);
        put_text(&mut to, self.target.as_str(), NAME_BYTES_MAX);
        put_text(&mut to, &self.address, ADDRESS_BYTES_MAX);
        to.extend_from_slice(&self.generation.to_le_bytes());
        to
    }

    /// What bytes say.
    ///
    /// # Errors
    ///
    /// `Malformed` for what no node says.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const CUT: Fault = Fault::Malformed("the hello is cut");
        let (fixed, mut rest) = bytes.split_first_chunk::<52>().ok_or(CUT)?;
        let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("eight bytes"));
        let versions = (u16_at(0), u16_at(2));
        if versions.0 == 0 || versions.0 > versions.1 {
            return Err(Fault::Malformed("the hello's versions are out of order"));
        }
        let cluster: ClusterId = fixed[4..20].try_into().expect("sixteen bytes");
        let windows = [u32_at(36), u32_at(40), u32_at(44)];
        let message_bytes_max = u32_at(48);
        if message_bytes_max == 0 {
            return Err(Fault::Malformed("the hello takes no message"));
        }
        let name = name(take_text(&mut rest).ok_or(CUT)?)?;
        let target = self::name(take_text(&mut rest).ok_or(CUT)?)?;
        let address = text(take_text(&mut rest).ok_or(CUT)?)?;
        // Releases before this one end here.
        let generation = match rest.split_first_chunk::<8>() {
            Some((generation, _)) => u64::from_le_bytes(*generation),
            None if rest.is_empty() => 0,
            None => return Err(CUT),
        };
        Ok(Self {
            versions,
            cluster: (cluster != ClusterId::default()).then_some(cluster),
            number: u64_at(20),
            boot: u64_at(28),
            windows,
            message_bytes_max,
            name,
            target,
            address,
            generation,
        })
    }
}

impl Reason {
    /// Its code in a refusal.
    pub const fn code(self) -> u16 {
        match self {
            Reason::OtherCluster => 1,
            Reason::UnknownNode => 2,
            Reason::RemovedNode => 3,
            Reason::Version => 4,
            Reason::DuplicateName => 5,
            Reason::TlsDemanded => 6,
            Reason::PlaintextOnly => 7,
            Reason::CertificateName => 8,
            Reason::WrongNode => 9,
            Reason::Direction => 10,
            Reason::Itself => 11,
            Reason::NumberMismatch => 12,
            Reason::OldGeneration { .. } => 13,
            Reason::Other(code) => code,
        }
    }

    const fn from_wire(code: u16) -> Self {
        match code {
            1 => Reason::OtherCluster,
            2 => Reason::UnknownNode,
            3 => Reason::RemovedNode,
            4 => Reason::Version,
            5 => Reason::DuplicateName,
            6 => Reason::TlsDemanded,
            7 => Reason::PlaintextOnly,
            8 => Reason::CertificateName,
            9 => Reason::WrongNode,
            10 => Reason::Direction,
            11 => Reason::Itself,
            12 => Reason::NumberMismatch,
            other => Reason::Other(other),
        }
    }

    /// Whether it may be over soon without anybody doing something: an earlier process may still seem to be linked.
    pub const fn is_passing(self) -> bool {
        matches!(self, Reason::DuplicateName)
    }
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Its bytes; the text is cut where it is longer than one may be.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = self.reason.code().to_le_bytes().to_vec();
        put_text(&mut to, &self.detail, DETAIL_BYTES_MAX);
        if let Reason::OldGeneration { cluster, generation } = self.reason {
            to.extend_from_slice(&cluster);
            to.extend_from_slice(&generation.to_le_bytes());
        }
        to
    }

    /// What bytes say.
    ///
    /// # Errors
    ///
    /// `Malformed` for what is no refusal.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        const CUT: Fault = Fault::Malformed("the refusal is cut");
        let (code, mut rest) = bytes.split_first_chunk::<2>().ok_or(CUT)?;
        let detail = text(take_text(&mut rest).ok_or(CUT)?)?;
        let reason = match u16::from_le_bytes(*code) {
            13 => {
                let (cluster, rest) = rest.split_first_chunk::<16>().ok_or(CUT)?;
                let (generation, _) = rest.split_first_chunk::<8>().ok_or(CUT)?;
                Reason::OldGeneration { cluster: *cluster, generation: u64::from_le_bytes(*generation) }
            }
            code => Reason::from_wire(code),
        };
        Ok(Self { reason, detail })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// A cluster's number, as it is shown.
pub(crate) fn shown(cluster: &ClusterId) -> String {
    cluster.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put_text(to: &mut Vec<u8>, text: &str, limit: usize) {
    let mut len = text.len().min(limit);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    to.push(len as u8);
    to.extend_from_slice(&text.as_bytes()[..len]);
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*len))?;
    *from = rest;
    Some(text)
}

fn name(bytes: &[u8]) -> Result<NodeName, Fault> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Fault::Malformed("the hello's name is none"))
}

/// Text from another node, fit for one line of a log.
fn text(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Malformed("a text is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(Fault::Malformed("a text has control characters"));
    }
    Ok(text.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::peer) fn hello(name: &str, target: &str) -> Hello {
        Hello {
            versions: (1, 1),
            cluster: Some([7; 16]),
            number: 0,
            boot: 77,
            windows: [1 << 20, 1 << 20, 1 << 20],
            message_bytes_max: 1 << 20,
            name: name.parse().unwrap(),
            target: target.parse().unwrap(),
            address: "10.0.0.1:7400".into(),
            generation: 1,
        }
    }

    #[test]
    fn a_hello_has_these_very_bytes() {
        let hello = Hello { number: 5, windows: [1, 2, 3], message_bytes_max: 4, ..hello("a", "b1") };
        let hex: String = hello.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "01000100070707070707070707070707070707070500000000000000\
                        4d00000000000000010000000200000003000000040000000161026231\
                        0d31302e302e302e313a373430300100000000000000";
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_hello_reads_back_cut_nowhere_and_with_more_behind_it() {
        let hello = Hello { cluster: None, address: String::new(), ..hello("db-1", "db-2") };
        let bytes = hello.encode();
        assert_eq!(Hello::decode(&bytes).unwrap(), hello);
        // Without the generation it is that of an earlier release.
        let earlier = bytes.len() - 8;
        for len in (0..bytes.len()).filter(|len| *len != earlier) {
            assert!(Hello::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert_eq!(Hello::decode(&bytes[..earlier]).unwrap(), Hello { generation: 0, ..hello.clone() });
        assert_eq!(Hello::decode(&[&bytes[..], b"later"].concat()).unwrap(), hello);
    }

    #[test]
    fn what_no_node_says_is_refused() {
        let good = hello("db-1", "db-2");
        for bad in [
            Hello { versions: (0, 1), ..good.clone() },
            Hello { versions: (2, 1), ..good.clone() },
            Hello { message_bytes_max: 0, ..good.clone() },
            Hello { address: "a\nb".into(), ..good.clone() },
        ] {
            assert!(matches!(Hello::decode(&bad.encode()), Err(Fault::Malformed(_))), "{bad:?}");
        }
        let mut named = good.encode();
        named[53] = b'D';
        assert!(Hello::decode(&named).is_err());
    }

    #[test]
    fn the_highest_common_version_is_spoken() {
        let with = |low, high| Hello { versions: (low, high), ..hello("a", "b") };
        assert_eq!(with(1, 3).version_with(&with(2, 5)), Some(3));
        assert_eq!(with(2, 5).version_with(&with(1, 3)), Some(3));
        assert_eq!(with(1, 1).version_with(&with(2, 3)), None);
    }

    #[test]
    fn refusals_read_back_and_long_ones_are_cut() {
        for code in (0..20).filter(|code| *code != 13) {
            let reason = Reason::from_wire(code);
            assert_eq!(reason.code(), code);
            let refusal = Refusal::new(reason, "why");
            assert_eq!(Refusal::decode(&refusal.encode()).unwrap(), refusal);
        }
        let long = Refusal::new(Reason::Version, "ä".repeat(200));
        assert_eq!(Refusal::decode(&long.encode()).unwrap().detail, "ä".repeat(127));
        let reason = Reason::OldGeneration { cluster: [7; 16], generation: 3 };
        let old = Refusal::new(reason, "why");
        let bytes = old.encode();
        assert_eq!((reason.code(), bytes.len()), (13, 30));
        for len in 0..bytes.len() {
            assert!(Refusal::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert_eq!(Refusal::decode(&[&bytes[..], b"later"].concat()).unwrap(), old);
        assert!(Refusal::decode(&[1, 0]).is_err() && Refusal::decode(&[1, 0, 2, b'a']).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_hello_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
            }
            if let Ok(refusal) = Refusal::decode(&bytes) {
                prop_assert_eq!(Refusal::decode(&refusal.encode()).unwrap(), refusal);
            }
        }
    }
}
