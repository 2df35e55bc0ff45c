//! What changes something: backends, and the server's life.

use std::io::Write;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::ctl::client::Client;
use crate::cli::ctl::member;
use crate::cli::ctl::table::{limit, printable};
use crate::cli::ctl::{status, time, told};

/// One backend.
#[derive(Args)]
pub(super) struct Member {
    /// The backend
    #[arg(value_name = "POOL/BACKEND", value_parser = member::Member::parse)]
    member: member::Member,
}

/// Give a backend no new traffic; or end the whole server gracefully
///
/// What a drained backend has goes on. With --all the server accepts nothing new, waits for its sessions to
/// end by themselves, and ends.
#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub(super) struct Drain {
    /// The backend
    #[arg(value_name = "POOL/BACKEND", value_parser = member::Member::parse, group = "what")]
    member: Option<member::Member>,
    /// The whole server
    #[arg(long, group = "what")]
    all: bool,
    /// With --all: cut what has not ended by then [default: the longest timeouts.drain of the listeners and drain of the store]
    #[arg(long, value_name = "TIME", conflicts_with = "member", value_parser = time)]
    within: Option<Duration>,
}

/// Set the share of a backend, relative to the others
#[derive(Args)]
pub(super) struct Weight {
    #[command(flatten)]
    member: Member,
    /// 1 to 65535
    weight: u64,
}

/// Set how many sessions a backend has at most
#[derive(Args)]
pub(super) struct Maxconn {
    #[command(flatten)]
    member: Member,
    /// 1 to 1073741824; 0: no limit
    maxconn: u64,
}

/// Set when a backend serves: 0 always, others when no lower tier can
#[derive(Args)]
pub(super) struct Tier {
    #[command(flatten)]
    member: Member,
    /// 0 to 255
    tier: u64,
}

/// Add a backend to a pool
#[derive(Args)]
pub(super) struct Add {
    /// The backend's pool, and the name it gets
    #[arg(value_name = "POOL/BACKEND", value_parser = member::Member::parse)]
    member: member::Member,
    /// Where it listens: ip:port, [ipv6]:port, unix:/path, unix:@name
    address: String,
    /// Its share relative to the others: 1 to 65535
    #[arg(long, value_name = "N")]
    weight: Option<u64>,
    /// The most sessions at once; 0: no limit
    #[arg(long, value_name = "N")]
    maxconn: Option<u64>,
    /// Stand by: the same as --tier 1
    #[arg(long, conflicts_with = "tier")]
    backup: bool,
    /// 0 serves; 1 to 255 when no lower tier can
    #[arg(long, value_name = "N")]
    tier: Option<u64>,
    /// Give it no traffic before `ctl ready` does
    #[arg(long)]
    drained: bool,
}

impl Member {
    pub(super) fn set_admin(
        &self,
        admin: &str,
        client: &Client,
        json: bool,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        change(&self.member, &json!({ "admin": admin }), client, json, out)
    }

    pub(super) fn remove(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        let answer = client.ask("DELETE", &self.member.path(), None)?;
        if json {
            return Ok(out.write_all(&answer)?);
        }
        Ok(writeln!(out, "{}: removed", printable(&self.member.to_string()))?)
    }
}

impl Drain {
    pub(super) fn run(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        if let Some(member) = &self.member {
            return change(member, &json!({ "admin": "drain" }), client, json, out);
        }
        let body = match self.within {
            Some(within) => json!({ "timeout_ms": u64::try_from(within.as_millis()).unwrap_or(u64::MAX) }),
            None => json!({}),
        };
        let answer = client.ask("POST", "/v1/drain", Some(&body))?;
        if json {
            return Ok(out.write_all(&answer)?);
        }
        Ok(writeln!(out, "the server accepts nothing new, and ends when its sessions have")?)
    }
}

impl Weight {
    pub(super) fn run(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        change(&self.member.member, &json!({ "weight": self.weight }), client, json, out)
    }
}

impl Maxconn {
    pub(super) fn run(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        change(&self.member.member, &json!({ "maxconn": self.maxconn }), client, json, out)
    }
}

impl Tier {
    pub(super) fn run(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        change(&self.member.member, &json!({ "tier": self.tier }), client, json, out)
    }
}

impl Add {
    pub(super) fn run(&self, client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
        let answer = client.ask("PUT", &self.member.path(), Some(&self.body()))?;
        tell(&self.member, &answer, json, out)
    }

    fn body(&self) -> Value {
        let mut body = json!({ "address": self.address });
        let tier = if self.backup { Some(1) } else { self.tier };
        for (key, value) in [("weight", self.weight), ("maxconn", self.maxconn), ("tier", tier)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        if self.drained {
            body["admin"] = "drain".into();
        }
        body
    }
}

/// Ends the server.
pub(super) fn stop(client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let answer = client.ask("POST", "/v1/stop", Some(&json!({})))?;
    if json {
        return Ok(out.write_all(&answer)?);
    }
    Ok(writeln!(out, "the server ends")?)
}

fn change(
    member: &member::Member,
    body: &Value,
    client: &Client,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let answer = client.ask("POST", &member.path(), Some(body))?;
    tell(member, &answer, json, out)
}

/// Tells what a backend is now.
fn tell(member: &member::Member, answer: &[u8], json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if json {
        return Ok(out.write_all(answer)?);
    }
    let backend: told::Backend = status::read(answer)?;
    Ok(writeln!(
        out,
        "{} at {}: {}, weight {}, maxconn {}, tier {}, in flight {}",
        printable(&member.to_string()),
        printable(&backend.address),
        printable(&backend.admin),
        backend.weight,
        limit(backend.maxconn),
        backend.tier,
        backend.in_flight
    )?)
}
