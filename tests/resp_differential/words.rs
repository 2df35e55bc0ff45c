//! Commands drawn at random: few keys and values, so that they meet.

use std::collections::BTreeSet;

use trimtab::rng::Rng;

pub(crate) struct Words {
    kinds: BTreeSet<&'static str>,
}

/// A letter stands for an argument: `k` a key, `h` a key that mostly has a hash, `f` a field, `v` a value, `n` a
/// number, `d` a number with a fraction, `t` a lifetime in seconds, `m` one in milliseconds, `a` and `b` the same
/// since 1970, `p` a pattern, `o` options of `SET`, `g` those of `GETEX`, `e` those of `EXPIRE`, `*` the one before
/// it some times more, `u` options of `LCS`. Lifetimes are so long or over so long ago that the moment does not matter.
const FORMS: &[(&str, &str)] = &[
    ("GET", "k"),
    ("SET", "kv"),
    ("SET", "kvo"),
    ("SETNX", "kv"),
    ("SETEX", "ktv"),
    ("PSETEX", "kmv"),
    ("GETSET", "kv"),
    ("GETDEL", "k"),
    ("GETEX", "kg"),
    ("MGET", "k*"),
    ("MSET", "kv"),
    ("MSET", "kvkv"),
    ("MSETNX", "kvkv"),
    ("APPEND", "kv"),
    ("STRLEN", "k"),
    ("LCS", "kku"),
    ("LCS", "kku"),
    ("GETRANGE", "knn"),
    ("SUBSTR", "knn"),
    ("SETRANGE", "knv"),
    ("INCR", "k"),
    ("DECR", "k"),
    ("INCRBY", "kn"),
    ("DECRBY", "kn"),
    ("INCRBYFLOAT", "kd"),
    ("DEL", "k"),
    ("DEL", "k*"),
    ("UNLINK", "k"),
    ("EXISTS", "k*"),
    ("TOUCH", "k*"),
    ("TYPE", "k"),
    ("RENAME", "kk"),
    ("RENAMENX", "kk"),
    ("COPY", "kk"),
    ("COPY", "kkr"),
    ("KEYS", "p"),
    ("DBSIZE", ""),
    ("EXPIRE", "kte"),
    ("PEXPIRE", "kme"),
    ("EXPIREAT", "kae"),
    ("PEXPIREAT", "kbe"),
    ("PERSIST", "k"),
    ("TTL", "l"),
    ("EXPIRETIME", "l"),
    ("PEXPIRETIME", "l"),
    ("PTTL", "l"),
    ("HSET", "hfv"),
    ("HSET", "hfvfv"),
    ("HMSET", "hfvfv"),
    ("HSETNX", "hfv"),
    ("HGET", "hf"),
    ("HMGET", "hf*"),
    ("HGETALL", "h"),
    ("HKEYS", "h"),
    ("HVALS", "h"),
    ("HDEL", "hf*"),
    ("HLEN", "h"),
    ("HEXISTS", "hf"),
    ("HSTRLEN", "hf"),
    ("HINCRBY", "hfn"),
    ("HINCRBYFLOAT", "hfd"),
    ("HSCAN", "h0"),
    ("MULTI", ""),
    ("MULTI", ""),
    ("EXEC", ""),
    ("EXEC", ""),
    ("EXEC", ""),
    ("EXEC", ""),
    ("DISCARD", ""),
    ("WATCH", "k*"),
    ("UNWATCH", ""),
    ("PING", ""),
    ("ECHO", "v"),
    ("GET", ""),
    ("SET", "k"),
    ("HSET", "hf"),
    ("HSET", "hfvf"),
    ("MSET", "kvk"),
    ("NOPE", "v*"),
    ("FLUSHALL", ""),
    ("SELECT", "n"),
    ("PUBLISH", "vv"),
    ("OBJECT", "xk"),
    ("HRANDFIELD", "y"),
    ("RANDOMKEY", "q"),
    ("COMMAND", "q"),
    ("CLIENT", "c"),
    ("AUTH", "v"),
    ("AUTH", "vv"),
    ("HELLO", "i"),
    ("CONFIG", "j"),
    ("UNSUBSCRIBE", "v"),
    ("PUNSUBSCRIBE", "v"),
    ("PUBSUB", "z"),
    ("RESET", "v"),
    ("TYPE", "h"),
    ("DEL", "h"),
    ("GET", "h"),
    ("STRLEN", "h"),
    ("SCAN", "s"),
    ("WAIT", "w"),
];

