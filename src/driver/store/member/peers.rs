//! The thread that has the links. It takes from the node what is for others and hands in what comes, and sends and waits
//! without the store's lock.

use std::time::Duration;

use super::kept::{Answered, Kept, Parcel, SHORT, Way, What};
use super::people::Order;
use super::{ClusterEvent, Member};
use crate::driver::peer::{Event, Links, Notice, class_of};
use crate::driver::store::shared::{Core, Shared, now};
use crate::error::Error;
use crate::peer::{Class, NodeName, NotSent};
use crate::replication::Denied;
use crate::replication::relay::{self, Relay};
use crate::store::engine::Now;
use crate::time::{Clock, Instant};

/// Something for another node that is none of the node's own frames.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) to: u64,
    pub(super) what: What,
    pub(super) class: Class,
    pub(super) bytes: Vec<u8>,
}

/// What one turn takes from the node, and hands in to it, at most; one message in any case.
const FRAMES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;
/// As long as more waits in a link, long entries and answers wait outside of it, where they have their turns, and what nobody waits for
/// any more is let go of.
const AHEAD_BYTES: u64 = 1 << 20;
/// How long the last words to other nodes may take.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What is carried between the node and the links in a turn.
#[derive(Default)]
struct Load {
    orders: Vec<Order>,
    frames: Vec<Parcel>,
    /// When they were taken.
    taken_at: Instant,
    /// There is more.
    more: bool,
    notices: Vec<Notice>,
    messages: Vec<(NodeName, Vec<u8>)>,
    /// What did not leave, and for whom.
    unsent: Vec<(u64, What)>,
    kept: Kept,
}

impl Shared {
    /// The thread that has the links.
    pub(in crate::driver::store) fn run_peers(&self, links: &mut Links) {
        let mut load = Load::default();
        loop {
            let mut core = self.core.lock();
            if core.is_over {
                break;
            }
            let now = now();
            let Some(member) = core.ground.member() else { break };
            // What follows from what is handed in is taken here: nobody need wake this thread for it.
            member.is_rung = true;
            member.take_in(&mut load, now);
            self.settle(&mut core, now);
            let is_over = take_out(&mut core, &mut load, now);
            drop(core);
            if is_over {
                break;
            }
            // From when it was taken it was not seen here whether the process has stood still.
            let sight = self.sight.as_ref();
            load.carry(links, sight.is_some_and(|sight| sight.has_stood_still_since(load.taken_at)));
            let is_busy = load.more || !load.unsent.is_empty() || load.may_go_on(links);
            let wait = if is_busy { Some(Duration::ZERO) } else { None };
            if links.turn(wait).is_err() {
                // The system fails the loop itself: the others see this node as gone, and it sees them so.
                let mut core = self.core.lock();
                if let Some(member) = core.ground.member() {
                    member.cut_off();
                }
                self.settle(&mut core, now);
                return;
            }
            load.collect(links);
        }
        let _ = links.close(LAST_WORDS);
    }
}

/// Takes what the node has for others. Whether the store is at its end.
fn take_out(core: &mut Core, load: &mut Load, now: Now) -> bool {
    let is_over = core.is_over;
    let Some(member) = core.ground.member() else { return true };
    member.take_out(load, now);
    is_over
}

/// The links, and what did not leave by them.
struct Ways<'a> {
    links: &'a mut Links,
    unsent: &'a mut Vec<(u64, What)>,
    /// Nodes to which a call did not leave. What follows on it does not leave either: it would come first.
    stuck: Vec<u64>,
    /// Calls do not leave.
    is_old: bool,
}

/// What the link says to a parcel that may wait.
fn room(links: &Links, parcel: &Parcel) -> std::result::Result<(), NotSent> {
    links.check_room(&parcel.name, parcel.class, parcel.bytes.len())?;
    let is_ahead = parcel.bytes.len() > SHORT && links.waiting(&parcel.name, parcel.class) > AHEAD_BYTES;
    if is_ahead { Err(NotSent::Full) } else { Ok(()) }
}

