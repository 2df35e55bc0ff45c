//! `[[pool]]` and its backends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::balance::options::{BACKENDS_MAX, HISTORY_MAX, WEIGHT_MAX};
use crate::balance::{
    Adaptive, Address, Admin, Backend, Backups, CONNECTION_RATE_MAX, Formula, Hash, MAXCONN_MAX, Options,
    Policy, RETRIES_MAX, Scope,
};
use crate::discovery::members::Template;
use crate::discovery::name::{Source, WatchedName};
use crate::health::options::LAG_MAX;
use crate::health::passive;
use crate::server::config::check;
use crate::server::config::duration;
use crate::server::config::fields::{At, Fields};
use crate::server::config::listener::{check_name, name};
use crate::server::config::problems::Problems;
use crate::server::config::schema::{ADAPTIVE, BACKEND, OUTLIER, RETRY, STORE_MEMBERS};
use crate::server::config::suggest::{nearest_or_all, shown};
use crate::server::config::{ATTEMPTS_MAX, OnDown, Pool, QUEUE_MAX, SendProxy, StoreMembers, StoreRole};

const QUEUE_DEFAULT: u32 = 1024;
const ATTEMPTS_DEFAULT: u32 = 3;
/// The least `lag_max` of the store's nodes.
const STORE_LAG_MIN: Duration = Duration::from_millis(500);
/// The most `lag_entries_max` of them.
const STORE_LAG_ENTRIES_MAX: u64 = 1 << 53;

const HASHES: [(&str, Hash); 3] =
    [("ring", Hash::Ring), ("maglev", Hash::Maglev), ("rendezvous", Hash::Rendezvous)];

/// Reads one pool, whose lanes are to be `workers`. What is wrong with it is told and left at its default; a
/// name that is wrong is `None`.
pub(super) fn read<'a>(
    fields: &Fields<'a, '_>,
    workers: u32,
    problems: &mut Problems<'_>,
) -> (Option<At<&'a str>>, Pool) {
    let name = name(fields, problems).filter(|name| {
        let is_good = !name.value.contains('/');
        if !is_good {
            let message = "the name of a pool holds no /".to_string();
            problems.add(name.at, message, "POOL/BACKEND is how a backend is named from outside");
        }
        is_good
    });
    let send = [("off", SendProxy::Off), ("v1", SendProxy::V1), ("v2", SendProxy::V2)];
    let members = backends(fields, problems);
    let retry = fields.table("retry", &RETRY, problems);
    let attempts =
        retry.as_ref().and_then(|retry| retry.integer("attempts", 1..=i128::from(ATTEMPTS_MAX), problems));
    let pool = Pool {
        name: name.map_or_else(String::new, |name| name.value.to_string()),
        options: options(fields, retry.as_ref(), workers, problems),
        queue_max: fields
            .integer("queue_max", 0..=i128::from(QUEUE_MAX), problems)
            .map_or(QUEUE_DEFAULT, |max| max.value),
        proxy_protocol: fields
            .choice("proxy_protocol", &send, &[], problems)
            .map_or(SendProxy::default(), |choice| choice.value),
        attempts: attempts.map_or(ATTEMPTS_DEFAULT, |attempts| attempts.value),
        on_down: fields
            .choice("on_down", &OnDown::NAMES, &[], problems)
            .map_or(OnDown::default(), |choice| choice.value),
        check: check::read(fields, problems),
        backends: members.backends,
        watched: members.watched,
        members_file: fields.text("members_file", problems).map(|path| PathBuf::from(path.value)),
        store: store_members(fields, problems),
    };
    (name, pool)
}

