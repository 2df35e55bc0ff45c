//! What each request does.

use serde::Serialize;

use crate::balance::{BackendId, Pool};
use crate::error::Error;
use crate::server::admin::Instance;
use crate::server::admin::answer::Answer;
#[cfg(feature = "store")]
use crate::server::admin::body::Backup;
#[cfg(all(feature = "store", feature = "replication"))]
use crate::server::admin::body::ClusterRequest;
use crate::server::admin::body::{Addition, Changes, check_empty, timeout};
use crate::server::admin::head::{Head, Method};
use crate::server::admin::path::Resource;
use crate::server::admin::standing::Standing;
use crate::server::config::suggest::{nearest_or_all, shown};
use crate::server::journal::Follower;

/// What came of a request.
pub(super) enum Done {
    Told(Answer),
    /// Events are told as they come.
    Follows(Followed),
}

/// What is followed.
pub(super) enum Followed {
    Events(Follower),
    #[cfg(all(feature = "store", feature = "replication"))]
    Change(crate::server::changes::FollowedChange),
}

impl Followed {
    /// Appends what has come, as lines; nothing when there is no more now.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) {
        match self {
            Followed::Events(follower) => follower.read(to),
            #[cfg(all(feature = "store", feature = "replication"))]
            Followed::Change(change) => change.read(to),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Followed::Events(follower) => follower.is_over(),
            #[cfg(all(feature = "store", feature = "replication"))]
            Followed::Change(change) => change.is_over(),
        }
    }
}

/// What was ordered.
#[derive(Serialize)]
struct Ordered {
    ordered: &'static str,
}

#[cfg(feature = "store")]
#[derive(Serialize)]
struct OrderedBackup {
    ordered: &'static str,
    /// Its number, which its event and its report bear.
    backup: u64,
}

#[cfg(all(feature = "store", feature = "replication"))]
#[derive(Serialize)]
struct OrderedChange {
    ordered: &'static str,
    /// Its number, under which it is told what came of it.
    change: u64,
}

#[cfg(all(feature = "store", feature = "replication"))]
#[derive(Serialize)]
struct AbortedTransfer {
    ordered: &'static str,
    /// Whether there was one.
    was_under_way: bool,
}

/// Does what a request asks for.
pub(super) fn carry_out(head: &Head, body: &[u8], instance: &dyn Instance) -> Done {
    done(head, body, instance).unwrap_or_else(Done::Told)
}

fn done(head: &Head, body: &[u8], instance: &dyn Instance) -> Result<Done, Answer> {
    instance.check()?;
    let told = match &head.resource {
        Resource::Status => Ok(Answer::json(200, &instance.status())),
        Resource::Events(wanted) => {
            return Ok(Done::Follows(Followed::Events(instance.follow(wanted.start, wanted.goes_on)?)));
        }
        Resource::Pool(name) => {
            let status = instance.pool_status(name).ok_or_else(|| no_pool(name, instance))?;
            Ok(Answer::json(200, &status))
        }
        Resource::Backend { pool: pool_name, backend: name } => {
            let pool = instance.pool(pool_name).ok_or_else(|| no_pool(pool_name, instance))?;
            if matches!(head.method, Method::Put | Method::Delete) && instance.is_of_store(pool_name) {
                return Err(of_store(pool_name));
            }
            // The backend as it is now, as a status has it.
            let told =
                |status, id| Ok(Answer::json(status, &instance.backend_status(pool_name, pool.backend(id)?)));
            match head.method {
                Method::Get | Method::Head => told(200, find(&pool, pool_name, name)?),
                Method::Post => {
                    let changes = Changes::parse(body).map_err(|why| Answer::error(400, &why))?;
                    let id = find(&pool, pool_name, name)?;
                    changes.apply(&pool, id)?;
                    told(200, id)
                }
                Method::Put => {
                    let addition = Addition::parse(body).map_err(|why| Answer::error(400, &why))?;
                    let id = pool.add(addition.into_backend(name.clone())?)?;
                    told(201, id)
                }
                Method::Delete => {
                    check_empty(body).map_err(|why| Answer::error(400, &why))?;
                    pool.remove(find(&pool, pool_name, name)?)?;
                    Ok(Answer::nothing())
                }
            }
        }
        Resource::Primary => standing(instance, |standing| standing.is_primary),
        Resource::Replica(lag) => standing(instance, |standing| lag.takes(standing)),
        #[cfg(all(feature = "store", feature = "replication"))]
        Resource::StoreCluster { change: Some(number) } if head.method != Method::Post => {
            return Ok(Done::Follows(Followed::Change(instance.follow_change(*number)?)));
        }
        Resource::StoreCluster { .. } => store_cluster(head, body, instance),
        Resource::StoreBackup => store_backup(head, body, instance),
        Resource::Drain => {
            let timeout = timeout(body).map_err(|why| Answer::error(400, &why))?;
            instance.drain(timeout)?;
            Ok(Answer::json(202, &Ordered { ordered: "drain" }))
        }
        Resource::Stop => {
            check_empty(body).map_err(|why| Answer::error(400, &why))?;
            instance.stop()?;
            Ok(Answer::json(202, &Ordered { ordered: "stop" }).last())
        }
    };
    told.map(Done::Told)
}

