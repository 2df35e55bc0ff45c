//! An ordered map from bytes to bytes whose versions share what they have in common: a B+ tree copied on
//! write.
//!
//! A clone costs one reference and never changes afterwards, so a view is a clone. A change copies the leaf
//! and the few nodes above it as far as a clone still holds them; what nobody else holds is changed in place: while
//! there are no clones, a change writes one record and moves nothing but the slots beside its own.
//!
//! Copying an inner node touches the reference count of each child, which is what a write costs most while there are
//! clones: hence narrow nodes. Leaves have no references inside (large values aside) and are copied as plain
//! bytes. They are of a length that allocators keep at hand.
//!
//! What a read waits for is memory, one line after the other where an address is found in the line before. So a
//! step down waits for one allocation, which has what decides the next step in it, and a leaf's slots and all of the
//! record are each asked for together.

mod fences;
mod fetch;
mod leaf;
mod page;

use std::convert::Infallible;
use std::ops::ControlFlow;

use smallvec::SmallVec;
use triomphe::Arc;

use self::fences::Fences;
pub use self::fetch::FETCH_MAX;
use self::leaf::Leaf;
use self::page::Page;
pub(in crate::store::index) use self::{leaf::Cell, page::Scratch};

/// Bytes a leaf may have before it is split in two, unless it has one entry only. At a million keys leaves of 1 KiB cost
/// a get a third more, for the inner nodes grow out of the processor's cache, and a put as much.
const LEAF_MAX: usize = 4_096;
/// Entries a leaf may have before it is split in two.
const LEAF_ENTRIES_MAX: usize = 64;
/// Below this a leaf is joined with its neighbour, if both fit.
const LEAF_MIN: usize = 1_024;
/// Children an inner node may have.
const CHILDREN_MAX: usize = 16;
/// Below this many children an inner node is joined with its neighbour, if both fit.
const CHILDREN_MIN: usize = 5;

/// One version of the map.
#[derive(Clone, Default)]
pub(in crate::store::index) struct Tree {
    root: Option<Node>,
    len: u64,
}

#[derive(Clone)]
enum Node {
    Leaf(Leaf),
    Inner(Arc<Inner>),
}

#[derive(Clone)]
struct Inner {
    /// The least key of each child but the first, or something between it and the last key before.
    fences: Fences,
    /// In the node itself.
    children: Children,
}

/// One more while it is being split.
type Children = SmallVec<[Child; CHILDREN_MAX + 1]>;

#[derive(Clone)]
struct Child {
    node: Node,
    /// Entries below.
    len: u64,
}

/// The new right half of a node that became too large, and what separates them.
struct Split {
    fence: Vec<u8>,
    right: Child,
}

impl Tree {
    pub(in crate::store::index) fn len(&self) -> u64 {
        self.len
    }

