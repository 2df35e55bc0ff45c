//! [`Sending`]: what somebody has read in part, before what was written since.

/// Bytes of memory that are kept while there is nothing to send.
const KEPT_MAX: usize = 4 << 10;

/// See the module. What is read in parts is not moved for each, which would take the time of all that is left, and is let go
/// of when it is read.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    bytes: Vec<u8>,
    at: usize,
}

impl Sending {
    /// What is to be sent next: the rest of this, or `written` behind it.
    pub(crate) fn front<'a>(&'a self, written: &'a [u8]) -> &'a [u8] {
        match &self.bytes[self.at..] {
            [] => written,
            left => left,
        }
    }

    /// Takes away `len` bytes of [`Sending::front`].
    pub(crate) fn consume(&mut self, written: &mut Vec<u8>, len: usize) {
        if self.len() > 0 {
            self.at += len.min(self.len());
            if self.len() == 0 {
                *self = Self::default();
            }
        } else if len < written.len() {
            *self = Self { bytes: std::mem::take(written), at: len };
        } else if written.capacity() > KEPT_MAX {
            *written = Vec::new();
        } else {
            written.clear();
        }
    }

    /// Bytes left of it.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_parts_stays_where_it_is_and_keeps_its_order() {
        let mut sending = Sending::default();
        let mut written: Vec<u8> = (0..200).collect();
        let first = written.as_ptr();
        sending.consume(&mut written, 50);
        assert_eq!(sending.front(&written).as_ptr(), first.wrapping_add(50));
        written.extend_from_slice(b"behind");
        sending.consume(&mut written, 50);
        assert_eq!(sending.front(&written), (100..200).collect::<Vec<u8>>());
        assert_eq!((sending.front(&written).as_ptr(), sending.len()), (first.wrapping_add(100), 100));
        sending.consume(&mut written, 100);
        assert_eq!(
            (sending.front(&written), sending.len(), sending.bytes.capacity()),
            (&b"behind"[..], 0, 0)
        );
        sending.consume(&mut written, 6);
        assert!(sending.front(&written).is_empty());
    }

    #[test]
    fn memory_is_given_back() {
        let mut sending = Sending::default();
        let mut written = vec![0; KEPT_MAX + 1];
        sending.consume(&mut written, KEPT_MAX + 1);
        assert_eq!(written.capacity(), 0);
        let mut written = Vec::with_capacity(KEPT_MAX);
        written.push(0);
        sending.consume(&mut written, 1);
        assert!(written.capacity() >= KEPT_MAX, "a little is kept");
    }
}
