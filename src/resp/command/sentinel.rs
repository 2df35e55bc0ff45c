//! `SENTINEL`: where the primary is and who else is there, as Redis' Sentinel tells it. Each node answers for the cluster it
//! is in, so its clients need no other process; outside a cluster the command is not known.

use super::super::hub::{Hub, Order};
use super::super::reply::Reply;
use super::super::topology::{ClientAddress, Node, Topology};
use super::super::world::{Failure, fail};
use super::super::{glob, number};
use super::{ADMIN, Args, Context, LOADING, MEMBER, NOT_AN_INTEGER, Spec, help, is};

const SUBCOMMANDS: &[(&str, i32)] = &[
    ("ckquorum", 3),
    ("failover", 3),
    ("get-master-addr-by-name", 3),
    ("is-master-down-by-addr", 6),
    ("master", 3),
    ("masters", 2),
    ("myid", 2),
    ("replicas", 3),
    ("reset", 3),
    ("sentinels", 3),
    ("slaves", 3),
];

pub(super) const TABLE: &[Spec] =
    &[Spec::session("sentinel", -2, ADMIN | LOADING | MEMBER, sentinel).with(SUBCOMMANDS)];

const NO_SUCH_SET: Failure = fail("ERR No such master with that name");

fn sentinel(context: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let Some(topology) = context.hub.topology().cloned() else { return Err(NO_SUCH_SET) };
    let hub = &mut *context.hub;
    let is_set = |hub: &Hub| args.get(2).is_some_and(|name| *name == hub.options.set.as_bytes());
    match args[1] {
        sub if is(sub, "help") => help("sentinel", SUBCOMMANDS, reply),
        sub if is(sub, "myid") => reply.bulk(topology.run_id(topology.own()).as_bytes()),
        sub if is(sub, "masters") => {
            reply.array(1);
            write(&primary_fields(&topology, hub), reply);
        }
        sub if is(sub, "reset") => {
            // There is nothing to be forgotten: who is there is in the log.
            reply.integer(i64::from(glob::matches(args[2], hub.options.set.as_bytes())));
        }
        sub if is(sub, "is-master-down-by-addr") => return is_down(&topology, args, reply),
        sub if is(sub, "get-master-addr-by-name") => {
            let address = topology.primary().and_then(|primary| primary.address.as_ref());
            match address.filter(|_| is_set(hub)) {
                None => reply.null_array(),
                Some(address) => {
                    reply.array(2);
                    reply.bulk(address.host.as_bytes());
                    reply.bulk(address.port.to_string().as_bytes());
                }
            }
        }
        _ if !is_set(hub) => return Err(NO_SUCH_SET),
        sub if is(sub, "master") => write(&primary_fields(&topology, hub), reply),
        sub if is(sub, "replicas") || is(sub, "slaves") => {
            let replicas: Vec<_> = topology.replicas().collect();
            reply.array(replicas.len());
            for (node, address) in replicas {
                write(&replica_fields(&topology, hub, node, address), reply);
            }
        }
        sub if is(sub, "sentinels") => {
            let others: Vec<_> = topology.others().collect();
            reply.array(others.len());
            for (node, address) in others {
                let mut fields = instance(&topology, node, address, "sentinel");
                // As Sentinel calls them: by what names them alone.
                fields[0].1 = topology.run_id(node);
                write(&fields, reply);
            }
        }
        sub if is(sub, "ckquorum") => {
            let (there, quorum) = (topology.voters_linked(), topology.quorum());
            if there < quorum || topology.primary.is_none() {
                return Err(super::failure(format!(
                    "NOQUORUM {there} usable Sentinels. Not enough available Sentinels to reach the specified quorum \
                     for this master. Not enough available Sentinels to reach the majority and authorize a failover"
                )));
            }
            reply.simple(&format!(
                "OK {there} usable Sentinels. Quorum and failover authorization can be reached"
            ));
        }
        _ => {
            // What is left is `failover`.
            if !topology.is_primary() {
                return Err(match topology.primary().and_then(|primary| primary.address.as_ref()) {
                    Some(address) => super::failure(format!("ERR this node is not primary; ask {address}")),
                    None => fail("ERR there is no primary at present; ask again when there is"),
                });
            }
            let is_there = |(_, node): &(usize, &Node)| node.has_vote && node.is_linked;
            let others = topology.nodes.iter().enumerate().filter(|(at, _)| *at != topology.own);
            let best = others.filter(is_there).max_by_key(|(_, node)| node.sequence);
            let Some((_, best)) = best else {
                return Err(fail("NOGOODSLAVE No suitable replica to promote"));
            };
            hub.order(Order::HandOver(best.name.clone()));
            reply.simple("OK");
        }
    }
    Ok(())
}

