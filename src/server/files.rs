//! The files that a configuration names, read as the start reads them and let go again: for who asks whether it could run.

#[cfg(feature = "replication")]
use std::fs::File;
use std::path::Path;

use crate::error::{Error, Problem, Result};
use crate::server::assembly::password_of;
use crate::server::config::{Config, Position};

impl Config {
    /// Reads what the start would: certificates, keys, authorities and passwords. Blocks while files are read.
    ///
    /// Files of members and those of the system are followed as they change, and are left out: a server starts without
    /// them.
    ///
    /// Errors: `Config` with everything that keeps it from starting, in the order of the text.
    pub fn check_files(&self) -> Result<()> {
        let mut found = Found { source: &self.source, problems: Vec::new() };
        for check in self.pools.iter().filter_map(|pool| pool.check.as_ref()) {
            let login = check.login.as_ref();
            if let Some((login, path)) = login.and_then(|login| Some((login, login.password_file.as_ref()?)))
            {
                found.password(path, login.password_at, |password| login.ask(Some(password)).map(drop));
            }
        }
        #[cfg(feature = "store")]
        if let Some(store) = &self.store
            && let Some(path) = &store.password_file
        {
            found.password(path, store.password_at, |password| match password.bytes() {
                [] => Err(crate::server::store::no_password(self, path, store.password_at)),
                _ => Ok(()),
            });
        }
        #[cfg(feature = "replication")]
        if let Some(cluster) = self.store.as_ref().and_then(|store| store.cluster.as_ref()) {
            found.security(cluster);
        }
        let mut problems = found.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }
}

/// What keeps it from starting.
struct Found<'a> {
    source: &'a str,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn password(
        &mut self,
        path: &Path,
        at: Position,
        check: impl FnOnce(crate::health::secret::Secret) -> Result<()>,
    ) {
        let read = password_of(path)
            .map_err(|error| Error::io(format!("read the password in {}", path.display()), &error));
        if let Err(error) = read.and_then(check) {
            self.add(at, error);
        }
    }

    #[cfg(feature = "replication")]
    fn security(&mut self, cluster: &crate::server::config::Cluster) {
        use crate::peer::Security;
        let Err(error) = crate::driver::peer::check_security(&cluster.security, &cluster.node) else {
            return;
        };
        let places = &cluster.security_at;
        let at = match (&error, &cluster.security) {
            (Error::InvalidArgument { what, .. }, _) => places.of(what),
            // One of them cannot be read.
            (_, Security::Tls { certificates, key, ca }) => {
                let is_unread = |path: &Path| File::open(path).is_err();
                let is_key_unread = key.as_deref().is_some_and(is_unread);
                match () {
                    () if is_unread(ca) => places.of("ca"),
                    () if is_key_unread && !certificates.iter().any(|path| is_unread(path)) => {
                        places.of("key")
                    }
                    () => places.of("certificates"),
                }
            }
            _ => places.of("peer_tls"),
        };
        self.add(at, error);
    }

    fn add(&mut self, at: Position, error: Error) {
        if let Error::Config(problems) = error {
            self.problems.extend(problems);
            return;
        }
        let is_denied = matches!(error, Error::Io { code: libc::EACCES, .. });
        let hint = if is_denied { "look at it as the user that the server runs as" } else { "" };
        self.problems.push(Problem {
            source: self.source.to_owned(),
            line: at.line,
            column: at.column,
            message: error.to_string(),
            hint: hint.to_owned(),
        });
    }
}
