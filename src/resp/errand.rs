//! [`Errand`]: a command that only reads keys, as one node has another do it for a client.

use super::command::{self, Args, Run, Spec};
use super::reply::{Protocol, Reply};
use super::value::Value;
use super::world::{Failure, World};
use crate::store::index::{State, Timestamp};

/// A command that names the keys it reads. All it comes to depends on them and the time alone.
///
/// | bound | unit | value | why |
/// |---|---|---|---|
/// | [`Errand::ARGUMENTS_MAX`] | arguments | 1,024 | so many keys are looked up with nothing else done meanwhile |
/// | [`Errand::BYTES_MAX`] | bytes | 1 MiB | of arguments: of longer ones the answer says less than the question |
/// | [`Errand::HASH_BYTES_MAX`] | bytes | 1 MiB | of a hash, which is gone through as a whole |
/// | [`Errand::ANSWER_BYTES_MAX`] | bytes | 8 MiB, or a value and 1 KiB if that is more | of the answer, which is held whole on both nodes |
///
/// What is beyond is no errand: its client is answered once its own node has come as far as the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// How the client wants the answer written.
    pub protocol: Protocol,
    /// For what is drawn.
    pub random: u64,
    /// The command, its name first.
    pub arguments: Vec<Vec<u8>>,
}

impl Errand {
    /// The most arguments, the name among them.
    pub const ARGUMENTS_MAX: usize = 1_024;
    /// The most bytes that these have together.
    pub const BYTES_MAX: usize = 1 << 20;
    /// The most bytes of a hash that is read.
    pub const HASH_BYTES_MAX: usize = 1 << 20;
    /// The most bytes of an answer, but one value in any case.
    pub const ANSWER_BYTES_MAX: usize = 8 << 20;

    /// The errand that a request is, if it is one.
    pub(super) fn of(spec: &Spec, args: Args<'_>, protocol: Protocol, random: u64) -> Option<Self> {
        let bytes: usize = args.iter().map(|arg| arg.len()).sum();
        let is_short = args.len() <= Self::ARGUMENTS_MAX && bytes <= Self::BYTES_MAX;
        (is_short && is_errand(spec)).then(|| Self {
            protocol,
            random,
            arguments: args.iter().map(|arg| arg.to_vec()).collect(),
        })
    }

    /// What a client is to be sent by what is in `state`, errors too. `None`: it is no errand here, or its answer is
    /// too long.
    pub fn answer(&self, state: &State, now: Timestamp) -> Option<Vec<u8>> {
        let args: Vec<&[u8]> = self.arguments.iter().map(|arg| &arg[..]).collect();
        let spec = args.first().and_then(|_| command::of_request(&args).ok())?;
        let Run::Data(run) = spec.run else { return None };
        let now = now.max(state.time());
        let is_long = |key: &[u8]| {
            let value = state.get(key, now).map(|entry| entry.value);
            value.is_some_and(|it| {
                it.len() > Self::HASH_BYTES_MAX && matches!(Value::parse(it), Value::Hash(_))
            })
        };
        if !is_errand(spec) || spec.keys_of(&args).any(is_long) {
            return None;
        }
        let value_max = usize::try_from(state.settings().value_max).unwrap_or(usize::MAX);
        let room = Self::ANSWER_BYTES_MAX.max(value_max.saturating_add(1 << 10));
        let mut world = World::new(state, now, false, self.random);
        let mut out = Vec::new();
        let mut reply = Reply::bounded(&mut out, self.protocol, room);
        let result = run(&mut world, &args, &mut reply);
        if reply.is_over() {
            return None;
        }
        if let Err(Failure(text)) = result {
            out.clear();
            Reply::new(&mut out, self.protocol).error_bytes(&text);
        }
        Some(out)
    }
}

