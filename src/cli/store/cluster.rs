//! `trimtab store status|transfer|add|promote|remove|replace|reload`: the cluster of a running server's store, and the promotion by
//! force of a directory.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use crate::cli::ctl::client::Client;
use crate::cli::ctl::status::read;
use crate::cli::ctl::table::{Side, Table, printable};
use crate::cli::ctl::{self, address};
use crate::cli::{Failure, count, json};

/// Where the cluster is asked and changed.
const PATH: &str = "/v1/store/cluster";

/// Which server, and how its answer is printed.
#[derive(Args)]
pub(super) struct Server {
    /// Where the server is asked: unix:/path, /path, unix:@name, ip:port [default: TRIMTAB_ADMIN of the environment]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Take the address from the table [admin] of this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How long connecting may take, and each answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = ctl::time)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long a change may take.
#[derive(Args)]
pub(super) struct Within {
    /// How long it may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = ctl::time)]
    within: Duration,
}

/// Show the cluster that a running server's store is in, as that node sees it
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    server: Server,
}

/// Hand over to another voter: the primary is asked
#[derive(Args)]
pub(super) struct Transfer {
    /// To which; without, to the one that takes over best
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Call off the handover that is under way instead
    #[arg(long, conflicts_with_all = ["node", "within"])]
    abort: bool,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// Read the certificates of a node's links anew: links made from then on use them, those that are up stay
#[derive(Args)]
pub(super) struct Reload {
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// Take a node in, which follows without a vote until it is promoted: the primary is asked
#[derive(Args)]
pub(super) struct Add {
    /// Its name, which no node ever had
    #[arg(value_name = "NODE")]
    node: String,
    /// Where it listens for the others; without, nowhere: it dials them
    #[arg(value_name = "ADDRESS")]
    address: Option<String>,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// Give a learner a vote, as soon as it has caught up; or, with --dir, make a node the primary by force
///
/// By force: the directory of a node that nobody has open is made to be the primary's, with what is in it. It alone votes
/// from then on, and learners follow it. All other voters are out, and what they had and this one has not is lost. That is
/// for when they are gone for good. Promote one node only, and see to it that none of the others runs: with two primaries
/// each takes writes that the other never gets.
#[derive(Args)]
#[command(override_usage = "trimtab store promote [OPTIONS] <NODE>
       trimtab store promote --dir <DIR> --force [--json]")]
pub(super) struct Promote {
    /// The learner: the primary is asked
    #[arg(value_name = "NODE", required_unless_present = "dir", conflicts_with = "dir")]
    node: Option<String>,
    /// The directory of the node to be made primary by force
    #[arg(long, value_name = "DIR", conflicts_with_all = ["admin", "config"])]
    dir: Option<PathBuf>,
    /// All others that voted are gone for good
    #[arg(long, requires = "dir")]
    force: bool,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// Take a node out, for good: the primary is asked. It is not taken out itself: transfer first, and ask the next one
#[derive(Args)]
pub(super) struct Remove {
    /// Which
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// Give the vote of a node that is lost to a learner, and take the lost one out: the primary is asked
#[derive(Args)]
pub(super) struct Replace {
    /// The one that is lost
    #[arg(value_name = "LOST")]
    lost: String,
    /// The learner, which has caught up
    #[arg(value_name = "WITH")]
    with: String,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    server: Server,
}

/// What the server tells of the cluster.
#[derive(Deserialize)]
struct Told {
    cluster: String,
    node: String,
    role: String,
    #[serde(default)]
    standing: String,
    trouble: Option<String>,
    epoch: u64,
    generation: u64,
    primary: Option<String>,
    holds_quorum: bool,
    committed: u64,
    applied: u64,
    durable: u64,
    age_ms: Option<u64>,
    refused_frames: u64,
    refused_peers: u64,
    last_refusal: Option<String>,
    is_degraded: bool,
    degraded_writes: u64,
    nodes: Vec<Node>,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    address: Option<String>,
    client_address: Option<String>,
    role: String,
    is_linked: bool,
    on_disk: Option<u64>,
    behind: Option<u64>,
    source: Option<String>,
    trouble: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Change {
    change: u64,
    order: String,
    what: String,
    took_ms: u64,
    is_running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing)]
    is_misuse: bool,
}

#[derive(Deserialize)]
struct Aborted {
    was_under_way: bool,
}

#[derive(Deserialize)]
struct Ordered {
    change: u64,
}

impl Server {
    fn client(&self) -> Result<Client, Failure> {
        let address = address::choose(self.admin.as_deref(), self.config.as_deref())?;
        Ok(Client::new(address, self.timeout))
    }

