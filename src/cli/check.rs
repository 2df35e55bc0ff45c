//! `trimtab check`: what a configuration would run, or what is wrong with it.

mod store;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use self::store::StoreTold;
use crate::balance::options::Hash;
use crate::balance::{Admin, Policy};
use crate::cli::{Failure, count};
use crate::error::{Error, Problem};
use crate::server::config::{
    AcceptProxy, Config, Listener, Pool, Reads, SendProxy, SplitListener, StoreRole, Timeouts, excerpt,
    read_text, text_from,
};

/// Check a configuration without running it
///
/// Tells what would run, or everything that is wrong, each with its line, its column and what to write
/// instead. Nothing is listened on and nothing connected to. Certificates, keys and files with passwords that it names are
/// read, as the start reads them; run it as the user that the server runs as.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 the configuration is good, 1 it is wrong or cannot be read, 2 misused.

Examples:
  trimtab check trimtab.toml
  trimtab check --json - < trimtab.toml
  trimtab check --no-files db-2.toml           # written here, for another machine")]
pub(super) struct Arguments {
    /// The configuration; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read no file that it names, as those are on another machine
    #[arg(long)]
    no_files: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    good: bool,
    source: &'a str,
    problems: Vec<ProblemTold<'a>>,
    #[serde(flatten)]
    config: Option<ConfigTold<'a>>,
}

#[derive(Serialize)]
struct ProblemTold<'a> {
    line: u32,
    column: u32,
    message: &'a str,
    hint: &'a str,
}

#[derive(Serialize)]
struct ConfigTold<'a> {
    workers: u32,
    listeners: Vec<ListenerTold<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    splits: Vec<SplitTold<'a>>,
    pools: Vec<PoolTold<'a>>,
    store: Option<StoreTold<'a>>,
    admin: Option<String>,
}

#[derive(Serialize)]
struct ListenerTold<'a> {
    name: &'a str,
    bind: String,
    pool: &'a str,
    maxconn: u32,
    backlog: u32,
    proxy_protocol: &'static str,
    abort_on_close: bool,
    timeouts_ms: TimeoutsTold,
}

#[derive(Serialize)]
struct SplitTold<'a> {
    name: &'a str,
    bind: String,
    reads: &'static str,
    max_age_ms: u128,
    catch_up_ms: u128,
    queue_max: u32,
    maxconn: u32,
    backlog: u32,
}

#[derive(Serialize)]
struct TimeoutsTold {
    connect: u128,
    header: u128,
    idle: u128,
    half_closed: u128,
    queue: u128,
    drain: u128,
}

#[derive(Serialize)]
struct PoolTold<'a> {
    name: &'a str,
    policy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'static str>,
    queue_max: u32,
    proxy_protocol: &'static str,
    attempts: u32,
    backends: Vec<BackendTold<'a>>,
    /// Names that are looked up for more backends.
    names: Vec<String>,
    /// A file with more backends.
    members_file: Option<String>,
    /// Which nodes of the store it has, if any.
    store: Option<&'static str>,
    /// What kind of check, if any.
    check: Option<&'static str>,
    /// Which role is asked for.
    role: Option<&'static str>,
}

#[derive(Serialize)]
struct BackendTold<'a> {
    name: Option<&'a str>,
    address: String,
    weight: u32,
    maxconn: u32,
    tier: u8,
    admin: Admin,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let source = source(&arguments.file);
    let parse = |text: &str, source: &str| {
        let config = Config::parse(text, source)?;
        if !arguments.no_files {
            config.check_files()?;
        }
        Ok(config)
    };
    if !arguments.json {
        return Ok(print(&load_by(&arguments.file, parse)?, out)?);
    }
    let read = text(&arguments.file).and_then(|text| parse(&text, &source));
    let unread;
    let problems: &[Problem] = match &read {
        Ok(_) => &[],
        Err(Error::Config(problems)) => problems,
        Err(error) => {
            let message = error.to_string();
            unread = [Problem { source: source.clone(), line: 0, column: 0, message, hint: String::new() }];
            &unread
        }
    };
    let answer = Answer {
        good: read.is_ok(),
        source: &source,
        problems: problems
            .iter()
            .map(|Problem { line, column, message, hint, .. }| ProblemTold {
                line: *line,
                column: *column,
                message,
                hint,
            })
            .collect(),
        config: read.as_ref().ok().map(ConfigTold::new),
    };
    serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
    writeln!(out)?;
    if read.is_ok() { Ok(()) } else { Err(cannot_run(&source)) }
}

