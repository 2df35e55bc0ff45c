//! Snapshots over links that take their time, keep their order, and may hold little, be cut, or lose something.

use super::changes::far_behind;
use super::*;

/// Carries offers and pieces to one node; all else overtakes them.
pub(super) struct Pipe {
    to: u64,
    bytes_per_tick: usize,
    /// What does not find room is not taken.
    room: usize,
    is_down: bool,
    /// This piece is lost, the first time.
    loses: Option<u64>,
    frames: VecDeque<Vec<u8>>,
    waiting: usize,
    /// Of the first of them.
    gone: usize,
    /// Bytes that went in.
    taken: usize,
    refused: usize,
    waiting_max: usize,
}

impl Pipe {
    fn new(to: u64, bytes_per_tick: usize) -> Self {
        Self {
            to,
            bytes_per_tick,
            room: usize::MAX,
            is_down: false,
            loses: None,
            frames: VecDeque::new(),
            waiting: 0,
            gone: 0,
            taken: 0,
            refused: 0,
            waiting_max: 0,
        }
    }

    pub(super) fn takes(&self, to: u64, frame: &[u8]) -> bool {
        let body = frame::decode(frame).expect("it is a frame").1;
        to == self.to && matches!(body, Body::Offer { .. } | Body::Piece { .. })
    }

    pub(super) fn push(&mut self, frame: Vec<u8>) -> bool {
        if self.is_down || self.waiting + frame.len() > self.room {
            self.refused += usize::from(!self.is_down);
            return false;
        }
        (self.taken, self.waiting) = (self.taken + frame.len(), self.waiting + frame.len());
        self.waiting_max = self.waiting_max.max(self.waiting);
        self.frames.push_back(frame);
        true
    }

    /// What comes out in a tick.
    fn tick(&mut self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        self.gone += self.bytes_per_tick;
        while let Some(first) = self.frames.pop_front_if(|first| first.len() <= self.gone) {
            self.gone -= first.len();
            self.waiting -= first.len();
            let number = number(&first);
            if number.is_none() || self.loses.take_if(|it| Some(*it) == number).is_none() {
                out.push(first);
            }
        }
        if self.frames.is_empty() {
            self.gone = 0;
        }
        out
    }

    /// Nothing of what is in it comes.
    fn cut(&mut self) {
        self.is_down = true;
        self.frames.clear();
        (self.waiting, self.gone) = (0, 0);
    }
}

impl Net {
    /// A tick of the pipe.
    pub(super) fn carry(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let (to, frames) = (pipe.to, pipe.tick());
        let now = at(self.millis);
        for bytes in frames {
            self.pieces.extend(number(&bytes));
            if let Some((_, Some(node))) = self.nodes.get_mut(&to) {
                node.handle_frame(&bytes, now).expect("it is taken");
            }
        }
    }

    fn pipe(&mut self) -> &mut Pipe {
        self.pipe.as_mut().expect("there is one")
    }

    /// How long it takes until both have the same.
    fn until_caught_up(&mut self, primary: u64, behind: u64, millis_max: u64) -> u64 {
        let begun = self.millis;
        while self.node(primary).state().hash() != self.node(behind).state().hash() {
            self.pass(10);
            assert!(self.millis - begun <= millis_max, "{:?}", self.pieces);
        }
        self.millis - begun
    }
}

/// The number of a piece.
fn number(frame: &[u8]) -> Option<u64> {
    match frame::decode(frame).expect("it is a frame").1 {
        Body::Piece { number, .. } => Some(number),
        _ => None,
    }
}

/// A primary, and a node that needs a snapshot of 3 MB of it, with a link of so many bytes a second.
fn linked(bytes_per_second: usize) -> (Net, u64, u64) {
    let (mut net, primary, behind) = far_behind();
    net.pipe = Some(Pipe::new(behind, bytes_per_second / 100));
    net.start(behind, &Start::default());
    (net, primary, behind)
}

/// How often each piece came beyond the first time.
fn repeated(net: &Net) -> usize {
    net.pieces.len() - net.pieces.iter().collect::<BTreeSet<_>>().len()
}

const STATE_BYTES: usize = 150 * 20_000;

