//! Why a TLS connection failed, in words for whoever has to mend it.

use std::fmt;
use std::path::Path;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Why a TLS connection failed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The other side's certificate is not one to believe.
    Certificate(Problem),
    /// The other side showed none.
    NoCertificate,
    /// The other side broke off, with this alert of TLS.
    Alert(u8),
    /// What came is no TLS.
    NotTls,
    /// There is no version, cipher or protocol that both speak.
    NothingInCommon(String),
    /// The connection ended before it was ended within TLS.
    Truncated,
    /// What came breaks the rules of TLS.
    Broken(String),
}

/// What is wrong with a certificate.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It was in force until this second since 1970, if that is known.
    Expired(Option<u64>),
    /// It will be in force from this second since 1970, if that is known.
    NotYet(Option<u64>),
    /// No authority that is believed has signed it.
    UnknownIssuer,
    /// It is for these names.
    Name(Vec<String>),
    /// It says what it is for, and this is not among that.
    Purpose,
    /// Anything else.
    Other(String),
}

impl Fault {
    /// What rustls says.
    pub(super) fn from_rustls(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(problem) => Fault::Certificate(Problem::from_rustls(problem)),
            E::NoCertificatesPresented => Fault::NoCertificate,
            E::AlertReceived(alert) => Fault::Alert(u8::from(*alert)),
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Fault::NotTls,
            E::PeerIncompatible(why) => Fault::NothingInCommon(format!("{why:?}")),
            E::NoApplicationProtocol => Fault::NothingInCommon("the protocol named by ALPN".to_string()),
            other => Fault::Broken(other.to_string()),
        }
    }
}

impl Problem {
    fn from_rustls(error: &CertificateError) -> Self {
        use CertificateError as E;
        match error {
            E::Expired => Problem::Expired(None),
            E::ExpiredContext { not_after, .. } => Problem::Expired(Some(not_after.as_secs())),
            E::NotValidYet => Problem::NotYet(None),
            E::NotValidYetContext { not_before, .. } => Problem::NotYet(Some(not_before.as_secs())),
            // An authority of the same name with another key: signed by somebody else, too.
            E::UnknownIssuer | E::BadSignature => Problem::UnknownIssuer,
            E::NotValidForName => Problem::Name(Vec::new()),
            E::NotValidForNameContext { presented, .. } => Problem::Name(presented.clone()),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => Problem::Purpose,
            other => Problem::Other(other.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Certificate(problem) => write!(f, "the other side's certificate {problem}"),
            Fault::NoCertificate => f.write_str("the other side showed no certificate; give it one"),
            Fault::Alert(alert) => write!(f, "the other side broke off: {}", alert_words(*alert)),
            Fault::NotTls => {
                f.write_str("the other side does not speak TLS; check the address and its settings")
            }
            Fault::NothingInCommon(what) => {
                write!(f, "TLS has nothing in common with the other side: {what}")
            }
            Fault::Truncated => f.write_str("the other side broke the connection off without a word of TLS"),
            Fault::Broken(what) => write!(f, "TLS failed: {what}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Expired(at) => {
                f.write_str("expired")?;
                at.map_or(Ok(()), |at| write!(f, " on {}", date(at)))?;
                f.write_str("; renew it, or set the clock right")
            }
            Problem::NotYet(at) => {
                f.write_str("is not in force")?;
                at.map_or(Ok(()), |at| write!(f, " before {}", date(at)))?;
                f.write_str("; wait, or set the clock right")
            }
            Problem::UnknownIssuer => {
                f.write_str("is not signed by an authority in ca; sign both by the same")
            }
            Problem::Name(names) if names.is_empty() => f.write_str("is for another name"),
            Problem::Name(names) => write!(f, "is for another name: for {:.120}", names.join(", ")),
            Problem::Purpose => f.write_str(
                "is not for this use; its extended key usage must have both serverAuth and clientAuth",
            ),
            Problem::Other(what) => write!(f, "cannot be used: {what}"),
        }
    }
}

/// The same of this node's own certificate, which is for `name` and judged by `ca`.
pub(super) fn own(fault: &Fault, ca: &Path, name: &str) -> String {
    match fault {
        Fault::Certificate(Problem::UnknownIssuer) => format!(
            "the certificate is not signed by an authority in {}; sign it by that one, or name its own as ca",
            ca.display()
        ),
        Fault::Certificate(Problem::Name(names)) => {
            let dns = |name: &String| name.split('"').nth(1).unwrap_or(name).to_string();
            let names: Vec<String> = names.iter().map(dns).collect();
            let names = if names.is_empty() { "no name".to_string() } else { names.join(", ") };
            format!(
                "the certificate is for {names:.120}, and the node is {name}; have it made with the subject alternative \
                 name DNS:{name}"
            )
        }
        Fault::Certificate(problem) => format!("the certificate {problem}"),
        other => other.to_string(),
    }
}

/// What the other side meant by its alert.
fn alert_words(alert: u8) -> String {
    let words = match AlertDescription::from(alert) {
        AlertDescription::UnknownCA => {
            "it does not know the authority of this side's certificate; sign both by the same"
        }
        AlertDescription::CertificateExpired => "this side's certificate has expired; renew it",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "it does not take this side's certificate; see what it says there"
        }
        AlertDescription::CertificateRevoked => "this side's certificate was revoked; get another",
        AlertDescription::CertificateRequired => "it wants a certificate of this side",
        AlertDescription::DecryptError => "this side's certificate is signed by another key than it knows",
        AlertDescription::NoApplicationProtocol => "it serves another protocol; check the address",
        AlertDescription::ProtocolVersion => "it speaks other versions of TLS",
        AlertDescription::HandshakeFailure => "it has nothing in common with this side",
        AlertDescription::AccessDenied => "it denies access",
        AlertDescription::UnrecognisedName => "it has no certificate for that name",
        other => return format!("alert {alert} of TLS ({other:?})"),
    };
    words.to_string()
}

/// The day, in UTC.
fn date(seconds: u64) -> String {
    let (year, month, day) = crate::time::civil_from_days(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}
