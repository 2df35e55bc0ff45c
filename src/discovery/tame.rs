//! What an answer goes through before the library reads it, so that it is no trap:
//!
//! | in the answer | here |
//! |---|---|
//! | a count of records it has no room for | refused before anything is reserved for them |
//! | a name or record that ends behind the message | refused |
//! | a name above 255 bytes, a label of an unknown kind | refused |
//! | a pointer that does not lead back; more than [`POINTERS_MAX`] in one message | refused |
//! | an address of another length than it has, a name that is not all of its record | refused |
//! | a record of a type or class that no question here asks for | passed over, whatever it holds |
//! | bytes behind the last record, reserved flags | passed over |
//!
//! Without this, `simple-dns` would reserve room for as many records as the head announces, up to 30 MB for
//! twelve bytes, give up a whole answer for one odd record nobody asked for, and follow as many pointers as
//! there is room for, again for each record.

use crate::discovery::message::Malformed;

/// The most pointers followed in one message. A record needs one or two; one message has room for 5,460.
pub const POINTERS_MAX: u32 = 1 << 15;

/// The first twelve bytes of a message.
pub(super) struct Head {
    pub(super) flags: u16,
    /// Questions, answers, authority, additional.
    pub(super) counts: [u16; 4],
}

impl Head {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let field = |index: usize| u16_at(message, 2 * index);
        Some(Self { flags: field(1)?, counts: [field(2)?, field(3)?, field(4)?, field(5)?] })
    }
}

/// A copy of a message that can be given to the library.
#[derive(Debug)]
pub(super) struct Tamed {
    pub(super) bytes: Vec<u8>,
    /// The upper bits of the error, which come with EDNS. (The library takes them from the wrong byte.)
    pub(super) rcode_high: u16,
}

/// A copy of `message`, whose question is ours or missing, that is no trap: see the table at the head of this
/// file.
pub(super) fn tame(message: &[u8]) -> Result<Tamed, Malformed> {
    let head = Head::read(message).ok_or(Malformed::Cut)?;
    let mut tamed = Tamed { bytes: message.to_vec(), rcode_high: 0 };
    tamed.bytes[3] &= !FLAG_RESERVED;
    let mut names = Names::new(message);
    let mut at = HEAD;
    for _ in 0..head.counts[0] {
        at = names.end(at)? + 4;
    }
    let records: u32 = head.counts[1..].iter().map(|&count| u32::from(count)).sum();
    for _ in 0..records {
        let fixed = names.end(at)?;
        let kind = u16_at(message, fixed).ok_or(Malformed::Cut)?;
        let class = u16_at(message, fixed + 2).ok_or(Malformed::Cut)?;
        let length = usize::from(u16_at(message, fixed + 8).ok_or(Malformed::Cut)?);
        let data = fixed + 10;
        at = data + length;
        if at > message.len() {
            return Err(Malformed::Cut);
        }
        let end = match (kind, class) {
            (TYPE_A, CLASS_IN) => data + 4,
            (TYPE_AAAA, CLASS_IN) => data + 16,
            (TYPE_CNAME, CLASS_IN) => names.end(data)?,
            (TYPE_SRV, CLASS_IN) => names.end(data + 6)?,
            (TYPE_SOA, CLASS_IN) => {
                let second = names.end(data)?;
                names.end(second)? + 20
            }
            _ => {
                if kind == TYPE_OPT {
                    tamed.rcode_high = u16::from(message[fixed + 4]) << 4;
                }
                tamed.bytes[fixed..fixed + 2].copy_from_slice(&TYPE_NULL.to_be_bytes());
                tamed.bytes[fixed + 2..fixed + 4].copy_from_slice(&CLASS_IN.to_be_bytes());
                at
            }
        };
        if end != at {
            return Err(Malformed::RecordLength);
        }
    }
    Ok(tamed)
}

/// Follows the names of one message.
pub(super) struct Names<'m> {
    message: &'m [u8],
    pointers: u32,
}