type Fields = Vec<(&'static str, String)>;

fn write(fields: &Fields, reply: &mut Reply<'_>) {
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// What is told of any node.
fn instance(topology: &Topology, node: &Node, address: &ClientAddress, kind: &str) -> Fields {
    let flags = if node.is_linked { kind.to_owned() } else { format!("{kind},s_down,disconnected") };
    vec![
        ("name", address.to_string()),
        ("ip", address.host.clone()),
        ("port", address.port.to_string()),
        ("runid", topology.run_id(node)),
        ("flags", flags),
    ]
}

fn primary_fields(topology: &Topology, hub: &Hub) -> Fields {
    let last = hub.last_primary();
    let known = topology.primary().and_then(|node| node.address.as_ref()).or(last);
    let node = topology.nodes.iter().find(|node| node.address.as_ref() == known && known.is_some());
    let flags = if topology.primary.is_some() { "master" } else { "master,s_down,o_down" };
    vec![
        ("name", hub.options.set.clone()),
        ("ip", known.map(|address| address.host.clone()).unwrap_or_default()),
        ("port", known.map_or(0, |address| address.port).to_string()),
        ("runid", node.map(|node| topology.run_id(node)).unwrap_or_default()),
        ("flags", flags.to_owned()),
        ("role-reported", "master".to_owned()),
        ("config-epoch", topology.epoch.to_string()),
        ("num-slaves", topology.replicas().count().to_string()),
        ("num-other-sentinels", topology.others().count().to_string()),
        ("quorum", topology.quorum().to_string()),
    ]
}

fn replica_fields(topology: &Topology, hub: &Hub, node: &Node, address: &ClientAddress) -> Fields {
    let mut fields = instance(topology, node, address, "slave");
    let primary = topology.primary().and_then(|node| node.address.as_ref());
    let is_up = node.is_linked && primary.is_some();
    let master = primary.or(hub.last_primary());
    // Who is not primary has not heard how far the others are, and 0 would say that they have nothing.
    let offset = node.sequence.map(|sequence| ("slave-repl-offset", sequence.to_string()));
    fields.extend([
        ("role-reported", "slave".to_owned()),
        ("master-link-status", if is_up { "ok" } else { "err" }.to_owned()),
        ("master-host", master.map_or_else(|| "?".to_owned(), |address| address.host.clone())),
        ("master-port", master.map_or(0, |address| address.port).to_string()),
        // Without a vote it is never promoted, which Redis says with 0.
        ("slave-priority", if node.is_voter { "100" } else { "0" }.to_owned()),
        ("replica-announced", "1".to_owned()),
    ]);
    fields.extend(offset);
    fields
}

fn is_down(topology: &Topology, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), Failure> {
    let port = number::parse_integer(args[3]).ok_or(NOT_AN_INTEGER)?;
    number::parse_integer(args[4]).ok_or(NOT_AN_INTEGER)?;
    let is_meant =
        |address: &ClientAddress| address.host.as_bytes() == args[2] && i64::from(address.port) == port;
    let meant =
        topology.nodes.iter().enumerate().find(|(_, node)| node.address.as_ref().is_some_and(is_meant));
    let is_down = meant.is_some_and(|(at, node)| !node.is_linked || topology.primary != Some(at));
    reply.array(3);
    reply.integer(i64::from(is_down));
    // Nobody is voted for here: who is primary is decided by consensus.
    reply.bulk(b"*");
    reply.integer(0);
    Ok(())
}
