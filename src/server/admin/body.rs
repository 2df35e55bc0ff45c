//! The JSON of requests.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::balance::options::WEIGHT_MAX;
use crate::balance::{Admin, Backend, BackendId, MAXCONN_MAX, Pool};
use crate::error::Result;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::changes::ClusterOrder;
use crate::server::config::TIMEOUT_MAX;
use crate::server::config::suggest::{nearest_or_all, shown};

/// What is to change about a backend.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    admin: Option<Admin>,
    weight: Option<u32>,
    maxconn: Option<u32>,
    tier: Option<u8>,
}

/// A backend to add.
#[derive(Debug, PartialEq)]
pub(super) struct Addition {
    address: String,
    settings: Changes,
}

/// A backup to take.
#[cfg(feature = "store")]
#[derive(Debug, PartialEq)]
pub(super) struct Backup {
    /// The directory, as the body has it.
    pub(super) to: String,
    pub(super) is_full: bool,
}

/// A change of the cluster.
#[cfg(all(feature = "store", feature = "replication"))]
#[derive(Debug, PartialEq)]
pub(super) struct ClusterRequest {
    pub(super) order: ClusterOrder,
    pub(super) timeout: Option<Duration>,
}

#[cfg(all(feature = "store", feature = "replication"))]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawClusterRequest {
    #[serde(deserialize_with = "there")]
    order: Option<Value>,
    #[serde(deserialize_with = "there")]
    node: Option<Value>,
    #[serde(deserialize_with = "there")]
    address: Option<Value>,
    #[serde(deserialize_with = "there")]
    with: Option<Value>,
    #[serde(deserialize_with = "there")]
    timeout_ms: Option<Value>,
}

/// The keys as they come, of whatever type.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawChanges {
    #[serde(deserialize_with = "there")]
    admin: Option<Value>,
    #[serde(deserialize_with = "there")]
    weight: Option<Value>,
    #[serde(deserialize_with = "there")]
    maxconn: Option<Value>,
    #[serde(deserialize_with = "there")]
    tier: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAddition {
    #[serde(deserialize_with = "there")]
    address: Option<Value>,
    #[serde(deserialize_with = "there")]
    admin: Option<Value>,
    #[serde(deserialize_with = "there")]
    weight: Option<Value>,
    #[serde(deserialize_with = "there")]
    maxconn: Option<Value>,
    #[serde(deserialize_with = "there")]
    tier: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDrain {
    #[serde(deserialize_with = "there")]
    timeout_ms: Option<Value>,
}

#[cfg(feature = "store")]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBackup {
    #[serde(deserialize_with = "there")]
    to: Option<Value>,
    #[serde(deserialize_with = "there")]
    full: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNothing {}

/// A `null` is a value, and a wrong one, rather than nothing.
fn there<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Changes {
    /// Reads what is to change; gives what is wrong with it otherwise.
    pub(super) fn parse(body: &[u8]) -> std::result::Result<Self, String> {
        let raw: RawChanges = read(body)?;
        let changes = Self::new(raw)?;
        if changes == Self::default() {
            return Err(
                "the body changes nothing; give one or more of admin, weight, maxconn and tier".into()
            );
        }
        Ok(changes)
    }

    fn new(raw: RawChanges) -> std::result::Result<Self, String> {
        Ok(Self {
            admin: raw.admin.map(admin).transpose()?,
            weight: raw.weight.map(|value| number("weight", &value, 1, WEIGHT_MAX)).transpose()?,
            maxconn: raw.maxconn.map(|value| number("maxconn", &value, 0, MAXCONN_MAX)).transpose()?,
            tier: raw.tier.map(|value| number("tier", &value, 0, u8::MAX)).transpose()?,
        })
    }

    /// All of it or nothing.
    pub(super) fn apply(&self, pool: &Pool, id: BackendId) -> Result<()> {
        pool.update(|edit| {
            if let Some(admin) = self.admin {
                edit.set_admin(id, admin)?;
            }
            if let Some(weight) = self.weight {
                edit.set_weight(id, weight)?;
            }
            if let Some(maxconn) = self.maxconn {
                edit.set_maxconn(id, maxconn)?;
            }
            if let Some(tier) = self.tier {
                edit.set_tier(id, tier)?;
            }
            Ok(())
        })
    }
}

impl Addition {
    /// Reads what to add; gives what is wrong with it otherwise.
    pub(super) fn parse(body: &[u8]) -> std::result::Result<Self, String> {
        let RawAddition { address, admin, weight, maxconn, tier } = read(body)?;
        let address = match address {
            Some(Value::String(address)) => address,
            Some(other) => return Err(wrong_type("address", &other, "a text")),
            None => return Err("the body has no address; write {\"address\": \"10.0.0.1:80\"}".into()),
        };
        Ok(Self { address, settings: Changes::new(RawChanges { admin, weight, maxconn, tier })? })
    }

    /// The backend it describes.
    pub(super) fn into_backend(self, name: String) -> Result<Backend> {
        let Changes { admin, weight, maxconn, tier } = self.settings;
        let plain = Backend::parse(&self.address)?;
        // Who is named like its address has no name of its own, as in the configuration.
        let name = (name != plain.address.to_string()).then_some(name);
        Ok(Backend {
            name,
            admin: admin.unwrap_or(plain.admin),
            weight: weight.unwrap_or(plain.weight),
            maxconn: maxconn.unwrap_or(plain.maxconn),
            tier: tier.unwrap_or(plain.tier),
            ..plain
        })
    }
}

#[cfg(feature = "store")]
impl Backup {
    /// Reads where to; gives what is wrong with it otherwise.
    pub(super) fn parse(body: &[u8]) -> std::result::Result<Self, String> {
        let RawBackup { to, full } = read(body)?;
        let to = match to {
            Some(Value::String(to)) => to,
            Some(other) => return Err(wrong_type("to", &other, "a text")),
            None => return Err("the body does not say where to; write {\"to\": \"/mnt/backup\"}".into()),
        };
        let is_full = match full {
            None => false,
            Some(Value::Bool(full)) => full,
            Some(other) => return Err(wrong_type("full", &other, "true or false")),
        };
        Ok(Self { to, is_full })
    }
}

#[cfg(all(feature = "store", feature = "replication"))]
impl ClusterRequest {
    /// Reads what is to change; gives what is wrong with it otherwise.
    pub(super) fn parse(body: &[u8]) -> std::result::Result<Self, String> {
        const ORDERS: [&str; 6] = ["transfer", "add", "promote", "remove", "replace", "reload"];
        let RawClusterRequest { order, node, address, with, timeout_ms } = read(body)?;
        let text = |key: &str, value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, &other, "a text")),
        };
        let Some(order) = text("order", order)? else {
            return Err(format!("the body has no order; known: {}", ORDERS.join(", ")));
        };
        let (node, address, with) = (text("node", node)?, text("address", address)?, text("with", with)?);
        let needed = |key: &str, value: Option<String>| {
            value.ok_or_else(|| format!("{order} needs {key}, the name of a node"))
        };
        let address = match address {
            None => None,
            Some(_) if order != "add" => return Err(format!("address is for add, and not for {order}")),
            Some(text) => Some(text.parse().map_err(|_| format!("address {} is not ip:port", shown(&text)))?),
        };
        if with.is_some() && order != "replace" {
            return Err(format!("with is for replace, and not for {order}"));
        }
        if node.is_some() && order == "reload" {
            return Err("reload is of the node that is asked, and takes no node".into());
        }
        let order = match &*order {
            "reload" => ClusterOrder::Reload,
            "transfer" => ClusterOrder::Transfer { to: node },
            "add" => ClusterOrder::Add { node: needed("node", node)?, address },
            "promote" => ClusterOrder::Promote { node: needed("node", node)? },
            "remove" => ClusterOrder::Remove { node: needed("node", node)? },
            "replace" => ClusterOrder::Replace { lost: needed("node", node)?, with: needed("with", with)? },
            other => {
                let hint = nearest_or_all(other, "known", ORDERS);
                return Err(format!("unknown order {}; {hint}", shown(other)));
            }
        };
        let millis_max = u64::try_from(TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX);
        let millis = timeout_ms.map(|value| number("timeout_ms", &value, 1, millis_max)).transpose()?;
        Ok(Self { order, timeout: millis.map(Duration::from_millis) })
    }
}

