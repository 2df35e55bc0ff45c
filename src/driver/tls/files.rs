//! Certificates and keys out of PEM files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// The longest file, in bytes: the bundle of all public authorities has a quarter of that.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All certificates of a file, in its order. `what` is the option that names it.
pub(super) fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(what, path)?;
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        certificates.push(certificate.map_err(|error| no_pem(what, path, &error))?);
    }
    if certificates.is_empty() {
        let found = match sections(&bytes).first() {
            Some(section) => format!("has no certificate, but a {section}"),
            None => "has no certificate".to_string(),
        };
        let why = format!("{} {found}; it takes PEM, with -----BEGIN CERTIFICATE-----", path.display());
        return Err(Error::invalid(what, why));
    }
    Ok(certificates)
}

/// The private key of a file; `None` when it has none.
pub(super) fn key(what: &'static str, path: &Path) -> Result<Option<PrivateKeyDer<'static>>> {
    let bytes = read(what, path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(Some(key)),
        Err(pem::Error::NoItemsFound) => {
            if sections(&bytes).iter().any(|section| section.contains("ENCRYPTED")) {
                let why = format!(
                    "{} has a key that is encrypted; take the passphrase away (openssl pkey -in … -out …)",
                    path.display()
                );
                return Err(Error::invalid(what, why));
            }
            Ok(None)
        }
        Err(error) => Err(no_pem(what, path, &error)),
    }
}

/// Whether a certificate says that it is of X.509 version 1 or 2. The version is the first thing in what is signed, and
/// left out in version 1 (RFC 5280, 4.1).
pub(super) fn is_before_version_3(certificate: &[u8]) -> bool {
    const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];
    let signed = inside_sequence(certificate).and_then(inside_sequence);
    signed.is_some_and(|signed| !signed.starts_with(VERSION_3))
}

/// What begins with the first element of a sequence in DER.
fn inside_sequence(der: &[u8]) -> Option<&[u8]> {
    match der.strip_prefix(&[0x30])? {
        [len @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(len & 0x7f)..),
        [..=0x7f, rest @ ..] => Some(rest),
        _ => None,
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    let cannot = |error: &io::Error| Error::io(format!("read {} for {what}", path.display()), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.is_empty() {
        return Err(Error::invalid(what, format!("{} is empty; was it written whole?", path.display())));
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let why = format!("{} has more than {FILE_BYTES_MAX} bytes; is it the right file?", path.display());
        return Err(Error::invalid(what, why));
    }
    if bytes.starts_with(&[0x30, 0x82]) {
        let why = format!("{} is in DER; convert it to PEM (openssl x509 -inform der …)", path.display());
        return Err(Error::invalid(what, why));
    }
    Ok(bytes)
}

/// What the file has, by the names on its first lines.
fn sections(bytes: &[u8]) -> Vec<String> {
    let begin = |line: &str| Some(line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_string());
    String::from_utf8_lossy(bytes).lines().filter_map(|line| begin(line.trim_end())).take(16).collect()
}

fn no_pem(what: &'static str, path: &Path, error: &pem::Error) -> Error {
    let why = match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!(
                "ends before its line -----END {}-----; was it cut?",
                String::from_utf8_lossy(end_marker).trim_end()
            )
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("has the line {:.60?}, which begins no section of PEM", String::from_utf8_lossy(line))
        }
        pem::Error::Base64Decode(detail) => {
            format!("has bytes that are no base64 ({detail:.60}); was it changed?")
        }
        other => other.to_string(),
    };
    Error::invalid(what, format!("{} {why}", path.display()))
}
