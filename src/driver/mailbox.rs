//! The mailbox into a loop: bounded, many senders, one receiver that sleeps in `poll` when it is empty.
//!
//! One word holds whether the receiver has been told. A sender puts its message in and then sets the bit; who
//! finds it clear wakes the receiver, so a burst costs one wake. The receiver clears the bit and then takes
//! messages until there are none, and only then may sleep.
//!
//! No wake-up is lost. Sender and receiver change the word by read-modify-write alone, so of any setting and
//! clearing one comes first. If the setting does, the receiver's Acquire reads from the sender's Release (or
//! from a later one of the same chain), and the message is there for the taking that follows. If the
//! clearing does, the sender finds the bit clear, or set by another sender since, and that one wakes. How the
//! queue itself orders a message against the emptiness of the queue does not matter. The tests below run
//! this under the model checker, with a queue that promises less than the real one.

use std::fmt;
use std::sync::Arc;

use crate::sync::{AtomicU32, Ordering};

#[cfg(not(loom))]
use crossbeam_queue::ArrayQueue as Queue;
#[cfg(loom)]
use modelled::Queue;

/// What gets a sleeping receiver out of its sleep, or keeps it from falling into it.
pub(crate) trait Wake: Send + Sync {
    /// Makes the sleep under way, or the next one when there is none, end at once. Does not block.
    fn wake(&self);
}

#[cfg(feature = "proxy")]
impl Wake for mio::Waker {
    fn wake(&self) {
        // A counter at its limit is the one thing the system may refuse here, and mio resets it and tries
        // again. The bit stays set either way, as it says that the receiver was told.
        let told = mio::Waker::wake(self);
        debug_assert!(told.is_ok(), "{told:?}");
    }
}

/// One waker may serve several mailboxes of a loop: mio allows one for each `Poll`.
impl<W: Wake> Wake for Arc<W> {
    fn wake(&self) {
        W::wake(self);
    }
}

