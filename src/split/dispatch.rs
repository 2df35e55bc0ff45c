//! From slots to connections: who is asked, and when.

use std::time::Duration;

use super::client::{Ask, Client, Mode, Run, State};
use super::link::{Link, Use, What};
use super::nodes::{Node, of};
use super::take::error;
use super::{ClientId, LinkId, Split, Timed};
use crate::resp::{Position, Protocol};
use crate::time::Instant;

/// So many times the node of a scan may be behind before it is told to begin again: each waits for `catch_up`.
const SCAN_TRIES: u32 = 16;

/// What is told who has lost what he watches and subscribes.
const WATCH_LOST: &[u8] =
    b"TRYAGAIN what was watched is lost, and EXEC or UNWATCH comes first: nothing was done";

/// Where a request goes.
struct Chosen {
    link: LinkId,
    /// What the node has to have applied before.
    after: Option<Position>,
}

/// Whether a request may go to the primary by a connection.
enum Fence {
    /// The connection shows all that the client has seen.
    Passed,
    /// It does once it has passed this position, which it is told first.
    At(Position),
    /// What the client has seen is not known yet.
    Unknown,
}

impl Split {
    /// Sends what a client waits for, as far as that may be sent. `false`: something is left.
    pub(super) fn dispatch(&mut self, id: ClientId, now: Instant) -> bool {
        let hastens = is_planted!(self, HastyRead);
        let pause = self.options.output_pause;
        loop {
            let Some(client) = self.client_mut(id) else { return false };
            if client.waiting == 0 {
                return true;
            }
            let is_left = |slot: &super::client::Slot| matches!(slot.state, State::Waiting | State::Refused);
            let at = match client.waiting {
                1 if client.slots.back().is_some_and(is_left) => client.slots.len() - 1,
                _ => match client.slots.iter().position(is_left) {
                    Some(at) => at,
                    None => return true,
                },
            };
            let slot = &client.slots[at];
            // What was refused is sent again once all that was sent with it is answered.
            if matches!(slot.state, State::Refused) {
                return false;
            }
            let ask = slot.ask;
            let waits = client.run != ask.run() && !(hastens && ask == Ask::Read);
            if client.in_flight > 0 && (waits || ask.run() == Run::Alone) {
                return false;
            }
            // It goes on when an answer has come, or the client has read.
            if client.in_flight >= client.pace.window() || client.unsent() >= pause {
                return false;
            }
            if let Some(answer) = self.answer_gone(id, ask).or_else(|| self.answer_unwatched(id, ask, now)) {
                self.answer_slot(id, at, answer);
                continue;
            }
            let chosen = match ask {
                Ask::Scan { cursor } if cursor != 0 => self.scanner(id, at, cursor, now),
                Ask::Read | Ask::Scan { .. } | Ask::Primary => self.reader(id, at, ask, now),
                Ask::Write { .. } | Ask::Exec { .. } => self.writer(id, ask, now),
                Ask::Watch | Ask::Unwatch => self.watcher(id, now),
                Ask::Wait { .. } => self.waiter(id, now),
                Ask::Join => {
                    self.join(id, now);
                    return false;
                }
                Ask::Nothing => return false,
            };
            let Some(chosen) = chosen else {
                // It may have been told meanwhile that nothing comes of it.
                match self.client(id) {
                    Some(client)
                        if !matches!(client.slots.get(at).map(|slot| &slot.state), Some(State::Waiting)) =>
                    {
                        continue;
                    }
                    _ => return false,
                }
            };
            match self.fence(id, ask, &chosen) {
                Fence::Passed => {}
                Fence::At(position) => {
                    self.send_fence(chosen.link, position, What::Fence { client: id, position });
                }
                Fence::Unknown => return false,
            }
            self.send(id, at, chosen, now);
        }
    }