impl Way for Ways<'_> {
    fn room(&self, parcel: &Parcel) -> std::result::Result<(), NotSent> {
        room(self.links, parcel)
    }

    fn send(&mut self, parcel: Parcel) {
        let Parcel { name, to, class, what, bytes } = parcel;
        let is_call = matches!(what, What::Call(_));
        if is_call && (self.is_old || self.stuck.contains(&to)) {
            return self.unsent.push((to, what));
        }
        match (self.links.send(&name, class, bytes), what) {
            (Ok(()), _) => {}
            (Err(NotSent::Length), What::Call(id)) => self.unsent.push((to, What::TooLong(id))),
            (Err(NotSent::Length), What::Answer(answer)) => self.unsent.push((to, What::LongAnswer(answer))),
            (Err(_), _) => {
                self.unsent.push((to, what));
                if is_call {
                    self.stuck.push(to);
                }
            }
        }
    }

    fn lose(&mut self, to: u64, what: What) {
        self.unsent.push((to, what));
    }
}

impl Load {
    /// Gives the links what is for them. `is_old`: calls do not leave, for whoever asked for them may have left since they were taken.
    fn carry(&mut self, links: &mut Links, is_old: bool) {
        for order in self.orders.drain(..) {
            match order {
                // An address that the security does not allow was refused where it was added.
                Order::Add(peer) => drop(links.add_peer(peer)),
                Order::Remove(name) => links.remove_peer(&name),
                Order::PutOut(name) => links.put_out(&name),
                Order::Removed(numbers) => links.set_removed(numbers),
                Order::Generation(generation) => links.set_generation(generation),
                Order::Secure(secured) => links.secure(*secured),
            }
        }
        let now = Clock.now();
        let mut way = Ways { links, unsent: &mut self.unsent, stuck: Vec::new(), is_old };
        self.kept.drain(now, &mut way);
        for parcel in self.frames.drain(..) {
            self.kept.take(parcel, now, &mut way);
        }
    }

    /// Whether some of what waits has room, once all has gone that the system takes: no event may come of that.
    fn may_go_on(&self, links: &mut Links) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        links.flush();
        self.kept.firsts().any(|parcel| room(links, parcel) != Err(NotSent::Full))
    }

    /// The link to a node is another one, or none: what waited for the one before does not go.
    fn drop_kept(&mut self, peer: &NodeName) {
        self.kept.forget(peer, |to, what| self.unsent.push((to, what)));
    }

    /// Takes what came.
    fn collect(&mut self, links: &mut Links) {
        let mut bytes = 0;
        // Notices come first, and all of them: what is handed in behind them came over the links that they tell of, and what is sent
        // goes over those.
        while self.messages.len() < FRAMES_MAX && bytes < BYTES_MAX {
            match links.poll_event() {
                None => return,
                Some(Event::Notice(notice)) => {
                    if let Notice::Up { peer, .. } | Notice::Down { peer, .. } = &notice {
                        self.drop_kept(peer);
                    }
                    self.notices.push(notice);
                }
                Some(Event::Message { from, message }) => {
                    bytes += message.bytes.len();
                    self.messages.push((from, message.bytes));
                }
            }
        }
    }
}

impl Member {
    /// Hands in what came, and what became of what was to go.
    fn take_in(&mut self, load: &mut Load, now: Now) {
        if self.is_closed {
            load.messages.clear();
            load.notices.clear();
            load.unsent.clear();
            return;
        }
        for (to, what) in load.unsent.drain(..) {
            self.unsent_frames += 1;
            match what {
                What::Frame => self.node.handle_unsent(to),
                What::Call(id) => self.not_sent(to, id),
                What::TooLong(id) => self.too_long(to, id),
                What::LongAnswer(Answered { id, is_read: true, .. }) => {
                    let why = "its answer is longer than the message_bytes_max of the links to the primary; ask that one itself";
                    let why = Denied::Refused(Error::invalid("command", why));
                    self.say(to, id, &Relay::Written(Err(why)));
                }
                What::LateAnswer(Answered { id, is_read: true, .. }) => {
                    self.say(to, id, &Relay::Written(Err(Denied::TimedOut)));
                }
                // It is done: who asked may ask what came of it.
                What::LongAnswer(Answered { id, .. }) | What::LateAnswer(Answered { id, .. }) => {
                    self.say(to, id, &Relay::Written(Err(Denied::Unknown)));
                }
                What::Answer(_) | What::Report | What::Word => {}
            }
        }
        for notice in load.notices.drain(..) {
            self.notice(notice, now);
        }
        for (from, bytes) in load.messages.drain(..) {
            if relay::is_relay(&bytes) {
                let from = super::options::number_of(&from);
                self.handle_relay(from, &bytes, now);
            } else if let Err(fault) = self.node.handle_frame(&bytes, now) {
                self.frame_refused(super::options::number_of(&from), &fault);
            }
        }
    }

