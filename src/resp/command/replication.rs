//! What a node says of itself to clients that look for the primary, and which reads a connection is content with.

use super::super::reply::Reply;
use super::super::topology::Topology;
use super::super::world::{Failure, fail};
use super::{Args, Context, FAST, LOADING, Spec};

pub(super) const TABLE: &[Spec] = &[
    Spec::session("role", 1, FAST | LOADING, role),
    Spec::session("readonly", 1, FAST | LOADING, readonly),
    Spec::session("readwrite", 1, FAST | LOADING, readwrite),
];

/// Of a history that there was before.
const NO_HISTORY: &str = "0000000000000000000000000000000000000000";

fn role(context: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let offset = context.view.sequence() as i64;
    match context.hub.topology().filter(|topology| !topology.is_primary()) {
        None => {
            let replicas: Vec<_> = context.hub.topology().into_iter().flat_map(|it| online(it)).collect();
            reply.array(3);
            reply.bulk(b"master");
            reply.integer(offset);
            reply.array(replicas.len());
            for (host, port, sequence) in replicas {
                reply.array(3);
                reply.bulk(host.as_bytes());
                reply.bulk(port.to_string().as_bytes());
                reply.bulk(sequence.to_string().as_bytes());
            }
        }
        Some(topology) => {
            let primary = topology.primary().and_then(|primary| primary.address.as_ref());
            let told = primary.or(context.hub.last_primary());
            reply.array(5);
            reply.bulk(b"slave");
            reply.bulk(told.map_or(&b"?"[..], |address| address.host.as_bytes()));
            reply.integer(told.map_or(0, |address| i64::from(address.port)));
            reply.bulk(if topology.primary.is_some() { b"connected" } else { b"connect" });
            reply.integer(offset);
        }
    }
    Ok(())
}

/// The replicas that are there: host, port, how far they are.
fn online(topology: &Topology) -> impl Iterator<Item = (&str, u16, u64)> {
    let there = topology.replicas().filter(|(node, _)| node.is_linked);
    there.map(|(node, address)| (&address.host[..], address.port, node.sequence.unwrap_or_default()))
}

/// The section of `INFO`.
pub(super) fn fields(context: &Context<'_>) -> Vec<(String, String)> {
    let (hub, offset) = (&context.hub, context.view.sequence());
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut fields = Vec::new();
    match hub.topology().filter(|topology| !topology.is_primary()) {
        None => {
            let replicas: Vec<_> = hub.topology().into_iter().flat_map(|it| online(it)).collect();
            fields.push(own("role", "master"));
            fields.push(own("connected_slaves", &replicas.len().to_string()));
            for (at, (host, port, sequence)) in replicas.iter().enumerate() {
                let text = format!("ip={host},port={port},state=online,offset={sequence},lag=0");
                fields.push((format!("slave{at}"), text));
            }
        }
        Some(topology) => {
            let primary = topology.primary().and_then(|primary| primary.address.as_ref());
            let told = primary.or(hub.last_primary());
            let is_up = topology.primary.is_some();
            fields.push(own("role", "slave"));
            fields.push(own("master_host", told.map_or("?", |address| &address.host)));
            fields.push(own("master_port", &told.map_or(0, |address| address.port).to_string()));
            fields.push(own("master_link_status", if is_up { "up" } else { "down" }));
            fields.push(own("master_sync_in_progress", "0"));
            fields.push(own("slave_read_repl_offset", &offset.to_string()));
            fields.push(own("slave_repl_offset", &offset.to_string()));
            fields.push(own("slave_priority", if topology.own().is_voter { "100" } else { "0" }));
            fields.push(own("slave_read_only", if topology.forwards { "0" } else { "1" }));
            fields.push(own("replica_announced", "1"));
            fields.push(own("connected_slaves", "0"));
        }
    }
    let history = hub.topology().map_or_else(|| hub.run_id.clone(), |topology| topology.history_id());
    fields.extend([
        own("master_failover_state", "no-failover"),
        ("master_replid".to_owned(), history),
        own("master_replid2", NO_HISTORY),
        own("master_repl_offset", &offset.to_string()),
        own("second_repl_offset", "-1"),
    ]);
    if let Some(topology) = hub.topology() {
        if let Some(source) = &topology.own().source {
            fields.push(own("fed_by", source));
        }
        let others = topology.nodes.iter().filter(|node| node.name != topology.own().name);
        let chained = others.filter_map(|node| Some((&node.name, node.source.as_ref()?)));
        for (at, (name, source)) in chained.enumerate() {
            fields.push((format!("chained{at}"), format!("name={name},fed_by={source}")));
        }
        fields.push(own("epoch", &topology.epoch.to_string()));
        fields.push(own("quorum", &topology.quorum().to_string()));
        fields.push(own("voters_linked", &topology.voters_linked().to_string()));
        fields.push(own("degraded", if topology.is_degraded { "1" } else { "0" }));
        fields.push(own("degraded_writes", &topology.degraded_writes.to_string()));
    }
    fields
}

const NO_CLUSTER: Failure = fail("ERR This instance has cluster support disabled");

fn readonly(context: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(context, true, reply)
}

fn readwrite(context: &mut Context<'_>, _: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    set(context, false, reply)
}

fn set(context: &mut Context<'_>, takes_any: bool, reply: &mut Reply<'_>) -> Result<(), Failure> {
    if context.hub.topology().is_none() {
        return Err(NO_CLUSTER);
    }
    context.hub.client(context.id).takes_any = takes_any;
    reply.simple("OK");
    Ok(())
}