    /// What a connection to the primary has to have passed before a request. The primary itself may not show yet what it has
    /// answered, where less makes a write durable than most nodes.
    fn fence(&self, id: ClientId, ask: Ask, chosen: &Chosen) -> Fence {
        let (Some(client), Some(link)) = (self.client(id), self.link(chosen.link)) else {
            return Fence::Passed;
        };
        let is_fenced = matches!(link.purpose, Use::Heavy | Use::Strong | Use::Own(_));
        // What is under way has passed it by the same connection.
        if !is_fenced || client.in_flight > 0 || chosen.after.is_some() || ask == Ask::Unwatch {
            return Fence::Passed;
        }
        // A connection shows what was answered by itself.
        let is_elsewhere = client.sought.is_none_or(|(link, _)| link != chosen.link);
        match () {
            () if client.unsettled > 0 && is_elsewhere => Fence::Unknown,
            () if client.token > link.passed => Fence::At(client.token),
            () => Fence::Passed,
        }
    }

    fn send_fence(&mut self, link: LinkId, position: Position, what: What) {
        let wait = self.options.answer;
        if let Some(to) = self.link_mut(link) {
            let after = after(position, wait).map(String::into_bytes);
            let words = after.iter().map(|word| &word[..]).chain([&b"WAIT"[..], b"0", b"0"]);
            to.say(&words.collect::<Vec<_>>(), what);
        }
    }

    /// What is answered here to who waits for what is known to be lost.
    fn answer_gone(&self, id: ClientId, ask: Ask) -> Option<Vec<u8>> {
        let client = self.client(id)?;
        let loss = client.loss.as_ref().filter(|_| matches!(ask, Ask::Wait { .. }))?;
        if loss.is_open() && !client.knows_token() {
            return None;
        }
        let Position { epoch, sequence } = loss.of;
        Some(error(format!("LOST what was written at {epoch}:{sequence} is lost").as_bytes()))
    }

    /// What is answered here when what a client has watched is gone.
    fn answer_unwatched(&mut self, id: ClientId, ask: Ask, now: Instant) -> Option<Vec<u8>> {
        let is_lost = self.client(id)?.mode == Mode::WatchLost;
        match ask {
            Ask::Exec { .. } if is_lost => {
                self.end_watch(id, now);
                let protocol = self.protocol(id);
                Some(nothing(protocol).to_vec())
            }
            // It is lost all the same when that comes to be executed.
            Ask::Watch if is_lost => Some(b"+OK\r\n".to_vec()),
            // The node that answers EXEC from then on knows of no watch.
            Ask::Join if is_lost => Some(error(WATCH_LOST)),
            Ask::Unwatch if self.client(id)?.mode != Mode::Watching || self.usable_primary(now).is_none() => {
                self.end_watch(id, now);
                Some(b"+OK\r\n".to_vec())
            }
            _ => None,
        }
    }

    /// The slot has its answer, without having been sent.
    pub(super) fn answer_slot(&mut self, id: ClientId, at: usize, answer: Vec<u8>) {
        let Some(client) = self.client_mut(id) else { return };
        let slot = &mut client.slots[at];
        if matches!(slot.state, State::Waiting | State::Refused) {
            client.waiting -= 1;
        }
        slot.state = State::Ready(answer);
    }

    fn reader(&mut self, id: ClientId, at: usize, ask: Ask, now: Instant) -> Option<Chosen> {
        let client = self.client(id)?;
        let fits = self.fits_after(client, at);
        let (token, in_flight, link) = (client.token, client.in_flight, client.link);
        if client.mode == Mode::Watching {
            return self.watcher(id, now);
        }
        let is_hasty = client.run == Run::Writes && is_planted!(self, HastyRead);
        if in_flight > 0 && !is_hasty {
            return self.same_reader(link?, ask, token, fits);
        }
        if ask != Ask::Primary
            && client.knows_token()
            && let Some(home) = self.home(id, now)
            && let Some(chosen) = self.at_home(id, home, token, fits, now)
        {
            return Some(chosen);
        }
        let Some(primary) = self.usable_primary(now) else {
            self.hold(id, now);
            return None;
        };
        let link = self.shared(primary, Use::Strong, id, now)?;
        self.room(link, id).map(|link| Chosen { link, after: None })
    }