/// How long a drain may take; `None` when the body does not say.
pub(super) fn timeout(body: &[u8]) -> std::result::Result<Option<Duration>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let raw: RawDrain = read(body)?;
    let millis_max = u64::try_from(TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX);
    let millis = raw.timeout_ms.map(|value| number("timeout_ms", &value, 0, millis_max)).transpose()?;
    Ok(millis.map(Duration::from_millis))
}

/// Nothing, or an object of nothing.
pub(super) fn check_empty(body: &[u8]) -> std::result::Result<(), String> {
    if body.is_empty() {
        return Ok(());
    }
    read::<RawNothing>(body).map(|_| ())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> std::result::Result<T, String> {
    // A list would be read as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is no JSON object; write {...}".into());
    }
    serde_json::from_slice(body)
        .map_err(|error| format!("the body is wrong: {}", one_line(&error.to_string())))
}

/// What the client's own text may have brought in is shown, not acted on.
fn one_line(text: &str) -> String {
    const SHOWN_MAX: usize = 300;
    text.chars().take(SHOWN_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn admin(value: Value) -> std::result::Result<Admin, String> {
    let Value::String(text) = value else { return Err(wrong_type("admin", &value, "a text")) };
    match Admin::NAMES.iter().find(|(name, _)| *name == text) {
        Some((_, admin)) => Ok(*admin),
        None => {
            let hint = nearest_or_all(&text, "known", Admin::NAMES.iter().map(|(name, _)| *name));
            Err(format!("unknown admin {}; {hint}", shown(&text)))
        }
    }
}

fn number<T>(what: &'static str, value: &Value, low: T, high: T) -> std::result::Result<T, String>
where
    T: TryFrom<u64> + PartialOrd + std::fmt::Display,
{
    let Value::Number(given) = value else { return Err(wrong_type(what, value, "a whole number")) };
    if let Some(fits) = given.as_u64().and_then(|number| T::try_from(number).ok())
        && fits >= low
        && fits <= high
    {
        return Ok(fits);
    }
    if given.as_u64().is_none() && given.as_i64().is_none() {
        return Err(format!("{what} {given} is not a whole number from {low} to {high}"));
    }
    // The pool has the words for this one.
    let hint = if what == "weight" && given.as_u64() == Some(0) {
        "; to give it no new traffic, set admin to \"drain\""
    } else {
        ""
    };
    Err(format!("{what} {given} is outside {low} to {high}{hint}"))
}

fn wrong_type(what: &str, value: &Value, expected: &str) -> String {
    let found = match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {}", shown(text)),
        Value::Array(_) => "a list".to_string(),
        Value::Object(_) => "an object".to_string(),
    };
    format!("{what} is {found}, where {expected} is expected")
}
