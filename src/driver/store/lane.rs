//! [`Lane`]: the way into a store for a loop that serves Redis clients. What the clients ask for in a turn is submitted
//! under one lock, and wakes the thread that writes once; what came of it wakes the loop once, however much it is.

mod batch;
mod sight;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

pub(crate) use self::batch::Batch;
#[cfg(feature = "replication")]
use self::sight::OfMember;
pub(crate) use self::sight::Seen;
use self::sight::Sight;
use super::Store;
#[cfg(feature = "replication")]
use super::ground::Source;
use super::ground::{Caller, Reply};
#[cfg(feature = "replication")]
use super::member;
use super::shared::{Core, now};
use crate::error::Result;
use crate::resp::{Ahead, Completed, Done, Position, Ticket, Told, Topology, Trace};
use crate::store::index::{Answer, Timestamp};
use crate::time::{Clock, Instant};

/// Wakes a loop. Called with the store's lock held: it must neither block nor call the store.
type Wake = Box<dyn Fn() + Send + Sync>;

/// What is done and not taken, lane by lane. Part of what the store's lock guards.
#[derive(Default)]
pub(super) struct Lanes {
    posts: Slab<Post>,
    /// What the writes of all lanes will have changed.
    ahead: Ahead,
}

struct Post {
    done: Vec<Finished>,
    /// Something was applied since the lane was told.
    is_news: bool,
    /// Whether it wants to know.
    wants_news: bool,
    /// Other nodes have come further since the lane was told.
    is_progress: bool,
    /// Whether it wants to know that.
    wants_progress: bool,
    /// The cluster has changed since the lane was told.
    is_changed: bool,
    /// What other nodes say of how far they are is a change too.
    #[cfg(feature = "replication")]
    wants_reports: bool,
    /// Its loop has subscribers, or may have.
    #[cfg(feature = "replication")]
    wants_messages: bool,
    /// Messages that clients of other nodes have published.
    heard: Vec<Heard>,
    /// Their bytes.
    heard_bytes: usize,
    /// The loop was woken and has not looked yet.
    is_rung: bool,
    wake: Wake,
}

/// A message: its channel and what it says.
pub(crate) type Heard = (Arc<[u8]>, Arc<[u8]>);

/// Bytes of messages from other nodes that wait for a loop; beyond, they are lost.
#[cfg(feature = "replication")]
const HEARD_BYTES_MAX: usize = 16 << 20;

/// Whose a ticket is.
pub(super) struct Place {
    lane: usize,
    client: u64,
    /// `None`: of a sync.
    ticket: Option<Ticket>,
    /// What it has left in [`Ahead`].
    trace: Option<Trace>,
    /// It is no write: the primary was asked.
    is_asked: bool,
}

/// What came of one of a lane's calls.
pub(crate) enum Finished {
    /// A write of `client`.
    Write { client: u64, ticket: Ticket, completed: Completed },
    /// What the primary told `client`, if it did.
    Told { client: u64, ticket: Ticket, told: Result<Told> },
    /// All that was there when [`Batch::sync`] was called is on disk, or never will be.
    Sync,
}

impl Lanes {
    pub(super) fn complete(&mut self, place: Place, result: Result<Reply>) {
        if let Some(trace) = &place.trace {
            let outcome = result.as_ref().ok().and_then(|reply| reply.outcome.as_ref());
            let is_done = outcome.is_some_and(|outcome| {
                matches!(outcome.answer, Ok(Answer::Transaction { is_met: true, .. }))
            });
            self.ahead.forget(trace, is_done);
        }
        // A loop that has ended does not want to know.
        let Some(post) = self.posts.get_mut(place.lane) else { return };
        post.done.push(match place.ticket {
            None => Finished::Sync,
            Some(ticket) if place.is_asked => {
                Finished::Told { client: place.client, ticket, told: result.map(told_of) }
            }
            Some(ticket) => {
                let completed = result.map(done_of);
                Finished::Write { client: place.client, ticket, completed }
            }
        });
    }

    /// Something was applied.
    pub(super) fn note_news(&mut self) {
        for (_, post) in &mut self.posts {
            post.is_news |= post.wants_news;
        }
    }

    /// Whether somebody wants to know how far other nodes are.
    #[cfg(feature = "replication")]
    pub(super) fn want_progress(&self) -> bool {
        self.posts.iter().any(|(_, post)| post.wants_progress)
    }

