//! Connections over an index in this process. Some writes are done at once, the others only after everything else: what a
//! connection may do meanwhile, it does.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;

use trimtab::error::Error;
use trimtab::resp::{
    Completed, Connection, Durability, Hub, HubOptions, Keys, Leaves, Options, Submitted, Ticket, Topology,
};
use trimtab::rng::Rng;
use trimtab::store::index::{self, Command, Index, Settings, Timestamp, View};

pub(crate) struct Store {
    index: Index,
    sequence: u64,
    log: VecDeque<Vec<u8>>,
    rng: Rng,
}

impl Keys for Store {
    type Seen = Arc<View>;

    fn view(&mut self) -> Arc<View> {
        self.index.reader().view()
    }

    fn submit(
        &mut self,
        command: &Command<'_>,
        _: Durability,
        _: bool,
        _: Option<Leaves>,
    ) -> Result<Submitted, Error> {
        self.sequence += 1;
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let decoded = Command::decode(&bytes, &Settings::default());
        assert_eq!(decoded.as_ref(), Ok(command), "what is submitted is a command");
        if self.log.is_empty() && self.rng.below(2) == 0 {
            let outcome = self.index.apply(self.sequence, &bytes).expect("sequences rise");
            self.index.publish();
            return Ok(Submitted::Done(outcome.into()));
        }
        self.log.push_back(bytes);
        Ok(Submitted::UnderWay(Ticket(self.sequence)))
    }

    fn durable(&mut self) -> u64 {
        self.sequence
    }

    fn replicas_with(&self, _: trimtab::resp::Position) -> u64 {
        0
    }
}

/// As clients and server on a socket of the file system have it.
const ADDRESS: &str = "/socket:0";

pub(crate) struct Local {
    store: Store,
    options: Options,
    hub: Hub,
    connections: BTreeMap<u64, Connection>,
    now: u64,
}

impl Local {
    pub(crate) fn new(options: Options) -> Self {
        Self::with(options, None)
    }

    /// One that clients log in to with a password, if there is one.
    pub(crate) fn with(options: Options, password: Option<&[u8]>) -> Self {
        let password = password.map(<[u8]>::to_vec);
        let hub_options = HubOptions { allows_flush: true, password, ..HubOptions::default() };
        let index = Index::new(&index::Options::default());
        Self {
            store: Store { index, sequence: 0, log: VecDeque::new(), rng: Rng::new(2) },
            options,
            hub: Hub::new(hub_options, Timestamp::from_millis(0), Rng::new(1)),
            connections: BTreeMap::new(),
            now: 0,
        }
    }

    pub(crate) fn connect(&mut self) -> u64 {
        let now = Timestamp::from_millis(self.now);
        let connection = Connection::new(self.options, ADDRESS, ADDRESS, &mut self.hub, now);
        let id = connection.id();
        self.connections.insert(id, connection);
        id
    }

    /// Makes it a node of a cluster.
    #[allow(dead_code, reason = "not all who share this file ask")]
    pub(crate) fn join(&mut self, topology: Topology) {
        self.hub.set_topology(Arc::new(topology));
    }

    /// Whether the connection `id` takes no more, or is gone.
    #[allow(dead_code, reason = "not all who share this file ask")]
    pub(crate) fn is_finished(&self, id: u64) -> bool {
        self.connections.get(&id).is_none_or(Connection::is_finished)
    }

    /// What the connection `id` is answered, once nothing is under way any more.
    pub(crate) fn ask(&mut self, id: u64, request: &[u8], now: u64) -> Vec<u8> {
        self.now = self.now.max(now);
        let now = Timestamp::from_millis(self.now);
        let connection = self.connections.get_mut(&id).expect("it is connected");
        connection.handle_bytes(request);
        connection.advance(&mut self.hub, &mut self.store, now);
        while let Some(bytes) = self.store.log.pop_front() {
            let sequence = self.store.sequence - self.store.log.len() as u64;
            let outcome = self.store.index.apply(sequence, &bytes).expect("sequences rise");
            self.store.index.publish();
            let completed: Completed = Ok(outcome.into());
            connection.handle_completion(Ticket(sequence), completed, &mut self.hub, &mut self.store, now);
        }
        if let Some(deadline) = connection.next_deadline() {
            self.now = deadline.as_millis();
            connection.handle_timeout(&mut self.hub, &mut self.store, deadline);
        }
        self.deliver();
        while let Some(id) = self.hub.poll_killed() {
            if let Some(mut killed) = self.connections.remove(&id) {
                killed.kill(&mut self.hub);
                killed.close(&mut self.hub);
            }
        }
        self.told(id)
    }

    /// Hands out what was published, and what has happened to keys.
    fn deliver(&mut self) {
        let view = self.store.index.reader().view();
        loop {
            let has_more = self.hub.handle_view(&view);
            while let Some((to, message)) = self.hub.poll_delivery() {
                if let Some(to) = self.connections.get_mut(&to) {
                    to.handle_message(&message, &mut self.hub);
                }
            }
            if !has_more {
                return;
            }
        }
    }

    /// What the connection `id` has to send, which it does not need to have asked for.
    pub(crate) fn told(&mut self, id: u64) -> Vec<u8> {
        let connection = self.connections.get_mut(&id).expect("it is connected");
        let output = connection.output().to_vec();
        connection.consume_output(output.len());
        output
    }
}
