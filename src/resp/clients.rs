//! What is known of clients, and what one of them asks of all: `CLIENT LIST` and `CLIENT KILL`, on whichever loop they
//! are.
//!
//! A [`Question`] is answered by each loop for its own clients, with a [`Part`]; the loop that was asked puts them
//! together. So what clients do needs no lock and is written down nowhere but in their own loop.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::inbox::Inbox;
use super::notify;
use super::reply::{Protocol, Reply};
use super::world::{Failure, fail};
use crate::store::index::Timestamp;

/// What is known of a connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: String,
    /// This end's address.
    pub(super) local: String,
    pub(super) since: Timestamp,
    pub(super) active: Timestamp,
    pub(super) name: Vec<u8>,
    pub(super) library: (Vec<u8>, Vec<u8>),
    pub(super) protocol: Protocol,
    pub(super) is_authenticated: bool,
    pub(super) last_command: &'static str,
    pub(super) last_subcommand: Option<&'static str>,
    pub(super) channels: BTreeSet<Arc<[u8]>>,
    pub(super) patterns: BTreeSet<Arc<[u8]>>,
    /// Messages that wait for it.
    pub(super) inbox: Inbox,
    /// Requests queued by `MULTI`; -1: none is under way.
    pub(super) queued: i64,
    pub(super) is_no_evict: bool,
    pub(super) is_no_touch: bool,
    /// `READONLY`: it is content with whatever is here, however old.
    pub(super) takes_any: bool,
    /// `TRIMTAB`: a balancer, which goes to another primary by itself.
    pub(super) is_balancer: bool,
    /// It was told to go, and is not there any more for who asks.
    pub(super) is_killed: bool,
}

impl Client {
    /// One that has just come.
    pub(super) fn new(
        address: String,
        local: String,
        is_authenticated: bool,
        messages_max: usize,
        now: Timestamp,
    ) -> Self {
        Self {
            address,
            local,
            since: now,
            active: now,
            name: Vec::new(),
            library: (Vec::new(), Vec::new()),
            protocol: Protocol::Resp2,
            is_authenticated,
            last_command: "NULL",
            last_subcommand: None,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            inbox: Inbox::new(messages_max),
            queued: -1,
            is_no_evict: false,
            is_no_touch: false,
            takes_any: false,
            is_balancer: false,
            is_killed: false,
        }
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether it may be told of keyspace notifications.
    pub(super) fn hears_of_keys(&self) -> bool {
        self.channels.iter().any(|it| notify::is_of_keys(it))
            || self.patterns.iter().any(|it| notify::may_be_of_keys(it))
    }

    /// Whether it takes this node for the primary until its connection ends.
    pub(super) fn stays_with_its_node(&self) -> bool {
        self.kind() == Kind::Normal && !self.is_balancer && !self.is_killed
    }

    fn kind(&self) -> Kind {
        if self.subscriptions() > 0 { Kind::PubSub } else { Kind::Normal }
    }

    /// The line of `CLIENT LIST`, with its end: all that Redis tells, for some clients look each of it up. What is not known
    /// here, of buffers and such, is 0.
    pub(super) fn line(&self, id: u64, now: Timestamp) -> Vec<u8> {
        let mut flags = String::new();
        for (is_set, flag) in [
            (self.subscriptions() > 0, 'P'),
            (self.queued >= 0, 'x'),
            (self.address.starts_with('/'), 'U'),
            (self.takes_any, 'r'),
            (self.is_no_evict, 'e'),
            (self.is_no_touch, 'T'),
        ] {
            flags.extend(is_set.then_some(flag));
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let mut out = format!("id={id} addr={} laddr={} fd=0 name=", self.address, self.local).into_bytes();
        out.extend_from_slice(&self.name);
        out.extend_from_slice(
            format!(
                " age={} idle={} flags={flags} db=0 sub={} psub={} ssub=0 multi={} watch=0 qbuf=0 qbuf-free=0 argv-mem=0 \
                 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem=0 tot-mem=0 events=r cmd={}",
                seconds(self.since, now),
                seconds(self.active, now),
                self.channels.len(),
                self.patterns.len(),
                self.queued,
                self.inbox.len(),
                self.last_command,
            )
            .as_bytes(),
        );
        if let Some(subcommand) = self.last_subcommand {
            out.extend_from_slice(format!("|{subcommand}").as_bytes());
        }
        let version = if self.protocol == Protocol::Resp3 { 3 } else { 2 };
        out.extend_from_slice(format!(" user=default redir=-1 resp={version} lib-name=").as_bytes());
        out.extend_from_slice(&self.library.0);
        out.extend_from_slice(b" lib-ver=");
        out.extend_from_slice(&self.library.1);
        out.push(b'\n');
        out
    }
}

fn seconds(since: Timestamp, now: Timestamp) -> u64 {
    now.as_millis().saturating_sub(since.as_millis()) / 1_000
}

/// What a client is, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    PubSub,
    /// Other nodes, which do not come here.
    Node,
}

impl Kind {
    pub(super) fn parse(name: &[u8]) -> Result<Self, Failure> {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        match () {
            () if is("normal") => Ok(Self::Normal),
            () if is("pubsub") => Ok(Self::PubSub),
            () if is("master") || is("replica") || is("slave") => Ok(Self::Node),
            () => Err(Failure([b"ERR Unknown client type '", name, b"'"].concat().into())),
        }
    }
}

/// Which clients are meant: those that all of it holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) id: Option<u64>,
    pub(super) address: Option<Vec<u8>>,
    pub(super) local: Option<Vec<u8>>,
    pub(super) kind: Option<Kind>,
    /// At least so many seconds old.
    pub(super) age: Option<u64>,
    /// Not this one.
    pub(super) skipped: Option<u64>,
}

