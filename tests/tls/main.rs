//! TLS over bytes: files that are wrong, connections that fail, and OpenSSL at the other end.

#[path = "../shared/certificates.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod certificates;
#[path = "../shared/folder.rs"]
#[allow(dead_code, reason = "other tests take more of it")]
mod folder;

mod files;
mod openssl;
mod pump;
