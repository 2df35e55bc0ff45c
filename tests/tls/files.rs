//! Files that are not what they should be: which, what about it, and what to do.

use std::path::{Path, PathBuf};

use trimtab::Error;
use trimtab::tls::{Identity, Roots, WallTime};

use crate::certificates::{Authority, BOTH_USES, Wanted};
use crate::folder::Folder;
use crate::pump::{TODAY, identity};

fn told(error: Error) -> String {
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn load(certificates: &[&PathBuf], key: Option<&Path>) -> String {
    let certificates: Vec<PathBuf> = certificates.iter().copied().cloned().collect();
    told(Identity::load(&certificates, key).expect_err("it is wrong"))
}

#[test]
fn a_chain_in_several_files_and_a_key_beside_its_certificate_are_taken() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let issued = authority.issue(&folder, "db-1");
    let both = [&issued.certificate, &issued.key].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    let both = folder.write("both.pem", &both);
    Identity::load(std::slice::from_ref(&both), None).unwrap();
    let chain = [issued.certificate.clone(), authority.ca.clone()];
    let identity = Identity::load(&chain, Some(&issued.key)).unwrap();
    identity.check(&Roots::load(&authority.ca).unwrap(), "db-1", TODAY).unwrap();
}

#[test]
fn files_that_are_missing_empty_or_of_another_kind() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let issued = authority.issue(&folder, "db-1");
    let good = [&issued.certificate];
    let empty = folder.write("empty.pem", "");
    let text = folder.write("text.pem", "not a certificate\n");
    let missing = folder.path().join("missing.pem");

    assert!(load(&[], None).contains("the list is empty"));
    assert!(load(&[&missing], None).contains("missing.pem for certificates: No such file"));
    assert!(load(&[&empty], None).contains("empty.pem is empty; was it written whole?"));
    assert!(load(&[&text], None).contains("text.pem has no certificate; it takes PEM"));
    assert!(load(&[&issued.key], None).contains("has no certificate, but a PRIVATE KEY"));
    assert!(load(&good, None).contains("db-1.pem has no private key; name its file with key"));
    assert!(load(&good, Some(&text)).contains("text.pem has no private key"));
    assert!(load(&good, Some(&missing)).contains("missing.pem for key: No such file"));
    assert!(load(&[&folder.path().to_path_buf()], None).contains("for certificates: "));
    let roots = |path: &Path| told(Roots::load(path).expect_err("it is wrong"));
    assert!(roots(&empty).contains("invalid ca: ") && roots(&empty).contains("is empty"));
    assert!(roots(&issued.key).contains("but a PRIVATE KEY"));
    assert!(roots(&missing).contains("for ca: No such file"));
}

/// As `openssl x509 -req` makes it without `-extfile`.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBGjCBwQIUCKzciYZy/eFJTthIq0xiQK9n+cEwCgYIKoZIzj0EAwIwDzENMAsG
A1UEAwwEZGItMTAgFw0yNjExMjcxMzU1NTVaGA8yMTI2MTEwMzEzNTU1NVowDzEN
MAsGA1UEAwwEZGItMTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOqhSBGOZrOc
2Y/SwOE89I7b7qVXuRAppmDzSaEShMJ0e7CUTOSCGdsxay4xP7azMvBI4HozGQnF
fQ2wu2PMkm4wCgYIKoZIzj0EAwIDSAAwRQIhALDeOKOADtvz4QYRQdMOqBXhpgBv
m0TfpLQnpO7F4THlAiASKSYitYunz2hcPU2OLarf6+dL9vHz1D6Ly859ADE94A==
-----END CERTIFICATE-----
";

#[test]
fn a_certificate_of_version_1_has_no_names() {
    let folder = Folder::new();
    let issued = Authority::new(&folder, "ca").issue(&folder, "db-1");
    let old = folder.write("old.pem", VERSION_1);
    let said = load(&[&old], Some(&issued.key));
    assert!(said.contains("old.pem has a certificate before X.509 version 3"), "{said}");
    assert!(said.contains("subjectAltName (openssl x509 -req makes it with -extfile alone)"), "{said}");
}

