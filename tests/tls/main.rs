//! TLS over bytes: files that are wrong, connections that fail, and OpenSSL at the other end.

#[path = "../shared/certificates.rs"]
mod certificates;
#[path = "../shared/folder.rs"]
mod folder;

mod files;
mod openssl;
mod pump;
