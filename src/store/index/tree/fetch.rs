//! Asking for the memory that keys need before they are looked up, for several keys together.

use smallvec::SmallVec;

use super::{Child, Inner, Node, Tree};
use crate::sys::prefetch::prefetch;

/// Keys asked for together, at most: by so many lines, give or take, memory is asked for at the same time.
pub const FETCH_MAX: usize = 16;
/// What of an inner node decides the next step, beside the child that is next.
const FENCES_FETCHED: usize = 192;

impl Tree {
    /// Has the memory fetched that looking up `keys` and changing what they have reads, of [`FETCH_MAX`] of them at
    /// most. One lookup waits for one line after the other; here the keys go down step by step, so that each step is
    /// waited for once. It changes nothing, and what is looked up then comes from the processor's cache.
    pub(in crate::store::index) fn fetch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) {
        let Some(root) = &self.root else { return };
        let mut paths: SmallVec<[(&Node, &[u8]); FETCH_MAX]> =
            keys.into_iter().take(FETCH_MAX).map(|key| (root, key)).collect();
        // All leaves are equally deep.
        while let Some((Node::Inner(_), _)) = paths.first() {
            let mut next: SmallVec<[&Child; FETCH_MAX]> = SmallVec::new();
            for (node, key) in &paths {
                if let Node::Inner(inner) = node {
                    let child = &inner.children[inner.fences.child(key)];
                    prefetch(child, size_of::<Child>());
                    next.push(child);
                }
            }
            for ((node, _), child) in paths.iter_mut().zip(next) {
                *node = &child.node;
                node.prefetch();
            }
        }
        for (node, key) in paths {
            if let Node::Leaf(leaf) = node {
                leaf.page().prefetch_record(key);
            }
        }
    }
}

impl Node {
    /// Has fetched what decides the next step.
    fn prefetch(&self) {
        match self {
            Node::Leaf(leaf) => leaf.page().prefetch_slots(),
            Node::Inner(inner) => prefetch::<Inner>(inner, FENCES_FETCHED),
        }
    }
}
