//! What threads share: atomics and a value replaced whole. Under `--cfg loom` the same names come from
//! the model checker, so the tests explore the very code that runs.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use std::sync::Arc;

/// `len` atomics that start at zero. Memory is asked for zeroed, so pages nobody uses cost nothing.
pub(crate) fn zeroed(len: usize) -> Box<[AtomicU64]> {
    #[cfg(not(loom))]
    {
        use zerocopy::FromZeros;
        <[AtomicU64]>::new_box_zeroed_with_elems(len).expect("the length is bounded by the options")
    }
    #[cfg(loom)]
    (0..len).map(|_| AtomicU64::new(0)).collect()
}

/// A shared value that is replaced whole. Readers never wait and never see half a change.
pub(crate) struct Swap<T> {
    #[cfg(not(loom))]
    inner: arc_swap::ArcSwap<T>,
    #[cfg(loom)]
    inner: loom::sync::RwLock<Arc<T>>,
}

impl<T> Swap<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        #[cfg(not(loom))]
        let inner = arc_swap::ArcSwap::new(value);
        #[cfg(loom)]
        let inner = loom::sync::RwLock::new(value);
        Self { inner }
    }

    /// The present value, kept alive by the guard. Wait-free.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<T>> {
        self.inner.load()
    }

    #[cfg(loom)]
    pub(crate) fn load(&self) -> Arc<T> {
        Arc::clone(&self.inner.read().expect("no holder of this lock panics"))
    }

    /// The present value, to keep.
    pub(crate) fn load_full(&self) -> Arc<T> {
        #[cfg(not(loom))]
        {
            self.inner.load_full()
        }
        #[cfg(loom)]
        self.load()
    }

    /// Replaces whatever is there by `new`.
    #[cfg(feature = "store")]
    pub(crate) fn set(&self, new: Arc<T>) {
        #[cfg(not(loom))]
        self.inner.store(new);
        #[cfg(loom)]
        {
            *self.inner.write().expect("no holder of this lock panics") = new;
        }
    }

    /// Replaces `old` by `new` and says whether it did; it does not when another change came between.
    pub(crate) fn replace(&self, old: &Arc<T>, new: Arc<T>) -> bool {
        #[cfg(not(loom))]
        {
            let seen = self.inner.compare_and_swap(old, new);
            Arc::ptr_eq(&seen, old)
        }
        #[cfg(loom)]
        {
            let mut held = self.inner.write().expect("no holder of this lock panics");
            let same = Arc::ptr_eq(&held, old);
            if same {
                *held = new;
            }
            same
        }
    }
}

/// Keeps a later load from being done before an earlier atomic read-modify-write: a full fence, which on
/// x86-64 such a write is already.
#[inline]
pub(crate) fn barrier_after_write() {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    fence(Ordering::SeqCst);
}

/// How many threads the machine runs at once; 1 when it does not say.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
