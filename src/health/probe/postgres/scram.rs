//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side, without channel binding: there is no TLS here to bind
//! to.
//!
//! The hashing of the password takes its time, so what came of it is kept: it is good for as long as the server
//! names the same salt and rounds. Rounds are bounded, since the loop that runs the probe waits for them. As in
//! libpq, a password that SASLprep (RFC 4013) does not take is used as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::ROUNDS_MAX;
use crate::health::probe::Entropy;
use crate::health::reason::{Reason, shown};

pub(super) const MECHANISM: &str = "SCRAM-SHA-256";

/// What the flag for "no channel binding" and its repetition in the last message are.
const HEADER: &str = "n,,";
const HEADER_BASE64: &str = "biws";

type Key = [u8; 32];

/// A client that logs in again and again with one password.
pub(super) struct Scram {
    entropy: Entropy,
    /// How often a nonce was made.
    count: u64,
    keys: Option<Keys>,
    exchange: Exchange,
}

/// What is made of password, salt and rounds.
struct Keys {
    salt: Vec<u8>,
    rounds: u32,
    client: Key,
    server: Key,
}

#[derive(Default)]
enum Exchange {
    #[default]
    None,
    First {
        nonce: String,
    },
    /// What the server must answer with.
    Final {
        signature: Key,
    },
}

impl Scram {
    pub(super) fn new(entropy: Entropy) -> Self {
        Self { entropy, count: 0, keys: None, exchange: Exchange::None }
    }

    /// The client's first message. PostgreSQL knows the user already and wants the name empty.
    pub(super) fn first(&mut self) -> String {
        self.count += 1;
        let nonce = hmac(self.entropy.bytes(), &[b"nonce", &self.count.to_le_bytes()]);
        self.first_with(STANDARD.encode(&nonce[..18]), "")
    }

    fn first_with(&mut self, nonce: String, user: &str) -> String {
        let message = format!("{HEADER}n={user},r={nonce}");
        self.exchange = Exchange::First { nonce };
        message
    }

    /// The client's last message, as an answer to the server's first.
    pub(super) fn last(&mut self, server_first: &[u8], password: &[u8]) -> Result<String, Reason> {
        self.last_as(server_first, password, "")
    }

    fn last_as(&mut self, server_first: &[u8], password: &[u8], user: &str) -> Result<String, Reason> {
        let Exchange::First { nonce } = std::mem::take(&mut self.exchange) else {
            return Err(Reason::answer("SCRAM goes on before it began"));
        };
        let wrong = || Reason::answer(format!("SCRAM: not understood: {}", shown(server_first)));
        let text = std::str::from_utf8(server_first).map_err(|_| wrong())?;
        let mut parts = text.split(',');
        let mut value = |key: &str| parts.next()?.strip_prefix(key)?.strip_prefix('=');
        let both = value("r").ok_or_else(wrong)?;
        let salt = value("s").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(wrong)?;
        let rounds: u32 = value("i").and_then(|rounds| rounds.parse().ok()).ok_or_else(wrong)?;
        if !both.starts_with(&nonce) || both.len() == nonce.len() || salt.is_empty() || rounds == 0 {
            return Err(wrong());
        }
        if rounds > ROUNDS_MAX {
            return Err(Reason::answer(format!(
                "SCRAM wants {rounds} rounds of hashing, and {ROUNDS_MAX} at most are done: set scram_iterations \
                 lower and the password of this user anew"
            )));
        }
        let keys = self.keys(password, salt, rounds);
        let without_proof = format!("c={HEADER_BASE64},r={both}");
        let all = format!("n={user},r={nonce},{text},{without_proof}");
        let signature = hmac(&Sha256::digest(keys.client).into(), &[all.as_bytes()]);
        let mut proof = keys.client;
        for (byte, with) in proof.iter_mut().zip(signature) {
            *byte ^= with;
        }
        let signature = hmac(&keys.server, &[all.as_bytes()]);
        self.exchange = Exchange::Final { signature };
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Takes the server's last message: whether it proved that it knows the password.
    pub(super) fn finish(&mut self, server_final: &[u8]) -> Result<(), Reason> {
        let Exchange::Final { signature } = std::mem::take(&mut self.exchange) else {
            return Err(Reason::answer("SCRAM ends before it went on"));
        };
        if let Some(error) = server_final.strip_prefix(b"e=") {
            return Err(Reason::answer(format!("SCRAM was refused: {}", String::from_utf8_lossy(error))));
        }
        let given = server_final.strip_prefix(b"v=").map(|value| value.split(|byte| *byte == b',').next());
        let given = given.flatten().and_then(|given| STANDARD.decode(given).ok());
        if given.is_some_and(|given| given == signature) {
            return Ok(());
        }
        Err(Reason::answer("the server did not prove that it knows the password: it may be another one's"))
    }

    fn keys(&mut self, password: &[u8], salt: Vec<u8>, rounds: u32) -> &Keys {
        let fits = |keys: &Keys| keys.salt == salt && keys.rounds == rounds;
        if !self.keys.as_ref().is_some_and(fits) {
            let prepared =
                std::str::from_utf8(password).ok().and_then(|text| stringprep::saslprep(text).ok());
            let password = prepared.as_deref().map_or(password, str::as_bytes);
            let mut salted = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, rounds, &mut salted);
            self.keys = Some(Keys {
                client: hmac(&salted, &[b"Client Key"]),
                server: hmac(&salted, &[b"Server Key"]),
                salt,
                rounds,
            });
        }
        self.keys.as_ref().expect("it was made above")
    }
}

