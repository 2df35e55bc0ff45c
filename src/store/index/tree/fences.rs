//! [`Fences`]: which child of an inner node has a key.

use super::CHILDREN_MAX;
use super::page::{Page, head};

/// The fences of an inner node. Their heads lie in the node itself: a step down looks at the page beside it to see
/// that the key begins as all of them do, which nobody waits for, and where two heads are the same.
#[derive(Clone)]
pub(super) struct Fences {
    /// The head of each, in order; what is behind the last is never less than another.
    heads: [u32; CHILDREN_MAX],
    len: u32,
    page: Page,
}

impl Fences {
    pub(super) fn new(page: Page) -> Self {
        let mut heads = [u32::MAX; CHILDREN_MAX];
        for (at, to) in heads.iter_mut().enumerate().take(page.len()) {
            *to = head(page.suffix(at));
        }
        Self { heads, len: page.len() as u32, page }
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    /// How many fences are at or before `key`.
    pub(super) fn child(&self, key: &[u8]) -> usize {
        let prefix = self.page.prefix();
        let Some(suffix) = key.strip_prefix(prefix) else {
            return if key < prefix { 0 } else { self.len as usize };
        };
        let head = head(suffix);
        let before = self.heads.iter().filter(|other| **other < head).count();
        let is_same = before < self.len as usize && self.heads[before] == head;
        if is_same { self.page.child(key) } else { before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::tree::Scratch;

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
            for key in
                [&b"user:\xff\xff\xff\xff"[..], b"user:\xff\xff\xff", b"user:\xff\xff\xff\xff\xff", b"\xff"]
            {
                assert_eq!(fences.child(key), page.child(key), "{key:?}");
            }
        }
    }
}