fn store_members(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<StoreMembers> {
    let table = fields.table("store", &STORE_MEMBERS, problems)?;
    for key in ["backend", "members_file", "check", "role", "lag_max"].iter().filter(|key| fields.has(key)) {
        let message = format!("there are store and {key}, and with store the nodes say all of themselves");
        let hint = match *key {
            "role" if !table.has("role") => "write store = { role = \"replicas\" }",
            "lag_max" if !table.has("lag_max") => "write store = { role = \"replicas\", lag_max = \"5s\" }",
            _ => "take one out",
        };
        problems.add(fields.value_at(key), message, hint);
    }
    if cfg!(not(feature = "replication")) {
        let message = "a pool of the store's nodes is not in this build of trimtab";
        problems.add(fields.value_at("store"), message, "build with the feature replication");
    }
    let roles = [("primary", StoreRole::Primary), ("replicas", StoreRole::Replicas), ("any", StoreRole::Any)];
    let said = table.choice("role", &roles, &[], problems).map(|role| role.value);
    let role = said.unwrap_or_default();
    let port = table.integer("port", 1..=65_535, problems).map(|port| port.value);
    // A role that is none was told; how far behind its nodes may be may be right.
    let is_primary = role == StoreRole::Primary && (said.is_some() || !table.has("role"));
    if is_primary {
        for key in ["lag_max", "lag_entries_max"].iter().filter(|key| table.has(key)) {
            let message = format!("{key} is for nodes that follow, and the role is \"primary\"");
            problems.add(
                table.value_at(key),
                message,
                "take it out, or write role = \"replicas\" or \"any\"",
            );
        }
        return Some(StoreMembers { role, port, lag_max: None, lag_entries_max: None });
    }
    Some(StoreMembers {
        role,
        port,
        lag_max: store_lag(&table, problems),
        lag_entries_max: table
            .integer("lag_entries_max", 0..=i128::from(STORE_LAG_ENTRIES_MAX), problems)
            .map(|entries| entries.value),
    })
}

/// How old what a node of the store shows may be.
fn store_lag(table: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<Duration> {
    let At { at, value } = table.duration("lag_max", problems)?;
    if !(STORE_LAG_MIN..=LAG_MAX).contains(&value) {
        let (least, most) = (duration::show(STORE_LAG_MIN), duration::show(LAG_MAX));
        let message = format!("lag_max {} is outside {least} to {most}", duration::show(value));
        problems.add(at, message, "a node tells how far it is every 100 ms");
        return None;
    }
    Some(value)
}

fn options(
    fields: &Fields<'_, '_>,
    retry: Option<&Fields<'_, '_>>,
    workers: u32,
    problems: &mut Problems<'_>,
) -> Options {
    let mut options = Options { lanes: workers, ..Options::default() };
    if let Some(policy) = policy(fields, problems) {
        options.policy = policy;
    }
    if let Some(hash) = fields.choice("hash", &HASHES, &[], problems) {
        options.hash = hash.value;
    }
    let backups = [("one", Backups::One), ("all", Backups::All), ("spill", Backups::Spill)];
    if let Some(backups) = fields.choice("backups", &backups, &[], problems) {
        options.backups = backups.value;
    }
    if let Some(percent) = fields.integer("panic_threshold", 0..=100, problems) {
        options.panic_threshold = percent.value;
    }
    if let Some(fail_open) = fields.boolean("fail_open", problems) {
        options.fail_open = fail_open.value;
    }
    if let Some(outlier) = fields.table("outlier", &OUTLIER, problems) {
        options.outlier = Some(read_outlier(&outlier, problems));
    }
    if let Some(adaptive) = fields.table("adaptive", &ADAPTIVE, problems) {
        options.adaptive = Some(read_adaptive(&adaptive, problems));
    }
    limits(&mut options, fields, problems);
    if let Some(retry) = retry {
        budget(&mut options, retry, problems);
    }
    let formulas = [("trimtab", Formula::Trimtab), ("f5-k6406", Formula::F5K6406)];
    if let Some(formula) = fields.choice("formula", &formulas, &[], problems) {
        options.formula = formula.value;
    }
    if let Some(history) = fields.integer("history", 2..=HISTORY_MAX as i128, problems) {
        options.history = history.value;
    }
    if let Some(seed) = fields.integer("seed", 0..=i128::from(u64::MAX), problems) {
        options.seed = seed.value;
    }
    if let Some(seed) = fields.integer("hash_seed", 0..=i128::from(u64::MAX), problems) {
        options.hash_seed = seed.value;
    }
    let mut ranged = Ranged { fields, options, problems };
    ranged.number("blend", |options, value| options.blend = value);
    ranged.number("gain", |options, value| options.gain = value);
    ranged.number("floor", |options, value| options.floor = value);
    ranged.number("slow_start_aggression", |options, value| options.slow_start_aggression = value);
    ranged.number("slow_start_min", |options, value| options.slow_start_min = value);
    ranged.duration("slow_start", |options, value| options.slow_start = value);
    ranged.duration("tick", |options, value| options.tick = value);
    ranged.duration("stale", |options, value| options.stale = value);
    ranged.duration("decay", |options, value| options.decay = value);
    ranged.bounded_load();
    let options = ranged.options;
    if let Err(error) = options.check() {
        // Each was checked on its own; should two of them not go together, the pool is where it is.
        problems.add(fields.at(), error.to_string(), "");
    }
    options
}

/// Reads what the pool as a whole is limited to.
fn limits(options: &mut Options, fields: &Fields<'_, '_>, problems: &mut Problems<'_>) {
    type Set = fn(&mut Options, u32);
    let limits: [(&'static str, u32, Set); 5] = [
        ("maxconn", MAXCONN_MAX, |options, value| options.maxconn = value),
        ("connection_rate", CONNECTION_RATE_MAX, |options, value| options.connection_rate = value),
        ("connection_burst", CONNECTION_RATE_MAX, |options, value| options.connection_burst = value),
        ("pending_max", MAXCONN_MAX, |options, value| options.pending_max = value),
        ("retries_max", RETRIES_MAX, |options, value| options.retries_max = value),
    ];
    for (key, most, set) in limits {
        if let Some(limit) = fields.integer(key, 0..=i128::from(most), problems) {
            set(options, limit.value);
        }
    }
}

/// Reads how many retries there may be.
fn budget(options: &mut Options, retry: &Fields<'_, '_>, problems: &mut Problems<'_>) {
    if let Some(min) = retry.integer("min", 0..=i128::from(RETRIES_MAX), problems) {
        options.retry_min = min.value;
    }
    if retry.text_is("budget", "off") {
        options.retry_budget = None;
    } else if let Some(At { at, value }) = retry.number("budget", problems) {
        if (0.0..=1.0).contains(&value) {
            options.retry_budget = Some(value);
        } else {
            let message = format!("budget {value} is outside 0 to 1");
            problems.add(at, message, "it is a share; for no limit, set budget = \"off\"");
        }
    }
}

/// Reads how the most sessions are found by response times.
fn read_adaptive(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Adaptive {
    let mut adaptive = Adaptive::default();
    let scopes = [("backend", Scope::Backend), ("pool", Scope::Pool)];
    if let Some(scope) = fields.choice("scope", &scopes, &[], problems) {
        adaptive.scope = scope.value;
    }
    if let Some(pins) = fields.boolean("rtt_pins", problems) {
        adaptive.rtt_pins = pins.value;
    }
    type SetCount = fn(&mut Adaptive, u32);
    let counts: [(&'static str, SetCount); 3] = [
        ("min", |adaptive, value| adaptive.min = value),
        ("max", |adaptive, value| adaptive.max = value),
        ("rtt_requests", |adaptive, value| adaptive.rtt_requests = value),
    ];
    for (key, set) in counts {
        if let Some(count) = fields.integer(key, 1..=1_000_000, problems) {
            set(&mut adaptive, count.value);
        }
    }
    type SetNumber = fn(&mut Adaptive, f64);
    let numbers: [(&'static str, SetNumber); 3] = [
        ("percentile", |adaptive, value| adaptive.percentile = value),
        ("rtt_jitter", |adaptive, value| adaptive.rtt_jitter = value),
        ("rtt_buffer", |adaptive, value| adaptive.rtt_buffer = value),
    ];
    for (key, set) in numbers {
        if let Some(number) = fields.number(key, problems) {
            set(&mut adaptive, number.value);
        }
    }
    type SetTime = fn(&mut Adaptive, Duration);
    let times: [(&'static str, SetTime); 2] = [
        ("window", |adaptive, value| adaptive.window = value),
        ("rtt_interval", |adaptive, value| adaptive.rtt_interval = value),
    ];
    for (key, set) in times {
        if let Some(time) = fields.duration(key, problems) {
            set(&mut adaptive, time.value);
        }
    }
    // Two of them bound each other, so they are looked at together.
    match adaptive.check() {
        Ok(()) => adaptive,
        Err(error) => {
            problems.add(fields.at(), error.to_string(), "");
            Adaptive::default()
        }
    }
}

/// Reads how backends are judged by how traffic to them goes.
fn read_outlier(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> passive::Options {
    let mut options = passive::Options::default();
    if let Some(errors) = fields.integer("consecutive_errors", 1..=10_000, problems) {
        options.consecutive_errors = Some(errors.value);
    }
    if let Some(percent) = fields.integer("ejection_percent_max", 0..=100, problems) {
        options.ejection_percent_max = percent.value;
    }
    type Set = fn(&mut passive::Options, Duration);
    let durations: [(&'static str, Set); 3] = [
        ("interval", |options, value| options.interval = value),
        ("ejection_time", |options, value| options.ejection_time = value),
        ("ejection_time_max", |options, value| options.ejection_time_max = value),
    ];
    for (key, set) in durations {
        if let Some(duration) = fields.duration(key, problems) {
            set(&mut options, duration.value);
        }
    }
    // They bound each other, so they are looked at together.
    match options.check() {
        Ok(()) => options,
        Err(error) => {
            problems.add(fields.at(), error.to_string(), "");
            passive::Options::default()
        }
    }
}

/// Options whose ranges are the pool's own to say.
struct Ranged<'r, 'a, 't, 'p> {
    fields: &'r Fields<'a, 't>,
    options: Options,
    problems: &'r mut Problems<'p>,
}

impl Ranged<'_, '_, '_, '_> {
    fn number(&mut self, key: &'static str, set: impl Fn(&mut Options, f64)) {
        if let Some(At { at, value }) = self.fields.number(key, self.problems) {
            self.set(key, at, |options| set(options, value));
        }
    }

    fn duration(&mut self, key: &'static str, set: impl Fn(&mut Options, Duration)) {
        if let Some(At { at, value }) = self.fields.duration(key, self.problems) {
            self.set(key, at, |options| set(options, value));
        }
    }

    fn bounded_load(&mut self) {
        let Some(At { at, value }) = self.fields.number("bounded_load", self.problems) else { return };
        if !self.options.is_hashed() {
            let policy = self.options.policy.name();
            let message = format!("bounded_load does not go with the policy {policy}");
            self.problems.add(at, message, "leave it out, or choose source or hash");
            return;
        }
        self.set("bounded_load", at, |options| options.bounded_load = Some(value));
    }

    /// Makes a change when the pool takes it.
    fn set(&mut self, key: &'static str, at: usize, change: impl Fn(&mut Options)) {
        let mut options = self.options.clone();
        change(&mut options);
        match options.check() {
            Ok(()) => self.options = options,
            Err(error) => self.problems.add(at, format!("{key} {}", error.into_detail()), ""),
        }
    }
}

fn policy(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<Policy> {
    let At { at, value: name } = fields.text("policy", problems)?;
    let policy = Policy::from_name(name);
    if policy.is_none() {
        let hint = if HASHES.iter().any(|(hash, _)| *hash == name) {
            format!("write policy = \"hash\" and hash = \"{name}\"")
        } else {
            nearest_or_all(name, "known", Policy::NAMES.map(|(name, _)| name))
        };
        problems.add(at, format!("unknown policy {}", shown(name)), hint);
    }
    policy
}

/// The backends of a pool, as far as the text names them.
#[derive(Default)]
struct Members {
    backends: Vec<Backend>,
    watched: Vec<(WatchedName, Template)>,
}

/// Reads the backends of a pool; those with something wrong are left out.
fn backends(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Members {
    let tables = fields.tables("backend", &BACKEND, problems);
    let mut members = Members::default();
    // From what is taken to where it was.
    let mut addresses: HashMap<Source, usize> = HashMap::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    for (index, fields) in tables.iter().enumerate() {
        if index == BACKENDS_MAX {
            let message = format!("a pool takes {BACKENDS_MAX} backends; this is one more");
            problems.add(fields.at(), message, "divide them among pools");
            break;
        }
        let address = address(fields, problems);
        let given_name = fields.text("name", problems).filter(|name| check_name(*name, problems));
        if let Some(At { at, value }) = &address {
            if let Some(&first) = addresses.get(value) {
                let message = format!("the pool has {value} already, on line {}", problems.line(first));
                problems.add(*at, message, "take one out; a weight gives a backend a larger share");
                continue;
            }
            addresses.insert(value.clone(), *at);
        }
        // As in the pool itself: who has no name goes by the address.
        let name = match (given_name, &address) {
            (Some(name), _) => Some((name.value.to_string(), name.at)),
            (None, Some(address)) if !fields.has("name") => Some((address.value.to_string(), address.at)),
            _ => None,
        };
        if let Some((name, at)) = name {
            if let Some(&first) = names.get(&name) {
                let line = problems.line(first);
                let message =
                    format!("the pool has a backend named {} already, on line {line}", shown(&name));
                problems.add(at, message, "choose another name");
            } else {
                names.insert(name, at);
            }
        }
        let name = given_name.map(|name| name.value.to_string());
        match address.map(|address| address.value) {
            Some(Source::Watched(watched)) => {
                let name = name.unwrap_or_else(|| watched.to_string());
                let Backend { weight, tier, maxconn, connection_rate, connection_burst, admin, .. } =
                    backend(fields, None, problems);
                let template =
                    Template { name, weight, tier, maxconn, connection_rate, connection_burst, admin };
                members.watched.push((watched, template));
            }
            Some(Source::Fixed(address)) => {
                members.backends.push(Backend { name, ..backend(fields, Some(address), problems) });
            }
            None => drop(backend(fields, None, problems)),
        }
    }
    members
}

/// Reads one backend but for its name. Without an address, which was told, it gets one that is never used.
fn backend(fields: &Fields<'_, '_>, address: Option<Address>, problems: &mut Problems<'_>) -> Backend {
    let weight_hint = |weight| if weight == 0 { "to stop new traffic, set admin = \"drain\"" } else { "" };
    let weight = fields.integer_with("weight", 1..=i128::from(WEIGHT_MAX), weight_hint, problems);
    let maxconn = fields.integer("maxconn", 0..=i128::from(MAXCONN_MAX), problems);
    let most_a_second = 0..=i128::from(CONNECTION_RATE_MAX);
    let rate = fields.integer("connection_rate", most_a_second.clone(), problems);
    let burst = fields.integer("connection_burst", most_a_second, problems);
    let backup = fields.boolean("backup", problems);
    let tier = fields.integer("tier", 0..=i128::from(u8::MAX), problems);
    let admin = fields.choice("admin", &Admin::NAMES, &[], problems);
    if fields.has("backup") && fields.has("tier") {
        let at = fields.value_at("backup").max(fields.value_at("tier"));
        problems.add(at, "a backend has backup or tier, not both", "backup = true means tier = 1");
    }
    let mut backend = Backend::new(address.unwrap_or_else(|| Address::Unix("".into())));
    if let Some(weight) = weight {
        backend.weight = weight.value;
    }
    if let Some(maxconn) = maxconn {
        backend.maxconn = maxconn.value;
    }
    if let Some(rate) = rate {
        backend.connection_rate = rate.value;
    }
    if let Some(burst) = burst {
        backend.connection_burst = burst.value;
    }
    if let Some(tier) = tier {
        backend.tier = tier.value;
    } else if backup.is_some_and(|backup| backup.value) {
        backend.tier = 1;
    }
    if let Some(admin) = admin {
        backend.admin = admin.value;
    }
    backend
}

fn address(fields: &Fields<'_, '_>, problems: &mut Problems<'_>) -> Option<At<Source>> {
    let At { at, value: text } = fields.required_text("address", problems)?;
    match text.parse() {
        Ok(value) => Some(At { at, value }),
        Err(error) => {
            problems.add(at, format!("address {}", error.into_detail()), "");
            None
        }
    }
}