    fn notice(&mut self, notice: Notice, now: Now) {
        let event = match notice {
            Notice::Up { peer, boot, .. } => {
                let (number, had_another) = self.people.rise(&peer, boot);
                self.node.handle_link(number);
                if had_another {
                    // That it is over was not told.
                    self.lose(number, now.instant);
                }
                self.refusals.forget(number);
                let address = self.options.client_address.clone().unwrap_or_default();
                self.say(number, 0, &Relay::Card { address });
                if let Some(address) = self.options.reached_at.clone() {
                    self.say(number, 0, &Relay::Door { address });
                }
                if self.progress.wants() {
                    self.say(number, 0, &Relay::Ask);
                }
                ClusterEvent::LinkUp { node: peer.to_string() }
            }
            Notice::Down { peer, end } => {
                let number = self.people.fall(&peer);
                self.node.handle_unreachable(number);
                self.progress.handle_down(number);
                self.lose(number, now.instant);
                self.troubled(number, end.to_string());
                ClusterEvent::LinkDown { node: peer.to_string(), detail: end.to_string() }
            }
            Notice::Failed { peer, address, attempts, end } => {
                self.hear_of_promotion(&end, now);
                match self.dial_failed(&peer, address, attempts, &end) {
                    Some(event) => event,
                    None => return,
                }
            }
            Notice::Refused { peer, from, end } => {
                // Only who has been taken for a node of the cluster is believed.
                if peer.is_some() {
                    self.hear_of_promotion(&end, now);
                }
                match self.caller_refused(peer.as_ref(), from, &end) {
                    Some(event) => event,
                    None => return,
                }
            }
            _ => return,
        };
        self.tell(event);
    }

    /// All links are gone for good.
    fn cut_off(&mut self) {
        self.is_cut_off = true;
    }

    /// What is for others goes nowhere any more.
    pub(super) fn drop_out(&mut self, now: Now) {
        let mut frame = Vec::new();
        while self.node.poll_frame(&mut frame, now).is_some() {
            self.unsent_frames += 1;
        }
        while let Some(Outbound { to, what, .. }) = self.poll_out() {
            self.unsent_frames += 1;
            if let What::Call(id) = what {
                self.not_sent(to, id);
            }
        }
        self.people.orders.clear();
    }

    fn take_out(&mut self, load: &mut Load, now: Now) {
        load.orders.append(&mut self.people.orders);
        let mut bytes = 0;
        let mut frame = Vec::new();
        while load.frames.len() < FRAMES_MAX && bytes < BYTES_MAX {
            let (to, class, what, taken) = if let Some(to) = self.node.poll_frame(&mut frame, now) {
                (to, class_of(&frame), What::Frame, std::mem::take(&mut frame))
            } else if let Some(Outbound { to, what, class, bytes }) = self.poll_out() {
                if let What::Call(id) = what
                    && !self.may_leave(id)
                {
                    self.not_sent(to, id);
                    continue;
                }
                (to, class, what, bytes)
            } else {
                break;
            };
            bytes += taken.len();
            match self.people.get(to) {
                Some(person) => {
                    load.frames.push(Parcel { name: person.name.clone(), to, class, what, bytes: taken });
                }
                None => load.unsent.push((to, what)),
            }
        }
        load.taken_at = Clock.now();
        load.more = self.has_out();
        self.is_rung = load.more;
    }
}
