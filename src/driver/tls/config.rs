//! Who we are, whom we trust, and what is offered: what connections are made with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::driver::tls::fault::{self, Fault};
use crate::driver::tls::files;
use crate::error::{Error, Result};

/// The time by which certificates are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallTime {
    /// The system's.
    System,
    /// So many seconds since 1970, for tests and for machines whose clock is known to be wrong.
    Fixed(u64),
}

/// Which versions of TLS are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// 1.3 alone.
    Newest,
    /// 1.2 and 1.3.
    Both,
}

/// A certificate with its chain and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    /// Where the certificate comes from.
    file: PathBuf,
}

/// The authorities whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Roots {
    store: Arc<RootCertStore>,
    file: PathBuf,
}

/// What the end that connects is made with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(pub(super) Arc<ClientConfig>);

/// What the end that is connected to is made with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server(pub(super) Arc<ServerConfig>);

impl Identity {
    /// Reads a certificate, what leads from it to an authority, and its key: `certificates` are files that are read one
    /// behind the other, the certificate itself first; `key` is the file of its key, the first of `certificates` where it
    /// is not given. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// `Io` for a file that cannot be read; `InvalidArgument` for one that is empty or no PEM, for a key that is missing,
    /// encrypted, of a kind that is not known, or of another certificate. Each names the file.
    pub fn load(certificates: &[PathBuf], key: Option<&Path>) -> Result<Self> {
        let Some(first) = certificates.first() else {
            return Err(Error::invalid(
                "certificates",
                "the list is empty; name the file of the certificate",
            ));
        };
        let mut chain = Vec::new();
        for path in certificates {
            chain.extend(files::certificates("certificates", path)?);
        }
        let key_file = key.unwrap_or(first);
        let Some(key) = files::key("key", key_file)? else {
            let hint = if key.is_none() { "; name its file with key = \"…\"" } else { "" };
            let why = format!("{} has no private key{hint}", key_file.display());
            return Err(Error::invalid("key", why));
        };
        let key = ring::sign::any_supported_type(&key).map_err(|_| {
            let why = format!(
                "{} has a key of a kind that is not known; RSA of 2048 bits or more, ECDSA on P-256 or P-384 and Ed25519 \
                 are",
                key_file.display()
            );
            Error::invalid("key", why)
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let why = format!(
                    "{} is not the key of the certificate in {}; give the pair that was made together",
                    key_file.display(),
                    first.display()
                );
                return Err(Error::invalid("key", why));
            }
            Err(_) if files::is_before_version_3(&certified.cert[0]) => {
                let why = format!(
                    "{} has a certificate before X.509 version 3, which has no place for names; make one of version 3 with \
                     the node's name in subjectAltName (openssl x509 -req makes it with -extfile alone)",
                    first.display()
                );
                return Err(Error::invalid("certificates", why));
            }
            Err(error) => {
                let why = format!("{} has a certificate that cannot be read: {error}", first.display());
                return Err(Error::invalid("certificates", why));
            }
        }
        Ok(Self { certified: Arc::new(certified), file: first.clone() })
    }

    /// Whether the other nodes will take it: led back to one of `roots`, in force at `time`, for both ends of a
    /// connection, for `name`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` that names the file, what is wrong and what to do.
    pub fn check(&self, roots: &Roots, name: &str, time: WallTime) -> Result<()> {
        let refuse = |fault: Fault| {
            let why = format!("{}: {}", self.file.display(), fault::own(&fault, &roots.file, name));
            Error::invalid("certificates", why)
        };
        let (end, between) = self.certified.cert.split_first().expect("it has a certificate");
        let now =
            time.now().ok_or_else(|| Error::invalid("certificates", "the system has no time of day"))?;
        let server_name = server_name(name)?;
        roots
            .client_verifier()?
            .verify_client_cert(end, between, now)
            .map_err(|error| refuse(Fault::from_rustls(&error)))?;
        roots
            .server_verifier()?
            .verify_server_cert(end, between, &server_name, &[], now)
            .map_err(|error| refuse(Fault::from_rustls(&error)))?;
        Ok(())
    }
}

impl Roots {
    /// Reads the authorities. Blocks while the file is read.
    ///
    /// # Errors
    ///
    /// `Io` for a file that cannot be read, `InvalidArgument` for one that is empty, no PEM, or has a certificate that
    /// cannot be one of an authority.
    pub fn load(path: &Path) -> Result<Self> {
        let mut store = RootCertStore::empty();
        for certificate in files::certificates("ca", path)? {
            store.add(certificate).map_err(|error| {
                let why = format!("{} has a certificate that cannot be read: {error}", path.display());
                Error::invalid("ca", why)
            })?;
        }
        Ok(Self { store: Arc::new(store), file: path.to_path_buf() })
    }

    fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>> {
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.store), provider())
            .build()
            .map_err(|error| Error::invalid("ca", format!("{}: {error}", self.file.display())))
    }

    fn server_verifier(&self) -> Result<Arc<rustls::client::WebPkiServerVerifier>> {
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.store), provider())
            .build()
            .map_err(|error| Error::invalid("ca", format!("{}: {error}", self.file.display())))
    }
}

impl Client {
    /// Believes servers that one of `roots` vouches for under the name that a connection is made for; shows `identity`
    /// where the server asks for one. Sessions are not resumed: each connection judges certificates anew.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for roots without one.
    pub fn new(
        roots: &Roots,
        identity: Option<&Identity>,
        alpn: &[&[u8]],
        versions: Versions,
        time: WallTime,
    ) -> Result<Self> {
        let builder = ClientConfig::builder_with_details(provider(), Arc::new(time))
            .with_protocol_versions(versions.list())
            .expect("ring speaks both")
            .with_webpki_verifier(roots.server_verifier()?);
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(Arc::new(identity.resolver())),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

impl Server {
    /// Shows `identity`; with `clients` it takes those alone whom one of them vouches for. Sessions are not resumed.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` for roots without one.
    pub fn new(
        identity: &Identity,
        clients: Option<&Roots>,
        alpn: &[&[u8]],
        versions: Versions,
        time: WallTime,
    ) -> Result<Self> {
        let builder = ServerConfig::builder_with_details(provider(), Arc::new(time))
            .with_protocol_versions(versions.list())
            .expect("ring speaks both");
        let builder = match clients {
            Some(roots) => builder.with_client_cert_verifier(roots.client_verifier()?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(identity.resolver()));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

impl Identity {
    fn resolver(&self) -> SingleCertAndKey {
        SingleCertAndKey::from(Arc::clone(&self.certified))
    }
}

impl Versions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Versions::Newest => &NEWEST,
            Versions::Both => &BOTH,
        }
    }
}

impl WallTime {
    fn now(self) -> Option<UnixTime> {
        let since = match self {
            WallTime::System => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?,
            WallTime::Fixed(seconds) => Duration::from_secs(seconds),
        };
        Some(UnixTime::since_unix_epoch(since))
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        self.now()
    }
}

/// A name as certificates have it.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_string())
        .map_err(|_| Error::invalid("name", format!("{name:.80?} cannot stand in a certificate")))
}

/// Whether a certificate is for a name; otherwise the names it is for, where it has any.
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> std::result::Result<(), Vec<String>> {
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(certificate), server_name(name)) else {
        return Err(Vec::new());
    };
    rustls::client::verify_server_name(&parsed, &name).map_err(|error| match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
            presented,
            ..
        }) => presented,
        _ => Vec::new(),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
