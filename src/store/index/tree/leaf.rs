//! A leaf: a page whose payloads are cells. What is small lies in the page; what is large lies beside it and
//! is shared by every version of the leaf.
//!
//! Payload: `0`, or `1 +` the place of the large part (varint), then the small part.

use std::ops::Range;
use std::sync::Arc;

use super::page::{Page, Scratch};
use crate::store::index::wire::{put_varint, take_varint};

/// What a key has in a tree.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::index) struct Cell<'a> {
    /// The small part, which lies in the leaf.
    pub(in crate::store::index) small: &'a [u8],
    /// The large part, shared.
    pub(in crate::store::index) large: Option<&'a Arc<[u8]>>,
}

impl<'a> Cell<'a> {
    pub(in crate::store::index) fn small(small: &'a [u8]) -> Self {
        Self { small, large: None }
    }
}

#[derive(Clone)]
pub(super) struct Leaf {
    page: Page,
    /// The large parts. A place is free when its cell is gone, and taken again by the next.
    larges: Option<Arc<Larges>>,
}

type Larges = Vec<Option<Arc<[u8]>>>;

impl Leaf {
    pub(super) fn empty() -> Self {
        Self { page: Page::empty(), larges: None }
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    pub(super) fn cell(&self, at: usize) -> Cell<'_> {
        self.cell_of(self.page.payload(at))
    }

    /// What `key` has, if it is there.
    pub(super) fn find(&self, key: &[u8]) -> Option<Cell<'_>> {
        self.page.find(key).map(|payload| self.cell_of(payload))
    }

    /// Where `key` is and what it has, or where it would go.
    pub(super) fn look_up(&self, key: &[u8]) -> Result<(usize, Cell<'_>), usize> {
        self.page.look_up(key).map(|(at, payload)| (at, self.cell_of(payload)))
    }

    /// Puts `cell` where [`Page::search`] found `at`.
    pub(super) fn put(
        &mut self,
        at: Result<usize, usize>,
        key: &[u8],
        cell: Cell<'_>,
        scratch: &mut Scratch,
    ) {
        if let Ok(at) = at {
            self.free(at);
        }
        let mut place = Vec::new();
        if let Some(large) = cell.large {
            let taken = take_place(Arc::make_mut(self.larges.get_or_insert_default()), large);
            put_place(&mut place, Some(taken));
        }
        let payload = [if place.is_empty() { &[0] } else { &place[..] }, cell.small];
        match at {
            Ok(at) => self.page.replace(at, key, &payload, scratch),
            Err(at) => self.page.insert(at, key, &payload, scratch),
        }
    }

    pub(super) fn remove(&mut self, at: usize, scratch: &mut Scratch) {
        self.free(at);
        self.page.remove(at, scratch);
    }

    /// The cells of `parts` in a row.
    pub(super) fn assemble(parts: &[(&Leaf, Range<usize>)], scratch: &mut Scratch) -> Leaf {
        let pages: Vec<_> = parts.iter().map(|(leaf, range)| (&leaf.page, range.clone())).collect();
        let prefix =
            match (pages.iter().find(|(_, r)| !r.is_empty()), pages.iter().rfind(|(_, r)| !r.is_empty())) {
                (Some((first, from)), Some((last, to))) => first.common_with(from.start, last, to.end - 1),
                _ => 0,
            };
        if let ([(leaf, range)], [(page, _)]) = (parts, &pages[..])
            && prefix == page.prefix().len()
            && leaf.larges.is_none()
            && let Some(page) = page.cut(range.clone(), scratch)
        {
            return Leaf { page, larges: None };
        }
        let mut larges = Vec::new();
        let page = Page::assemble(&pages, prefix, scratch, |from, payload, out| {
            let (place, small) = split_payload(payload);
            let place = place.map(|place| take_place(&mut larges, parts[from].0.large(place)));
            put_place(out, place);
            out.extend_from_slice(small);
        });
        Leaf { page, larges: (!larges.is_empty()).then(|| Arc::new(larges)) }
    }

    fn cell_of<'a>(&'a self, payload: &'a [u8]) -> Cell<'a> {
        let (place, small) = split_payload(payload);
        Cell { small, large: place.map(|place| self.large(place)) }
    }

    fn large(&self, place: usize) -> &Arc<[u8]> {
        self.larges.as_ref().and_then(|larges| larges[place].as_ref()).expect("the place is taken")
    }

    fn free(&mut self, at: usize) {
        let Some(place) = split_payload(self.page.payload(at)).0 else { return };
        let larges = Arc::make_mut(self.larges.as_mut().expect("the place is taken"));
        larges[place] = None;
        if larges.iter().all(Option::is_none) {
            self.larges = None;
        }
    }
}

fn split_payload(mut payload: &[u8]) -> (Option<usize>, &[u8]) {
    let tag = take_varint(&mut payload).expect("a payload is written by us");
    ((tag as usize).checked_sub(1), payload)
}

fn put_place(out: &mut Vec<u8>, place: Option<usize>) {
    put_varint(out, place.map_or(0, |place| place as u64 + 1));
}

fn take_place(larges: &mut Vec<Option<Arc<[u8]>>>, large: &Arc<[u8]>) -> usize {
    let free = larges.iter().position(Option::is_none);
    let place = free.unwrap_or_else(|| {
        larges.push(None);
        larges.len() - 1
    });
    larges[place] = Some(Arc::clone(large));
    place
}