impl Filter {
    fn takes(&self, id: u64, client: &Client, now: Timestamp) -> bool {
        let is = |asked: &Option<Vec<u8>>, own: &str| asked.as_ref().is_none_or(|it| it == own.as_bytes());
        !client.is_killed
            && self.id.is_none_or(|asked| asked == id)
            && is(&self.address, &client.address)
            && is(&self.local, &client.local)
            && self.kind.is_none_or(|kind| kind == client.kind())
            && self.age.is_none_or(|age| seconds(client.since, now) >= age)
            && self.skipped != Some(id)
    }
}

/// What is to be done with the clients that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Told, all of them or these in this order.
    List(Option<Vec<i64>>),
    /// Ended, and counted.
    Kill,
    /// Ended; there has to be one.
    KillOne,
}

/// What a client asks of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub(super) what: What,
    pub(super) filter: Filter,
    /// Who asks.
    pub(super) asker: u64,
}

/// What one loop answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The clients that are meant, and their lines.
    lines: Vec<(u64, Vec<u8>)>,
    killed: u64,
    /// Who asks is among them: it goes once it is answered.
    pub(super) is_own_end: bool,
}

impl Part {
    /// Takes what another loop has answered.
    pub(super) fn add(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.killed += other.killed;
        self.is_own_end |= other.is_own_end;
    }

    /// Writes the answer, all parts being here.
    pub(super) fn write(mut self, question: &Question, reply: &mut Reply<'_>) -> Result<(), Failure> {
        match &question.what {
            What::List(None) => {
                self.lines.sort_unstable_by_key(|(id, _)| *id);
                let text: Vec<u8> = self.lines.into_iter().flat_map(|(_, line)| line).collect();
                reply.verbatim(*b"txt", &text);
            }
            What::List(Some(ids)) => {
                let line = |id: &i64| self.lines.iter().find(|(own, _)| u64::try_from(*id) == Ok(*own));
                let text: Vec<u8> = ids.iter().filter_map(line).flat_map(|(_, line)| line.clone()).collect();
                reply.verbatim(*b"txt", &text);
            }
            What::Kill => reply.integer(self.killed as i64),
            What::KillOne if self.killed == 0 => return Err(fail("ERR No such client")),
            What::KillOne => reply.simple("OK"),
        }
        Ok(())
    }
}

impl Question {
    /// What it comes to among these clients, which are a loop's. Those that are to go are given back.
    pub(super) fn answer<'a>(
        &self,
        clients: impl Iterator<Item = (u64, &'a mut Client)>,
        now: Timestamp,
    ) -> (Part, Vec<u64>) {
        let (mut part, mut killed) = (Part::default(), Vec::new());
        for (id, client) in clients.filter(|(id, client)| self.filter.takes(*id, client, now)) {
            match &self.what {
                What::List(Some(ids)) if !ids.iter().any(|asked| u64::try_from(*asked) == Ok(id)) => {}
                What::List(_) => part.lines.push((id, client.line(id, now))),
                What::Kill | What::KillOne => {
                    part.killed += 1;
                    if id == self.asker {
                        part.is_own_end = true;
                    } else {
                        client.is_killed = true;
                        killed.push(id);
                    }
                }
            }
        }
        (part, killed)
    }
}
