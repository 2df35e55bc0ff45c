//! [`Desk`]: answers what is about a connection alone, for who passes all else on to others.

use std::fmt;

use super::command::{self, ASKING, Context, Run, client};
use super::hub::{Hub, HubOptions};
use super::keys::Persistence;
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

    /// A client has come from `address` to `local`; answers its number.
    pub fn connect(&mut self, address: &str, local: &str, now: Timestamp) -> u64 {
        // It subscribes to nothing.
        self.hub.connect(address, local, 0, now)
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

    /// The next client that was told to go by another one.
    pub fn poll_killed(&mut self) -> Option<u64> {
        self.hub.poll_killed()
    }

    /// Answers a request that is about the connection alone; any other is told that it is not for the desk. Says whether
    /// the client has told itself to go.
    pub fn answer(&mut self, id: u64, args: &[&[u8]], out: &mut Vec<u8>, now: Timestamp) -> bool {
        let start = out.len();
        let protocol = self.protocol(id);
        let mut is_own_end = false;
        let result = command::of_request(args).and_then(|spec| {
            let Run::Session(run) = spec.run else {
                return Err(super::world::fail("ERR this command is about keys"));
            };
            let client = self.hub.client(id);
            (client.active, client.last_command) = (now, spec.name);
            client.last_subcommand = spec.subcommand(args);
            if spec.flags & ASKING != 0
                && let Some(question) = client::question(args, id)
            {
                let question = question?;
                // Nobody else is to be asked, so the answer is there.
                let Ok(part) = self.hub.ask(question.clone(), now) else { return Ok(()) };
                is_own_end = part.is_own_end;
                return part.write(&question, &mut Reply::new(out, protocol));
            }
            let view = self.index.reader().view();
            let mut context =
                Context { id, hub: &mut self.hub, view: &view, now, persistence: Persistence::default() };
            run(&mut context, args, &mut Reply::new(out, protocol))
        });
        self.count(result.is_err());
        if let Err(Failure(text)) = result {
            out.truncate(start);
            Reply::new(out, protocol).error_bytes(&text);
        }
        is_own_end
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
        let id = desk.connect("10.0.0.1:5", "10.0.0.9:6400", now);
        let say = |desk: &mut Desk, line: &str| {
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
        assert!(say(&mut desk, "CLIENT LIST").contains("name=me"));
        let info = say(&mut desk, "CLIENT INFO");
        assert!(info.contains(" cmd=client|info "), "{info}");
        // All that Redis 7 has, and clients look up.
        let fields = info.split_once("txt:").unwrap().1.trim_end().split(' ');
        let names: Vec<_> = fields.map(|field| field.split_once('=').unwrap().0).collect();
        let all = "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp \
                   obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";
        assert_eq!(names.join(" "), all);
        let other = desk.connect("10.0.0.2:5", "10.0.0.9:6400", now);
        assert_eq!(say(&mut desk, &format!("CLIENT KILL ID {other}")), ":1\r\n");
        assert_eq!((desk.poll_killed(), desk.poll_killed()), (Some(other), None));
        desk.reset(id);
        assert_eq!(desk.protocol(id), Protocol::Resp2);
        desk.disconnect(id);
    }
}