    /// A scan goes on at the node that gave the cursor, which alone knows it. Where that is not the client's home, it becomes
    /// it. When it cannot be asked, another one says that the scan is to begin again.
    fn scanner(&mut self, id: ClientId, at: usize, cursor: u64, now: Instant) -> Option<Chosen> {
        let client = self.client(id)?;
        let is_hopeless = client.slots[at].breaks >= SCAN_TRIES;
        let (mode, in_flight, link) = (client.mode, client.in_flight, client.link);
        let is_hopeless = is_hopeless || !self.fits_after(client, at);
        let keeper = self.keeper(cursor, now).filter(|_| !is_hopeless && mode != Mode::Watching);
        let Some(keeper) = keeper else { return self.reader(id, at, Ask::Read, now) };
        if in_flight > 0 {
            let is_there = self.link(link?).is_some_and(|link| link.node == keeper);
            return if is_there { self.reader(id, at, Ask::Read, now) } else { None };
        }
        if self.primary == Some(keeper) {
            return self.reader(id, at, Ask::Primary, now);
        }
        self.settle_at(id, keeper);
        if !self.client(id)?.knows_token() {
            self.learn_token(id, now)?;
        }
        let read = self.shared(keeper, Use::Read, id, now)?;
        let protocol = self.protocol(id);
        let (has, token) = (self.nodes.get(&keeper)?.has[of(protocol)], self.client(id)?.token);
        // What it has is known of this process of it, once the connection stands.
        let is_known = self.link(read)?.is_up() && has >= token;
        self.room(read, id).map(|link| Chosen { link, after: (!is_known).then_some(token) })
    }

    /// Has a client's token say all that it has seen. `None`: that takes a while, and the client is looked at again.
    fn learn_token(&mut self, id: ClientId, now: Instant) -> Option<()> {
        if self.client(id)?.unsettled > 0 {
            return None;
        }
        let Some(primary) = self.usable_primary(now) else {
            self.hold(id, now);
            return None;
        };
        if self.client(id)?.lost.is_some() {
            let strong = self.shared(primary, Use::Strong, id, now)?;
            self.seek(id, strong);
            return None;
        }
        Some(())
    }

    /// Whether a request may stand behind `AFTER`: with that it is no longer than a node takes.
    fn fits_after(&self, client: &Client, at: usize) -> bool {
        let request = client.request(&client.slots[at].bytes);
        let limits = &self.options.limits;
        let (words, _) = head(request);
        words.saturating_add(AFTER_WORDS) <= limits.arguments_max as u64
            && request.len() + AFTER_BYTES_MAX <= limits.request_max
    }

    /// Reads that are under way go one way: the later one must not see less.
    fn same_reader(&self, link: LinkId, ask: Ask, token: Position, fits: bool) -> Option<Chosen> {
        let found = self.link(link)?;
        let has = self.nodes.get(&found.node).map(|node| node.has[of(found.protocol)]);
        let after = match found.purpose {
            _ if !found.is_open() => return None,
            Use::Strong => None,
            _ if ask == Ask::Primary => return None,
            Use::Read if has.is_some_and(|has| has >= token) => None,
            Use::After if fits => Some(token),
            _ => return None,
        };
        (found.unsent() < self.options.link_output_max).then_some(Chosen { link, after })
    }

    fn at_home(
        &mut self,
        id: ClientId,
        home: u64,
        token: Position,
        fits: bool,
        now: Instant,
    ) -> Option<Chosen> {
        let read = self.shared(home, Use::Read, id, now)?;
        let protocol = self.protocol(id);
        let has = self.nodes.get(&home)?.has[of(protocol)];
        if has >= token || is_planted!(self, StaleReplica) {
            return self.room(read, id).map(|link| Chosen { link, after: None });
        }
        // The other one must not be to an earlier process than this one, so it comes later.
        if !self.link(read)?.is_up() || !fits {
            return None;
        }
        let after = self.shared(home, Use::After, id, now)?;
        self.room(after, id).map(|link| Chosen { link, after: Some(token) })
    }