/// Reads the configuration in `file`, or on standard input when that is `-`. Everything wrong with it has
/// gone to standard error when this fails.
pub(super) fn load(file: &Path) -> Result<Config, Failure> {
    load_by(file, Config::parse)
}

fn load_by(file: &Path, parse: impl FnOnce(&str, &str) -> crate::Result<Config>) -> Result<Config, Failure> {
    let source = source(file);
    let (text, problems) = match text(file) {
        Ok(text) => match parse(&text, &source) {
            Ok(config) => return Ok(config),
            Err(Error::Config(problems)) => (text, problems),
            Err(other) => return Err(other.into()),
        },
        // Not UTF-8, or too long: there is no text to show lines of.
        Err(Error::Config(problems)) => (String::new(), problems),
        Err(other) => return Err(other.into()),
    };
    let mut err = io::stderr().lock();
    for problem in &problems {
        writeln!(err, "{problem}")?;
        let shown = excerpt(&text, problem);
        if !shown.is_empty() {
            writeln!(err, "{shown}")?;
        }
    }
    Err(cannot_run(&source))
}

fn source(file: &Path) -> String {
    if is_stdin(file) { "<stdin>".to_string() } else { file.display().to_string() }
}

fn text(file: &Path) -> crate::Result<String> {
    if is_stdin(file) { text_from(io::stdin().lock(), &source(file)) } else { read_text(file) }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn cannot_run(source: &str) -> Failure {
    Failure::Failed(format!("the configuration {source} cannot run"))
}

fn print(config: &Config, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{} is good; it runs {}:",
        config.source,
        count(config.runtime.workers as usize, "worker")
    )?;
    for listener in &config.listeners {
        let Listener { name, bind, pool, maxconn, proxy_protocol, .. } = listener;
        write!(out, "  listener {name} on {bind}, to pool {}", config.pools[*pool].name)?;
        if *maxconn > 0 {
            write!(out, ", at most {}", count(*maxconn as usize, "session"))?;
        }
        if *proxy_protocol == AcceptProxy::Required {
            write!(out, ", each with a PROXY header")?;
        }
        writeln!(out)?;
    }
    for split in &config.splits {
        let SplitListener { name, bind, reads, maxconn, .. } = split;
        let reads = match reads {
            Reads::Any => "reads from all",
            Reads::Replicas => "reads from replicas",
            Reads::Primary => "reads from the primary",
        };
        let most = count(*maxconn as usize, "client");
        writeln!(out, "  listener {name} on {bind}, to the nodes of the store, {reads}, at most {most}")?;
    }
    for (index, pool) in config.pools.iter().enumerate() {
        write!(out, "  pool {}: {}", pool.name, pool.options.policy.name())?;
        if let Some(hash) = hash(pool) {
            write!(out, " over {hash}")?;
        }
        let Told { backends, reserve, drained, maintained } = Told::of(pool);
        write!(
            out,
            ", {}",
            if backends == 0 { "no backend".to_string() } else { count(backends, "backend") }
        )?;
        let parts = [(reserve, "in reserve"), (drained, "drained"), (maintained, "in maintenance")];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !parts.is_empty() {
            write!(out, " ({})", parts.join(", "))?;
        }
        for (name, _) in &pool.watched {
            write!(out, ", those of {name}")?;
        }
        if let Some(path) = &pool.members_file {
            write!(out, ", those in {}", path.display())?;
        }
        if let Some(members) = pool.store {
            let which = match members.role {
                StoreRole::Primary => "the primary",
                StoreRole::Replicas => "the replicas",
                StoreRole::Any => "the nodes",
            };
            write!(out, ", {which} of the store")?;
        }
        let is_found = !pool.watched.is_empty() || pool.members_file.is_some() || pool.store.is_some();
        if backends == drained + maintained && !is_found {
            write!(out, ", so nothing can be picked")?;
        }
        if pool.proxy_protocol != SendProxy::Off {
            write!(out, ", sending PROXY {}", send(pool))?;
        }
        if let Some(check) = &pool.check {
            write!(out, ", checked by {}", check.options.kind.name())?;
            if let Some(role) = check.options.role {
                write!(out, " to be a {}", role.name())?;
            }
        }
        let is_used = config.listeners.iter().any(|listener| listener.pool == index);
        writeln!(out, "{}", if is_used { "" } else { "; no listener leads to it" })?;
    }
    if let Some(store) = &config.store {
        store::print(store, out)?;
    }
    if let Some(admin) = &config.admin {
        writeln!(out, "  admin on {}", admin.bind)?;
    }
    Ok(())
}

