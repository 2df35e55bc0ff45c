//! Numbers and byte strings as commands, snapshots and pages write them.

/// Appends `value` as LEB128: seven bits a byte from the lowest on, the high bit where more follow.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] appends.
pub(super) fn varint_bytes(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Takes a number written by [`put_varint`] off the front, which must be its shortest form. `None` leaves
/// `bytes` where it was.
#[inline]
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    // Most are of one byte.
    if let [first @ ..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    take_long_varint(bytes)
}

#[inline]
fn take_long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let Some(word) = bytes.first_chunk().copied().map(u64::from_le_bytes) else {
        return take_varint_bytewise(bytes);
    };
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return take_varint_bytewise(bytes);
    }
    let len = ends.trailing_zeros() as usize / 8 + 1;
    // What is behind the number goes, and the high bits; then neighbours are pushed together, twice as many bits each time.
    let sevens = word & (u64::MAX >> (64 - 8 * len)) & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    let value = (fours & 0x0fff_ffff) | (fours & 0x0fff_ffff_0000_0000) >> 4;
    // Zero in the last byte: there is a shorter form.
    if value >> (7 * (len - 1)) == 0 {
        return None;
    }
    *bytes = &bytes[len..];
    Some(value)
}

/// Near the end, and of more than eight bytes.
#[cold]
fn take_varint_bytewise(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && *byte > 1 {
            return None;
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            if *byte == 0 && at > 0 {
                return None;
            }
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// A signed number as one without a sign: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends the length of `bytes` and `bytes`.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes `len` bytes off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a byte string written by [`put_bytes`].
pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let len = usize::try_from(take_varint(&mut rest)?).ok()?;
    let taken = take(&mut rest, len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_and_has_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(varint_bytes(value), out.len());
            let mut rest = &out[..];
            assert_eq!((take_varint(&mut rest), rest), (Some(value), &[][..]));
            let mut cut = &out[..out.len() - 1];
            assert_eq!(take_varint(&mut cut), None);
        }
        for wrong in
            [&[0x80, 0x00][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert_eq!(take_varint(&mut &wrong[..]), None);
        }
        // Of any length, alone and with more behind it.
        for bits in 0..64 {
            for value in [1 << bits, (1 << bits) - 1, u64::MAX >> bits, 0x0123_4567_89ab_cdef >> bits] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                for behind in [&[][..], &[0; 9], &[0xff; 9]] {
                    let whole = [&out[..], behind].concat();
                    let mut rest = &whole[..];
                    assert_eq!((take_varint(&mut rest), rest), (Some(value), behind), "{value:#x}");
                    assert_eq!(take_varint_bytewise(&mut &whole[..]), Some(value));
                }
            }
            // The same with a zero at its end.
            let mut longer = Vec::new();
            put_varint(&mut longer, 1 << bits);
            *longer.last_mut().unwrap() |= 0x80;
            longer.extend([0; 9]);
            assert_eq!(take_varint(&mut &longer[..]), None, "{bits}");
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