    fn writer(&mut self, id: ClientId, ask: Ask, now: Instant) -> Option<Chosen> {
        let client = self.client(id)?;
        if client.mode == Mode::Watching {
            return self.watcher(id, now);
        }
        let is_light = matches!(ask, Ask::Write { is_light: true });
        let (in_flight, link) = (client.in_flight, client.link);
        let Some(primary) = self.usable_primary(now) else {
            self.hold(id, now);
            return None;
        };
        let client = self.client(id)?;
        if in_flight > 0 {
            // Writes that are under way go one way too: in their order.
            let found = self.link(link?)?;
            let is_fit = found.is_open()
                && found.node == primary
                && (is_light || found.purpose == Use::Heavy)
                && found.unsent() < self.options.link_output_max;
            return link.filter(|_| is_fit).map(|link| Chosen { link, after: None });
        }
        let purpose = if is_light { Use::Light } else { Use::Heavy };
        // Only the position is to come of what was sent before, and is not needed by the same connection.
        let before = client.sought.filter(|_| client.unsettled > 0 && !is_light).map(|(link, _)| link);
        let is_same = |link: &Link| {
            link.is_open() && link.node == primary && link.purpose == purpose && link.pending.len() == 1
        };
        if let Some(link) = before.filter(|link| self.link(*link).is_some_and(is_same)) {
            return self.room(link, id).map(|link| Chosen { link, after: None });
        }
        let link = self.shared(primary, purpose, id, now)?;
        self.room(link, id).map(|link| Chosen { link, after: None })
    }

    /// A client's own connection to the primary.
    fn watcher(&mut self, id: ClientId, now: Instant) -> Option<Chosen> {
        let client = self.client(id)?;
        if client.in_flight > 0 {
            // It is not changed for another one under what is under way.
            let own = client.own.filter(|own| self.link(*own).is_some_and(Link::is_open))?;
            return Some(Chosen { link: own, after: None });
        }
        self.keep_watch(id)?;
        if self.usable_primary(now).is_none() {
            self.hold(id, now);
            return None;
        }
        let link = self.own(id, false, now)?;
        Some(Chosen { link, after: None })
    }

    /// Has the watch of a client lost if the connection that watches is not to be used any more: another one watches nothing.
    /// `None`: it was lost now.
    fn keep_watch(&mut self, id: ClientId) -> Option<()> {
        let client = self.client(id)?;
        if client.mode == Mode::Watching && !is_planted!(self, ForgottenWatch) {
            let own = client.own.filter(|own| self.link(*own).is_some_and(Link::is_open));
            if own.is_none() {
                self.client_mut(id)?.mode = Mode::WatchLost;
                self.touch(id);
                return None;
            }
        }
        Some(())
    }

    fn waiter(&mut self, id: ClientId, now: Instant) -> Option<Chosen> {
        self.learn_token(id, now)?;
        if self.usable_primary(now).is_none() {
            self.hold(id, now);
            return None;
        }
        let token = self.client(id)?.token;
        let link = self.own(id, false, now)?;
        Some(Chosen { link, after: Some(token) })
    }

    /// All a client says and hears goes by a connection of its own from now on.
    fn join(&mut self, id: ClientId, now: Instant) {
        if self.keep_watch(id).is_none() {
            return;
        }
        if self.usable_primary(now).is_none() {
            return self.hold(id, now);
        }
        let Some(own) = self.own(id, true, now) else { return };
        let Some(passed) = self.link(own).filter(|link| link.is_up()).map(|link| link.passed) else { return };
        let Some(client) = self.client(id).filter(|client| client.unsettled == 0) else { return };
        let token = client.token;
        if token > passed {
            // What is lost, or late, is no reason not to subscribe.
            self.send_fence(own, token, What::Swallow);
        }
        self.release(id);
        let Some(client) = self.client_mut(id) else { return };
        let Some(slot) = client.slots.pop_front() else { return };
        let bytes = client.request(&slot.bytes).to_vec();
        client.first += 1;
        client.waiting = 0;
        client.mode = Mode::Joined;
        if let Some(link) = self.link_mut(own) {
            link.write(&bytes);
        }
        self.call_link(own);
        self.touch(id);
    }