/// Those that change something.
const WRITES: &[&str] = &["SET", "DEL", "INCR", "APPEND", "HSET", "RENAME", "PERSIST", "MSET", "HDEL"];

/// A moment far in the future that is the same in every run.
const FAR: u64 = 4_000_000_000;

impl Words {
    pub(crate) fn new() -> Self {
        Self { kinds: BTreeSet::new() }
    }

    /// How many different commands were drawn.
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }

    pub(crate) fn next(&mut self, rng: &mut Rng) -> Vec<Vec<u8>> {
        let form = FORMS[rng.below(FORMS.len() as u64) as usize];
        self.request(form, rng)
    }

    pub(crate) fn write(&mut self, rng: &mut Rng) -> Vec<Vec<u8>> {
        loop {
            let form = FORMS[rng.below(FORMS.len() as u64) as usize];
            if WRITES.contains(&form.0) {
                return self.request(form, rng);
            }
        }
    }

    fn request(&mut self, (name, form): (&'static str, &str), rng: &mut Rng) -> Vec<Vec<u8>> {
        self.kinds.insert(name);
        let cased = if rng.below(4) == 0 { name.to_ascii_lowercase() } else { name.to_owned() };
        let mut words = vec![cased.into_bytes()];
        let mut last = ' ';
        for letter in form.chars() {
            if letter == '*' {
                for _ in 0..rng.below(3) {
                    draw(last, rng, &mut words);
                }
            } else {
                draw(letter, rng, &mut words);
            }
            last = letter;
        }
        words
    }
}

fn choose<'a>(from: &[&'a str], rng: &mut Rng) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