    /// Other nodes have come further, the cluster has changed, or nodes have said how far they are.
    #[cfg(feature = "replication")]
    pub(super) fn note_cluster(&mut self, is_progress: bool, is_changed: bool, is_reported: bool) {
        for (_, post) in &mut self.posts {
            post.is_progress |= is_progress && post.wants_progress;
            post.is_changed |= is_changed || (is_reported && post.wants_reports);
        }
    }

    /// Messages have come from other nodes: one loop that serves clients has them published. Where there is none, nobody can
    /// have subscribed to anything.
    #[cfg(feature = "replication")]
    pub(super) fn hear(&mut self, heard: Vec<Heard>) {
        let Some((_, post)) = self.posts.iter_mut().find(|(_, post)| post.wants_messages) else { return };
        for message in heard {
            let bytes = message.0.len() + message.1.len() + 64;
            if post.heard_bytes + bytes <= HEARD_BYTES_MAX {
                post.heard_bytes += bytes;
                post.heard.push(message);
            }
        }
    }

    /// Wakes each loop that has something to take and does not know.
    pub(super) fn ring(&mut self) {
        for (_, post) in &mut self.posts {
            let has_more = post.is_news || post.is_progress || post.is_changed || !post.heard.is_empty();
            if !post.is_rung && (has_more || !post.done.is_empty()) {
                post.is_rung = true;
                (post.wake)();
            }
        }
    }
}

/// See the module. Dropped, what is under way is done and nobody told.
pub(crate) struct Lane {
    store: Store,
    index: usize,
    sight: Sight,
    /// For tickets that have no sequence.
    unnumbered: u64,
    /// Other nodes have come further since the loop looked.
    is_progress: bool,
    /// Whether the store is to tell that.
    wants_progress: bool,
    /// What is known of the cluster, when it is new.
    topology: Option<Arc<Topology>>,
    /// When it was looked at last.
    looked_at: Instant,
    heard: Vec<Heard>,
}

/// How old what is told of the cluster may be.
const TOPOLOGY_AGE: Duration = Duration::from_millis(100);

impl Lane {
    /// One whose loop is woken by `wake`, which must neither block nor call the store.
    ///
    /// # Errors
    ///
    /// `State` once the store is closed, `Forked`.
    pub(crate) fn new(store: &Store, wake: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let post = Post::new(Box::new(wake));
        let shared = store.shared()?;
        let sight = Sight {
            reader: store.reader()?.clone(),
            view: None,
            readings: 0,
            #[cfg(feature = "replication")]
            of_member: shared.sight.as_ref().map(|sight| OfMember {
                sight: Arc::clone(sight),
                standpoint: sight.standpoint(),
                noticed: member::Noticed::default(),
                seen: 0,
                looked: 0,
            }),
        };
        let mut core = shared.core.lock();
        let index = core.lanes.posts.insert(post);
        let topology = topology(&mut core);
        drop(core);
        Ok(Self {
            store: store.clone(),
            index,
            sight,
            unnumbered: 0,
            is_progress: false,
            wants_progress: false,
            topology,
            looked_at: Clock.now(),
            heard: Vec::new(),
        })
    }

    /// What is known of the cluster, when it is new since this was asked last.
    pub(crate) fn poll_topology(&mut self) -> Option<Arc<Topology>> {
        if self.store.inner.shared.is_member()
            && self.topology.is_none()
            && Clock.now().duration_since(self.looked_at) >= TOPOLOGY_AGE
        {
            self.looked_at = Clock.now();
            self.topology = topology(&mut self.store.inner.shared.core.lock());
        }
        self.topology.take()
    }

    /// From now on all nodes tell how far they are, every 100 ms, and what they tell is a change of what is known.
    #[cfg(feature = "replication")]
    pub(crate) fn want_reports(&self) {
        let shared = &self.store.inner.shared;
        let (mut core, now) = (shared.core.lock(), now());
        core.lanes.posts[self.index].wants_reports = true;
        if let Ok(member) = core.member() {
            member.want_reports();
            shared.settle(&mut core, now);
        }
    }

    /// What is known of the cluster now; `None` outside of one.
    #[cfg(feature = "replication")]
    pub(crate) fn look(&mut self) -> Option<Arc<Topology>> {
        topology(&mut self.store.inner.shared.core.lock())
    }

    /// Whether another node of its cluster is primary, at present.
    pub(crate) fn follows_another(&self) -> bool {
        topology(&mut self.store.inner.shared.core.lock()).is_some_and(|it| !it.is_primary())
    }

