//! From the bytes of a client to slots: requests are parsed, those about the connection alone are answered, transactions
//! gathered.

use super::client::{Ask, Bytes, Mode, Multi, State};
use super::link::{Use, command};
use super::{ClientId, Split};
use crate::resp::{Parsed, Parser, Protocol, ProtocolError, Route, Routed, parse_integer, route};
use crate::store::index::Timestamp;
use crate::time::Instant;

/// Whether a request was dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    /// Not before all before it is answered.
    Later,
}

const OK: &[u8] = b"+OK\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";

impl Split {
    /// Takes the next request of a client; says whether there may be another one.
    pub(super) fn take_request(&mut self, id: ClientId, now: Instant) -> bool {
        let Some(client) = self.clients.get_mut(id.index as usize) else { return false };
        if !client.takes_requests(&self.options) {
            return false;
        }
        let mut parser = std::mem::replace(&mut client.parser, Parser::new(self.options.limits));
        let intake = std::mem::take(&mut client.intake);
        let at = client.at;
        client.wanted = 0;
        let mut consumed = 0;
        let goes_on = match parser.parse(&intake[at..]) {
            Ok(Parsed::Nothing(len)) => {
                consumed = len;
                true
            }
            Ok(Parsed::Incomplete { wanted }) => {
                client.wanted = wanted;
                false
            }
            Err(ProtocolError::Http) => {
                self.counters.protocol_errors += 1;
                self.cut(id);
                return false;
            }
            Err(error) => {
                let mut text = error.reply();
                text.insert(0, b'-');
                text.extend_from_slice(b"\r\n");
                client.answer(text);
                client.is_closing = true;
                self.counters.protocol_errors += 1;
                false
            }
            Ok(Parsed::Request(request, len)) => {
                let args: Vec<&[u8]> = request.iter().collect();
                let bytes = match request.is_plain() {
                    true => Bytes::Sent { start: client.base + at as u64, len },
                    // Written anew, so that whoever looks at it finds its parts where they were found here.
                    false => {
                        let mut own = Vec::new();
                        command(&args, &mut own);
                        Bytes::Own(own)
                    }
                };
                let taken = self.take_args(id, &args, bytes, &intake[at..at + len], now);
                if taken == Taken::Yes {
                    consumed = len;
                }
                taken == Taken::Yes
            }
        };
        let Some(client) = self.client_mut(id) else { return false };
        client.intake = intake;
        client.at += consumed;
        let number = client.number;
        parser.set_stranger(!self.desk.is_authenticated(number));
        if let Some(client) = self.client_mut(id) {
            client.parser = parser;
        }
        goes_on
    }

