//! [`Changes::apply`]: what sources say of a pool's members, carried out in the pool.

use std::collections::HashMap;
use std::sync::Arc;

use crate::balance::{Address, Backend, BackendId, Pool};
use crate::discovery::members::{Change, Changes};
use crate::error::{Error, Result};

impl Changes {
    /// Makes these changes in a pool, all in one step. Who is who is told by address and name together: a backend
    /// that an operator put at a member's address, or under its name, is not the member. Who is gone already is no
    /// error, nor who is there already at the same address.
    ///
    /// Errors: what the pool refuses of one member, the last of them; it is no reason to keep back the rest.
    pub fn apply(&self, pool: &Pool) -> Result<()> {
        let ids: HashMap<Address, (Arc<str>, BackendId)> = match self.removed.is_empty()
            && self.changed.is_empty()
        {
            true => HashMap::new(),
            false => {
                pool.members().into_iter().map(|member| (member.address, (member.name, member.id))).collect()
            }
        };
        let id_of = |backend: &Backend| {
            let (name, id) = ids.get(&backend.address)?;
            let is_same = match &backend.name {
                Some(given) => **given == **name,
                None => backend.address.to_string() == **name,
            };
            is_same.then_some(*id)
        };
        pool.update(|edit| {
            let mut refused = Ok(());
            let mut note = |result: Result<()>| match result {
                Ok(()) | Err(Error::NotFound { .. } | Error::Exists { what: "address", .. }) => {}
                Err(error) => refused = Err(error),
            };
            for id in self.removed.iter().filter_map(id_of) {
                note(edit.remove(id));
            }
            for Change { before, after } in &self.changed {
                let Some(id) = id_of(after) else { continue };
                if before.weight != after.weight {
                    note(edit.set_weight(id, after.weight));
                }
                if before.maxconn != after.maxconn {
                    note(edit.set_maxconn(id, after.maxconn));
                }
                let rate = |backend: &Backend| (backend.connection_rate, backend.connection_burst);
                if rate(before) != rate(after) {
                    note(edit.set_connection_rate(id, after.connection_rate, after.connection_burst));
                }
                if before.tier != after.tier {
                    note(edit.set_tier(id, after.tier));
                }
                if before.admin != after.admin {
                    note(edit.set_admin(id, after.admin));
                }
            }
            for backend in &self.added {
                note(edit.add(backend.clone()).map(drop));
            }
            Ok(refused)
        })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{self, Admin, Policy};

    fn backend(address: &str) -> Backend {
        Backend::parse(address).unwrap()
    }

    fn named(name: &str, address: &str) -> Backend {
        Backend { name: Some(name.to_string()), ..backend(address) }
    }

    fn pool(policy: Policy, backends: &[Backend]) -> Pool {
        let pool = Pool::new(balance::Options { policy, ..balance::Options::default() }).unwrap();
        pool.add_all(backends).unwrap();
        pool
    }

    fn names(pool: &Pool) -> Vec<String> {
        pool.members().iter().map(|member| member.name.to_string()).collect()
    }

    /// The policy static refuses another weight; who comes and goes with the same step does so all the same, and who
    /// changes otherwise is not refused.
    #[test]
    fn what_is_refused_of_one_keeps_nobody_else_back() {
        let pool =
            pool(Policy::Static, &[backend("10.0.0.1:80"), backend("10.0.0.2:80"), backend("10.0.0.4:80")]);
        let change = |address: &str, change: fn(&mut Backend)| {
            let before = backend(address);
            let mut after = before.clone();
            change(&mut after);
            Change { before, after }
        };
        let mut changes = Changes {
            removed: vec![backend("10.0.0.2:80"), backend("10.0.0.9:80")],
            changed: vec![change("10.0.0.1:80", |backend| backend.weight = 5)],
            added: vec![backend("10.0.0.3:80"), backend("10.0.0.1:80")],
        };
        let refused = changes.apply(&pool).unwrap_err();
        assert!(matches!(refused, Error::InvalidArgument { .. }), "{refused}");
        assert_eq!(names(&pool), ["10.0.0.1:80", "10.0.0.4:80", "10.0.0.3:80"]);
        changes = Changes {
            changed: vec![change("10.0.0.4:80", |backend| {
                backend.maxconn = 7;
                backend.connection_rate = 8;
                backend.connection_burst = 2;
                backend.admin = Admin::Drain;
            })],
            ..Changes::default()
        };
        changes.apply(&pool).unwrap();
        let changed = pool.backend(pool.find("10.0.0.4:80").unwrap()).unwrap();
        assert_eq!((changed.maxconn, changed.admin), (7, Admin::Drain));
        assert_eq!((changed.connection_rate, changed.connection_burst), (8, 2));
    }

    /// What an operator ordered of a member outlasts a change of something else.
    #[test]
    fn an_order_of_the_operators_stays() {
        let pool = pool(Policy::RoundRobin, &[backend("10.0.0.1:80")]);
        let id = pool.find("10.0.0.1:80").unwrap();
        pool.set_admin(id, Admin::Drain).unwrap();
        pool.set_weight(id, 50).unwrap();
        let (before, after) = (backend("10.0.0.1:80"), Backend { maxconn: 3, ..backend("10.0.0.1:80") });
        Changes { changed: vec![Change { before, after }], ..Changes::default() }.apply(&pool).unwrap();
        let is = pool.backend(id).unwrap();
        assert_eq!((is.admin, is.weight, is.maxconn), (Admin::Drain, 50, 3));
    }

    /// A member that never came, for its name was taken, takes nobody with it when it goes.
    #[test]
    fn who_bears_a_members_name_is_not_the_member() {
        let pool = pool(Policy::RoundRobin, &[named("web-01", "10.0.0.1:80")]);
        let member = named("web-01", "10.0.0.2:80");
        let refused = Changes { added: vec![member.clone()], ..Changes::default() }.apply(&pool).unwrap_err();
        assert!(refused.to_string().contains("web-01"), "{refused}");
        let change = Change { before: member.clone(), after: Backend { weight: 9, ..member.clone() } };
        Changes { changed: vec![change], ..Changes::default() }.apply(&pool).unwrap();
        Changes { removed: vec![member], ..Changes::default() }.apply(&pool).unwrap();
        let is = pool.backend(pool.find("web-01").unwrap()).unwrap();
        assert_eq!((is.address.as_str(), is.weight), ("10.0.0.1:80", 1));
    }
}
