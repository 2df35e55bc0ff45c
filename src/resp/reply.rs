//! [`Reply`]: what clients are sent.

/// The version of the protocol a client has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, with which every connection begins.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// Appends replies to a buffer. What only RESP3 has is written to RESP2 clients as Redis writes it: maps as arrays
/// of keys and values, sets and pushes as arrays, numbers with a fraction and long numbers as strings, truth as 1
/// and 0.
///
/// Whoever begins an array of `n` replies writes `n` replies behind it; a map of `n`, two times `n`.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
    /// The length `out` may come to.
    len_max: usize,
    is_over: bool,
}

impl<'a> Reply<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self::bounded(out, protocol, usize::MAX)
    }

    /// Appends to `out` while it has less than `len_max` bytes. What would make it longer is left out, after which
    /// [`Reply::is_over`] is true and the bytes are no reply any more.
    pub fn bounded(out: &'a mut Vec<u8>, protocol: Protocol, len_max: usize) -> Self {
        Self { out, protocol, len_max, is_over: false }
    }

    /// Whether something was left out.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// How many bytes there is room for.
    pub fn room(&self) -> usize {
        self.len_max.saturating_sub(self.out.len())
    }

    /// Leaves out all that follows if it has `len` bytes at least, and there is no room for so many: before it is made up. Says
    /// whether there is.
    pub fn is_to_hold(&mut self, len: usize) -> bool {
        self.has_room(len)
    }

    /// Writes in `protocol` from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// An error whose text may quote what a client has sent.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// Replies that were written before.
    pub fn written(&mut self, replies: &[u8]) {
        if self.has_room(replies.len()) {
            self.out.extend_from_slice(replies);
        }
    }

    /// The version in which this writes.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// A short text without line ends: `OK`. Line ends are written as blanks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error: a code in capitals, a blank, and what is wrong. Line ends are written as blanks.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    /// A whole number.
    pub fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// Any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.long(b'$', bytes);
    }

    /// Nothing, where a string would be.
    pub fn null(&mut self) {
        self.out.extend_from_slice(self.choose(b"$-1\r\n", b"_\r\n"));
    }

    /// Nothing, where an array would be.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(self.choose(b"*-1\r\n", b"_\r\n"));
    }

    /// The beginning of an array.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len as i64);
    }

    /// The beginning of a map: keys and values in turn.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', len as i64 * 2),
            Protocol::Resp3 => self.head(b'%', len as i64),
        }
    }

    /// The beginning of a set.
    pub fn set(&mut self, len: usize) {
        self.head(self.choose(b'*', b'~'), len as i64);
    }

    /// The beginning of what comes without having been asked for: a message of a channel.
    pub fn push(&mut self, len: usize) {
        self.head(self.choose(b'*', b'>'), len as i64);
    }

    /// True or false.
    pub fn boolean(&mut self, is_true: bool) {
        let text: &[u8] = match (self.protocol, is_true) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        };
        self.out.extend_from_slice(text);
    }

    /// A number with a fraction, in the fewest digits that say which.
    pub fn double(&mut self, number: f64) {
        let text = if number.is_nan() {
            "nan".to_owned()
        } else if number.is_infinite() {
            if number > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
        } else if number != 0.0 && !(1e-5..1e17).contains(&number.abs()) {
            // A long row of zeros says no more.
            let text = format!("{number:e}");
            if number.abs() >= 1.0 { text.replace('e', "e+") } else { text }
        } else {
            number.to_string()
        };
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// Text of a format that has a name of three letters: `txt`, `mkd`.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.head(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A whole number of any length, as its digits.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    fn choose<T>(&self, resp2: T, resp3: T) -> T {
        match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        }
    }

    fn has_room(&mut self, len: usize) -> bool {
        self.is_over |= self.len_max.saturating_sub(self.out.len()) < len;
        !self.is_over
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        if !self.has_room(text.len()) {
            return;
        }
        self.out.push(kind);
        self.out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    fn long(&mut self, kind: u8, bytes: &[u8]) {
        if !self.has_room(bytes.len()) {
            return;
        }
        self.head(kind, bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    fn head(&mut self, kind: u8, number: i64) {
        if !self.has_room(1) {
            return;
        }
        self.out.push(kind);
        // Digits from the last to the first: no allocation for what each reply has.
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(&digits[at..]);
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp2::types::BytesFrame as Frame2;
    use redis_protocol::resp3::types::BytesFrame as Frame3;

    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        out
    }

    fn both(write: impl Fn(&mut Reply<'_>)) -> (String, String) {
        let text = |protocol| String::from_utf8(written(protocol, &write)).unwrap();
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    #[test]
    fn each_kind_in_both_versions() {
        let same = |text: &str| (text.to_owned(), text.to_owned());
        let two = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(both(|reply| reply.simple("OK")), same("+OK\r\n"));
        assert_eq!(both(|reply| reply.error("ERR no\r\nsuch")), same("-ERR no  such\r\n"));
        assert_eq!(both(|reply| reply.integer(i64::MIN)), same(":-9223372036854775808\r\n"));
        assert_eq!(both(|reply| reply.integer(0)), same(":0\r\n"));
        assert_eq!(both(|reply| reply.bulk(b"a\r\nb")), same("$4\r\na\r\nb\r\n"));
        assert_eq!(both(|reply| reply.null()), two("$-1\r\n", "_\r\n"));
        assert_eq!(both(|reply| reply.null_array()), two("*-1\r\n", "_\r\n"));
        assert_eq!(both(|reply| reply.array(10)), same("*10\r\n"));
        assert_eq!(both(|reply| reply.map(3)), two("*6\r\n", "%3\r\n"));
        assert_eq!(both(|reply| reply.set(3)), two("*3\r\n", "~3\r\n"));
        assert_eq!(both(|reply| reply.push(3)), two("*3\r\n", ">3\r\n"));
        assert_eq!(both(|reply| reply.boolean(true)), two(":1\r\n", "#t\r\n"));
        assert_eq!(both(|reply| reply.boolean(false)), two(":0\r\n", "#f\r\n"));
        assert_eq!(both(|reply| reply.double(1.5)), two("$3\r\n1.5\r\n", ",1.5\r\n"));
        assert_eq!(both(|reply| reply.double(-0.1)), two("$4\r\n-0.1\r\n", ",-0.1\r\n"));
        assert_eq!(both(|reply| reply.double(3.0)), two("$1\r\n3\r\n", ",3\r\n"));
        assert_eq!(both(|reply| reply.double(1e300)), two("$6\r\n1e+300\r\n", ",1e+300\r\n"));
        assert_eq!(both(|reply| reply.double(f64::NEG_INFINITY)), two("$4\r\n-inf\r\n", ",-inf\r\n"));
        assert_eq!(both(|reply| reply.double(f64::NAN)), two("$3\r\nnan\r\n", ",nan\r\n"));
        assert_eq!(both(|reply| reply.verbatim(*b"txt", b"hi")), two("$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"));
        assert_eq!(both(|reply| reply.big_number("12")), two("$2\r\n12\r\n", "(12\r\n"));
    }

    #[derive(Clone, Debug)]
    enum Tree {
        Simple(String),
        Integer(i64),
        Bulk(Vec<u8>),
        Null,
        Boolean(bool),
        Array(Vec<Tree>),
        Push(Vec<i64>),
    }

    impl Tree {
        fn write(&self, reply: &mut Reply<'_>) {
            match self {
                Tree::Simple(text) => reply.simple(text),
                Tree::Integer(number) => reply.integer(*number),
                Tree::Bulk(bytes) => reply.bulk(bytes),
                Tree::Null => reply.null(),
                Tree::Boolean(is_true) => reply.boolean(*is_true),
                Tree::Array(trees) => {
                    reply.array(trees.len());
                    trees.iter().for_each(|tree| tree.write(reply));
                }
                Tree::Push(numbers) => {
                    reply.push(numbers.len());
                    numbers.iter().for_each(|number| reply.integer(*number));
                }
            }
        }

        fn resp2(&self) -> Frame2 {
            match self {
                Tree::Simple(text) => Frame2::SimpleString(text.clone().into()),
                Tree::Integer(number) => Frame2::Integer(*number),
                Tree::Bulk(bytes) => Frame2::BulkString(bytes.clone().into()),
                Tree::Null => Frame2::Null,
                Tree::Boolean(is_true) => Frame2::Integer(i64::from(*is_true)),
                Tree::Array(trees) => Frame2::Array(trees.iter().map(Tree::resp2).collect()),
                Tree::Push(numbers) => Frame2::Array(numbers.iter().map(|n| Frame2::Integer(*n)).collect()),
            }
        }

        fn resp3(&self) -> Frame3 {
            let number = |n: i64| Frame3::Number { data: n, attributes: None };
            match self {
                Tree::Simple(text) => Frame3::SimpleString { data: text.clone().into(), attributes: None },
                Tree::Integer(n) => number(*n),
                Tree::Bulk(bytes) => Frame3::BlobString { data: bytes.clone().into(), attributes: None },
                Tree::Null => Frame3::Null,
                Tree::Boolean(is_true) => Frame3::Boolean { data: *is_true, attributes: None },
                Tree::Array(trees) => {
                    Frame3::Array { data: trees.iter().map(Tree::resp3).collect(), attributes: None }
                }
                Tree::Push(numbers) => {
                    Frame3::Push { data: numbers.iter().map(|n| number(*n)).collect(), attributes: None }
                }
            }
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            "[a-zA-Z0-9 ]{0,12}".prop_map(Tree::Simple),
            any::<i64>().prop_map(Tree::Integer),
            proptest::collection::vec(any::<u8>(), 0..30).prop_map(Tree::Bulk),
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::Boolean),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Tree::Array))
    }

    proptest! {
        /// What is written is read as it was meant by another implementation.
        #[test]
        fn another_implementation_reads_it(
            tree in prop_oneof![
                9 => tree(),
                1 => proptest::collection::vec(any::<i64>(), 1..5).prop_map(Tree::Push),
            ],
        ) {
            let resp2 = written(Protocol::Resp2, |reply| tree.write(reply));
            let read = redis_protocol::resp2::decode::decode_bytes(&resp2.clone().into()).unwrap();
            prop_assert_eq!(read, Some((tree.resp2(), resp2.len())));
            let resp3 = written(Protocol::Resp3, |reply| tree.write(reply));
            let read = redis_protocol::resp3::decode::complete::decode_bytes(&resp3.clone().into()).unwrap();
            prop_assert_eq!(read, Some((tree.resp3(), resp3.len())));
        }
    }
}