/// 200 if the store's node is what was asked for, 503 if not.
#[cfg(feature = "store")]
fn standing(instance: &dyn Instance, is_meant: impl FnOnce(&Standing) -> bool) -> Result<Answer, Answer> {
    let standing = instance.standing()?;
    Ok(Answer::json(if is_meant(&standing) { 200 } else { 503 }, &standing))
}

#[cfg(not(feature = "store"))]
fn standing(_: &dyn Instance, _: impl FnOnce(&Standing) -> bool) -> Result<Answer, Answer> {
    Err(Answer::error(404, "there is no store: this build has none"))
}

#[cfg(feature = "store")]
fn store_backup(head: &Head, body: &[u8], instance: &dyn Instance) -> Result<Answer, Answer> {
    if head.method != Method::Post {
        return Ok(Answer::json(200, &instance.recent_backups()?));
    }
    let asked = Backup::parse(body).map_err(|why| Answer::error(400, &why))?;
    let backup = instance.back_up(&asked.to, asked.is_full)?;
    Ok(Answer::json(202, &OrderedBackup { ordered: "backup", backup }))
}

#[cfg(not(feature = "store"))]
fn store_backup(_: &Head, _: &[u8], _: &dyn Instance) -> Result<Answer, Answer> {
    Err(Answer::error(404, "there is no store: this build has none"))
}

#[cfg(all(feature = "store", feature = "replication"))]
fn store_cluster(head: &Head, body: &[u8], instance: &dyn Instance) -> Result<Answer, Answer> {
    if head.method != Method::Post {
        return Ok(Answer::json(200, &instance.cluster()?));
    }
    match ClusterRequest::parse(body).map_err(|why| Answer::error(400, &why))? {
        ClusterRequest::Change(order, timeout) => {
            let ordered = order.name();
            let change = instance.change_cluster(order, timeout)?;
            Ok(Answer::json(202, &OrderedChange { ordered, change }))
        }
        ClusterRequest::AbortTransfer => {
            let was_under_way = instance.abort_transfer()?;
            Ok(Answer::json(200, &AbortedTransfer { ordered: "abort-transfer", was_under_way }))
        }
    }
}

#[cfg(not(all(feature = "store", feature = "replication")))]
fn store_cluster(_: &Head, _: &[u8], _: &dyn Instance) -> Result<Answer, Answer> {
    Err(Answer::error(404, "there is no cluster: this build has none"))
}

fn no_pool(name: &str, instance: &dyn Instance) -> Answer {
    let hint = nearest_or_all(name, "there are", instance.pool_names());
    Answer::error(404, &format!("there is no pool {}; {hint}", shown(name)))
}

/// One that was added would be none of the nodes, and one that was removed would be back with their next news.
fn of_store(pool: &str) -> Answer {
    let why = format!(
        "the backends of the pool {} are the nodes of the store, and are neither added nor removed by hand; \
         a node that is to get nothing here is drained, with {{\"admin\": \"drain\"}}",
        shown(pool)
    );
    Answer::error(409, &why)
}

fn find(pool: &Pool, pool_name: &str, name: &str) -> Result<BackendId, Answer> {
    match pool.find(name) {
        Ok(id) => Ok(id),
        Err(Error::NotFound { .. }) => {
            let all: Vec<_> = pool.members().into_iter().map(|member| member.name).collect();
            let hint = match all.is_empty() {
                true => "the pool is empty".to_string(),
                false => nearest_or_all(name, "there are", all.iter().map(|name| &**name)),
            };
            let (name, pool_name) = (shown(name), shown(pool_name));
            Err(Answer::error(404, &format!("there is no backend {name} in the pool {pool_name}; {hint}")))
        }
        Err(other) => Err(other.into()),
    }
}
