//! [`Cutting`]: tells every worker that a backend went down whose sessions are to be cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::balance::BackendId;
use crate::driver::mailbox::Sender;
use crate::driver::worker::Message;
use crate::proxy::cuts::Moment;

/// The orders of one pool that workers have not taken yet. Each backend is there once at most, however often it goes
/// down. The lock is held for a few steps in memory.
pub(crate) struct Cutting {
    pool_index: usize,
    /// How many there were.
    count: AtomicU64,
    /// For each worker, with up to when who picked the backend is to be cut.
    orders: Box<[Mutex<BTreeMap<BackendId, Moment>>]>,
    senders: Box<[Sender<Message>]>,
}

impl Cutting {
    pub(crate) fn new(pool_index: usize, senders: &[Sender<Message>]) -> Self {
        let orders = senders.iter().map(|_| Mutex::default()).collect();
        Self { pool_index, count: AtomicU64::new(0), orders, senders: senders.into() }
    }

    /// What a session bears that is about to pick.
    pub(crate) fn moment(&self) -> Moment {
        // Acquire: pairs with the Release in `order`. Who sees an order's count sees the change of the pool that came
        // before it, and so does not pick by the table of before.
        Moment(self.count.load(Ordering::Acquire))
    }

    /// This backend went down, as the pool's table says already.
    pub(crate) fn order(&self, backend: BackendId) {
        let until = Moment(self.count.fetch_add(1, Ordering::AcqRel));
        for (orders, sender) in self.orders.iter().zip(&self.senders) {
            let is_first = {
                let mut orders = orders.lock();
                let is_first = orders.is_empty();
                let latest = orders.entry(backend).or_insert(until);
                *latest = until.max(*latest);
                is_first
            };
            if is_first {
                // One message is on its way as long as there are orders to take, and the mailbox has a place for one
                // of each pool. It refuses only when the worker is gone, and its sessions with it.
                let _ = sender.try_send(Message::Cut(self.pool_index));
            }
        }
    }

    /// What this worker is to look for.
    pub(crate) fn take(&self, worker: usize) -> BTreeMap<BackendId, Moment> {
        std::mem::take(&mut *self.orders[worker].lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::mailbox::{Wake, mailbox};

    struct Nobody;

    impl Wake for Nobody {
        fn wake(&self) {}
    }

    /// However often backends go down before a worker looks, it has one message, and each backend once.
    #[test]
    fn one_message_for_all_that_go_down() {
        let (boxes, mut inboxes): (Vec<_>, Vec<_>) = (0..2).map(|_| mailbox(8, Nobody)).unzip();
        let cutting = Cutting::new(5, &boxes);
        let backend = BackendId::from_u64;
        for round in 0..3 {
            for id in [7, 7, 9, 7] {
                cutting.order(backend(id));
            }
            for (worker, inbox) in inboxes.iter_mut().enumerate() {
                inbox.drain_begin();
                let messages: Vec<_> = std::iter::from_fn(|| inbox.try_recv()).collect();
                assert_eq!(messages, [Message::Cut(5)], "round {round}");
                let until = |order: u64| Moment(4 * round + order);
                assert!(
                    cutting.take(worker).into_iter().eq([(backend(7), until(3)), (backend(9), until(2))])
                );
                assert!(cutting.take(worker).is_empty());
            }
        }
    }
}