/// A mailbox for up to `capacity` messages, at least 1, all of whose memory is taken now. `wake` wakes the
/// thread that holds the receiver.
pub(crate) fn mailbox<T: Send>(capacity: usize, wake: impl Wake + 'static) -> (Sender<T>, Receiver<T>) {
    let shared =
        Arc::new(Shared { queue: Queue::new(capacity), state: AtomicU32::new(0), wake: Box::new(wake) });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// Puts messages in. Clones share the mailbox; any thread may use any of them.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Takes messages out, in the order in which they were put in.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// Why a message was not taken; it comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused<T> {
    /// The mailbox holds as many messages as it may.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

struct Shared<T> {
    queue: Queue<T>,
    /// [`TOLD`] and [`CLOSED`].
    state: AtomicU32,
    wake: Box<dyn Wake>,
}

impl<T> Sender<T> {
    /// Puts a message in and wakes the receiver if it may sleep. `Ok` means that the receiver will find it,
    /// unless it is dropped before; then the message is dropped too. Never blocks.
    pub(crate) fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        let shared = &*self.shared;
        // Relaxed: a shortcut only. What is missed here is seen below.
        if shared.state.load(Ordering::Relaxed) & CLOSED != 0 {
            return Err(Refused::Closed(message));
        }
        shared.queue.push(message).map_err(Refused::Full)?;
        // Release: pairs with the Acquire in `drain_begin` and in the receiver's `drop`.
        let before = shared.state.fetch_or(TOLD, Ordering::Release);
        if before & CLOSED != 0 {
            // The receiver emptied the queue before this message was in it.
            shared.clear();
        } else if before & TOLD == 0 {
            shared.wake.wake();
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Begins a round: from now on a sender wakes. To be called before [`try_recv`](Self::try_recv) is called
    /// until `None`; a receiver that stops earlier has to come back without having slept.
    pub(crate) fn drain_begin(&self) {
        // Acquire: pairs with the Release in `try_send`. It has to be a read-modify-write: a store would let
        // the taking that follows be done before it, and miss the message of a sender that found the bit set.
        self.shared.state.fetch_and(!TOLD, Ordering::Acquire);
    }

    /// The oldest message, `None` when there is none. Does not wait, except for a sender that is in the
    /// middle of putting a message in, for some nanoseconds.
    pub(crate) fn try_recv(&self) -> Option<T> {
        self.shared.queue.pop()
    }
}

impl<T> Shared<T> {
    fn clear(&self) {
        while self.queue.pop().is_some() {}
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Acquire: pairs with the Release in `try_send`. A message is either there for the clearing below, or
        // its sender finds `CLOSED` and clears by itself; so none lives on until the last sender goes.
        self.shared.state.fetch_or(CLOSED, Ordering::Acquire);
        self.shared.clear();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The receiver was told that there are messages, and has not begun a round since.
const TOLD: u32 = 1;
/// The receiver is gone.
const CLOSED: u32 = 2;

/// A queue under the model checker that promises less than the real one: no order, and a message is seen to
/// be there by nothing but the acquire of its own slot. A lock around the whole queue would order the sender
/// against a receiver that found nothing, and so hide mistakes in the wake-up.
#[cfg(loom)]
mod modelled {
    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    pub(super) struct Queue<T> {
        slots: Vec<Slot<T>>,
    }

    struct Slot<T> {
        state: AtomicUsize,
        message: Mutex<Option<T>>,
    }

    const EMPTY: usize = 0;
    const BUSY: usize = 1;
    const FULL: usize = 2;

    impl<T> Queue<T> {
        pub(super) fn new(capacity: usize) -> Self {
            assert!(capacity > 0);
            let slot = || Slot { state: AtomicUsize::new(EMPTY), message: Mutex::new(None) };
            Self { slots: (0..capacity).map(|_| slot()).collect() }
        }

        pub(super) fn push(&self, message: T) -> Result<(), T> {
            for slot in &self.slots {
                let free = slot.state.compare_exchange(EMPTY, BUSY, Ordering::Acquire, Ordering::Relaxed);
                if free.is_ok() {
                    *slot.message.lock().expect("no holder panics") = Some(message);
                    slot.state.store(FULL, Ordering::Release);
                    return Ok(());
                }
            }
            Err(message)
        }

        pub(super) fn pop(&self) -> Option<T> {
            for slot in &self.slots {
                // Several may take at once when the receiver is gone.
                if slot.state.load(Ordering::Acquire) == FULL
                    && slot.state.compare_exchange(FULL, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    let message = slot.message.lock().expect("no holder panics").take();
                    slot.state.store(EMPTY, Ordering::Release);
                    return message;
                }
            }
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counted<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>, impl Fn() -> usize) {
        let count = Arc::new(Count::default());
        let (sender, receiver) = mailbox(capacity, Arc::clone(&count));
        (sender, receiver, move || count.0.load(Ordering::Relaxed))
    }

    #[test]
    fn a_burst_costs_one_wake() {
        let (sender, receiver, wakes) = counted(8);
        for message in 0..5 {
            sender.clone().try_send(message).unwrap();
        }
        assert_eq!(wakes(), 1);
        receiver.drain_begin();
        assert_eq!(receiver.try_recv(), Some(0));
        // From the beginning of a round on a message wakes again, once.
        sender.try_send(5).unwrap();
        sender.try_send(6).unwrap();
        assert_eq!(wakes(), 2);
        assert_eq!(std::iter::from_fn(|| receiver.try_recv()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn at_the_capacity_a_message_comes_back() {
        for capacity in [1, 3] {
            let (sender, receiver, _) = counted(capacity);
            for message in 0..capacity {
                sender.try_send(message).unwrap();
            }
            assert_eq!(sender.try_send(99), Err(Refused::Full(99)));
            receiver.drain_begin();
            assert_eq!(receiver.try_recv(), Some(0));
            sender.try_send(100).unwrap();
            assert_eq!(sender.try_send(101), Err(Refused::Full(101)));
        }
    }

    #[test]
    fn without_a_receiver_messages_come_back_and_none_is_kept() {
        let (sender, receiver, wakes) = counted(4);
        let message = Arc::new(());
        sender.try_send(Arc::clone(&message)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&message), 1);
        assert_eq!(sender.try_send(Arc::clone(&message)), Err(Refused::Closed(Arc::clone(&message))));
        assert_eq!((Arc::strong_count(&message), wakes()), (1, 1));
    }

    /// Real threads, a real `Poll`: the receiver sleeps whenever it found nothing, for as long as it takes.
    /// A lost wake-up shows as a sleep that ends by its deadline.
    #[test]
    fn a_sleeping_loop_gets_everything() {
        const SENDERS: u64 = 3;
        const MESSAGES: u64 = 20_000;
        let mut poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (sender, receiver) = mailbox::<(u64, u64)>(64, waker);
        thread::scope(|scope| {
            for number in 0..SENDERS {
                let sender = sender.clone();
                scope.spawn(move || {
                    for value in 0..MESSAGES {
                        let mut message = (number, value);
                        while let Err(refused) = sender.try_send(message) {
                            match refused {
                                Refused::Full(back) => message = back,
                                Refused::Closed(_) => return,
                            }
                            thread::sleep(Duration::from_micros(50));
                        }
                    }
                });
            }
            // Owned here, so that a failed assertion ends the senders too.
            let receiver = receiver;
            let mut next = [0; SENDERS as usize];
            let mut events = mio::Events::with_capacity(4);
            loop {
                receiver.drain_begin();
                while let Some((number, value)) = receiver.try_recv() {
                    assert_eq!(value, next[number as usize], "in order, each once");
                    next[number as usize] += 1;
                }
                if next == [MESSAGES; SENDERS as usize] {
                    break;
                }
                poll.poll(&mut events, Some(Duration::from_secs(30))).unwrap();
                assert!(!events.is_empty(), "slept through a message: {next:?}");
            }
        });
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// What an eventfd does: a wake before the sleep ends the sleep too.
    #[derive(Default)]
    struct Event {
        signalled: Mutex<bool>,
        changed: Condvar,
    }

    impl Wake for Event {
        fn wake(&self) {
            *self.signalled.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }

    impl Event {
        /// A wake-up that never comes is a deadlock to the model checker.
        fn sleep(&self) {
            let mut signalled = self.signalled.lock().unwrap();
            while !*signalled {
                signalled = self.changed.wait(signalled).unwrap();
            }
            *signalled = false;
        }
    }

    fn receive(receiver: &Receiver<u32>, event: &Event, wanted: u32) {
        let mut sum = 0;
        loop {
            receiver.drain_begin();
            while let Some(message) = receiver.try_recv() {
                sum += message;
            }
            if sum == wanted {
                return;
            }
            event.sleep();
        }
    }

    #[test]
    fn loom_two_senders_lose_no_wake_up() {
        loom::model(|| {
            let event = Arc::new(Event::default());
            let (sender, receiver) = mailbox(2, Arc::clone(&event));
            let senders = [1, 2].map(|message| {
                let sender = sender.clone();
                thread::spawn(move || sender.try_send(message).unwrap())
            });
            receive(&receiver, &event, 3);
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }

    /// One sender that sends twice: the second message may fall into any moment of the round for the first.
    #[test]
    fn loom_a_burst_is_all_received() {
        loom::model(|| {
            let event = Arc::new(Event::default());
            let (sender, receiver) = mailbox(3, Arc::clone(&event));
            let burst = thread::spawn(move || {
                for message in [1, 2, 4] {
                    sender.try_send(message).unwrap();
                }
            });
            receive(&receiver, &event, 7);
            burst.join().unwrap();
        });
    }

    /// The receiver goes while two send: what was accepted is dropped at once, not kept with the senders.
    #[test]
    fn loom_no_message_outlives_the_receiver() {
        loom::model(|| {
            let (sender, receiver) = mailbox(2, Arc::new(Event::default()));
            let message = Arc::new(());
            let senders = [(), ()].map(|()| {
                let (sender, message) = (sender.clone(), Arc::clone(&message));
                thread::spawn(move || drop(sender.try_send(message)))
            });
            drop(receiver);
            for sender in senders {
                sender.join().unwrap();
            }
            assert_eq!(Arc::strong_count(&message), 1);
        });
    }
}
