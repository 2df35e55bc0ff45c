//! `trimtab pick`: asks a pool that exists for this one question.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::balance::options::{BACKENDS_MAX, Policy};
use crate::balance::{
    Admin, Backend, BackendStatistics, Backups, Explanation, Formula, Hash, Lane, Observed, Options, Outcome,
    Pool, Request, Timings,
};
use crate::cli::Failure;
use crate::time::Instant;

/// Show where picks go: what a policy makes of these backends
///
/// Builds a pool in memory, picks, and tells the shares. Nothing is connected to. With a hash policy and no
/// --key, pick number N has the key "N".
#[derive(Args)]
#[command(after_help = "Examples:
  trimtab pick 10.0.0.1:80*5 10.0.0.2:80 10.0.0.3:80 --count 7 --trace
  trimtab pick --policy hash --hash maglev a=10.0.0.1:80 b=10.0.0.2:80 --key user-17
  trimtab pick a=10.0.0.1:80 b=10.0.0.2:80 c=10.0.0.3:80~1 --down a --drain b --explain")]
pub(super) struct Arguments {
    /// [NAME=]ADDRESS[*WEIGHT][~TIER]; ADDRESS is ip:port, [ipv6]:port or unix:/path
    #[arg(required = true, value_name = "BACKEND")]
    backends: Vec<String>,
    /// How to pick
    #[arg(long, default_value = "round-robin", value_parser = policies())]
    policy: String,
    /// How the policies source and hash place keys
    #[arg(long, value_enum, default_value = "ring")]
    hash: HashName,
    /// The most load under a hash policy, in times the mean: 1.01 to 10
    #[arg(long, value_name = "FACTOR")]
    bounded_load: Option<f64>,
    /// Which backups take over
    #[arg(long, value_enum, default_value = "one")]
    backups: BackupsName,
    /// How many picks
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    count: u32,
    /// The key of every pick
    #[arg(long)]
    key: Option<String>,
    /// Leave every pick in flight instead of finishing it at once
    #[arg(long)]
    hold: bool,
    /// Where random draws and the first turn start
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A backend, by name or address, that is drained
    #[arg(long, value_name = "NAME")]
    drain: Vec<String>,
    /// A backend, by name or address, that is down
    #[arg(long, value_name = "NAME")]
    down: Vec<String>,
    /// Print each pick, in order
    #[arg(long)]
    trace: bool,
    /// Tell of the pick after those counted who is left out and why, the scores and the draws
    #[arg(long)]
    explain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum HashName {
    Ring,
    Maglev,
    Rendezvous,
}

#[derive(Clone, Copy, ValueEnum)]
enum BackupsName {
    One,
    All,
    Spill,
}

fn policies() -> clap::builder::PossibleValuesParser {
    Policy::NAMES.map(|(name, _)| name).into()
}

#[derive(Serialize)]
struct Answer<'a> {
    policy: &'a str,
    picks: u32,
    backends: Vec<BackendStatistics>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trace: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Failure> {
    let pool = pool(arguments)?;
    let trace = pick(arguments, &pool)?;
    let explanation = if arguments.explain {
        let number = arguments.count.to_string();
        Some(pool.explain(&request(arguments, &number, arguments.count))?)
    } else {
        None
    };
    let answer = Answer {
        policy: &arguments.policy,
        picks: arguments.count,
        backends: pool.backends(),
        trace,
        explanation,
    };
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &answer).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    print(&answer, out)
}

fn pool(arguments: &Arguments) -> Result<Pool, Failure> {
    let options = Options {
        policy: Policy::from_name(&arguments.policy).expect("clap admits the known names only"),
        hash: match arguments.hash {
            HashName::Ring => Hash::Ring,
            HashName::Maglev => Hash::Maglev,
            HashName::Rendezvous => Hash::Rendezvous,
        },
        backups: match arguments.backups {
            BackupsName::One => Backups::One,
            BackupsName::All => Backups::All,
            BackupsName::Spill => Backups::Spill,
        },
        bounded_load: arguments.bounded_load,
        formula: Formula::Trimtab,
        seed: arguments.seed,
        lanes: 1,
        picks_max: if arguments.hold { arguments.count.min(1 << 24) } else { 1 },
        ..Options::default()
    };
    let pool = Pool::new(options)?;
    if arguments.backends.len() > BACKENDS_MAX {
        return Err(Failure::Misused(format!("a pool takes {BACKENDS_MAX} backends")));
    }
    let backends: Result<Vec<_>, _> = arguments.backends.iter().map(|text| backend(text)).collect();
    pool.add_all(&backends?)?;
    for name in &arguments.drain {
        pool.set_admin(find(&pool, name)?, Admin::Drain)?;
    }
    for name in &arguments.down {
        pool.set_observed(find(&pool, name)?, Observed::Down)?;
    }
    Ok(pool)
}