    pub(in crate::store::index) fn get(&self, key: &[u8]) -> Option<Cell<'_>> {
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Inner(inner) => node = &inner.children[inner.fences.child(key)].node,
                Node::Leaf(leaf) => return leaf.find(key),
            }
        }
    }

    /// Puts `cell` at `key`, in place of what was there.
    pub(in crate::store::index) fn put(&mut self, key: &[u8], cell: Cell<'_>, scratch: &mut Scratch) {
        let Ok(()) = self.put_by(key, scratch, |_| Ok::<_, Infallible>(cell));
    }

    /// Puts at `key` what `make` makes of what is there. When it refuses, nothing is changed.
    pub(in crate::store::index) fn put_by<'c, E>(
        &mut self,
        key: &[u8],
        scratch: &mut Scratch,
        make: impl FnOnce(Option<Cell<'_>>) -> Result<Cell<'c>, E>,
    ) -> Result<(), E> {
        let mut empty = None;
        let root = self.root.as_mut().unwrap_or_else(|| empty.insert(Node::Leaf(Leaf::empty())));
        let mut split = None;
        let is_new = put(root, key, scratch, make, &mut split)?;
        self.len += u64::from(is_new);
        if let Some(Split { fence, right }) = split {
            let left = Child { node: root.clone(), len: self.len - right.len };
            let mut fences = Page::empty();
            fences.insert(0, &fence, &[], scratch);
            *root = Node::Inner(Arc::new(Inner {
                fences: Fences::new(fences),
                children: Children::from_iter([left, right]),
            }));
        }
        if empty.is_some() {
            self.root = empty;
        }
        Ok(())
    }

    /// Takes `key` out and says whether it was there.
    pub(in crate::store::index) fn remove(&mut self, key: &[u8], scratch: &mut Scratch) -> bool {
        let Some(root) = &mut self.root else { return false };
        // Looked for first: a removal that finds nothing must not copy the path.
        let was_there = contains(root, key) && remove(root, key, scratch);
        self.len -= u64::from(was_there);
        while let Some(Node::Inner(inner)) = &self.root
            && inner.children.len() == 1
        {
            self.root = Some(inner.children[0].node.clone());
        }
        if self.len == 0 {
            self.root = None;
        }
        was_there
    }

    /// How many keys are before `key`.
    pub(in crate::store::index) fn rank(&self, key: &[u8]) -> u64 {
        let Some(mut node) = self.root.as_ref() else { return 0 };
        let mut before = 0;
        loop {
            match node {
                Node::Inner(inner) => {
                    let at = inner.fences.child(key);
                    before += inner.children[..at].iter().map(|child| child.len).sum::<u64>();
                    node = &inner.children[at].node;
                }
                Node::Leaf(leaf) => {
                    return before + leaf.page().search(key).unwrap_or_else(|at| at) as u64;
                }
            }
        }
    }

    /// How many keys are at or after `start` and before `end`.
    pub(in crate::store::index) fn count(&self, start: &[u8], end: Option<&[u8]>) -> u64 {
        end.map_or(self.len, |end| self.rank(end)).saturating_sub(self.rank(start))
    }

    /// Puts the key with `at` keys before it into `key`, and gives its cell.
    pub(in crate::store::index) fn nth(&self, mut at: u64, key: &mut Vec<u8>) -> Option<Cell<'_>> {
        if at >= self.len {
            return None;
        }
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Inner(inner) => {
                    let child = inner.children.iter().find(|child| {
                        let is_here = at < child.len;
                        if !is_here {
                            at -= child.len;
                        }
                        is_here
                    });
                    node = &child?.node;
                }
                Node::Leaf(leaf) => {
                    key.clear();
                    leaf.page().key_into(at as usize, key);
                    return Some(leaf.cell(at as usize));
                }
            }
        }
    }

    /// Shows each entry at or after `start` and before `end` to `visit`, from the last to the first if
    /// `reverse`, until it breaks.
    pub(in crate::store::index) fn scan<'a, B>(
        &'a self,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        mut visit: impl FnMut(&[u8], Cell<'a>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if end.is_some_and(|end| end <= start) {
            return ControlFlow::Continue(());
        }
        let Some(root) = &self.root else { return ControlFlow::Continue(()) };
        scan(root, Some(start), end, reverse, &mut Vec::new(), &mut visit)
    }

    /// The first entry at or after `start`: its key and cell.
    pub(in crate::store::index) fn first_from(&self, start: &[u8]) -> Option<(Vec<u8>, Cell<'_>)> {
        match self.scan(start, None, false, |key, cell| ControlFlow::Break((key.to_vec(), cell))) {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(()) => None,
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).finish_non_exhaustive()
    }
}

fn contains(mut node: &Node, key: &[u8]) -> bool {
    loop {
        match node {
            Node::Inner(inner) => node = &inner.children[inner.fences.child(key)].node,
            Node::Leaf(leaf) => return leaf.page().search(key).is_ok(),
        }
    }
}

/// Says whether the key is new; `split` gets what is to be put beside the node, if anything.
fn put<'c, E>(
    node: &mut Node,
    key: &[u8],
    scratch: &mut Scratch,
    make: impl FnOnce(Option<Cell<'_>>) -> Result<Cell<'c>, E>,
    split: &mut Option<Split>,
) -> Result<bool, E> {
    match node {
        Node::Leaf(leaf) => {
            let (at, old) = match leaf.look_up(key) {
                Ok((at, old)) => (Ok(at), Some(old)),
                Err(at) => (Err(at), None),
            };
            let cell = make(old)?;
            leaf.put(at, key, cell, scratch);
            if is_leaf_full(leaf) {
                *split = Some(split_leaf(leaf, at, scratch));
            }
            Ok(at.is_err())
        }
        Node::Inner(inner) => {
            let inner = own(inner);
            let at = inner.fences.child(key);
            let child = &mut inner.children[at];
            let is_new = put(&mut child.node, key, scratch, make, split)?;
            child.len += u64::from(is_new);
            if let Some(below) = split.take() {
                *split = take_in(inner, at, below, scratch);
            }
            Ok(is_new)
        }
    }
}

