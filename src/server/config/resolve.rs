//! The whole: from tables to a [`Config`] in which every reference holds.

use std::collections::HashMap;
use std::time::Duration;

use toml::de::DeTable;

use crate::error::{Error, Result};
use crate::health::schedule::{PROBES_DEFAULT, PROBES_MAX};
use crate::server::config::bind::is_port_chosen;
use crate::server::config::fields::{At, Fields};
use crate::server::config::problems::Problems;
use crate::server::config::schema::{ADMIN, DISCOVERY, LISTENER, POOL, ROOT, RUNTIME};
use crate::server::config::suggest::{nearest_or_all, shown};
use crate::server::config::{
    Admin, Bind, Config, LISTENERS_MAX, Listener, POOLS_MAX, Pool, Runtime, SPLIT_CLIENTS_MAX, SPLITS_MAX,
    SplitListener, TEXT_MAX, Timeouts, WORKERS_MAX, admin, listener, pool, read, syntax,
};
#[cfg(feature = "store")]
use crate::server::config::{schema::STORE, store};

/// Reads a configuration.
pub(super) fn config(text: &str, source: &str) -> Result<Config> {
    if text.len() > TEXT_MAX {
        return Err(Error::Config(vec![read::too_long(source)]));
    }
    let mut problems = Problems::new(text, source);
    let config = syntax::parse(text, &mut problems).map(|root| whole(&root, &mut problems));
    let problems = problems.finish();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Error::Config(problems)),
    }
}

/// Reads everything there is. What it gives is right when no problem was added.
fn whole(root: &DeTable<'_>, problems: &mut Problems<'_>) -> Config {
    let root = Fields::new(root, &ROOT, 0, problems);
    let runtime = root.table("runtime", &RUNTIME, problems);
    let probes_max = runtime
        .as_ref()
        .and_then(|runtime| runtime.integer("probes_max", 1..=i128::from(PROBES_MAX), problems))
        .map_or(PROBES_DEFAULT, |probes_max| probes_max.value);
    let workers = runtime
        .and_then(|runtime| runtime.integer("workers", 0..=i128::from(WORKERS_MAX), problems))
        .map_or(0, |workers| workers.value);
    let workers = if workers == 0 { cores() } else { workers };
    let mut binds = Binds::default();
    let pools = pools(&root, workers, problems);
    let Read { listeners, splits } = listeners(&root, &pools, &mut binds, problems);
    let admin = root.table("admin", &ADMIN, problems).and_then(|admin| {
        let read = admin::read(&admin, problems)?;
        binds.add(&read.bind, "the admin".to_string(), problems);
        let bind_at = problems.position(read.bind.at);
        Some(Admin { bind_at, bind: read.bind.value, mode: read.mode })
    });
    #[cfg(feature = "store")]
    let store = root.table("store", &STORE, problems).and_then(|fields| {
        let (store, addresses) = store::read(&fields, problems)?;
        for (address, who) in &addresses {
            binds.add(address, (*who).to_string(), problems);
        }
        Some(store)
    });
    #[cfg(not(feature = "store"))]
    if root.has("store") {
        let message = "[store] is not in this build of trimtab";
        problems.add(root.value_at("store"), message, "take it out, or build with the feature store");
    }
    #[cfg(feature = "store")]
    let leads_nowhere = match &store {
        None => !root.has("store"),
        #[cfg(feature = "replication")]
        Some(store) => store.resp.is_none() && store.cluster.is_none(),
        #[cfg(not(feature = "replication"))]
        Some(store) => store.resp.is_none(),
    };
    #[cfg(not(feature = "store"))]
    let leads_nowhere = true;
    for (index, at) in pools.names.values() {
        if leads_nowhere && pools.pools[*index].store.is_some() {
            let message = "the pool is of the nodes of [store], and there are none";
            problems.add(*at, message, "add [store] with dir and resp, or node and peers");
        }
    }
    for (at, split) in splits.iter().filter(|_| leads_nowhere) {
        let message =
            format!("the listener {} leads to the nodes of [store], and there are none", shown(&split.name));
        problems.add(*at, message, "add [store] with dir and resp, or node and peers");
    }
    let discovery = root.table("discovery", &DISCOVERY, problems);
    let discovery =
        discovery.map(|fields| crate::server::config::discovery::read(&fields, problems)).unwrap_or_default();
    if !root.has("listener") && !root.has("store") {
        problems.add_overall(
            "there is no [[listener]] and no [store], so there is nothing to do",
            "add a listener with name, bind and pool, or a store with dir and resp",
        );
    }
    Config {
        source: problems.source().to_string(),
        runtime: Runtime { workers, probes_max },
        listeners,
        splits: splits.into_iter().map(|split| split.1).collect(),
        pools: pools.pools,
        discovery,
        #[cfg(feature = "store")]
        store,
        admin,
    }
}

/// The machine's cores, as many as can be workers.
fn cores() -> u32 {
    u32::try_from(crate::sync::cores()).unwrap_or(u32::MAX).clamp(1, WORKERS_MAX)
}

#[derive(Default)]
struct Pools<'a> {
    pools: Vec<Pool>,
    /// From each name to the pool's index and where the name stands.
    names: HashMap<&'a str, (usize, usize)>,
    /// The names in order.
    ordered: Vec<&'a str>,
}

