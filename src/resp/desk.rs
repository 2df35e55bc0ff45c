//! [`Desk`]: answers what is about a connection alone, for who passes all else on to others.

use std::fmt;

use super::command::{self, Context, Run};
use super::hub::{Hub, HubOptions};
use super::reply::{Protocol, Reply};
use super::world::Failure;
use crate::rng::Rng;
use crate::store::index::{Index, Options, Timestamp};

/// Knows connections, their protocol, names and logins, as a [`Hub`] does, and no keys. One owner.
pub struct Desk {
    hub: Hub,
    /// Without a key in it.
    index: Index,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Desk {
    /// One without connections.
    pub fn new(options: HubOptions, now: Timestamp, rng: Rng) -> Self {
        Self { hub: Hub::new(options, now, rng), index: Index::new(&Options::default()) }
    }

    /// A client has come from `address`; answers its number.
    pub fn connect(&mut self, address: &str, now: Timestamp) -> u64 {
        self.hub.connect(address.to_owned(), now)
    }

    /// It has gone.
    pub fn disconnect(&mut self, id: u64) {
        self.hub.disconnect(id);
    }

    /// It begins anew, as `RESET` has it.
    pub fn reset(&mut self, id: u64) {
        self.hub.reset(id);
    }

    /// In which protocol it is answered.
    pub fn protocol(&mut self, id: u64) -> Protocol {
        self.hub.client(id).protocol
    }

    /// Whether it need not log in any more.
    pub fn is_authenticated(&mut self, id: u64) -> bool {
        self.hub.client(id).is_authenticated
    }

    /// Counts one command, and an error where it was answered with one.
    pub fn count(&mut self, is_error: bool) {
        self.hub.counters.commands += 1;
        self.hub.counters.errors += u64::from(is_error);
    }

    /// Answers a request that is about the connection alone; any other is told that it is not for the desk.
    pub fn answer(&mut self, id: u64, args: &[&[u8]], out: &mut Vec<u8>, now: Timestamp) {
        let start = out.len();
        let protocol = self.protocol(id);
        let result = command::of_request(args).and_then(|spec| {
            let Run::Session(run) = spec.run else {
                return Err(super::world::fail("ERR this command is about keys"));
            };
            let client = self.hub.client(id);
            (client.active, client.last_command) = (now, spec.name);
            let view = self.index.reader().view();
            let mut context = Context { id, hub: &mut self.hub, view: &view, now };
            run(&mut context, args, &mut Reply::new(out, protocol))
        });
        self.count(result.is_err());
        if let Err(Failure(text)) = result {
            out.truncate(start);
            Reply::new(out, protocol).error_bytes(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_logs_in_and_knows_names() {
        let options = HubOptions { password: Some(b"secret".to_vec()), ..HubOptions::default() };
        let now = Timestamp::from_millis(5);
        let mut desk = Desk::new(options, now, Rng::new(1));
        let id = desk.connect("10.0.0.1:5", now);
        let mut say = |desk: &mut Desk, line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut out = Vec::new();
            desk.answer(id, &args, &mut out, now);
            String::from_utf8(out).unwrap()
        };
        assert!(!desk.is_authenticated(id));
        assert!(say(&mut desk, "AUTH wrong").starts_with("-WRONGPASS"));
        assert_eq!(say(&mut desk, "AUTH secret"), "+OK\r\n");
        assert!(desk.is_authenticated(id));
        assert!(say(&mut desk, "HELLO 3 SETNAME me").starts_with("%7\r\n"));
        assert_eq!(desk.protocol(id), Protocol::Resp3);
        assert_eq!(say(&mut desk, "CLIENT GETNAME"), "$2\r\nme\r\n");
        assert!(say(&mut desk, "GET a").starts_with("-ERR this command is about keys"));
        desk.reset(id);
        assert_eq!(desk.protocol(id), Protocol::Resp2);
        desk.disconnect(id);
    }
}