/// Puts the new half of the child at `at` beside it. Gives what is to be put beside the node then, if it is full.
fn take_in(
    inner: &mut Inner,
    at: usize,
    Split { fence, right }: Split,
    scratch: &mut Scratch,
) -> Option<Split> {
    inner.children[at].len -= right.len;
    let mut fences = inner.fences.page().clone();
    fences.insert(at, &fence, &[], scratch);
    inner.fences = Fences::new(fences);
    inner.children.insert(at + 1, right);
    let is_last = at + 2 == inner.children.len();
    (inner.children.len() > CHILDREN_MAX).then(|| split_inner(inner, is_last, scratch))
}

/// The node, to be changed: a copy unless nobody else holds it.
fn own(inner: &mut Arc<Inner>) -> &mut Inner {
    if !inner.is_unique() {
        // The copy increments the count of each child, one after the other, and leaves are far away in memory.
        // Plain reads before have all of them fetched at the same time.
        if matches!(inner.children.first(), Some(Child { node: Node::Leaf(_), .. })) {
            let held = inner.children.iter().map(|child| match &child.node {
                Node::Leaf(leaf) => leaf.page().holders(),
                Node::Inner(_) => 0,
            });
            std::hint::black_box(held.fold(0, usize::wrapping_add));
        }
    }
    Arc::make_mut(inner)
}

fn is_leaf_full(leaf: &Leaf) -> bool {
    let page = leaf.page();
    page.len() > LEAF_ENTRIES_MAX || (page.size() > LEAF_MAX && page.len() > 1)
}

fn split_leaf(leaf: &mut Leaf, put_at: Result<usize, usize>, scratch: &mut Scratch) -> Split {
    let page = leaf.page();
    let len = page.len();
    // Keys that come in order leave full leaves behind.
    let middle = if put_at == Err(len - 1) {
        len - 1
    } else {
        let half = (0..len).map(|at| page.bytes_of(at)).sum::<usize>() / 2;
        let mut before = 0;
        let reaches = |at: &usize| {
            before += page.bytes_of(at - 1);
            before >= half
        };
        (1..len).find(reaches).unwrap_or(len - 1)
    };
    let right = Leaf::assemble(&[(leaf, middle..len)], scratch);
    let left = Leaf::assemble(&[(leaf, 0..middle)], scratch);
    // The shortest string that is after the left's last key and not after the right's first.
    let (mut last, mut fence) = (Vec::new(), Vec::new());
    left.page().key_into(middle - 1, &mut last);
    right.page().key_into(0, &mut fence);
    fence.truncate(page::common_prefix(&last, &fence) + 1);
    *leaf = left;
    Split { fence, right: Child { node: Node::Leaf(right), len: (len - middle) as u64 } }
}

fn split_inner(inner: &mut Inner, is_last: bool, scratch: &mut Scratch) -> Split {
    let len = inner.children.len();
    let middle = if is_last { len - CHILDREN_MIN } else { len / 2 };
    let children: Children = inner.children.drain(middle..).collect();
    let all = inner.fences.page();
    let fences = cut_fences(all, middle..len - 1, scratch);
    let mut fence = Vec::new();
    all.key_into(middle - 1, &mut fence);
    inner.fences = cut_fences(all, 0..middle - 1, scratch);
    let below = children.iter().map(|child| child.len).sum();
    Split { fence, right: Child { node: Node::Inner(Arc::new(Inner { fences, children })), len: below } }
}

fn cut_fences(fences: &Page, range: std::ops::Range<usize>, scratch: &mut Scratch) -> Fences {
    let prefix = if range.is_empty() { 0 } else { fences.common_with(range.start, fences, range.end - 1) };
    Fences::new(Page::assemble(&[(fences, range)], prefix, scratch, |_, _, _| ()))
}

