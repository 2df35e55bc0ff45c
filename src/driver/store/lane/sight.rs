//! [`Sight`]: the view a loop looks at, and what it shows.

use std::ops::Deref;
use std::sync::Arc;

#[cfg(feature = "replication")]
use crate::driver::store::member;
use crate::resp;
use crate::store::index::{Reader, View};

/// The newest view a lane has looked at, for as long as nothing it knows of has changed it.
pub(super) struct Sight {
    pub(super) reader: Reader,
    pub(super) view: Option<Seen>,
    /// Batches in a row that had the lock, for want of a view, and wrote nothing.
    pub(super) readings: u32,
    #[cfg(feature = "replication")]
    pub(super) of_member: Option<OfMember>,
}

/// What a member of a cluster is to its readers.
#[cfg(feature = "replication")]
pub(super) struct OfMember {
    pub(super) sight: Arc<member::Sight>,
    /// Before the view was taken.
    pub(super) standpoint: member::Standpoint,
    pub(super) noticed: member::Noticed,
    /// The standing still of the process that a turn of the loop's has seen, and the one since which another turn has begun.
    pub(super) seen: u64,
    pub(super) looked: u64,
}

/// So many batches read under the lock before a view is made: among writes it would only cost.
pub(super) const READINGS_MAX: u32 = 8;

/// A view, and a count of its own for who holds it, so that loops do not share one.
#[derive(Clone)]
#[expect(clippy::redundant_allocation, reason = "the count is the point")]
pub(crate) struct Seen(Arc<Arc<View>>);

impl Deref for Seen {
    type Target = View;

    #[inline]
    fn deref(&self) -> &View {
        &self.0
    }
}

impl Sight {
    pub(super) fn view(&mut self) -> Seen {
        self.view_by(Reader::view)
    }

    /// The same, unless there is none at present.
    pub(super) fn view_if_any(&mut self) -> Option<Seen> {
        if self.view.is_none() {
            self.view = self.reader.view_if_any().map(|view| Seen(Arc::new(view)));
        }
        self.view.clone()
    }

    /// The view, which `take` gives if there is none yet.
    pub(super) fn view_by(&mut self, take: impl FnOnce(&Reader) -> Arc<View>) -> Seen {
        if let Some(view) = &self.view {
            return view.clone();
        }
        #[cfg(feature = "replication")]
        self.stand();
        self.view.insert(Seen(Arc::new(take(&self.reader)))).clone()
    }

    /// Notes what this node is, before its state is looked at.
    #[cfg(feature = "replication")]
    pub(super) fn stand(&mut self) {
        if let Some(OfMember { sight, standpoint, .. }) = &mut self.of_member {
            *standpoint = sight.standpoint();
        }
    }

    /// What the view shows that was taken last.
    pub(super) fn of_view(&self) -> resp::Sight {
        #[cfg(feature = "replication")]
        if let Some(OfMember { sight, standpoint, .. }) = &self.of_member {
            return sight.of(*standpoint);
        }
        resp::Sight::Whole
    }
}