    /// Has the server change something, and waits for its end.
    fn change(&self, within: &Within, order: &Value, out: &mut impl Write) -> Result<(), Failure> {
        let client = self.client()?;
        let mut body = order.clone();
        body["timeout_ms"] = u64::try_from(within.within.as_millis()).unwrap_or(u64::MAX).into();
        let ordered: Ordered = read(&client.ask("POST", PATH, Some(&body))?)?;
        let mut lines = client.follow(&format!("{PATH}?change={}", ordered.change))?;
        let Some(line) = lines.next_line().map_err(|trouble| client.tell(trouble))? else {
            let why = format!("the server ended before change {} had", ordered.change);
            return Err(Failure::Failed(format!("{why}; trimtab store status tells what is")));
        };
        let ended: Change = read(&line)?;
        match &ended.error {
            Some(why) => {
                let why = format!("cannot {}: {}", printable(&ended.what), printable(why));
                Err(if ended.is_misuse { Failure::Misused(why) } else { Failure::Failed(why) })
            }
            None if self.json => Ok(json(out, &ended)?),
            None => Ok(writeln!(out, "done in {} ms: {}", ended.took_ms, printable(&ended.what))?),
        }
    }
}

impl Status {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let answer = self.server.client()?.ask("GET", PATH, None)?;
        match self.server.json {
            true => Ok(out.write_all(&answer)?),
            false => Ok(print(&read(&answer)?, out)?),
        }
    }
}

impl Transfer {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        if self.abort {
            let order = object!({ "order": "abort-transfer" });
            let answer = self.server.client()?.ask("POST", PATH, Some(&order))?;
            let told: Aborted = read(&answer)?;
            return match (self.server.json, told.was_under_way) {
                (true, _) => Ok(out.write_all(&answer)?),
                (false, true) => Ok(writeln!(out, "the handover is called off")?),
                (false, false) => Ok(writeln!(out, "no handover is under way")?),
            };
        }
        let mut order = object!({ "order": "transfer" });
        if let Some(node) = &self.node {
            order["node"] = node.clone().into();
        }
        self.server.change(&self.within, &order, out)
    }
}

impl Reload {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        self.server.change(&self.within, &object!({ "order": "reload" }), out)
    }
}

impl Add {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let mut order = object!({ "order": "add", "node": self.node });
        if let Some(address) = &self.address {
            order["address"] = address.clone().into();
        }
        self.server.change(&self.within, &order, out)
    }
}

impl Remove {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let order = object!({ "order": "remove", "node": self.node });
        self.server.change(&self.within, &order, out)
    }
}

impl Replace {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        let order = object!({ "order": "replace", "node": self.lost, "with": self.with });
        self.server.change(&self.within, &order, out)
    }
}

impl Promote {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Failure> {
        match (&self.dir, &self.node) {
            (Some(dir), _) => self.by_force(dir, out),
            (None, node) => {
                let order = object!({ "order": "promote", "node": node });
                self.server.change(&self.within, &order, out)
            }
        }
    }

