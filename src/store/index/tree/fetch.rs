//! Asking for the memory that keys need before they are looked up, for several keys together.

use smallvec::SmallVec;
use triomphe::Arc;

use super::{Node, Tree};

/// Keys asked for together, at most: by so many lines, give or take, memory is asked for at the same time.
pub const FETCH_MAX: usize = 16;

impl Tree {
    /// Has the memory fetched that looking up `keys` and changing what they have reads, of [`FETCH_MAX`] of them at
    /// most. One lookup waits for one line after the other; here the keys go down level by level, so that each level is
    /// waited for once. It changes nothing, and what is looked up then comes from the processor's cache.
    pub(in crate::store::index) fn fetch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) {
        let Some(root) = &self.root else { return };
        let mut paths: SmallVec<[(&Node, &[u8]); FETCH_MAX]> =
            keys.into_iter().take(FETCH_MAX).map(|key| (root, key)).collect();
        while let Some((Node::Inner(_), _)) = paths.first() {
            touch(paths.iter().map(|(node, _)| node.touch()));
            for (node, key) in &mut paths {
                if let Node::Inner(inner) = node {
                    *node = &inner.children[inner.fences.child(key)].node;
                }
            }
        }
        touch(paths.iter().map(|(node, _)| node.touch()));
        touch(paths.iter().map(|(node, key)| match node {
            Node::Leaf(leaf) => leaf.page().touch_record(key),
            Node::Inner(_) => 0,
        }));
    }
}

impl Node {
    /// Reads what decides the next step.
    fn touch(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.page().touch_slots(),
            // The count is looked at by who changes the node.
            Node::Inner(inner) => Arc::count(inner).wrapping_add(inner.fences.touch()),
        }
    }
}

/// Has the reads be done, though nobody needs what they give.
fn touch(reads: impl Iterator<Item = usize>) {
    std::hint::black_box(reads.fold(0, usize::wrapping_add));
}
