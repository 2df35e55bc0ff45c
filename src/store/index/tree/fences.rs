//! [`Fences`]: which child of an inner node has a key.

use super::CHILDREN_MAX;
use super::page::{Page, head};

/// How much of what all keys begin with lies in the node itself.
const PREFIX_MAX: usize = 16;

/// The fences of an inner node. Their heads lie in the node itself, and what all of them begin with unless it is long: a
/// step down looks at the page beside it where two heads are the same, and else at nothing.
#[derive(Clone)]
pub(super) struct Fences {
    /// The head of each, in order; what is behind the last is never less than another.
    heads: [u32; CHILDREN_MAX],
    /// What all begin with, and zeros behind it; of one that is longer than this nothing.
    prefix: [u8; PREFIX_MAX],
    /// Ones where the prefix is.
    mask: [u8; PREFIX_MAX],
    prefix_bytes: u32,
    len: u32,
    page: Page,
}

impl Fences {
    pub(super) fn new(page: Page) -> Self {
        let mut heads = [u32::MAX; CHILDREN_MAX];
        for (at, to) in heads.iter_mut().enumerate().take(page.len()) {
            *to = head(page.suffix(at));
        }
        let (mut prefix, mut mask) = ([0; PREFIX_MAX], [0; PREFIX_MAX]);
        if let Some(to) = prefix.get_mut(..page.prefix().len()) {
            to.copy_from_slice(page.prefix());
            mask[..page.prefix().len()].fill(0xff);
        }
        Self { heads, prefix, mask, prefix_bytes: page.prefix().len() as u32, len: page.len() as u32, page }
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    /// How many fences are at or before `key`.
    #[inline]
    pub(super) fn child(&self, key: &[u8]) -> usize {
        let Some(suffix) = self.suffix_of(key) else {
            return if key < self.page.prefix() { 0 } else { self.len as usize };
        };
        let head = head(suffix);
        let before = self.heads.iter().filter(|other| **other < head).count();
        let is_same = before < self.len as usize && self.heads[before] == head;
        if is_same { self.page.child(key) } else { before }
    }

    /// What comes behind the prefix in `key`; `None`: it begins otherwise.
    #[inline]
    fn suffix_of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let bytes = self.prefix_bytes as usize;
        match (self.prefix.get(..bytes), key.first_chunk()) {
            // Both as one number each: the bits of the key behind the prefix do not count.
            (Some(_), Some(begin)) => {
                let differ = u128::from_le_bytes(*begin) ^ u128::from_le_bytes(self.prefix);
                let is_equal = differ & u128::from_le_bytes(self.mask) == 0;
                if is_equal { key.get(bytes..) } else { None }
            }
            (Some(prefix), None) => key.strip_prefix(prefix),
            (None, _) => key.strip_prefix(self.page.prefix()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::tree::Scratch;

    /// Prefixes about as long as what lies in the node, and keys that share them or part before their end.
    #[test]
    fn a_prefix_of_any_length_is_told_apart() {
        let mut scratch = Scratch::default();
        for bytes in [0, 1, 7, 8, 15, 16, 17, 30] {
            let key = |first: u8, rest: &str| {
                let mut key = vec![b'm'; bytes];
                if let Some(to) = key.first_mut() {
                    *to = first;
                }
                key.extend_from_slice(rest.as_bytes());
                key
            };
            let mut page = Page::empty();
            for rest in ["b", "bbbbbb", "cat", "caught"] {
                page.insert(page.len(), &key(b'm', rest), &[], &mut scratch);
            }
            let common = page.common_with(0, &page, 3);
            assert_eq!(common, bytes);
            let fences = Fences::new(Page::assemble(&[(&page, 0..4)], common, &mut scratch, |_, _, _| ()));
            for first in [b'a', b'm', b'z'] {
                for rest in ["", "a", "b", "bbbb", "bbbbbbbbbbbbbbbbbbbbb", "c", "cat", "cause of all", "d"] {
                    let key = key(first, rest);
                    assert_eq!(fences.child(&key), page.child(&key), "{key:?}");
                    let short = &key[..key.len() / 2];
                    assert_eq!(fences.child(short), page.child(short), "{short:?}");
                }
            }
        }
    }

    #[test]
    fn a_key_goes_where_its_page_says() {
        let mut scratch = Scratch::default();
        let mut page = Page::empty();
        for key in ["user:", "user:1", "user:1000", "user:1000a", "user:2", "user:\u{7f}\u{7f}\u{7f}\u{7f}"] {
            page.insert(page.len(), key.as_bytes(), &[], &mut scratch);
        }
        page.insert(page.len(), b"user:\xff\xff\xff\xff", &[], &mut scratch);
        for common in [0, 4, 5] {
            let parts = [(&page, 0..page.len())];
            let fences = Fences::new(Page::assemble(&parts, common, &mut scratch, |_, _, _| ()));
            for key in [
                "",
                "a",
                "use",
                "user:",
                "user:0",
                "user:1",
                "user:1000",
                "user:10009",
                "user:1001",
                "user:2",
                "v",
            ] {
                assert_eq!(fences.child(key.as_bytes()), page.child(key.as_bytes()), "{key}");
            }
            for key in [
                &b"user:0 and much more"[..],
                b"user:1000a and much more",
                b"other and much more",
                b"zebra and much more",
            ] {
                assert_eq!(fences.child(key), page.child(key), "{key:?}");
            }
            for key in
                [&b"user:\xff\xff\xff\xff"[..], b"user:\xff\xff\xff", b"user:\xff\xff\xff\xff\xff", b"\xff"]
            {
                assert_eq!(fences.child(key), page.child(key), "{key:?}");
            }
        }
    }
}