/// `[NAME=]ADDRESS[*WEIGHT][~TIER]`
fn backend(text: &str) -> Result<Backend, Failure> {
    let wrong = |what: &str, part: &str| {
        Failure::Misused(format!("backend {text:?}: {what} {part:?} is not a number that fits"))
    };
    let (rest, tier) = match text.rsplit_once('~') {
        Some((rest, tier)) => (rest, tier.parse().map_err(|_| wrong("tier", tier))?),
        None => (text, 0),
    };
    let (rest, weight) = match rest.rsplit_once('*') {
        Some((rest, weight)) => (rest, weight.parse().map_err(|_| wrong("weight", weight))?),
        None => (rest, 1),
    };
    let (name, address) = match rest.split_once('=') {
        // The path of a unix socket may hold the sign.
        Some((name, address)) if !name.starts_with("unix:") => (Some(name.to_string()), address),
        _ => (None, rest),
    };
    let parsed =
        Backend::parse(address).map_err(|error| Failure::Misused(format!("backend {text:?}: {error}")))?;
    Ok(Backend { name, weight, tier, ..parsed })
}

fn find(pool: &Pool, name: &str) -> Result<crate::balance::BackendId, Failure> {
    let by_address = || pool.backends().into_iter().find(|backend| backend.address == name).map(|b| b.id);
    pool.find(name)
        .ok()
        .or_else(by_address)
        .ok_or_else(|| Failure::Misused(format!("none of the backends is called {name:?}")))
}

fn request<'a>(arguments: &'a Arguments, number: &'a str, count: u32) -> Request<'a> {
    let key = arguments.key.as_deref().unwrap_or(number).as_bytes();
    // A millisecond between picks.
    Request { lane: Lane::Own(0), key, now: Instant::from_millis(u64::from(count)), ..Request::default() }
}

/// Picks, and gives the names picked when they are wanted.
fn pick(arguments: &Arguments, pool: &Pool) -> Result<Vec<String>, Failure> {
    let names: Vec<_> = pool.backends().into_iter().map(|backend| (backend.id, backend.name)).collect();
    let mut trace = Vec::new();
    for count in 0..arguments.count {
        let number = count.to_string();
        let request = request(arguments, &number, count);
        let pick = pool.pick(&request)?;
        if arguments.trace {
            let (_, name) = names.iter().find(|(id, _)| *id == pick.backend).expect("picked from these");
            trace.push(name.clone());
        }
        if !arguments.hold {
            pool.done(Lane::Own(0), pick.token, Outcome::Success, &Timings::default(), request.now)?;
        }
    }
    Ok(trace)
}

fn print(answer: &Answer<'_>, out: &mut impl Write) -> Result<(), Failure> {
    for name in &answer.trace {
        writeln!(out, "{name}")?;
    }
    if !answer.trace.is_empty() {
        writeln!(out)?;
    }
    let width = answer.backends.iter().map(|backend| backend.name.chars().count()).max().unwrap_or(0).max(7);
    writeln!(
        out,
        "{:width$}  {:>6}  {:>9}  {:>7}  {:>9}",
        "backend", "weight", "picks", "share", "in flight"
    )?;
    for backend in &answer.backends {
        let share = 100.0 * backend.picks as f64 / f64::from(answer.picks);
        writeln!(
            out,
            "{:width$}  {:>6}  {:>9}  {share:>6.2}%  {:>9}",
            backend.name, backend.weight, backend.picks, backend.in_flight
        )?;
    }
    let Some(why) = &answer.explanation else { return Ok(()) };
    writeln!(out, "\nthe next pick ({}):", why.policy)?;
    for draw in &why.draws {
        writeln!(out, "  {} {}", draw.what, draw.value)?;
    }
    for backend in &why.backends {
        let verdict = serde_json::to_string(&backend.verdict).map_err(std::io::Error::from)?;
        write!(out, "  {:width$}  {}", backend.name, verdict.trim_matches('"'))?;
        match backend.score {
            Some(score) => writeln!(out, "  score {score:.6}")?,
            None => writeln!(out)?,
        }
    }
    if let Some(refused) = &why.refused {
        writeln!(out, "  {refused}")?;
    }
    Ok(())
}