#[test]
fn files_that_are_cut_changed_or_encrypted() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let issued = authority.issue(&folder, "db-1");
    let pem = std::fs::read_to_string(&issued.certificate).unwrap();
    let cut = folder.write("cut.pem", &pem[..pem.len() / 2]);
    let cut = load(&[&cut], None);
    assert!(cut.contains("cut.pem ends before its line -----END CERTIFICATE-----; was it cut?"), "{cut}");
    let lines: Vec<&str> = pem.lines().collect();
    let changed = pem.replacen(lines[2], &format!("!{}", &lines[2][1..]), 1);
    let changed = folder.write("changed.pem", &changed);
    assert!(load(&[&changed], None).contains("no base64"));
    // Base64 that is no certificate.
    let garbage =
        folder.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(
        load(&[&garbage], Some(&issued.key)).contains("garbage.pem has a certificate that cannot be read")
    );
    assert!(
        told(Roots::load(&garbage).unwrap_err())
            .contains("garbage.pem has a certificate that cannot be read")
    );
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = folder.write("encrypted.key", encrypted);
    let good = [&issued.certificate];
    assert!(
        load(&good, Some(&encrypted))
            .contains("encrypted.key has a key that is encrypted; take the passphrase away")
    );
    let odd = folder.write("odd.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    assert!(load(&good, Some(&odd)).contains("odd.key has a key of a kind that is not known"));
    let der = folder.path().join("der.pem");
    std::fs::write(&der, [0x30, 0x82, 1, 2, 3]).unwrap();
    assert!(load(&[&der], None).contains("is in DER; convert it to PEM"));
    let huge = folder.path().join("huge.pem");
    std::fs::File::create(&huge).unwrap().set_len(1 << 30).unwrap();
    assert!(load(&[&huge], None).contains("has more than 1048576 bytes; is it the right file?"));
}

#[test]
fn the_key_of_another_certificate() {
    let folder = Folder::new();
    let authority = Authority::new(&folder, "ca");
    let (first, second) = (authority.issue(&folder, "db-1"), authority.issue(&folder, "db-2"));
    let told = load(&[&first.certificate], Some(&second.key));
    assert!(told.starts_with("invalid key: "), "{told}");
    assert!(
        told.contains("db-2.key is not the key of the certificate in ") && told.contains("db-1.pem"),
        "{told}"
    );
}

#[test]
fn a_certificate_that_the_other_nodes_would_not_take_is_found_here() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new(&folder, "ca"), Authority::new(&folder, "other"));
    let roots = Roots::load(&authority.ca).unwrap();
    let check = |issued, name| told(identity(&issued).check(&roots, name, TODAY).expect_err("it is wrong"));
    let wanted = |years, usages| Wanted { names: &["db-1"], years, usages };

    let foreign = check(other.issue(&folder, "foreign"), "foreign");
    assert!(foreign.contains("foreign.pem: the certificate is not signed by an authority in "), "{foreign}");
    assert!(foreign.contains("ca.pem; sign it by that one"), "{foreign}");
    let named = check(authority.issue(&folder, "db-1"), "db-2");
    assert!(
        named.contains("the certificate is for db-1, and the node is db-2; have it made with"),
        "{named}"
    );
    let expired = check(authority.issue_as(&folder, "old", &wanted((2020, 2024), BOTH_USES)), "db-1");
    assert!(expired.contains("old.pem: the certificate expired on 2024-12-31; renew it"), "{expired}");
    let future = check(authority.issue_as(&folder, "new", &wanted((2150, 2200), BOTH_USES)), "db-1");
    assert!(future.contains("is not in force before 2150-01-01"), "{future}");
    for (file, usages) in [("server", &BOTH_USES[..1]), ("client", &BOTH_USES[1..])] {
        let half = check(authority.issue_as(&folder, file, &wanted((2020, 2200), usages)), "db-1");
        assert!(half.contains("must have both serverAuth and clientAuth"), "{half}");
    }
    let good = identity(&authority.issue(&folder, "db-1"));
    good.check(&roots, "db-1", WallTime::System).unwrap();
    assert!(told(good.check(&roots, "db 1", TODAY).unwrap_err()).contains("cannot stand in a certificate"));
}