impl std::fmt::Debug for Scram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scram")
    }
}

fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn scram() -> Scram {
        Scram::new(Entropy::seeded(&mut Rng::new(1)))
    }

    /// RFC 7677, section 3.
    const SERVER_FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn example() -> Scram {
        let mut scram = scram();
        let first = scram.first_with("rOprNGfwEbeRWgbNEkqO".to_string(), "user");
        assert_eq!(first, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        scram
    }

    #[test]
    fn the_example_of_the_rfc() {
        let mut scram = example();
        for _ in 0..2 {
            // The second time with the keys that are kept.
            assert_eq!(
                scram.last_as(SERVER_FIRST, b"pencil", "user").unwrap(),
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            );
            scram.finish(SERVER_FINAL).unwrap();
            scram.first_with("rOprNGfwEbeRWgbNEkqO".to_string(), "user");
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let finish = |last: &[u8]| {
            let mut scram = example();
            scram.last_as(SERVER_FIRST, b"pencil", "user").unwrap();
            scram.finish(last).unwrap_err().text().to_string()
        };
        assert!(finish(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").contains("did not prove"));
        assert!(finish(b"v=").contains("did not prove") && finish(b"").contains("did not prove"));
        assert!(finish(b"e=invalid-proof").contains("refused: invalid-proof"));
        assert!(scram().finish(SERVER_FINAL).is_err());
    }

    #[test]
    fn a_first_message_that_is_none_is_refused() {
        let last = |first: &str| {
            let mut scram = scram();
            scram.first_with("abc".to_string(), "");
            scram.last(first.as_bytes(), b"x").map_err(|reason| reason.text().to_string())
        };
        assert!(last("r=abcd,s=AAAA,i=1").is_ok());
        assert!(last(&format!("r=abcd,s=AAAA,i={ROUNDS_MAX}")).is_ok());
        for bad in [
            "",
            "r=abc,s=AAAA,i=1",
            "r=xabcd,s=AAAA,i=1",
            "r=abcd,s=,i=1",
            "r=abcd,s=?,i=1",
            "r=abcd,s=AAAA,i=0",
            "r=abcd,s=AAAA,i=-1",
            "r=abcd,s=AAAA",
            "m=x,r=abcd,s=AAAA,i=1",
            "s=AAAA,r=abcd,i=1",
            "i=99999999999",
        ] {
            assert!(last(bad).unwrap_err().contains("not understood"), "{bad}");
        }
        assert!(last("r=abcd,s=AAAA,i=65537").unwrap_err().contains("65537 rounds"));
        assert!(scram().last(SERVER_FIRST, b"x").unwrap_err().text().contains("before it began"));
    }

    #[test]
    fn nonces_differ_and_can_be_repeated() {
        let (mut one, mut same) = (scram(), scram());
        let first = one.first();
        assert_eq!(first, same.first());
        assert_ne!(first, one.first());
        let (_, nonce) = first.split_once("r=").unwrap();
        assert_eq!(nonce.len(), 24);
    }

    #[test]
    fn passwords_are_prepared_or_taken_as_they_are() {
        let proof = |password: &[u8]| {
            let mut scram = scram();
            scram.first_with("abc".to_string(), "");
            scram.last(b"r=abcd,s=AAAA,i=1", password).unwrap()
        };
        // The ligature and the roman numeral of RFC 4013's examples.
        assert_eq!(proof("\u{2168}".as_bytes()), proof(b"IX"));
        assert_eq!(proof("I\u{ad}X".as_bytes()), proof(b"IX"));
        assert_ne!(proof(b"\xff"), proof(b"\xfe"));
        assert_ne!(proof(b"a\x07"), proof(b"a"), "what is forbidden is not dropped");
    }
}
