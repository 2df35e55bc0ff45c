//! From answers, and from connections that break, to slots.

use super::client::{Ask, Mode, Run, State};
use super::dispatch::nothing;
use super::link::{Stage, Use, What};
use super::loss::Loss;
use super::nodes::of;
use super::take::error;
use super::{Action, ClientId, LinkId, Split};
use crate::resp::{Position, Protocol, parse_integer};
use crate::time::Instant;

/// Errors that say that nothing was done, and that another node may do it, or the same one later.
const REFUSALS: [&[u8]; 7] = [
    b"-READONLY ",
    b"-MASTERDOWN ",
    b"-CLUSTERDOWN ",
    b"-LOADING ",
    b"-BEHIND ",
    b"-LOST ",
    b"-TRYAGAIN another primary took over ",
];
const PASSED: &[u8] =
    b"TRYAGAIN its node was not primary then, and what was sent behind it is done, or may be: this was not";

/// What a write is told that was refused when its client had ended its half: it may have given up, and ask elsewhere.
const LEFT: &[u8] =
    b"TRYAGAIN its node was not primary then, and its client had ended its half: nothing was done";
const IN_DOUBT: &[u8] = b"INDOUBT the primary broke off: whether this was done is not known";
/// How many connections may break under a read before it is given up.
const BREAKS_MAX: u32 = 32;
/// The same when its answer was the next to come each time: it may be why.
const LED_MAX: u32 = 4;
/// What a node says instead of an answer that has more than `output_max` bytes.
const TOO_LONG: &[u8] = b"-TOOLONG ";

/// Whether an answer says that nothing was done, but may be elsewhere.
pub(super) fn is_refusal(answer: &[u8]) -> bool {
    answer.first() == Some(&b'-') && REFUSALS.iter().any(|code| answer.starts_with(code))
}

/// Whether an answer says that nothing was done, of a transaction also for what was watched.
fn is_void(ask: Ask, answer: &[u8]) -> bool {
    let is_nothing = || [Protocol::Resp2, Protocol::Resp3].map(nothing).contains(&answer);
    answer.starts_with(b"-TRYAGAIN ") || (matches!(ask, Ask::Exec { .. }) && is_nothing())
}