fn draw(letter: char, rng: &mut Rng, words: &mut Vec<Vec<u8>>) {
    let mut push = |word: &str| words.push(word.as_bytes().to_vec());
    match letter {
        'k' => push(choose(&["a", "b", "c", "d", "e", "", "h", "\0\r\n"], rng)),
        'h' => push(choose(&["h", "h", "h", "i", "i", "j", "a"], rng)),
        // Nobody draws a key like this: its lifetime may be asked for.
        'l' => push(choose(&["nothere", "nor-this"], rng)),
        'f' => push(choose(&["f", "g", "name", "", "1", "\r\n", "x", "y", "z"], rng)),
        'v' if rng.below(12) == 0 => {
            words.push(b"\xfeTTH\x01\x01a\x01b"[..1 + rng.below(9) as usize].to_vec())
        }
        'v' => push(choose(
            &[
                "",
                "1",
                "-7",
                "12.5",
                "abc",
                "x y",
                "\r\n",
                "9223372036854775807",
                "01",
                "1e3",
                "long long text",
            ],
            rng,
        )),
        'n' => push(choose(
            &[
                "0",
                "1",
                "-1",
                "5",
                "-3",
                "100",
                "9223372036854775807",
                "-9223372036854775808",
                "x",
                "1.5",
                "",
            ],
            rng,
        )),
        'd' if rng.below(3) == 0 => {
            let sign = choose(&["", "-"], rng);
            let whole = rng.next_u64() >> rng.below(64);
            let part = rng.next_u64() >> rng.below(64);
            push(&format!("{sign}{whole}.{part:0width$}", width = rng.below(18) as usize));
        }
        'd' => push(choose(
            &[
                "0.1",
                "-0.1",
                "1e3",
                "3",
                "-2.5e-3",
                "x",
                "1e-20",
                "100000000000000000000.5",
                ".5",
                "0.30000000001",
            ],
            rng,
        )),
        // Apart from each other by more than a run takes, for the sake of GT and LT.
        't' | 'm' => {
            let unit = if letter == 't' { 100 } else { 100_000 };
            let time = ((1_000_000 + rng.below(1_000_000)) * unit).to_string();
            push(choose(&[&time, &time, "x", "9223372036854775807", "-5", "0"], rng));
        }
        'a' => {
            let time = (FAR + rng.below(3)).to_string();
            push(choose(&[&time, &time, "1", "-1", "x", "0"], rng));
        }
        'b' => {
            let time = ((FAR + rng.below(3)) * 1_000).to_string();
            push(choose(&[&time, &time, "1", "-1", "x", "0"], rng));
        }
        'p' => push(choose(&["*", "a*", "[a-c]", "?", "\\a", "[^a]", "", "h", "**", "*?", "*a*"], rng)),
        'r' => push(choose(&["REPLACE", "replace", "nope"], rng)),
        '0' => push(choose(
            &["0", "0", "x", "-", "", "-1", "-0", "+0", " 0", "0 ", "18446744073709551616", "1\0x"],
            rng,
        )),
        'o' => {
            for _ in 0..=rng.below(2) {
                match rng.below(9) {
                    0 | 1 => push("NX"),
                    2 | 3 => push("xx"),
                    4 => push("GET"),
                    5 => push("KEEPTTL"),
                    6 => {
                        push("PXAT");
                        push(&((FAR + rng.below(3)) * 1_000).to_string());
                    }
                    7 => {
                        push(choose(&["EX", "PX", "EXAT"], rng));
                        push(choose(&["0", "x", "-1", "9223372036854775807"], rng));
                    }
                    _ => push(choose(&["PERSIST", "nope", "EX"], rng)),
                }
            }
        }
        'g' => match rng.below(5) {
            0 => {}
            1 => push("PERSIST"),
            2 => {
                push("EXAT");
                push(&(FAR + rng.below(3)).to_string());
            }
            3 => {
                push(choose(&["EX", "PXAT"], rng));
                push(choose(&["0", "x", "1"], rng));
            }
            _ => push(choose(&["NX", "KEEPTTL", "GET"], rng)),
        },
        'e' => {
            for _ in 0..rng.below(3) {
                push(choose(&["NX", "XX", "gt", "LT", "GT", "nope"], rng));
            }
        }
        'u' => {
            for _ in 0..rng.below(4) {
                match rng.below(6) {
                    0 | 1 => push("IDX"),
                    2 => push("len"),
                    3 => push("WITHMATCHLEN"),
                    4 => {
                        push("MINMATCHLEN");
                        push(choose(&["0", "1", "2", "3", "-1", "x"], rng));
                    }
                    _ => push(choose(&["nope", "MINMATCHLEN"], rng)),
                }
            }
        }
        'i' => push(choose(&["4", "x", ""], rng)),
        'j' => {
            push(choose(&["GET", "get", "nope"], rng));
            push(choose(&["timeout", "databases", "save", "notify-keyspace-events", "nope*", "SAVE"], rng));
        }
        'z' => {
            push(choose(&["CHANNELS", "numsub", "NUMPAT", "nope"], rng));
            push("a");
        }
        'x' => push(choose(&["nope", "HELPING", "freq"], rng)),
        'y' => {
            push("nothere");
            push(choose(&["1", "-1", "x"], rng));
        }
        'q' => push("nope"),
        'c' => push(choose(&["GETNAME", "nope"], rng)),
        // No scan that finds anything: the order is not compared.
        's' => {
            push(choose(&["0", "x"], rng));
            push(choose(&["COUNT", "nope", "TYPE"], rng));
            push("0");
            push("MATCH");
            push("nothing*");
            push("COUNT");
            push("1000");
        }
        'w' => {
            push(choose(&["0", "-1", "x"], rng));
            push(choose(&["0", "1", "-1", "x"], rng));
        }
        other => unreachable!("{other} is no letter"),
    }
}