    /// Whether other nodes have come further since this was asked last. Told while `wants` was said last.
    pub(crate) fn poll_progress(&mut self, wants: bool) -> bool {
        if std::mem::replace(&mut self.wants_progress, wants) != wants {
            self.store.inner.shared.core.lock().lanes.posts[self.index].wants_progress = wants;
            // What came in between was told to nobody.
            self.is_progress |= wants;
        }
        std::mem::take(&mut self.is_progress)
    }

    /// Begins to hand over to another node. What comes of it is seen in the topology.
    ///
    /// # Errors
    ///
    /// Those of [`Store::transfer`].
    pub(crate) fn hand_over(&mut self, to: &str) -> Result<()> {
        #[cfg(feature = "replication")]
        {
            let shared = &self.store.inner.shared;
            let (mut core, now) = (shared.core.lock(), now());
            core.member()?.begin_transfer(to, now)?;
            shared.settle(&mut core, now);
        }
        let _ = to;
        Ok(())
    }

    /// A client asks for nothing more, and waits for nothing any more, or may not: in a cluster what it has asked for, and is refused,
    /// is not asked for again.
    pub(crate) fn forsake(&self, client: u64) {
        #[cfg(feature = "replication")]
        if self.sight.of_member.is_some() {
            let inner = &*self.store.inner;
            let (mut core, now) = (inner.shared.core.lock(), now());
            let until = now.instant.saturating_add(inner.options.timeout);
            let source = Source::Client { lane: self.index, client };
            if core.member().is_ok_and(|member| member.forsake(source, until)) {
                // The primary is to know.
                inner.shared.settle(&mut core, now);
            }
        }
        let _ = client;
    }

    /// Whether this process stands still, or has done so just now: what comes in may have been said long ago, and another node may
    /// have answered for it since. While a machine is suspended its clock stands still too, so that is not seen.
    pub(crate) fn has_stood_still(&mut self) -> bool {
        #[cfg(feature = "replication")]
        if let Some(of_member) = &mut self.sight.of_member {
            return of_member.sight.has_stood_still(&mut of_member.noticed);
        }
        false
    }

    /// A turn has begun, and what there was to hear of clients was heard. Once the process has stood still nothing of theirs is sent before
    /// that: what they have asked for may have been given up. Whether another turn is to follow at once.
    pub(crate) fn note_turn(&mut self) -> bool {
        #[cfg(feature = "replication")]
        if let Some(of_member) = &mut self.sight.of_member {
            let resumed = of_member.sight.resumed();
            if of_member.looked == resumed {
                return false;
            }
            // What this turn has heard may be of before.
            if std::mem::replace(&mut of_member.seen, resumed) != resumed {
                return true;
            }
            of_member.looked = resumed;
            let shared = &self.store.inner.shared;
            let (mut core, now) = (shared.core.lock(), now());
            if let Ok(member) = core.member() {
                member.note_looked(self.index, resumed);
                shared.settle(&mut core, now);
            }
        }
        false
    }

    /// Has messages go to the clients of other nodes: once, or not at all.
    pub(crate) fn publish(&mut self, messages: &[Heard]) {
        #[cfg(feature = "replication")]
        {
            let shared = &self.store.inner.shared;
            let (mut core, now) = (shared.core.lock(), now());
            if let Ok(member) = core.member() {
                messages.iter().for_each(|message| member.publish(message));
                shared.settle(&mut core, now);
            }
        }
        let _ = messages;
    }

    /// From now on messages from other nodes may be given to this one: its loop has them published, and takes them whenever
    /// it is woken.
    pub(crate) fn want_messages(&self) {
        #[cfg(feature = "replication")]
        {
            self.store.inner.shared.core.lock().lanes.posts[self.index].wants_messages = true;
        }
    }

    /// Messages that clients of other nodes have published since this was asked last.
    pub(crate) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    /// Begins a batch. The store's lock is taken with its first write and held until it is finished, so nothing may
    /// come between that waits. With `may_wait` the loop may be held up by the disk for as long as that mostly takes; once it
    /// was, that is unset.
    pub(crate) fn batch<'a>(&'a mut self, may_wait: &'a mut bool) -> Batch<'a> {
        let inner = &*self.store.inner;
        Batch {
            shared: &inner.shared,
            uses: inner.uses.as_ref(),
            sight: &mut self.sight,
            unnumbered: &mut self.unnumbered,
            lane: self.index,
            core: None,
            now: now(),
            timeout: inner.options.timeout,
            client: 0,
            caller: Caller::Waits,
            is_writing: false,
            may_wait,
        }
    }