    #[cfg(feature = "replication")]
    fn by_force(&self, dir: &std::path::Path, out: &mut impl Write) -> Result<(), Failure> {
        if !self.force {
            return Err(Failure::Misused(format!(
                "this makes {} the directory of the only voter: what the other voters have and it has not is lost, and a \
                 primary among them that still runs goes on beside it. When they are gone for good, say --force",
                dir.display()
            )));
        }
        let promoted = crate::embedded::promote_directory(dir)?;
        if self.server.json {
            return Ok(json(out, &promoted)?);
        }
        let list =
            |names: &[String]| if names.is_empty() { "none".into() } else { printable(&names.join(", ")) };
        writeln!(
            out,
            "{} is the primary of {} with all it has, up to entry {}, in generation {}",
            printable(&promoted.node),
            printable(&promoted.cluster),
            promoted.last,
            promoted.generation
        )?;
        match promoted.out.is_empty() {
            true => writeln!(out, "voters that are out: none")?,
            false => {
                writeln!(out, "voters that are out: {}; they must not run any more", list(&promoted.out))?;
            }
        }
        writeln!(out, "learners: {}", list(&promoted.learners))?;
        let left = 1 + promoted.learners.len();
        writeln!(
            out,
            "{} left: a durability of more nodes than that, in [store] or asked for, is reached by no write until others are added",
            count(left, "node")
        )?;
        Ok(writeln!(out, "start it now, and add new nodes to it")?)
    }

    #[cfg(not(feature = "replication"))]
    fn by_force(&self, _: &std::path::Path, _: &mut impl Write) -> Result<(), Failure> {
        Err(Failure::Misused("this build of trimtab has no clusters".into()))
    }
}

fn print(told: &Told, out: &mut impl Write) -> io::Result<()> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let quorum = match (told.role.as_str(), told.holds_quorum) {
        ("primary", true) => ", holds its quorum",
        ("primary", false) => ", without a quorum",
        _ => "",
    };
    writeln!(
        out,
        "cluster {}, as {} sees it: epoch {}, generation {}, primary {}",
        printable(&told.cluster),
        printable(&told.node),
        told.epoch,
        told.generation,
        printable(&or_none(&told.primary))
    )?;
    let age = told.age_ms.map_or("of unknown age".to_owned(), |age| format!("at most {age} ms old"));
    writeln!(
        out,
        "  {} is {}{quorum}: shows entry {} ({age}), {} committed, {} on disk",
        printable(&told.node),
        printable(&told.role),
        told.applied,
        told.committed,
        told.durable
    )?;
    if let Some(trouble) = &told.trouble {
        let what = match told.standing.as_str() {
            "active" => "trouble".to_owned(),
            "" => "it takes no part".to_owned(),
            standing => format!("it takes no part ({})", printable(standing)),
        };
        writeln!(out, "  {what}: {}", printable(trouble))?;
    }
    match (told.is_degraded, told.degraded_writes) {
        (false, 0) => {}
        (true, writes) => {
            writeln!(
                out,
                "  degraded: writes are answered with fewer nodes than asked for; {writes} were so far"
            )?;
        }
        (false, writes) => writeln!(out, "  {writes} writes were answered with fewer nodes than asked for")?,
    }
    if let Some(change) = told.changes.iter().find(|change| change.is_running) {
        writeln!(out, "  under way for {} ms: {}", change.took_ms, printable(&change.what))?;
    }
    writeln!(out)?;
    let mut table = Table::new([
        ("node", Side::Left),
        ("role", Side::Left),
        ("link", Side::Left),
        ("on disk", Side::Right),
        ("behind", Side::Right),
        ("fed by", Side::Left),
        ("address", Side::Left),
        ("clients", Side::Left),
    ]);
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    // Who takes no part hears no more what the others are.
    let hears = told.role != "idle" || told.trouble.is_none();
    for node in &told.nodes {
        table.push([
            node.name.clone(),
            if hears { node.role.clone() } else { "-".to_owned() },
            if node.is_linked { "up" } else { "down" }.to_owned(),
            number(node.on_disk),
            number(node.behind),
            or_none(&node.source),
            or_none(&node.address),
            or_none(&node.client_address),
        ]);
    }
    table.print("", out)?;
    let troubled = told.nodes.iter().filter_map(|node| Some((&node.name, node.trouble.as_ref()?)));
    let mut lines: Vec<String> =
        troubled.map(|(name, why)| format!("{}: {}", printable(name), printable(why))).collect();
    if told.refused_peers > 0 {
        let last = told.last_refusal.as_deref().unwrap_or("-");
        lines.push(format!("refused connections: {}; the last: {}", told.refused_peers, printable(last)));
    }
    if told.refused_frames > 0 {
        lines.push(format!("refused frames: {}", told.refused_frames));
    }
    if !lines.is_empty() {
        writeln!(out)?;
    }
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
