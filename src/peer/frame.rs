//! The header of frames, and [`Splitter`], which takes frames out of a stream of bytes.
//!
//! A stream begins with [`PREAMBLE`]; then frames follow one another:
//!
//! ```text
//! 0   4  bytes behind the header, little-endian
//! 4   1  kind
//! 5   1  class: 0 urgent, 1 normal, 2 bulk; 0 where the kind has none
//! 6   2  zero
//! 8   4  CRC-32C of bytes 0 to 7 and of what is behind the header, little-endian
//! ```
//!
//! A frame has [`FRAME_BYTES_MAX`] bytes at most, so a splitter holds that much at most, whatever a length says.

use crate::peer::Class;
use crate::peer::end::Fault;

/// What each side says first: no TLS record, request line or preamble of anybody else begins so.
pub const PREAMBLE: [u8; 8] = *b"trimpeer";
/// The bytes of a frame before what it carries.
pub const HEADER_BYTES: usize = 12;
/// The longest frame with its header: what one TLS record holds.
pub const FRAME_BYTES_MAX: usize = 16 << 10;
/// The most that a frame carries which has no part of a message.
const CONTROL_BYTES_MAX: usize = 1 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The dialler says who it is.
    Hello = 1,
    /// The other side says who it is, and that it takes the dialler.
    Welcome = 2,
    /// Why not.
    Refusal = 3,
    /// The dialler takes the other side: the link is up.
    Ready = 4,
    /// Are you there?
    Ping = 5,
    /// Yes.
    Pong = 6,
    /// So much was taken since the last one.
    Credit = 7,
    /// A message begins: its length, and its first bytes.
    Begin = 8,
    /// The next bytes of the message begun in this class.
    More = 9,
    /// This side ends the link.
    Bye = 10,
}

/// One frame, as it lies in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its class; `Urgent` where the kind has none.
    pub class: Class,
    /// What is behind the header.
    pub payload: &'a [u8],
}

impl Kind {
    const fn from_wire(code: u8) -> Option<Self> {
        Some(match code {
            1 => Kind::Hello,
            2 => Kind::Welcome,
            3 => Kind::Refusal,
            4 => Kind::Ready,
            5 => Kind::Ping,
            6 => Kind::Pong,
            7 => Kind::Credit,
            8 => Kind::Begin,
            9 => Kind::More,
            10 => Kind::Bye,
            _ => return None,
        })
    }

    const fn payload_max(self) -> usize {
        match self {
            Kind::Begin | Kind::More => FRAME_BYTES_MAX - HEADER_BYTES,
            _ => CONTROL_BYTES_MAX,
        }
    }

    const fn has_class(self) -> bool {
        matches!(self, Kind::Begin | Kind::More | Kind::Credit)
    }
}

/// Appends a frame that carries `parts`, one behind the other.
pub(super) fn put(to: &mut Vec<u8>, kind: Kind, class: Class, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(len <= kind.payload_max());
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(len as u32).to_le_bytes());
    header[4] = kind as u8;
    header[5] = class as u8;
    let crc = parts.iter().fold(crc32c::crc32c(&header[..8]), |crc, part| crc32c::crc32c_append(crc, part));
    header[8..].copy_from_slice(&crc.to_le_bytes());
    to.extend_from_slice(&header);
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// Takes frames out of a stream of bytes, however that is cut. A frame that lies whole in what is given is not copied.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of a frame, or of the preamble.
    held: Vec<u8>,
    /// What is held was given out.
    is_spent: bool,
    is_begun: bool,
}

impl Splitter {
    /// One at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next frame, with `input` shortened by what was used; `None` when all of it was, and more must come.
    ///
    /// # Errors
    ///
    /// The fault of the first byte that cannot be; the stream cannot be read any further then.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'s>>, Fault> {
        if std::mem::take(&mut self.is_spent) {
            self.held.clear();
        }
        if !self.is_begun && !self.begin(input)? {
            return Ok(None);
        }
        if self.held.is_empty() {
            let Some(len) = frame_bytes(input)?.filter(|len| *len <= input.len()) else {
                self.held.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (frame, rest) = input.split_at(len);
            *input = rest;
            return decode(frame).map(Some);
        }
        if !self.fill(input, HEADER_BYTES) {
            return Ok(None);
        }
        let len = frame_bytes(&self.held)?.expect("the header is whole");
        if !self.fill(input, len) {
            return Ok(None);
        }
        self.is_spent = true;
        decode(&self.held).map(Some)
    }

    /// Whether the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.is_begun && (self.is_spent || self.held.is_empty())
    }

    /// Takes the preamble; `false` while it is not whole.
    fn begin(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        let is_whole = self.fill(input, PREAMBLE.len());
        if !PREAMBLE.starts_with(&self.held) {
            // A handshake, an alert: the records that TLS begins with.
            return Err(if matches!(self.held[0], 0x15 | 0x16) { Fault::Tls } else { Fault::Stranger });
        }
        if is_whole {
            self.held.clear();
            self.is_begun = true;
        }
        Ok(is_whole)
    }

    /// Holds `len` bytes if there are so many.
    fn fill(&mut self, input: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.held.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.held.extend_from_slice(taken);
        *input = rest;
        self.held.len() >= len
    }
}