    /// Puts what is done behind what is in `done`; says whether something was applied, if the lane wants to know.
    pub(crate) fn take(&mut self, done: &mut Vec<Finished>) -> bool {
        self.sight.view = None;
        let mut core = self.store.inner.shared.core.lock();
        let post = &mut core.lanes.posts[self.index];
        self.is_progress |= std::mem::take(&mut post.is_progress);
        let is_changed = std::mem::take(&mut post.is_changed);
        self.heard.append(&mut post.heard);
        post.heard_bytes = 0;
        let is_news = post.take(done);
        if is_changed {
            self.topology = topology(&mut core);
        }
        is_news
    }

    /// Whether the loop is to be woken by everything that is applied.
    pub(crate) fn want_news(&mut self, wants: bool) {
        self.store.inner.shared.core.lock().lanes.posts[self.index].wants_news = wants;
    }

    /// The newest view.
    pub(crate) fn view(&mut self) -> Seen {
        self.sight.view()
    }

    /// Lets go of the view, which would keep what is replaced in memory.
    pub(crate) fn rest(&mut self) {
        self.sight.view = None;
    }

    /// The present, as the store has it: never before what it has said.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().max(self.sight.reader.time())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // In a child made by fork the lock may be held by a thread that is not there.
        if self.store.check_process().is_ok() {
            self.store.inner.shared.core.lock().lanes.posts.remove(self.index);
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Post {
    fn new(wake: Wake) -> Self {
        Self {
            done: Vec::new(),
            is_news: false,
            wants_news: false,
            is_progress: false,
            wants_progress: false,
            is_changed: false,
            #[cfg(feature = "replication")]
            wants_reports: false,
            #[cfg(feature = "replication")]
            wants_messages: false,
            heard: Vec::new(),
            heard_bytes: 0,
            is_rung: false,
            wake,
        }
    }

    fn take(&mut self, done: &mut Vec<Finished>) -> bool {
        self.is_rung = false;
        if done.is_empty() {
            std::mem::swap(&mut self.done, done);
        } else {
            done.append(&mut self.done);
        }
        std::mem::take(&mut self.is_news)
    }
}

/// What came of a write.
fn done_of(reply: Reply) -> Done {
    Done { outcome: reply.outcome.expect("a command has an outcome"), epoch: reply.epoch }
}

/// What a client is told of what the primary found, if anything was to be.
fn told_of(reply: Reply) -> Told {
    let answer = match reply.outcome.map(|outcome| outcome.answer) {
        Some(Ok(Answer::Got(Some(found)))) => Some(found.value.to_vec()),
        _ => None,
    };
    Told { position: Position { epoch: reply.epoch, sequence: reply.sequence }, answer }
}

/// What is known of the cluster; `None` outside of one.
#[cfg(feature = "replication")]
fn topology(core: &mut Core) -> Option<Arc<Topology>> {
    let now = now();
    core.member().ok().map(|member| Arc::new(member.topology(now)))
}

#[cfg(not(feature = "replication"))]
fn topology(_: &mut Core) -> Option<Arc<Topology>> {
    None
}

#[cfg(all(test, feature = "replication"))]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Heard {
        (Arc::from(&b"news"[..]), vec![0; bytes].into())
    }

    fn lanes(wants: &[bool]) -> Lanes {
        let mut lanes = Lanes::default();
        for &wants_messages in wants {
            lanes.posts.insert(Post { wants_messages, ..Post::new(Box::new(|| {})) });
        }
        lanes
    }

    #[test]
    fn messages_go_to_a_lane_that_publishes_them() {
        let mut lanes = lanes(&[false, false, true, true]);
        lanes.hear(vec![message(1), message(2)]);
        lanes.hear(vec![message(3)]);
        let heard: Vec<usize> = lanes.posts.iter().map(|(_, post)| post.heard.len()).collect();
        assert_eq!(heard, [0, 0, 3, 0]);
        lanes.posts.remove(2);
        lanes.hear(vec![message(4)]);
        assert_eq!(lanes.posts[3].heard.len(), 1, "the next one, once that is gone");
    }

    #[test]
    fn messages_that_nobody_publishes_are_not_kept() {
        let mut lanes = lanes(&[false, false]);
        lanes.hear(vec![message(1)]);
        assert!(lanes.posts.iter().all(|(_, post)| post.heard.is_empty() && post.heard_bytes == 0));
    }

    #[test]
    fn messages_that_wait_are_bounded() {
        let mut lanes = lanes(&[true]);
        for _ in 0..40 {
            lanes.hear(vec![message(1 << 20)]);
        }
        assert_eq!(lanes.posts[0].heard.len(), 15, "of 16 MiB with their heads");
    }
}