/// Whether a command may be one. What it costs goes by its keys and what they have, but for `LCS`, which takes the two
/// times each other.
fn is_errand(spec: &Spec) -> bool {
    matches!(spec.run, Run::Data(_)) && !spec.is_write() && spec.keys.0 > 0 && spec.name != "lcs"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::{self, Command, Condition, Index, Lifetime, Operation, Step};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn index() -> Index {
        let mut index = Index::new(&index::Options::default());
        let hash = b"\xfe\x54\x54\x48\x01\x01f\x01v".to_vec();
        let later = Lifetime::Until(NOW.saturating_add(5_000));
        let puts: [(&[u8], Vec<u8>, Lifetime); 4] = [
            (b"a", b"1".to_vec(), Lifetime::Unbounded),
            (b"b", b"22".to_vec(), later),
            (b"h", hash, Lifetime::Unbounded),
            (b"long", vec![b'x'; 9 << 20], Lifetime::Unbounded),
        ];
        for (sequence, (key, value, lifetime)) in (1..).zip(&puts) {
            let condition = Condition::Always;
            let put = Step::Put { key, value, condition, lifetime: *lifetime, previous: false };
            let command = Command { time: NOW, request: None, operation: Operation::Step(put) };
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            index.apply(sequence, &bytes).unwrap();
        }
        index
    }

    fn errand(line: &str, protocol: Protocol) -> Option<Errand> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        Errand::of(command::of_request(&args).unwrap(), &args, protocol, 7)
    }

    #[test]
    fn each_read_of_keys_is_one_and_nothing_else() {
        let all = command::all().filter(|spec| is_errand(spec)).map(|spec| spec.name).collect::<Vec<_>>();
        let known = [
            "get",
            "mget",
            "strlen",
            "getrange",
            "substr",
            "exists",
            "touch",
            "type",
            "object",
            "ttl",
            "pttl",
            "expiretime",
            "pexpiretime",
            "hget",
            "hmget",
            "hgetall",
            "hkeys",
            "hvals",
            "hlen",
            "hexists",
            "hstrlen",
            "hscan",
            "hrandfield",
        ];
        let missing: Vec<_> = known.iter().filter(|name| !all.contains(name)).collect();
        let new: Vec<_> = all.iter().filter(|name| !known.contains(name)).collect();
        assert!(missing.is_empty() && new.is_empty(), "{missing:?} {new:?}");
        for line in ["SET a 1", "KEYS *", "SCAN 0", "DBSIZE", "RANDOMKEY", "LCS a b", "WATCH a", "INFO"] {
            assert_eq!(errand(line, Protocol::Resp2), None, "{line}");
        }
        // Whoever sends one all the same is told nothing.
        for arguments in [vec![], vec![b"set".to_vec(), b"a".to_vec(), b"9".to_vec()], vec![b"keys".to_vec()]]
        {
            let errand = Errand { protocol: Protocol::Resp2, random: 0, arguments };
            assert_eq!(errand.answer(index().state(), NOW), None, "{errand:?}");
        }
    }

    #[test]
    fn it_is_answered_as_its_client_is() {
        let index = index();
        let told = |line: &str, protocol| {
            let told = errand(line, protocol).unwrap().answer(index.state(), NOW);
            String::from_utf8(told.unwrap()).unwrap().replace("\r\n", " ")
        };
        for (line, in_two, in_three) in [
            ("GET a", "$1 1 ", "$1 1 "),
            ("GET none", "$-1 ", "_ "),
            ("MGET a none b", "*3 $1 1 $-1 $2 22 ", "*3 $1 1 _ $2 22 "),
            ("PTTL b", ":5000 ", ":5000 "),
            ("HGETALL h", "*2 $1 f $1 v ", "%1 $1 f $1 v "),
            ("EXISTS a b none", ":2 ", ":2 "),
        ] {
            assert_eq!(told(line, Protocol::Resp2), in_two, "{line}");
            assert_eq!(told(line, Protocol::Resp3), in_three, "{line}");
        }
        assert!(told("GET h", Protocol::Resp2).starts_with("-WRONGTYPE "));
        let later =
            errand("GET b", Protocol::Resp2).unwrap().answer(index.state(), NOW.saturating_add(5_000));
        assert_eq!(later.as_deref(), Some(&b"$-1\r\n"[..]), "it has expired by then");
    }

    #[test]
    fn what_is_too_long_is_none() {
        let index = index();
        let told = |line: &str| errand(line, Protocol::Resp2).unwrap().answer(index.state(), NOW).is_some();
        assert!(told("GET long"), "a value is never too long");
        assert!(told("MGET a long") && !told("MGET long long"));
        let keys = |count: usize| format!("MGET{}", " k".repeat(count - 1));
        assert!(errand(&keys(Errand::ARGUMENTS_MAX), Protocol::Resp2).is_some());
        assert!(errand(&keys(Errand::ARGUMENTS_MAX + 1), Protocol::Resp2).is_none());
        let key = |len: usize| format!("GET {}", "k".repeat(len - 3));
        assert!(errand(&key(Errand::BYTES_MAX), Protocol::Resp2).is_some());
        assert!(errand(&key(Errand::BYTES_MAX + 1), Protocol::Resp2).is_none());
    }
}
