//! The additions to a header of version 2: type, length, value. A byte for the type, two for the length of
//! the value with the higher one first, then the value.

/// The protocol agreed on for what follows (as in TLS): `h2`, `http/1.1`.
pub const ALPN: u8 = 0x01;
/// The host name the client asked for, UTF-8 (in TLS: SNI).
pub const AUTHORITY: u8 = 0x02;
/// The CRC32C of the header, computed with these 4 bytes at zero.
pub const CRC32C: u8 = 0x03;
/// Padding.
pub const NOOP: u8 = 0x04;
/// A name for this connection, up to 128 bytes.
pub const UNIQUE_ID: u8 = 0x05;
/// The client's TLS: flags (1 byte), the outcome of the verification (4 bytes, 0 is good), then TLVs.
pub const SSL: u8 = 0x20;
/// The name of the network namespace.
pub const NETNS: u8 = 0x30;

/// One addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Its type: [`ALPN`] or another number.
    pub kind: u8,
    /// Its value, up to 65,535 bytes.
    pub value: &'a [u8],
}

/// Reads TLVs one after the other. Ends where they end, or before the first that is cut off; then
/// [`rest`](Self::rest) is not empty.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    rest: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// The TLVs in `bytes`, such as [`Header::tlvs`](super::Header::tlvs).
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (&[kind, high, low], rest) = self.rest.split_first_chunk::<3>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        self.rest = rest;
        Some(Tlv { kind, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other() {
        let bytes = [ALPN, 0, 2, b'h', b'2', NOOP, 0, 0, 0xe0, 0, 1, 9];
        let mut tlvs = Tlvs::new(&bytes);
        assert_eq!(tlvs.next(), Some(Tlv { kind: ALPN, value: b"h2" }));
        assert_eq!(tlvs.next(), Some(Tlv { kind: NOOP, value: b"" }));
        assert_eq!(tlvs.next(), Some(Tlv { kind: 0xe0, value: &[9] }));
        assert_eq!((tlvs.next(), tlvs.rest()), (None, &[][..]));
    }

    #[test]
    fn what_is_cut_off_stays() {
        let mut longest = vec![1, 0xff, 0xff];
        longest.resize(3 + 65_535, 7);
        assert_eq!(Tlvs::new(&longest).next().map(|tlv| tlv.value.len()), Some(65_535));
        for cut in [0, 1, 2, 3, 4, longest.len() - 1] {
            let mut tlvs = Tlvs::new(&longest[..cut]);
            assert_eq!((tlvs.next(), tlvs.rest().len()), (None, cut));
        }
    }
}