    fn take_args(&mut self, id: ClientId, args: &[&[u8]], bytes: Bytes, raw: &[u8], now: Instant) -> Taken {
        let Some(client) = self.client(id) else { return Taken::Yes };
        let number = client.number;
        let routed = match route(args) {
            Ok(routed) => routed,
            Err(text) => return self.reject_request(id, args, &text, now),
        };
        if !routed.is_for_strangers && !self.desk.is_authenticated(number) {
            return self.reject_request(id, args, b"NOAUTH Authentication required.", now);
        }
        let Some(client) = self.client(id) else { return Taken::Yes };
        if client.multi.is_some() {
            return self.take_queued(id, &bytes, raw, routed, now);
        }
        let is_idle = client.slots.is_empty();
        let ask = match routed.route {
            Route::Read => Ask::Read,
            Route::Scan { cursor } => Ask::Scan { cursor },
            Route::Primary => Ask::Primary,
            Route::Write => Ask::Write { is_light: routed.is_light },
            Route::Watch => Ask::Watch,
            Route::Unwatch if client.mode == Mode::Watching => Ask::Unwatch,
            Route::Wait => Ask::Wait { within_ms: within(args) },
            // What follows depends on what came of all before it.
            _ if !is_idle && !matches!(routed.route, Route::Desk | Route::Multi | Route::Quit) => {
                return Taken::Later;
            }
            Route::Desk if !is_idle && matches!(routed.name, "hello" | "auth") => return Taken::Later,
            Route::Join => Ask::Join,
            Route::Unwatch => {
                self.end_watch(id, now);
                return self.reply(id, OK);
            }
            Route::Multi => {
                if let Some(client) = self.client_mut(id) {
                    client.multi = Some(Multi::default());
                }
                return self.reply(id, OK);
            }
            Route::Exec => return self.reject(id, b"ERR EXEC without MULTI"),
            Route::Discard => return self.reject(id, b"ERR DISCARD without MULTI"),
            Route::Quit => {
                self.reply(id, OK);
                if let Some(client) = self.client_mut(id) {
                    client.is_closing = true;
                }
                return Taken::Yes;
            }
            Route::Reset => {
                self.end_watch(id, now);
                self.desk.reset(number);
                return self.reply(id, b"+RESET\r\n");
            }
            Route::Desk => {
                let mut answer = Vec::new();
                let ends = self.desk.answer(number, args, &mut answer, wall(now));
                self.reply(id, &answer);
                if let Some(client) = self.client_mut(id) {
                    client.is_closing |= ends;
                }
                while let Some(killed) = self.desk.poll_killed() {
                    let found = self.clients.iter().find(|(_, client)| client.number == killed);
                    let found = found.map(|(index, client)| (index as u32, client.generation));
                    if let Some((index, generation)) = found {
                        self.cut(ClientId { index, generation });
                    }
                }
                return Taken::Yes;
            }
        };
        self.desk.count(false);
        if let Some(client) = self.client_mut(id) {
            client.push(ask, bytes, State::Waiting);
        }
        Taken::Yes
    }

    /// A request between `MULTI` and `EXEC`.
    fn take_queued(
        &mut self,
        id: ClientId,
        bytes: &Bytes,
        raw: &[u8],
        routed: Routed,
        now: Instant,
    ) -> Taken {
        match routed.route {
            Route::Multi => return self.refuse(id, b"ERR MULTI calls can not be nested"),
            Route::Watch => return self.refuse(id, b"ERR WATCH inside MULTI is not allowed"),
            Route::Quit => {
                self.reply(id, OK);
                if let Some(client) = self.client_mut(id) {
                    client.is_closing = true;
                }
                return Taken::Yes;
            }
            Route::Exec | Route::Discard | Route::Reset => return self.end_multi(id, routed.route, now),
            _ if !routed.is_queueable => {
                let name = routed.name.to_ascii_uppercase();
                let text = format!("ERR {name} inside MULTI is not allowed where reads and writes are split");
                return self.reject(id, text.as_bytes());
            }
            _ => {}
        }
        let max = self.options.transaction_max;
        let Some(multi) = self.client_mut(id).and_then(|client| client.multi.as_mut()) else {
            return Taken::Yes;
        };
        let request = match bytes {
            Bytes::Own(own) => own,
            Bytes::Sent { .. } => raw,
        };
        if multi.bytes.len() + request.len() > max {
            let text = format!("ERR the requests of a transaction have more than {max} bytes; split it");
            return self.reject(id, text.as_bytes());
        }
        multi.bytes.extend_from_slice(request);
        multi.requests += 1;
        self.reply(id, QUEUED)
    }

    fn end_multi(&mut self, id: ClientId, by: Route, now: Instant) -> Taken {
        let Some(client) = self.client_mut(id) else { return Taken::Yes };
        if by != Route::Exec && !client.slots.is_empty() {
            return Taken::Later;
        }
        let Some(multi) = client.multi.take() else { return Taken::Yes };
        let number = client.number;
        match by {
            Route::Exec if multi.is_broken => {
                if !client.slots.is_empty() {
                    client.multi = Some(multi);
                    return Taken::Later;
                }
                self.end_watch(id, now);
                self.refuse(id, b"EXECABORT Transaction discarded because of previous errors.")
            }
            Route::Exec => {
                let mut bytes = Vec::with_capacity(multi.bytes.len() + 32);
                command(&[b"MULTI"], &mut bytes);
                bytes.extend_from_slice(&multi.bytes);
                command(&[b"EXEC"], &mut bytes);
                client.push(Ask::Exec { requests: multi.requests }, Bytes::Own(bytes), State::Waiting);
                self.desk.count(false);
                Taken::Yes
            }
            Route::Reset => {
                self.end_watch(id, now);
                self.desk.reset(number);
                self.reply(id, b"+RESET\r\n")
            }
            _ => {
                self.end_watch(id, now);
                self.reply(id, OK)
            }
        }
    }