    /// A connection that clients share, made if need be.
    fn shared(&mut self, node: u64, purpose: Use, id: ClientId, now: Instant) -> Option<LinkId> {
        let protocol = self.protocol(id);
        let links = &self.nodes.get(&node)?.links[of(protocol)];
        let place = match purpose {
            Use::Light => links.light,
            Use::Strong => links.strong,
            Use::Read => links.read,
            Use::After => links.after,
            _ => {
                // The one with the least to do, or another one.
                let busy = |id: &LinkId| self.link(*id).map_or(usize::MAX, |link| link.pending.len());
                let best = links.heavy.iter().map(|id| (busy(id), *id)).min();
                let may_grow = links.heavy.len() < self.options.heavy_max;
                best.filter(|(busy, _)| *busy == 0 || !may_grow).map(|(_, id)| id)
            }
        };
        if place.is_some() {
            return place;
        }
        let made = self.connect(node, purpose, protocol, now)?;
        let links = &mut self.nodes.get_mut(&node)?.links[of(protocol)];
        match purpose {
            Use::Light => links.light = Some(made),
            Use::Strong => links.strong = Some(made),
            Use::Read => links.read = Some(made),
            Use::After => links.after = Some(made),
            _ => links.heavy.push(made),
        }
        Some(made)
    }

    /// The connection if it takes more; otherwise the client is looked at again when it does.
    fn room(&mut self, link: LinkId, id: ClientId) -> Option<LinkId> {
        let max = self.options.link_output_max;
        let found = self.link_mut(link)?;
        if found.unsent() < max {
            return Some(link);
        }
        found.stalled.push(id);
        None
    }

    fn send(&mut self, id: ClientId, at: usize, chosen: Chosen, now: Instant) {
        let Chosen { link, after } = chosen;
        let Some(client) = self.clients.get_mut(id.index as usize) else { return };
        let Some(to) = self.links.get_mut(link.index as usize) else { return };
        let begin = to.end();
        let slot = &client.slots[at];
        let (ask, number) = (slot.ask, client.first + at as u64);
        let request = client.request(&slot.bytes);
        match after {
            Some(position) => {
                let wait = match ask {
                    Ask::Wait { .. } => self.options.primary_answer,
                    _ => self.options.catch_up,
                };
                write_after(to, request, position, wait);
            }
            None => to.write(request),
        }
        if let Ask::Exec { requests } = ask {
            (0..=requests).for_each(|_| to.expect(What::Swallow, begin));
        }
        to.expect(What::Slot { client: id, slot: number, after, is_unfenced: false }, begin);
        if let Ask::Wait { within_ms } = ask {
            // Before that it waits for the position.
            let before = self.options.primary_answer;
            to.grace = within_ms.map(|millis| Duration::from_millis(millis).saturating_add(before));
        }
        let (purpose, node) = (to.purpose, to.node);
        let slot = &mut client.slots[at];
        slot.state = State::Sent { link, answer: Vec::new(), is_streamed: false };
        client.waiting -= 1;
        client.in_flight += 1;
        client.run = ask.run();
        client.link = Some(link);
        match ask.run() {
            Run::Writes => self.counters.writes += 1,
            Run::Reads if Some(node) == self.primary => self.counters.primary_reads += 1,
            Run::Reads => self.counters.replica_reads += 1,
            Run::Alone => {}
        }
        if matches!(purpose, Use::Read | Use::After) {
            client.has_read = true;
            client.reads = client.reads.wrapping_add(1);
        } else {
            self.seek(id, link);
        }
        self.call_link(link);
        self.watch_link(link, now);
    }

    /// Has the client told the position of what it was sent by this connection.
    fn seek(&mut self, id: ClientId, link: LinkId) {
        let Some(found) = self.link(link) else { return };
        let round = (link, found.round());
        let Some(client) = self.client_mut(id) else { return };
        // One position for all that goes at once.
        if client.sought.replace(round) == Some(round) {
            return;
        }
        client.seeks += 1;
        client.unsettled += 1;
        let seek = client.seeks;
        if self.link_mut(link).is_some_and(|link| link.want_position(id, seek)) {
            self.sought.push(link);
            self.call_link(link);
        }
    }

    /// A client waits for a primary, unless it has done so for long enough or too many do.
    fn hold(&mut self, id: ClientId, now: Instant) {
        if let Some(fenced) = &self.fenced {
            let text = format!("ERR the node {fenced}");
            return self.fail_waiting(id, text.as_bytes(), now);
        }
        let (hold, max, count) = (self.options.hold, self.options.queue_max, self.held.len());
        let Some(client) = self.client_mut(id) else { return };
        match client.held_until {
            Some(until) if until <= now => return self.give_up(id, now),
            Some(_) => return,
            None if count >= max || hold.is_zero() => {
                return self.fail_waiting(
                    id,
                    b"TRYAGAIN there is no primary, and too many wait for one: nothing was done",
                    now,
                );
            }
            None => {}
        }
        let hold = if client.may_have_left { hold.min(LEFT_HOLD) } else { hold };
        let until = now.saturating_add(hold);
        client.held_until = Some(until);
        self.held.insert(id);
        self.counters.held += 1;
        self.timers.insert((until, Timed::Held(id)));
    }

