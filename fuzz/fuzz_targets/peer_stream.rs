//! A link between nodes that is fed frames, right ones and others, and bytes, cut anywhere: it takes them or ends, holds
//! no more than its windows, and never panics.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trimtab::peer::{
    Class, Event, FRAME_BYTES_MAX, Frame, Hello, Kind, Link, Options, PREAMBLE, Side, Splitter,
};
use trimtab::time::Instant;

#[derive(Arbitrary, Debug)]
struct Run<'a> {
    is_dialler: bool,
    pieces: Vec<Piece<'a>>,
    cuts: Vec<u16>,
    takes: Vec<bool>,
}

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    /// A frame with the right checksum.
    Frame {
        kind: u8,
        class: u8,
        payload: &'a [u8],
    },
    /// One that may come when the link is up.
    Begin {
        class: u8,
        more: u16,
        first: &'a [u8],
    },
    Hello,
    Ready,
    Preamble,
    Bytes(&'a [u8]),
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn frame(to: &mut Vec<u8>, kind: u8, class: u8, payload: &[u8]) {
    let mut header = (payload.len() as u32).to_le_bytes().to_vec();
    header.extend([kind, class, 0, 0]);
    let crc = crc32c(&[&header[..], payload].concat());
    to.extend([&header[..], &crc.to_le_bytes(), payload].concat());
}

fn hello(name: &str, target: &str) -> Hello {
    Hello {
        versions: (1, 1),
        cluster: None,
        number: 0,
        boot: 1,
        windows: [4_096; 3],
        message_bytes_max: 8_192,
        name: name.parse().expect("a name"),
        target: target.parse().expect("a name"),
        address: String::new(),
        generation: 1,
    }
}

fuzz_target!(|run: Run<'_>| {
    let mut bytes = Vec::new();
    for piece in &run.pieces {
        match piece {
            Piece::Frame { kind, class, payload } => frame(&mut bytes, *kind, *class, payload),
            Piece::Begin { class, more, first } => {
                let len = first.len() as u32 + u32::from(*more);
                let payload = [&len.to_le_bytes()[..], first].concat();
                frame(&mut bytes, Kind::Begin as u8, class % 3, &payload);
            }
            Piece::Hello => {
                let kind = if run.is_dialler { Kind::Welcome } else { Kind::Hello };
                frame(&mut bytes, kind as u8, 0, &hello("db-1", "db-2").encode());
            }
            Piece::Ready => frame(&mut bytes, Kind::Ready as u8, 0, &[]),
            Piece::Preamble => bytes.extend(PREAMBLE),
            Piece::Bytes(some) => bytes.extend(*some),
        }
    }
    // Whole and cut, it is the same frames.
    let whole = split(&[&bytes]);
    let mut parts = Vec::new();
    let mut rest = &bytes[..];
    for cut in run.cuts.iter().cycle().take(1_000) {
        let (part, behind) = rest.split_at(usize::from(*cut).min(rest.len()));
        parts.push(part);
        rest = behind;
    }
    parts.push(rest);
    assert_eq!(whole, split(&parts));

    let now = Instant::from_millis(1);
    let options = Options { window_bytes: [4_096; 3], message_bytes_max: 8_192, ..Options::default() };
    let mut link = if run.is_dialler {
        Link::dialler(hello("db-2", "db-1"), &options, now)
    } else {
        Link::acceptor(&options, now)
    };
    let mut takes = run.takes.iter().chain([&true]).cycle();
    let (mut held, mut ends) = (0, 0);
    for part in parts {
        link.handle_bytes(part, now);
        while let Some(event) = link.poll_event() {
            match event {
                Event::Hello(_) => link.accept(hello("db-2", "db-1"), now),
                Event::Up { version } => assert_eq!(version, 1),
                Event::Over(_) => ends += 1,
            }
        }
        let mut out = Vec::new();
        link.poll_transmit(&mut out, 1 << 20, now);
        assert!(out.len() <= FRAME_BYTES_MAX, "it has little to say");
        if *takes.next().expect("it is endless") {
            while let Some(message) = link.take() {
                held += message.bytes.len();
                assert!(!message.bytes.is_empty() && message.bytes.len() <= 8_192);
            }
        }
    }
    assert!(ends <= 1 && held <= bytes.len());
    assert_eq!(link.is_over(), ends == 1);
    assert_eq!(link.side() == Side::Dialler, run.is_dialler);
});

/// All frames, and whether it ended with a fault.
fn split(parts: &[&[u8]]) -> (Vec<(Kind, Class, Vec<u8>)>, bool) {
    let mut splitter = Splitter::new();
    let mut frames = Vec::new();
    for part in parts {
        let mut input = *part;
        loop {
            match splitter.next(&mut input) {
                Ok(Some(Frame { kind, class, payload })) => frames.push((kind, class, payload.to_vec())),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}