/// How long the frame at the beginning of `bytes` is; `None` while its header is not whole.
fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let kind = Kind::from_wire(header[4]).ok_or(Fault::UnknownKind(header[4]))?;
    let limit = kind.payload_max();
    if len > limit {
        return Err(Fault::TooLong { bytes: len as u64, limit: limit as u64 });
    }
    Ok(Some(HEADER_BYTES + len))
}

/// A whole frame.
fn decode(bytes: &[u8]) -> Result<Frame<'_>, Fault> {
    let (header, payload) = bytes.split_first_chunk::<HEADER_BYTES>().expect("the header is whole");
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..8]), payload);
    if header[8..] != crc.to_le_bytes() {
        return Err(Fault::Damaged);
    }
    let kind = Kind::from_wire(header[4]).ok_or(Fault::UnknownKind(header[4]))?;
    let class = Class::from_wire(header[5]).ok_or(Fault::Malformed("it is of no known class"))?;
    if (class != Class::Urgent && !kind.has_class()) || header[6..8] != [0, 0] {
        return Err(Fault::Malformed("its header says more than its kind has"));
    }
    Ok(Frame { kind, class, payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(frames: &[(Kind, Class, Vec<u8>)]) -> Vec<u8> {
        let mut stream = PREAMBLE.to_vec();
        for (kind, class, payload) in frames {
            put(&mut stream, *kind, *class, &[payload]);
        }
        stream
    }

    fn split(parts: &[&[u8]]) -> Result<Vec<(Kind, Class, Vec<u8>)>, Fault> {
        let mut splitter = Splitter::new();
        let mut frames = Vec::new();
        for part in parts {
            let mut input = *part;
            while let Some(frame) = splitter.next(&mut input)? {
                frames.push((frame.kind, frame.class, frame.payload.to_vec()));
            }
            assert!(input.is_empty());
            assert!(splitter.held.len() <= FRAME_BYTES_MAX);
        }
        Ok(frames)
    }

    #[test]
    fn a_frame_has_these_very_bytes() {
        let bytes = stream(&[(Kind::Begin, Class::Bulk, vec![3, 0, 0, 0, b'a', b'b', b'c'])]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "7472696d706565720700000008020000045c1eb103000000616263");
    }

    #[test]
    fn each_flipped_bit_is_found() {
        let frames = vec![(Kind::Credit, Class::Normal, vec![7; 8])];
        let good = stream(&frames);
        assert_eq!(split(&[&good]).unwrap(), frames);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A length that became longer waits for bytes that do not come; it never gives a frame.
            assert!(split(&[&bad]).map_or(true, |frames| frames.is_empty()), "bit {bit}");
        }
    }

    #[test]
    fn huge_lengths_and_strangers_are_refused_by_their_header_alone() {
        let huge = [&PREAMBLE[..], &u32::MAX.to_le_bytes(), &[9, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert!(matches!(split(&[&huge]), Err(Fault::TooLong { bytes: 0xffff_ffff, .. })));
        let control = [&PREAMBLE[..], &1_025u32.to_le_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(split(&[&control]), Err(Fault::TooLong { bytes: 1_025, limit: 1_024 }));
        assert_eq!(split(&[b"G"]), Err(Fault::Stranger));
        assert_eq!(split(&[b"trimtab "]), Err(Fault::Stranger));
        assert_eq!(split(&[&[0x16, 3, 1]]), Err(Fault::Tls));
        assert_eq!(split(&[&[0x15]]), Err(Fault::Tls));
        assert_eq!(split(&[&[&PREAMBLE[..], &[0; 12]].concat()]), Err(Fault::UnknownKind(0)));
    }

    fn any_frame() -> impl Strategy<Value = (Kind, Class, Vec<u8>)> {
        let kind = prop_oneof![Just(Kind::Begin), Just(Kind::More), Just(Kind::Ping), Just(Kind::Credit)];
        let class = prop_oneof![Just(Class::Urgent), Just(Class::Normal), Just(Class::Bulk)];
        (kind, class, prop::collection::vec(any::<u8>(), 0..200), any::<bool>()).prop_map(
            |(kind, class, mut payload, is_long)| {
                if is_long && kind.payload_max() > CONTROL_BYTES_MAX {
                    payload.resize(kind.payload_max(), 1);
                }
                (kind, if kind.has_class() { class } else { Class::Urgent }, payload)
            },
        )
    }

    proptest! {
        #[test]
        fn frames_come_out_however_the_stream_is_cut(
            frames in prop::collection::vec(any_frame(), 0..8),
            cuts in prop::collection::vec(0usize..40_000, 0..20),
        ) {
            let bytes = stream(&frames);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&parts).unwrap(), frames);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), begins in any::<bool>()) {
            let preamble: &[u8] = if begins { &PREAMBLE } else { b"" };
            let _ = split(&[preamble, &bytes]);
        }
    }
}