impl<'m> Names<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, pointers: 0 }
    }

    /// Where the name that begins at `start` ends.
    pub(super) fn end(&mut self, start: usize) -> Result<usize, Malformed> {
        let mut at = start;
        let mut end = None;
        // The root's zero is in it already.
        let mut length = 1;
        loop {
            match *self.message.get(at).ok_or(Malformed::Cut)? {
                0 => return Ok(end.unwrap_or(at + 1)),
                label @ 1..=63 => {
                    length += 1 + usize::from(label);
                    if length > 255 {
                        return Err(Malformed::NameLong);
                    }
                    at += 1 + usize::from(label);
                }
                high @ 0xc0.. => {
                    let low = *self.message.get(at + 1).ok_or(Malformed::Cut)?;
                    let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                    // What leads back each time without a label between comes to an end; labels are bounded.
                    if target >= at || target < HEAD {
                        return Err(Malformed::Pointer);
                    }
                    self.pointers += 1;
                    if self.pointers > POINTERS_MAX {
                        return Err(Malformed::Pointers);
                    }
                    end = end.or(Some(at + 2));
                    at = target;
                }
                _ => return Err(Malformed::Label),
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) const HEAD: usize = 12;
pub(super) const FLAG_REPLY: u16 = 0x8000;
pub(super) const MASK_OPCODE: u16 = 0x7800;
pub(super) const FLAG_AUTHORITATIVE: u16 = 0x0400;
pub(super) const FLAG_TRUNCATED: u16 = 0x0200;
pub(super) const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
/// In the fourth byte.
const FLAG_RESERVED: u8 = 0x40;
pub(super) const MASK_RCODE: u16 = 0x000f;
pub(super) const RCODE_GOOD: u16 = 0;
pub(super) const RCODE_NO_NAME: u16 = 3;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
const TYPE_NULL: u16 = 10;
const TYPE_AAAA: u16 = 28;
const TYPE_SRV: u16 = 33;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use simple_dns::Packet;

    use super::*;

    /// A reply with these counts and this behind its head.
    fn message(counts: [u16; 4], behind: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 1, 0x81, 0x80];
        counts.iter().for_each(|count| message.extend(count.to_be_bytes()));
        message.extend_from_slice(behind);
        message
    }

    /// A record behind `name`, with as much data as it says.
    fn record(name: &[u8], kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut record = name.to_vec();
        record.extend(kind.to_be_bytes());
        record.extend(class.to_be_bytes());
        record.extend(ttl.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend_from_slice(data);
        record
    }

    fn told(message: &[u8]) -> Option<Malformed> {
        match tame(message) {
            Ok(tamed) => {
                Packet::parse(&tamed.bytes).expect("what is tame can be read");
                None
            }
            Err(malformed) => Some(malformed),
        }
    }

    #[test]
    fn counts_without_records_reserve_nothing() {
        for counts in [[u16::MAX, 0, 0, 0], [0, u16::MAX, 0, 0], [0, 0, u16::MAX, 0], [0, 0, 0, u16::MAX]] {
            assert_eq!(told(&message(counts, &[])), Some(Malformed::Cut));
        }
        assert_eq!(told(&message([0; 4], &[])), None);
        assert_eq!(told(&message([0; 4], &[])[..11]), Some(Malformed::Cut));
    }

    #[test]
    fn records_end_where_they_say_and_within_the_message() {
        for (kind, data, is_good) in [
            (TYPE_A, vec![0; 4], true),
            (TYPE_A, vec![0; 3], false),
            (TYPE_A, vec![0; 5], false),
            (TYPE_A, vec![], false),
            (TYPE_AAAA, vec![0; 16], true),
            (TYPE_AAAA, vec![0; 15], false),
            (TYPE_AAAA, vec![0; 17], false),
            (TYPE_CNAME, b"\x01a\0".to_vec(), true),
            (TYPE_CNAME, b"\x01a\0\0".to_vec(), false),
            (TYPE_SRV, b"\0\0\0\0\0\0\x01a\0".to_vec(), true),
            (TYPE_SRV, b"\0\0\0\0\0\0\x01a\0\0".to_vec(), false),
            (TYPE_SOA, [&b"\0\0"[..], &[0; 20]].concat(), true),
            (TYPE_SOA, [&b"\0\0"[..], &[0; 21]].concat(), false),
        ] {
            let one = record(b"\0", kind, CLASS_IN, 9, &data);
            let whole = message([0, 1, 0, 0], &one);
            let expected = (!is_good).then_some(Malformed::RecordLength);
            assert_eq!(told(&whole), expected, "{kind} {data:?}");
            for end in 0..whole.len() {
                assert!(told(&whole[..end]).is_some(), "{kind} cut at {end}");
            }
            // More behind it does no harm, and of another class it can be what it likes.
            assert_eq!(told(&[&whole[..], b"behind"].concat()), expected);
            assert_eq!(told(&message([0, 1, 0, 0], &record(b"\0", kind, 3, 9, &data))), None);
        }
        // A name that begins in its record and ends in the next.
        let mut torn = record(b"\0", TYPE_CNAME, CLASS_IN, 9, b"\x05a");
        torn.extend(record(b"\0", TYPE_A, CLASS_IN, 9, &[0; 4]));
        assert_eq!(told(&message([0, 2, 0, 0], &torn)), Some(Malformed::RecordLength));
    }

    #[test]
    fn records_nobody_asks_for_can_hold_anything() {
        for kind in [0, 2, 12, 15, 16, 41, 46, 47, 64, 65, 250, 255, u16::MAX] {
            for data in [&[][..], &[0xc0], &[0xc0, 0x0c, 0xff, 63], &[0xff; 100]] {
                let odd = record(b"\0", kind, 0xfeed, u32::MAX, data);
                let mut all = odd.clone();
                all.extend(record(b"\x01a\0", TYPE_A, CLASS_IN, 9, &[10, 0, 0, 1]));
                all.extend([odd.clone(), odd].concat());
                let tamed = tame(&message([0, 2, 1, 1], &all)).unwrap();
                let packet = Packet::parse(&tamed.bytes).unwrap();
                assert_eq!(packet.answers[1].name.to_string(), "a");
            }
        }
    }

    #[test]
    fn the_reserved_flag_and_the_upper_bits_of_the_error_are_taken_out() {
        let opt = |ttl: u32| record(b"\0", TYPE_OPT, 1232, ttl, &[]);
        let mut flagged = message([0, 0, 0, 1], &opt(0x0100_8000));
        flagged[3] |= FLAG_RESERVED;
        let tamed = tame(&flagged).unwrap();
        assert_eq!(tamed.rcode_high, 16);
        assert!(Packet::parse(&tamed.bytes).is_ok() && Packet::parse(&flagged).is_err());
        assert_eq!(tame(&message([0, 0, 0, 1], &opt(0x0001_ffff))).unwrap().rcode_high, 0);
        assert_eq!(tame(&message([0, 0, 0, 1], &opt(u32::MAX))).unwrap().rcode_high, 0xff0);
    }

    #[test]
    fn names_have_their_limits() {
        let of = |name: &[u8]| told(&message([0, 1, 0, 0], &record(name, TYPE_A, CLASS_IN, 9, &[0; 4])));
        let label = |length: usize| [&[length as u8][..], &vec![b'x'; length]].concat();
        let three = label(63).repeat(3);
        assert_eq!(of(&[&three[..], &label(61), b"\0"].concat()), None);
        assert_eq!(of(&[&three[..], &label(62), b"\0"].concat()), Some(Malformed::NameLong));
        for kind in [64, 0x7f, 0x80, 0xbf] {
            assert_eq!(of(&[kind, 0]), Some(Malformed::Label));
        }
        // To itself, forward, into the head, and to the head's end, which is itself.
        for target in [12u8, 13, 200, 11, 0] {
            assert_eq!(of(&[0xc0, target]), Some(Malformed::Pointer));
        }
        // Round and round with a label in between: longer each time.
        assert_eq!(of(&[1, b'a', 0xc0, 12]), Some(Malformed::NameLong));
    }

    #[test]
    fn pointers_are_followed_and_counted() {
        // One name, and many records that point to it by way of each other.
        let chain = |records: usize| {
            let mut all = record(b"\x01a\0", TYPE_A, CLASS_IN, 9, &[0; 4]);
            for _ in 1..records {
                let last = 12 + all.len() - if all.len() == 17 { 17 } else { 16 };
                let pointer = 0xc000 | last as u16;
                all.extend(record(&pointer.to_be_bytes(), TYPE_A, CLASS_IN, 9, &[0; 4]));
            }
            message([0, records as u16, 0, 0], &all)
        };
        // The n-th follows n - 1: the sum passes the limit between 256 and 257.
        assert_eq!((255 * 256 / 2, 256 * 257 / 2), (POINTERS_MAX - 128, POINTERS_MAX + 128));
        assert_eq!(told(&chain(256)), None);
        assert_eq!(told(&chain(257)), Some(Malformed::Pointers));
        let packet = tame(&chain(256)).unwrap();
        let packet = Packet::parse(&packet.bytes).unwrap();
        assert!(packet.answers.iter().all(|record| record.name.to_string() == "a"));
        // As many records as a message can have need one each.
        let mut all = record(b"\x01a\0", TYPE_A, CLASS_IN, 9, &[0; 4]);
        let count = (65_535 - 12 - all.len()) / 16;
        all.extend(record(b"\xc0\x0c", TYPE_A, CLASS_IN, 9, &[0; 4]).repeat(count));
        assert_eq!(told(&message([0, 1 + count as u16, 0, 0], &all)), None);
    }

    proptest! {
        #[test]
        fn what_is_tame_can_be_read(
            counts in prop::array::uniform3(0u16..4),
            parts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..12),
                    (0u16..60, 0u16..3, prop::collection::vec(any::<u8>(), 0..24)).prop_map(
                        |(kind, class, data)| record(b"\xc0\x0c", kind, class, 9, &data)
                    ),
                    Just(record(b"\x01a\0", TYPE_A, CLASS_IN, 9, &[0; 4])),
                    Just(record(b"\0", TYPE_SRV, CLASS_IN, 9, b"\0\0\0\0\0\0\xc0\x0c")),
                ],
                0..8,
            ),
        ) {
            // The question is compared before this, and is one that the library knows.
            let message = message([0, counts[0], counts[1], counts[2]], &parts.concat());
            if let Ok(tamed) = tame(&message) {
                prop_assert_eq!(tamed.bytes.len(), message.len());
                prop_assert!(Packet::parse(&tamed.bytes).is_ok(), "{:?}", message);
            }
        }
    }
}
