//! Listeners that split reads from writes: from their configuration to how they run, and what is told of them.

use serde::Serialize;

use crate::driver::resp::shared::ClientOptions;
use crate::driver::split::shared::SharedSplit;
use crate::error::Result;
use crate::server::config::{self, Config, SplitListener};
use crate::server::store::client_options;
use crate::split::{Counters, Options, Reads};

/// How its clients are taken in and served; the password of `[store]` is read.
pub(super) fn split_options(
    config: &Config,
    from: &config::Store,
    listener: &SplitListener,
) -> Result<(ClientOptions, Options)> {
    let clients = client_options(config, from)?;
    let hub = crate::resp::HubOptions {
        clients_max: u64::from(listener.maxconn),
        idle: listener.idle,
        ..clients.hub.clone()
    };
    let options = Options {
        reads: match listener.reads {
            config::Reads::Any => Reads::Any,
            config::Reads::Replicas => Reads::Replicas,
            config::Reads::Primary => Reads::Primary,
        },
        max_age: listener.max_age,
        catch_up: listener.catch_up,
        hold: listener.queue,
        queue_max: listener.queue_max as usize,
        connect: listener.connect,
        output_max: clients.connection.output_max,
        output_pause: clients.connection.output_pause,
        transaction_max: clients.connection.queue_max,
        limits: clients.connection.limits,
        hub,
        ..Options::default()
    };
    let clients = ClientOptions { clients_max: listener.maxconn, idle: listener.idle, ..clients };
    Ok((clients, options))
}

/// One listener that splits reads from writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitStatus {
    /// Its name.
    pub name: String,
    /// Where it listens in truth.
    pub address: String,
    /// Clients at present.
    pub clients: u32,
    /// The most at once.
    pub maxconn: u32,
    /// Taken in so far.
    pub accepted: u64,
    /// Turned away, for there were as many as may be.
    pub refused: u64,
    /// Attempts to accept that failed.
    pub accept_errors: u64,
    /// Ended for having said nothing for too long.
    pub idle: u64,
    /// Requests that only read, sent to others than the primary.
    pub replica_reads: u64,
    /// The same, sent to the primary.
    pub primary_reads: u64,
    /// Writes and transactions sent.
    pub writes: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Reads that a node was not fresh enough for.
    pub behind: u64,
    /// Clients that wait for a primary.
    pub waiting: u64,
    /// Times a client began to wait for a primary.
    pub held: u64,
    /// Requests told that there is no primary.
    pub unserved: u64,
    /// Writes of which the client was told that it is not known.
    pub in_doubt: u64,
    /// Clients cut for not reading what they had asked for.
    pub slow: u64,
    /// Clients cut since an answer broke off, or what they had subscribed to.
    pub cut: u64,
    /// Clients closed for what they sent.
    pub protocol_errors: u64,
    /// Connections to nodes at present.
    pub links: u64,
    /// Connections to nodes that came to nothing, or broke.
    pub link_errors: u64,
}

impl SplitStatus {
    pub(super) fn read(shared: &SharedSplit, address: String) -> Self {
        let clients = &shared.clients;
        let (counters, waiting, links) = shared.sums();
        let Counters {
            replica_reads,
            primary_reads,
            writes,
            retries,
            behind,
            held,
            unserved,
            in_doubt,
            slow,
            cut,
            protocol_errors,
            link_errors,
        } = counters;
        Self {
            name: clients.name.to_string(),
            address,
            clients: clients.present(),
            maxconn: clients.options.clients_max,
            accepted: clients.sum(|counters| &counters.accepted),
            refused: clients.sum(|counters| &counters.refused),
            accept_errors: clients.sum(|counters| &counters.accept_errors),
            idle: clients.sum(|counters| &counters.idle),
            replica_reads,
            primary_reads,
            writes,
            retries,
            behind,
            waiting,
            held,
            unserved,
            in_doubt,
            slow,
            cut,
            protocol_errors,
            links,
            link_errors,
        }
    }
}