/// Removes `key`, which is below `node`.
fn remove(node: &mut Node, key: &[u8], scratch: &mut Scratch) -> bool {
    match node {
        Node::Leaf(leaf) => {
            let Ok(at) = leaf.page().search(key) else { return false };
            leaf.remove(at, scratch);
            true
        }
        Node::Inner(inner) => {
            let inner = own(inner);
            let at = inner.fences.child(key);
            if !remove(&mut inner.children[at].node, key, scratch) {
                return false;
            }
            inner.children[at].len -= 1;
            if inner.children.len() > 1 && is_small(&inner.children[at].node) {
                let left = at.min(inner.children.len() - 2);
                join(inner, left, scratch);
            }
            true
        }
    }
}

fn is_small(node: &Node) -> bool {
    match node {
        Node::Leaf(leaf) => leaf.page().len() == 0 || leaf.page().size() < LEAF_MIN,
        Node::Inner(inner) => inner.children.len() < CHILDREN_MIN,
    }
}

/// Joins the children at `left` and after it, if they fit into one or either is empty.
fn join(parent: &mut Inner, left: usize, scratch: &mut Scratch) {
    let right = left + 1;
    let joined = match (&parent.children[left].node, &parent.children[right].node) {
        (Node::Leaf(a), Node::Leaf(b)) => {
            let (bytes, entries) = (a.page().size() + b.page().size(), a.page().len() + b.page().len());
            let is_one_empty = a.page().len() == 0 || b.page().len() == 0;
            if !is_one_empty && (bytes > LEAF_MAX * 3 / 4 || entries > LEAF_ENTRIES_MAX * 3 / 4) {
                return;
            }
            Node::Leaf(Leaf::assemble(&[(a, 0..a.page().len()), (b, 0..b.page().len())], scratch))
        }
        (Node::Inner(a), Node::Inner(b)) => {
            if a.children.len() + b.children.len() > CHILDREN_MAX {
                return;
            }
            let mut fence = Vec::new();
            parent.fences.page().key_into(left, &mut fence);
            let mut between = Page::empty();
            between.insert(0, &fence, &[], scratch);
            let (before, behind) = (a.fences.page(), b.fences.page());
            let parts = [(before, 0..before.len()), (&between, 0..1), (behind, 0..behind.len())];
            let first = if before.len() > 0 { before } else { &between };
            let last = if behind.len() > 0 { behind } else { &between };
            let prefix = first.common_with(0, last, last.len() - 1);
            let fences = Page::assemble(&parts, prefix, scratch, |_, _, _| ());
            let children = a.children.iter().chain(&b.children).cloned().collect();
            Node::Inner(Arc::new(Inner { fences: Fences::new(fences), children }))
        }
        _ => unreachable!("all leaves are equally deep"),
    };
    let len = parent.children[left].len + parent.children[right].len;
    parent.children[left] = Child { node: joined, len };
    parent.children.remove(right);
    let mut fences = parent.fences.page().clone();
    fences.remove(left, scratch);
    parent.fences = Fences::new(fences);
}

fn scan<'a, B>(
    node: &'a Node,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
    reverse: bool,
    key: &mut Vec<u8>,
    visit: &mut impl FnMut(&[u8], Cell<'a>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    match node {
        Node::Leaf(leaf) => {
            let page = leaf.page();
            let position = |bound: &[u8]| page.search(bound).unwrap_or_else(|at| at);
            let (from, to) = (start.map_or(0, position), end.map_or(page.len(), position));
            for step in 0..to.saturating_sub(from) {
                let at = if reverse { to - 1 - step } else { from + step };
                key.clear();
                page.key_into(at, key);
                visit(key, leaf.cell(at))?;
            }
        }
        Node::Inner(inner) => {
            let last = inner.children.len() - 1;
            let from = start.map_or(0, |start| inner.fences.child(start));
            let to = end.map_or(last, |end| inner.fences.child(end));
            for step in 0..=to - from {
                let at = if reverse { to - step } else { from + step };
                let (start, end) = (start.filter(|_| at == from), end.filter(|_| at == to));
                scan(&inner.children[at].node, start, end, reverse, key, visit)?;
            }
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests;