    /// Nothing is watched any more. The connection that watched is closed: that is how its node hears of it.
    pub(super) fn end_watch(&mut self, id: ClientId, now: Instant) {
        let Some(client) = self.client_mut(id) else { return };
        if std::mem::replace(&mut client.mode, Mode::Plain) == Mode::Watching
            && let Some(own) = client.own
        {
            self.break_link(own, now);
        }
    }

    fn reply(&mut self, id: ClientId, answer: &[u8]) -> Taken {
        if let Some(client) = self.client_mut(id) {
            client.answer(answer.to_vec());
        }
        Taken::Yes
    }

    /// Answers with an error.
    fn refuse(&mut self, id: ClientId, text: &[u8]) -> Taken {
        self.desk.count(true);
        self.reply(id, &error(text))
    }

    /// Says what is wrong with a request. If that is `EXEC`, its transaction is over, as on a node.
    fn reject_request(&mut self, id: ClientId, args: &[&[u8]], text: &[u8], now: Instant) -> Taken {
        if !args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec")) {
            return self.reject(id, text);
        }
        let Some(client) = self.client_mut(id) else { return Taken::Yes };
        if !client.slots.is_empty() {
            return Taken::Later;
        }
        client.multi = None;
        self.end_watch(id, now);
        let reason = text.strip_prefix(b"ERR ").unwrap_or(text);
        self.refuse(id, &[b"EXECABORT Transaction discarded because of: ", reason].concat())
    }

    /// The same, and a transaction that it belongs to is lost.
    fn reject(&mut self, id: ClientId, text: &[u8]) -> Taken {
        if let Some(multi) = self.client_mut(id).and_then(|client| client.multi.as_mut()) {
            multi.is_broken = true;
        }
        self.refuse(id, text)
    }

    /// The protocol a client is answered in.
    pub(super) fn protocol(&mut self, id: ClientId) -> Protocol {
        let Some(number) = self.client(id).map(|client| client.number) else { return Protocol::Resp2 };
        self.desk.protocol(number)
    }

    /// A client's own connection to the primary, in its protocol, made if need be; `None`: not yet. What it watches stays
    /// watched when it is joined.
    pub(super) fn own(&mut self, id: ClientId, is_joined: bool, now: Instant) -> Option<super::LinkId> {
        let purpose = if is_joined { Use::Joined(id) } else { Use::Own(id) };
        let protocol = self.protocol(id);
        if let Some(own) = self.client(id)?.own {
            if let Some(link) = self.link_mut(own).filter(|link| link.is_open()) {
                link.speak(protocol);
                link.become_of(purpose);
                return Some(own);
            }
            self.break_link(own, now);
        }
        let primary = self.usable_primary(now)?;
        let own = self.connect(primary, purpose, protocol, now)?;
        self.client_mut(id)?.own = Some(own);
        Some(own)
    }
}

/// For how many milliseconds a `WAIT` waits, by its last argument; `None`: without end.
fn within(args: &[&[u8]]) -> Option<u64> {
    // What is no number is refused by the node, at once.
    let told = args.last().and_then(|arg| parse_integer(arg)).unwrap_or(-1);
    (told != 0).then(|| u64::try_from(told).unwrap_or(0))
}

/// An error as it is sent.
pub(super) fn error(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 3);
    out.push(b'-');
    // Whatever would end the line early is not part of it.
    out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n");
    out
}

/// The desk counts in whole milliseconds from anywhere.
fn wall(now: Instant) -> Timestamp {
    Timestamp::from_millis(now.as_nanos() / 1_000_000)
}