#[test]
fn however_slow_a_link_is_each_piece_goes_once() {
    for bytes_per_second in [60_000, 125_000, 400_000, 2_000_000, 20_000_000] {
        let (mut net, primary, behind) = linked(bytes_per_second);
        let ideal = (STATE_BYTES * 1_000 / bytes_per_second) as u64;
        let took = net.until_caught_up(primary, behind, 4 * ideal + 2_000);
        let order = (0..net.pieces.len() as u64).collect::<Vec<_>>();
        assert_eq!(net.pieces, order, "{bytes_per_second} bytes a second");
        assert!(net.pipe().taken < STATE_BYTES * 11 / 10, "{bytes_per_second}: {}", net.pipe().taken);
        // It begins with the next election or heartbeat, and a tick goes by between two pieces that go alone.
        assert!(took < ideal * 11 / 10 + 1_500, "{bytes_per_second}: {took} ms, at best {ideal}");
        // Entries would wait so long.
        let waiting = net.pipe().waiting_max;
        assert!(waiting <= 2 * bytes_per_second + (600 << 10), "{bytes_per_second}: {waiting}");
    }
}

#[test]
fn a_piece_that_is_lost_without_a_word_is_sent_again() {
    for (bytes_per_second, loses) in [(125_000, 0), (125_000, 3), (2_000_000, 5)] {
        let (mut net, primary, behind) = linked(bytes_per_second);
        net.pipe().loses = Some(loses);
        let ideal = (STATE_BYTES * 1_000 / bytes_per_second) as u64;
        let took = net.until_caught_up(primary, behind, 4 * ideal + 10_000);
        // That it is lost is known when nothing came for longer than twice the last one took.
        assert!(took < ideal * 12 / 10 + 12_000, "{bytes_per_second}: {took} ms, at best {ideal}");
        assert!(net.pieces.contains(&loses) && repeated(&net) <= 8, "{:?}", net.pieces);
    }
}

#[test]
fn one_whose_last_piece_is_lost_comes_to_its_end() {
    let (mut net, primary, behind) = linked(2_000_000);
    net.until_caught_up(primary, behind, 10_000);
    let last = *net.pieces.last().expect("pieces have come");
    let (mut net, primary, behind) = linked(2_000_000);
    net.pipe().loses = Some(last);
    net.until_caught_up(primary, behind, 10_000);
    assert_eq!(net.pieces, (0..=last).collect::<Vec<_>>());
}

#[test]
fn what_was_under_way_when_a_link_ended_is_sent_again_and_nothing_else() {
    let (mut net, primary, behind) = linked(500_000);
    net.pass(3_500);
    let had = net.pieces.len() as u64;
    assert!(had > 3 && net.pipe().waiting > 0, "{:?}", net.pieces);
    net.pipe().cut();
    net.node(primary).handle_unreachable(behind);
    net.pass(4_000);
    assert_eq!(net.pieces.len() as u64, had);
    net.pipe().is_down = false;
    // The rest at its pace, behind an offer.
    let took = net.until_caught_up(primary, behind, 12_000);
    assert!(took < 7_000, "{took}");
    assert_eq!(net.pieces, (0..net.pieces.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_is_started_again_gets_all_of_it() {
    let (mut net, primary, behind) = linked(500_000);
    net.pass(3_500);
    let had = net.pieces.len();
    assert!(had > 3);
    net.stop(behind);
    net.pipe().cut();
    net.node(primary).handle_unreachable(behind);
    net.pass(500);
    net.pipe().is_down = false;
    net.start(behind, &Start::default());
    net.until_caught_up(primary, behind, 12_000);
    assert_eq!(net.pieces[had..], (0..(net.pieces.len() - had) as u64).collect::<Vec<_>>());
}

#[test]
fn what_finds_no_room_is_sent_again_and_not_what_waits() {
    let (mut net, primary, behind) = linked(2_000_000);
    net.pipe().room = 700 << 10;
    let took = net.until_caught_up(primary, behind, 10_000);
    assert!(net.pipe().refused > 0, "it has room for all that goes at once");
    assert!(took < 4_000, "{took}");
    // Where the last of them is short it fits in behind one that does not.
    assert!(repeated(&net) <= net.pipe().refused, "{:?}", net.pieces);
    assert!(net.pipe().taken < STATE_BYTES * 12 / 10, "{}", net.pipe().taken);
}

#[test]
fn what_has_come_and_is_still_to_be_written_is_not_lost() {
    let (mut net, primary, behind) = linked(2_000_000);
    net.held = Some(behind);
    // It is offered again meanwhile.
    net.pass(5_000);
    assert_eq!(net.pieces, [0]);
    net.held = None;
    net.until_caught_up(primary, behind, 10_000);
    assert_eq!(repeated(&net), 0, "{:?}", net.pieces);
}