impl Split {
    /// Takes what a node has sent.
    pub fn handle_link_bytes(&mut self, id: LinkId, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            let Some(link) = self.link_mut(id) else { break };
            link.progressed = now;
            if link.pending.is_empty()
                && let Use::Joined(client) = link.purpose
                && link.is_up()
            {
                self.pass_back(client, bytes);
                break;
            }
            let Ok(scanned) = link.scanner.scan(bytes) else {
                return self.handle_link_down(id, now);
            };
            let Some(pending) = link.pending.front() else {
                // Nobody has asked for that.
                return self.handle_link_down(id, now);
            };
            let (piece, rest) = bytes.split_at(scanned.len);
            bytes = rest;
            match pending.what {
                What::Slot { client, slot, .. } => self.take_piece(id, client, slot, piece),
                _ => link.partial.extend_from_slice(piece),
            }
            if scanned.is_whole {
                self.conclude(id, now);
            }
        }
        if let Some(link) = self.link(id)
            && !link.is_open()
            && link.pending.is_empty()
        {
            self.break_link(id, now);
        }
        self.attend(now);
    }

    /// What comes from the node of a joined client.
    fn pass_back(&mut self, id: ClientId, bytes: &[u8]) {
        let max = self.options.output_max;
        let Some(client) = self.client_mut(id) else { return };
        client.output.extend_from_slice(bytes);
        if client.unsent() > max {
            self.counters.slow += 1;
            self.cut(id);
        } else {
            self.call_client(id);
        }
    }

    fn take_piece(&mut self, link: LinkId, id: ClientId, slot: u64, piece: &[u8]) {
        let Some(client) = self.client_mut(id) else { return };
        let Some(at) = client.place(slot) else { return };
        if let State::Sent { link: own, answer, .. } = &mut client.slots[at].state
            && *own == link
        {
            answer.extend_from_slice(piece);
            client.pace.note_piece(piece.len());
            // What is long, or too long, is seen to before all of it is there.
            self.touch(id);
        }
    }

    /// The first answer that a connection owes is whole.
    fn conclude(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.link_mut(id) else { return };
        let Some(pending) = link.pending.pop_front() else { return };
        let partial = std::mem::take(&mut link.partial);
        let has_greeted = !matches!(link.pending.front().map(|next| &next.what), Some(What::Greeting));
        match pending.what {
            What::Greeting if partial.first() == Some(&b'-') => {
                let text = String::from_utf8_lossy(&partial[1..]).trim_end().to_owned();
                let node = link.node;
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.problem = Some(text);
                }
                self.handle_link_down(id, now);
            }
            What::Greeting if has_greeted => self.greeted(id),
            What::Greeting => {}
            // A transaction of which a part was refused is not done, and that is why.
            What::Swallow if is_refusal(&partial) => link.refusal = Some(partial),
            What::Swallow => {}
            What::Position(seekers) => match position(&partial) {
                Some(position) => {
                    link.passed = link.passed.max(position);
                    self.settle(seekers, position);
                }
                None => {
                    self.lose_seeks(seekers);
                    self.handle_link_down(id, now);
                }
            },
            What::Fence { position, .. } if partial.first() != Some(&b'-') => {
                link.passed = link.passed.max(position);
            }
            What::Fence { client, position } if partial.starts_with(b"-LOST ") => {
                self.forget_lost(client, position);
            }
            What::Fence { client, .. } => self.fail_fence(id, client, now),
            What::Slot { client, slot, after, is_unfenced } => {
                self.end_grace(id, now);
                self.conclude_slot(id, client, slot, after, is_unfenced, now);
            }
        }
    }

    /// What a client has seen is lost with a primary, as the present one says: there is nothing to wait for, and `WAIT` says so.
    fn forget_lost(&mut self, id: ClientId, position: Position) {
        if let Some(client) = self.client_mut(id)
            && client.token == position
        {
            client.loss = Some(Loss::new(position));
            client.token = Position::default();
            client.lose_token();
        }
    }

    /// A node does not show what a client has seen, and answers what was sent behind that all the same. What may be done again
    /// is; of a write it is known only if it is refused too.
    fn fail_fence(&mut self, link: LinkId, id: ClientId, now: Instant) {
        let Some(found) = self.links.get_mut(link.index as usize) else { return };
        let Some(client) = self.clients.get_mut(id.index as usize) else { return };
        if client.generation == id.generation {
            for pending in &mut found.pending {
                let What::Slot { client: of, slot, is_unfenced, .. } = &mut pending.what else { continue };
                let Some(at) = client.place(*slot).filter(|_| *of == id) else { continue };
                *is_unfenced = true;
                let slot = &mut client.slots[at];
                if slot.ask.is_repeatable()
                    && matches!(slot.state, State::Sent { link: by, .. } if by == link)
                {
                    slot.state = State::Refused;
                    client.in_flight -= 1;
                    client.waiting += 1;
                }
            }
        }
        let node = found.node;
        self.note_refusal(node, now);
        self.touch(id);
        self.end_run(id);
        // Whatever else the client asks goes behind a fence of another one.
        self.forget_link(link);
        self.drain_link(link, now);
    }

    fn settle(&mut self, seekers: Vec<(ClientId, u64)>, position: Position) {
        let position = if is_planted!(self, ForgottenToken) { Position::default() } else { position };
        for (id, seek) in seekers {
            let Some(client) = self.client_mut(id) else { continue };
            client.unsettled -= 1;
            client.token = client.token.max(position);
            if client.lost.is_some_and(|after| seek > after) {
                client.lost = None;
            }
            if client.loss.as_mut().is_some_and(|loss| loss.handle_position(seek, position)) {
                client.loss = None;
            }
            self.touch(id);
        }
    }

    fn lose_seeks(&mut self, seekers: Vec<(ClientId, u64)>) {
        self.end_seeks(seekers, true);
    }

    /// Positions that will not come. `has_sent`: something was sent that they were to tell of; otherwise clients have seen
    /// no more than their tokens say.
    fn end_seeks(&mut self, seekers: Vec<(ClientId, u64)>, has_sent: bool) {
        for (id, _) in seekers {
            let Some(client) = self.client_mut(id) else { continue };
            client.unsettled -= 1;
            if has_sent {
                client.lose_token();
            }
            self.touch(id);
        }
    }

    fn conclude_slot(
        &mut self,
        link_id: LinkId,
        id: ClientId,
        slot: u64,
        after: Option<Position>,
        is_unfenced: bool,
        now: Instant,
    ) {
        let Some(link) = self.link_mut(link_id) else { return };
        let (node, purpose, protocol) = (link.node, link.purpose, link.protocol);
        let refusal = link.refusal.take();
        let keeps_passed = is_planted!(self, PassedRead);
        let Some(client) = self.client_mut(id) else { return };
        let Some(at) = client.place(slot) else { return };
        let State::Sent { link: own, answer, is_streamed } = &mut client.slots[at].state else { return };
        if *own != link_id {
            return;
        }
        let mut answer = std::mem::take(answer);
        let is_streamed = *is_streamed;
        if !is_streamed && answer.starts_with(TOO_LONG) {
            self.counters.slow += 1;
            return self.cut(id);
        }
        let ask = client.slots[at].ask;
        if let Some(refusal) = refusal
            && answer.starts_with(b"-EXECABORT ")
        {
            answer = refusal;
        }
        client.in_flight -= 1;
        client.pace.note_answer();
        let is_gone = matches!(ask, Ask::Wait { .. }) && answer.starts_with(b"-LOST ");
        let is_refused = !is_streamed && !is_gone && is_refusal(&answer);
        if is_unfenced && !is_refused {
            return self.tell_doubt(id, at, now);
        }
        let is_passed = ask.run() == Run::Reads
            && !keeps_passed
            && client.slots.iter().take(at).any(|slot| matches!(slot.state, State::Refused));
        let mut is_behind = false;
        if is_refused && matches!(ask, Ask::Exec { .. }) && client.mode == Mode::Watching {
            // Nothing was done, and what was watched is forgotten: as if it had changed.
            answer = nothing(protocol).to_vec();
            client.mode = Mode::Plain;
            client.slots[at].state = State::Ready(answer);
        } else if is_refused {
            is_behind = matches!(purpose, Use::Read | Use::After);
            client.slots[at].state = State::Refused;
            client.slots[at].breaks += u32::from(is_behind && matches!(ask, Ask::Scan { .. }));
            client.waiting += 1;
        } else if is_passed && !is_streamed {
            // It must not be older than what comes of the one before it.
            client.slots[at].state = State::Waiting;
            client.waiting += 1;
            self.counters.retries += 1;
        } else {
            match ask {
                Ask::Watch if answer.first() == Some(&b'+') && client.mode == Mode::Plain => {
                    client.mode = Mode::Watching;
                }
                Ask::Exec { .. } | Ask::Unwatch => client.mode = Mode::Plain,
                _ => {}
            }
            // `WAIT` is for what was written last.
            if let Some(loss) = &mut client.loss
                && ask.run() == Run::Writes
                && answer.first() != Some(&b'-')
                && !is_void(ask, &answer)
            {
                loss.handle_write(&answer, client.seeks);
            }
            client.slots[at].state = State::Ready(answer);
            self.release(id);
        }
        if let Some(position) = after.filter(|_| is_gone) {
            self.forget_lost(id, position);
        }
        let has = after.filter(|_| purpose == Use::After && !is_refused);
        if let Some(position) = has
            && let Some(node) = self.nodes.get_mut(&node)
        {
            let has = &mut node.has[of(protocol)];
            *has = (*has).max(position);
        }
        if is_behind {
            self.counters.behind += 1;
            self.note_behind(node, now);
        } else if is_refused {
            self.note_refusal(node, now);
        }
        self.touch(id);
        self.end_run(id);
        if is_behind && purpose == Use::After {
            // Whoever asked behind it need not wait as long again.
            self.break_link(link_id, now);
        } else if is_refused && ask.run() == Run::Writes {
            // By this connection the node takes no write any more: what is behind is to come behind.
            self.forget_link(link_id);
            self.drain_link(link_id, now);
        }
    }

    /// What a write was answered may rest on less than its client has seen.
    fn tell_doubt(&mut self, id: ClientId, at: usize, now: Instant) {
        let Some(client) = self.client_mut(id) else { return };
        let slot = &mut client.slots[at];
        if matches!(slot.state, State::Sent { is_streamed: true, .. }) {
            self.counters.cut += 1;
            return self.cut(id);
        }
        slot.state = State::Ready(error(IN_DOUBT));
        if matches!(slot.ask, Ask::Exec { .. }) {
            self.end_watch(id, now);
        }
        self.counters.in_doubt += 1;
        self.release(id);
        self.touch(id);
        self.end_run(id);
    }

    /// When all that was sent together is answered, what was refused is sent again; a write only if none behind it was
    /// done, and its client has not ended its half. A node refuses those too, so that is so unless a connection broke under them.
    fn end_run(&mut self, id: ClientId) {
        let overtakes = is_planted!(self, Overtaken);
        let Some(client) = self.client_mut(id) else { return };
        if client.in_flight > 0 || client.waiting == 0 {
            return;
        }
        let is_done = |slot: &super::client::Slot| {
            let State::Ready(answer) = &slot.state else { return false };
            slot.ask.run() == Run::Writes && !is_void(slot.ask, answer)
        };
        let last_done = client.slots.iter().rposition(is_done);
        let may_have_left = client.may_have_left;
        let (mut told, mut again) = (0, 0);
        for (at, slot) in client.slots.iter_mut().enumerate() {
            if matches!(slot.state, State::Refused) {
                let is_passed = last_done.is_some_and(|last| last > at) && !overtakes;
                slot.state = match () {
                    () if slot.ask.is_repeatable() => State::Waiting,
                    () if is_passed => State::Ready(error(PASSED)),
                    () if may_have_left => State::Ready(error(LEFT)),
                    () => State::Waiting,
                };
                let is_told = matches!(slot.state, State::Ready(_));
                told += usize::from(is_told);
                again += u64::from(!is_told);
            }
        }
        client.waiting -= told;
        self.counters.unserved += told as u64;
        self.counters.retries += again;
    }

    /// A connection is over: what was sent by it and not answered is sent again, or told that it is not known.
    pub(super) fn break_link(&mut self, id: LinkId, now: Instant) {
        self.end_link(id, false, now);
    }

    /// The same; `by_node`: the node broke it off.
    pub(super) fn end_link(&mut self, id: LinkId, by_node: bool, now: Instant) {
        if self.link(id).is_none() {
            return;
        }
        self.forget_link(id);
        let mut link = self.links.remove(id.index as usize);
        let owes = !link.pending.is_empty();
        self.actions.push_back(if owes { Action::ResetLink(id) } else { Action::CloseLink(id) });
        let stood = matches!(link.stage, Stage::Up | Stage::Draining(_));
        let seekers = link.take_seekers();
        self.end_seeks(seekers, stood);
        for (place, pending) in std::mem::take(&mut link.pending).into_iter().enumerate() {
            match pending.what {
                What::Position(seekers) => self.end_seeks(seekers, stood),
                What::Slot { client, slot, .. } => {
                    let has_left = stood && link.sent > pending.begin;
                    if link.is_left && has_left {
                        self.end_waiting(client);
                        continue;
                    }
                    self.break_slot(id, client, slot, has_left, by_node && place == 0);
                }
                What::Greeting | What::Swallow | What::Fence { .. } => {}
            }
        }
        link.stalled.iter().for_each(|client| self.touch(*client));
        match link.purpose {
            Use::Own(client) => self.lose_own(client, id),
            Use::Joined(client) => {
                self.lose_own(client, id);
                let joined = self.client(client).filter(|client| client.mode == Mode::Joined);
                if let Some(joined) = joined.filter(|client| !client.is_closing) {
                    self.counters.cut += u64::from(!joined.has_quit && !joined.has_ended);
                    if let Some(client) = self.client_mut(client) {
                        // What has come is told; then it hears that it is over.
                        client.is_closing = true;
                    }
                    self.call_client(client);
                }
            }
            Use::Read | Use::After => {
                self.send_home_away(link.node);
                let links = self.nodes.get(&link.node).map(|node| node.links[of(link.protocol)].clone());
                let other = links.and_then(|links| links.read.into_iter().chain(links.after).next());
                if let Some(other) = other {
                    self.break_link(other, now);
                }
            }
            _ => {}
        }
        if !stood {
            self.note_failure(link.node, now);
        }
    }

    /// What a client waited for without end has ended with its half: it is told what it was answered before, and closed.
    fn end_waiting(&mut self, id: ClientId) {
        let Some(client) = self.client_mut(id) else { return };
        client.stop();
        self.release(id);
        self.call_client(id);
    }

    fn lose_own(&mut self, id: ClientId, link: LinkId) {
        let forgets = is_planted!(self, ForgottenWatch);
        let Some(client) = self.client_mut(id) else { return };
        if client.own == Some(link) {
            client.own = None;
            if client.mode == Mode::Watching && !forgets {
                client.mode = Mode::WatchLost;
            }
        }
        self.touch(id);
    }

    /// What was sent for a slot is not answered. `has_left`: the node may have it. `is_next`: the node
    /// broke off when its answer was the next to come.
    fn break_slot(&mut self, link: LinkId, id: ClientId, slot: u64, has_left: bool, is_next: bool) {
        let tells_twice = is_planted!(self, ToldTwice);
        let sends_twice = is_planted!(self, SentTwice);
        let in_doubt: &[u8] = if is_planted!(self, CertainDoubt) { b"TRYAGAIN" } else { IN_DOUBT };
        let Some(client) = self.client_mut(id) else { return };
        let Some(at) = client.place(slot) else { return };
        let slot = &mut client.slots[at];
        let State::Sent { link: own, is_streamed, .. } = slot.state else { return };
        if own != link {
            return;
        }
        client.in_flight -= 1;
        if is_streamed && !tells_twice {
            self.counters.cut += 1;
            return self.cut(id);
        }
        slot.breaks += 1;
        slot.led += u32::from(has_left && is_next);
        let is_spent = slot.breaks >= BREAKS_MAX || slot.led >= LED_MAX;
        if slot.ask.is_repeatable() && is_spent {
            slot.state = State::Ready(error(b"TRYAGAIN every node that was asked broke off"));
            self.counters.unserved += 1;
        } else if slot.ask.is_repeatable() || !has_left || sends_twice {
            slot.state = State::Waiting;
            client.waiting += 1;
            self.counters.retries += 1;
        } else {
            slot.state = State::Ready(error(in_doubt));
            if matches!(slot.ask, Ask::Exec { .. }) {
                client.mode = Mode::Plain;
            }
            self.counters.in_doubt += 1;
            self.release(id);
        }
        self.touch(id);
        self.end_run(id);
    }
}

/// A position as a node tells it.
fn position(answer: &[u8]) -> Option<Position> {
    let mut lines = answer.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next()? != b"*2" {
        return None;
    }
    let mut number = || parse_integer(lines.next()?.strip_prefix(b":")?).map(|number| number as u64);
    Some(Position { epoch: number()?, sequence: number()? })
}