fn pools<'a>(root: &Fields<'a, '_>, workers: u32, problems: &mut Problems<'_>) -> Pools<'a> {
    let mut read = Pools::default();
    for (index, fields) in root.tables("pool", &POOL, problems).iter().enumerate() {
        if index == POOLS_MAX {
            let message = format!("a server takes {POOLS_MAX} pools; this is one more");
            problems.add(fields.at(), message, "divide them among servers");
            break;
        }
        let (name, pool) = pool::read(fields, workers, problems);
        let Some(At { at, value: name }) = name else { continue };
        if let Some((_, first)) = read.names.get(name) {
            let line = problems.line(*first);
            let message = format!("there is a pool named {} already, on line {line}", shown(name));
            problems.add(at, message, "choose another name");
            continue;
        }
        read.names.insert(name, (read.pools.len(), at));
        read.ordered.push(name);
        read.pools.push(pool);
    }
    read
}

/// The listeners, and those that split reads from writes with where they are named.
struct Read {
    listeners: Vec<Listener>,
    splits: Vec<(usize, SplitListener)>,
}

fn listeners(
    root: &Fields<'_, '_>,
    pools: &Pools<'_>,
    binds: &mut Binds,
    problems: &mut Problems<'_>,
) -> Read {
    let tables = root.tables("listener", &LISTENER, problems);
    if root.is_empty_list("listener") && !root.has("store") {
        problems.add(
            root.value_at("listener"),
            "there is no listener, so there is nothing to do",
            "add one with name, bind and pool",
        );
    }
    let mut listeners = Vec::with_capacity(tables.len());
    let mut splits = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, fields) in tables.iter().enumerate() {
        if index == LISTENERS_MAX {
            let message = format!("a server takes {LISTENERS_MAX} listeners; this is one more");
            problems.add(fields.at(), message, "divide them among servers");
            break;
        }
        let read = listener::read(fields, problems);
        if let Some(name) = read.name {
            if let Some(&first) = names.get(name.value) {
                let line = problems.line(first);
                let message =
                    format!("there is a listener named {} already, on line {line}", shown(name.value));
                problems.add(name.at, message, "choose another name");
            } else {
                names.insert(name.value, name.at);
            }
        }
        if let Some(bind) = &read.bind {
            let who = read
                .name
                .map_or("a listener".to_string(), |name| format!("the listener {}", shown(name.value)));
            binds.add(bind, who, problems);
        }
        let pool = read.pool.and_then(|pool| pool_of(pool, pools, problems));
        if let Some(split) = &read.split {
            let (Some(name), Some(bind)) = (read.name, read.bind) else { continue };
            if splits.len() == SPLITS_MAX {
                let message =
                    format!("a server takes {SPLITS_MAX} listeners of mode \"resp-split\"; this is one more");
                problems.add(fields.at(), message, "divide them among servers");
                continue;
            }
            let Timeouts { connect, queue, idle, drain, .. } = read.timeouts;
            let listener = SplitListener {
                name: name.value.to_string(),
                bind_at: problems.position(bind.at),
                bind: bind.value,
                reads: split.reads,
                max_age: split.max_age,
                catch_up: split.catch_up,
                queue_max: split.queue_max,
                maxconn: if read.maxconn == 0 { SPLIT_CLIENTS_MAX } else { read.maxconn },
                backlog: read.backlog,
                connect,
                queue,
                idle: if split.has_idle { idle } else { Duration::ZERO },
                drain,
            };
            splits.push((name.at, listener));
            continue;
        }
        // Each that is missing was told above.
        let (Some(name), Some(bind), Some(pool)) = (read.name, read.bind, pool) else { continue };
        listeners.push(Listener {
            name: name.value.to_string(),
            bind_at: problems.position(bind.at),
            bind: bind.value,
            pool,
            maxconn: read.maxconn,
            backlog: read.backlog,
            proxy_protocol: read.proxy_protocol,
            abort_on_close: read.abort_on_close,
            timeouts: read.timeouts,
        });
    }
    Read { listeners, splits }
}

/// The index of the pool that a listener names.
fn pool_of(wanted: At<&str>, pools: &Pools<'_>, problems: &mut Problems<'_>) -> Option<usize> {
    if let Some((index, _)) = pools.names.get(wanted.value) {
        return Some(*index);
    }
    problems.add_with(wanted.at, format!("there is no pool named {}", shown(wanted.value)), || {
        if pools.ordered.is_empty() {
            "add a [[pool]] with this name".to_string()
        } else {
            nearest_or_all(wanted.value, "pools", pools.ordered.iter().copied())
        }
    });
    None
}

/// Who listens where.
#[derive(Default)]
struct Binds {
    /// From each place to who has it and where that is said.
    taken: HashMap<Bind, (String, usize)>,
}

impl Binds {
    fn add(&mut self, bind: &At<Bind>, who: String, problems: &mut Problems<'_>) {
        if is_port_chosen(&bind.value) {
            return;
        }
        if let Some((other, first)) = self.taken.get(&bind.value) {
            let line = problems.line(*first);
            let message = format!("{other} listens on {} already, on line {line}", bind.value);
            problems.add(bind.at, message, "choose another address or port");
            return;
        }
        self.taken.insert(bind.value.clone(), (who, bind.at));
    }
}
