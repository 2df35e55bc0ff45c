//! Little-endian numbers at fixed places. The places are constants of the formats, so a slice that is long enough
//! for the structure is long enough for each of its fields.

pub(in crate::store) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(in crate::store) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(in crate::store) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(in crate::store) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// `bytes` up to the next multiple of 8.
pub(in crate::store) const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}
