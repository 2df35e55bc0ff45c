//! Certificates made for a test, in files.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::folder::Folder;

/// An authority, and the folder that it writes to.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) ca: PathBuf,
}

/// What a certificate is like where it is not as it should be.
pub(crate) struct Wanted<'a> {
    pub(crate) names: &'a [&'a str],
    /// First and last year in which it is in force.
    pub(crate) years: (i32, i32),
    pub(crate) usages: &'a [ExtendedKeyUsagePurpose],
}

/// A certificate and its key, in a file each.
pub(crate) struct Issued {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

pub(crate) const BOTH_USES: &[ExtendedKeyUsagePurpose] =
    &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

impl Authority {
    /// An authority whose certificate is in `folder` under `name`.
    pub(crate) fn new(folder: &Folder, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let ca = folder.write(&format!("{name}.pem"), &certificate.pem());
        Self { issuer: Issuer::new(params, key), ca }
    }

    /// A good certificate for `name`.
    pub(crate) fn issue(&self, folder: &Folder, name: &str) -> Issued {
        self.issue_as(folder, name, &Wanted { names: &[name], years: (2020, 2200), usages: BOTH_USES })
    }

    /// A certificate as wanted, in the file `file`.
    pub(crate) fn issue_as(&self, folder: &Folder, file: &str, wanted: &Wanted<'_>) -> Issued {
        let names: Vec<String> = wanted.names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_before = date_time_ymd(wanted.years.0, 1, 1);
        params.not_after = date_time_ymd(wanted.years.1, 12, 31);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = wanted.usages.to_vec();
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        Issued {
            certificate: folder.write(&format!("{file}.pem"), &signed.pem()),
            key: folder.write(&format!("{file}.key"), &key.serialize_pem()),
        }
    }
}