    /// A client has waited for long enough.
    pub(super) fn give_up(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client(id) else { return };
        if client.waiting == 0 {
            // What is under way may be refused yet.
            return;
        }
        if client.in_flight > 0 && client.held_until.is_some_and(|until| until > now) {
            return;
        }
        // Who may have left has not waited for so long.
        let within =
            if client.may_have_left { String::new() } else { format!(" for {:?}", self.options.hold) };
        let text = match self.primary.and_then(|primary| self.nodes.get(&primary)) {
            Some(Node { name, problem: Some(problem), .. }) => format!(
                "TRYAGAIN {name} is primary and did not let this listener in{within}, with {problem:?}: nothing was done"
            ),
            Some(Node { name, failures: 1.., .. }) => {
                format!("TRYAGAIN {name} is primary and was not to be reached{within}: nothing was done")
            }
            Some(Node { name, address: None, is_out: false, .. }) => format!(
                "TRYAGAIN {name} is primary and has no address for clients, which its `resp` gives it: nothing was done"
            ),
            Some(Node { name, is_out: false, .. }) => {
                format!("TRYAGAIN {name} is primary, and refused or broke off{within}: nothing was done")
            }
            _ => format!("TRYAGAIN there was no primary{within}: nothing was done"),
        };
        self.fail_waiting(id, text.as_bytes(), now);
    }

    /// What a client waits for comes to nothing.
    fn fail_waiting(&mut self, id: ClientId, text: &[u8], now: Instant) {
        self.release(id);
        let Some(client) = self.client_mut(id) else { return };
        let (mut failed, mut ends_watch) = (0, false);
        for slot in client.slots.iter_mut() {
            if let State::Waiting = slot.state {
                slot.state = State::Ready(error(text));
                ends_watch |= matches!(slot.ask, Ask::Exec { .. } | Ask::Unwatch);
                failed += 1;
            }
        }
        client.waiting -= failed;
        self.counters.unserved += failed as u64;
        if ends_watch {
            // As with any EXEC, whatever comes of it.
            self.end_watch(id, now);
        }
        self.touch(id);
    }
}

/// So long who has ended its half waits for a primary. It may have given up and ask elsewhere, and what it asked for here must not be
/// done behind that.
pub(super) const LEFT_HOLD: Duration = Duration::from_millis(100);

/// The answer of `EXEC` when it was not done.
pub(super) fn nothing(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Resp2 => b"*-1\r\n",
        Protocol::Resp3 => b"_\r\n",
    }
}

/// So many words come before a request that has to wait for a position, and no more bytes than that.
const AFTER_WORDS: u64 = 5;
const AFTER_BYTES_MAX: usize = 256;

/// These words.
fn after(position: Position, wait: Duration) -> [String; AFTER_WORDS as usize] {
    let [epoch, sequence, wait] =
        [position.epoch, position.sequence, wait.as_millis() as u64].map(|number| number.to_string());
    ["TRIMTAB".to_owned(), "AFTER".to_owned(), epoch, sequence, wait]
}

/// How many words a request has, and where the first one begins. It is plain: its first line says so.
fn head(request: &[u8]) -> (u64, usize) {
    let end = request.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let digits = request.iter().skip(1).take_while(|byte| byte.is_ascii_digit());
    (digits.fold(0, |count, digit| count * 10 + u64::from(digit - b'0')), end)
}

/// Writes a request that has to wait for a position.
fn write_after(to: &mut Link, request: &[u8], position: Position, wait: Duration) {
    let (words, begin) = head(request);
    to.write(format!("*{}\r\n", words + AFTER_WORDS).as_bytes());
    for word in after(position, wait) {
        to.write(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    to.write(&request[begin..]);
}