/// How many backends of a pool are what.
struct Told {
    backends: usize,
    reserve: usize,
    drained: usize,
    maintained: usize,
}

impl Told {
    fn of(pool: &Pool) -> Self {
        let are = |admin| pool.backends.iter().filter(|backend| backend.admin == admin).count();
        Self {
            backends: pool.backends.len(),
            reserve: pool.backends.iter().filter(|backend| backend.tier > 0).count(),
            drained: are(Admin::Drain),
            maintained: are(Admin::Maintenance),
        }
    }
}

fn hash(pool: &Pool) -> Option<&'static str> {
    let name = match pool.options.hash {
        Hash::Ring => "ring",
        Hash::Maglev => "maglev",
        Hash::Rendezvous => "rendezvous",
    };
    matches!(pool.options.policy, Policy::Source | Policy::Hash).then_some(name)
}

fn send(pool: &Pool) -> &'static str {
    match pool.proxy_protocol {
        SendProxy::Off => "off",
        SendProxy::V1 => "v1",
        SendProxy::V2 => "v2",
    }
}

impl<'a> ConfigTold<'a> {
    fn new(config: &'a Config) -> Self {
        Self {
            workers: config.runtime.workers,
            listeners: config.listeners.iter().map(|listener| ListenerTold::new(listener, config)).collect(),
            splits: config.splits.iter().map(SplitTold::new).collect(),
            pools: config.pools.iter().map(PoolTold::new).collect(),
            store: config.store.as_ref().map(StoreTold::new),
            admin: config.admin.as_ref().map(|admin| admin.bind.to_string()),
        }
    }
}

impl<'a> ListenerTold<'a> {
    fn new(listener: &'a Listener, config: &'a Config) -> Self {
        let Timeouts { connect, header, idle, half_closed, queue, drain } = listener.timeouts;
        Self {
            name: &listener.name,
            bind: listener.bind.to_string(),
            pool: &config.pools[listener.pool].name,
            maxconn: listener.maxconn,
            backlog: listener.backlog,
            proxy_protocol: match listener.proxy_protocol {
                AcceptProxy::Off => "off",
                AcceptProxy::Required => "accept",
            },
            abort_on_close: listener.abort_on_close,
            timeouts_ms: TimeoutsTold {
                connect: connect.as_millis(),
                header: header.as_millis(),
                idle: idle.as_millis(),
                half_closed: half_closed.as_millis(),
                queue: queue.as_millis(),
                drain: drain.as_millis(),
            },
        }
    }
}

impl<'a> SplitTold<'a> {
    fn new(split: &'a SplitListener) -> Self {
        Self {
            name: &split.name,
            bind: split.bind.to_string(),
            reads: match split.reads {
                Reads::Any => "any",
                Reads::Replicas => "replicas",
                Reads::Primary => "primary",
            },
            max_age_ms: split.max_age.as_millis(),
            catch_up_ms: split.catch_up.as_millis(),
            queue_max: split.queue_max,
            maxconn: split.maxconn,
            backlog: split.backlog,
        }
    }
}

impl<'a> PoolTold<'a> {
    fn new(pool: &'a Pool) -> Self {
        let backends = pool.backends.iter().map(|backend| BackendTold {
            name: backend.name.as_deref(),
            address: backend.address.to_string(),
            weight: backend.weight,
            maxconn: backend.maxconn,
            tier: backend.tier,
            admin: backend.admin,
        });
        Self {
            name: &pool.name,
            policy: pool.options.policy.name(),
            hash: hash(pool),
            queue_max: pool.queue_max,
            proxy_protocol: send(pool),
            attempts: pool.attempts,
            backends: backends.collect(),
            names: pool.watched.iter().map(|(name, _)| name.to_string()).collect(),
            members_file: pool.members_file.as_ref().map(|path| path.display().to_string()),
            store: pool.store.map(|members| match members.role {
                StoreRole::Primary => "primary",
                StoreRole::Replicas => "replicas",
                StoreRole::Any => "any",
            }),
            check: pool.check.as_ref().map(|check| check.options.kind.name()),
            role: pool.check.as_ref().and_then(|check| check.options.role).map(|role| role.name()),
        }
    }
}
