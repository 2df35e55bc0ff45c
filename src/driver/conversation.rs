//! Connections that are answered from memory, as the admin socket's are: bytes in, bytes out. Bounded in number,
//! size and time, so that no client keeps the next one or the relay waiting:
//!
//! | a client that | is ended |
//! |---|---|
//! | says nothing between two requests | after [`IDLE_MAX`], or when its place is wanted |
//! | begins a request and does not end it | after [`REQUEST_MAX`], with an answer that says so |
//! | does not take its answer | after [`STALL_MAX`] without a byte |
//! | was answered for the last time and does not leave | as [`Lingering`] has it |
//!
//! Each has one read a turn; there are [`CONVERSATIONS_MAX`] at once, and the next waits in the backlog until one
//! has gone or has stood still for [`IDLE_MIN`]: idle ones first, then who is in the middle of something.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use slab::Slab;
use socket2::Socket;

use crate::driver::lingering::{Lingering, Step};
use crate::driver::mailbox::Sender;
use crate::driver::net::{self, Accepted};
use crate::driver::shared::add;
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Message, Timer};
use crate::sys::fork::Moment;
use crate::time::Instant;

/// One connection's side of a conversation, without its socket.
pub(crate) trait Conversation: Send {
    /// Takes what came and appends what is to be answered. Called with nothing when the other side has ended
    /// its half.
    fn handle_bytes(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Progress;
    /// Appends some of what happened meanwhile; nothing when there is no more. Called while it follows, when
    /// all it said before is written.
    fn handle_news(&mut self, answer: &mut Vec<u8>) -> Progress;
    /// It stayed as it is for as long as it may. What follows says that it is alive; a request that is not
    /// whole is refused.
    fn handle_timeout(&mut self, answer: &mut Vec<u8>) -> Progress;
    /// The server ends: appends the last words.
    fn handle_end(&mut self, answer: &mut Vec<u8>);
}

/// Where a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Between two requests.
    Idle,
    /// Within a request, the one of this number.
    Begun(u64),
    /// It tells what happens as it does.
    Following,
    /// It ends when the answer is written.
    Closing,
}

/// Where conversations begin.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    /// Before it was made.
    pub(crate) since: Moment,
    pub(crate) make: Box<dyn FnMut() -> Box<dyn Conversation> + Send>,
}

/// Tells a loop that there is news for those who follow. Any thread may ring it; a burst costs one message.
#[derive(Clone)]
pub(crate) struct Bell {
    is_rung: Arc<AtomicBool>,
    sender: Sender<Message>,
}

impl Bell {
    pub(crate) fn new(sender: Sender<Message>) -> Self {
        Self { is_rung: Arc::new(AtomicBool::new(false)), sender }
    }

    /// What is to be told must be there for the taking already.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // The mailbox has a place for it, and refuses only when the loop is gone.
            let _ = self.sender.try_send(Message::News);
        }
    }

    /// Begins a round of taking news: from now on ringing tells again.
    fn begin(&self) {
        // A read-modify-write, so that the taking that follows is not done before it.
        self.is_rung.swap(false, Ordering::AcqRel);
    }
}

/// What a server's conversations came to. One worker writes.
#[derive(Default)]
pub(crate) struct Counters {
    /// There at present.
    pub(crate) present: AtomicU64,
    pub(crate) accepted: AtomicU64,
    /// Idle ones that made room for others.
    pub(crate) displaced: AtomicU64,
    /// Those whose request was not whole in time.
    pub(crate) late: AtomicU64,
    /// Those that did not take their answer.
    pub(crate) stalled: AtomicU64,
}

/// A worker's conversations.
pub(crate) struct Conversations {
    listeners: Vec<Listener>,
    /// The number of the first listener of these, behind those that relay.
    base: usize,
    bell: Option<Bell>,
    table: Slab<Talk>,
    generation: u32,
    /// A listener whose next client waits for a place.
    waiting: Option<u32>,
}

struct Talk {
    socket: Socket,
    conversation: Box<dyn Conversation>,
    answer: Vec<u8>,
    written: usize,
    progress: Progress,
    /// When a byte last came or went.
    touched: Instant,
    /// When the request under way began.
    begun: Instant,
    /// The other side has ended its half.
    has_ended: bool,
    /// All is said, and only the other side's end is awaited.
    lingering: Option<Lingering>,
    timer: Option<TimerId>,
    generation: u32,
}

/// The most conversations at once.
pub(crate) const CONVERSATIONS_MAX: usize = 128;
/// How long a client may be silent between two requests.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long it is left alone when its place is wanted: enough for a request that is on its way.
const IDLE_MIN: Duration = Duration::from_millis(500);
/// How long one request may take to come, from its first byte to its last.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long an answer may go without a byte taken.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(10);
/// After this much silence one who follows is told that the server is there.
pub(crate) const FOLLOW_SILENCE_MAX: Duration = Duration::from_secs(15);
/// How many clients are accepted before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

impl Conversations {
    pub(crate) fn open(
        listeners: Vec<Listener>,
        bell: Option<Bell>,
        base: usize,
        core: &Core,
    ) -> io::Result<Self> {
        for (at, listener) in listeners.iter().enumerate() {
            core.register(&listener.socket, Source::Listener((base + at) as u32))?;
        }
        Ok(Self { listeners, base, bell, table: Slab::new(), generation: 0, waiting: None })
    }

    pub(crate) fn is_listener(&self, index: usize) -> bool {
        (self.base..self.base + self.listeners.len()).contains(&index)
    }

    /// Whether clients can still come.
    pub(crate) fn is_listening(&self) -> bool {
        !self.listeners.is_empty()
    }

    pub(crate) fn accept(&mut self, core: &mut Core, index: usize) {
        let Some(at) = index.checked_sub(self.base) else { return };
        for _ in 0..ACCEPTS_PER_TURN {
            if self.table.len() >= CONVERSATIONS_MAX && !self.displace(core) {
                // Whoever ends makes room, and so does time.
                self.waiting = Some(index as u32);
                core.pause(index as u32);
                return;
            }
            let Some(listener) = self.listeners.get_mut(at) else { return };
            match net::accept(&listener.socket) {
                Accepted::One(socket, _) => {
                    let conversation = (listener.make)();
                    self.begin(core, socket, conversation);
                }
                Accepted::Gone => {}
                Accepted::None | Accepted::Broken(_) => return,
                Accepted::Starved(_) => return core.pause(index as u32),
            }
        }
        core.accept_again.push(index as u32);
    }

    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key) {
        let is_live =
            self.table.get(key.index as usize).is_some_and(|talk| talk.generation == key.generation);
        if is_live {
            self.talk(core, key);
        }
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core, key: Key) {
        let Some(talk) = self.table.get_mut(key.index as usize) else { return };
        if talk.generation != key.generation {
            return;
        }
        talk.timer = None;
        if talk.lingering.is_some() {
            return self.end(core, key);
        }
        if talk.is_writing() {
            add(&core.shared.conversations.stalled, 1);
            return self.end(core, key);
        }
        if matches!(talk.progress, Progress::Begun(_)) {
            add(&core.shared.conversations.late, 1);
        }
        talk.progress = talk.conversation.handle_timeout(&mut talk.answer);
        talk.touched = core.now;
        self.talk(core, key);
    }

    /// Somebody rang.
    pub(crate) fn handle_news(&mut self, core: &mut Core) {
        if let Some(bell) = &self.bell {
            bell.begin();
        }
        let follows = |(index, talk): (usize, &Talk)| {
            let key = Key { index: index as u32, generation: talk.generation };
            (talk.progress == Progress::Following).then_some(key)
        };
        let followers: Vec<Key> = self.table.iter().filter_map(follows).collect();
        for key in followers {
            self.talk(core, key);
        }
    }

    pub(crate) fn close_all(&mut self, core: &mut Core) {
        for listener in self.listeners.drain(..) {
            net::close(listener.socket, listener.since);
        }
        for mut talk in self.table.drain() {
            if let Some(timer) = talk.timer {
                core.wheel.cancel(timer);
            }
            if talk.progress != Progress::Closing {
                talk.conversation.handle_end(&mut talk.answer);
            }
            // What is left to say goes as far as the system takes it.
            let _ = net::write(&talk.socket, &talk.answer[talk.written..]);
            talk.close();
        }
        core.shared.conversations.present.store(0, Ordering::Relaxed);
    }

    fn begin(&mut self, core: &mut Core, socket: Socket, conversation: Box<dyn Conversation>) {
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        if core.register(&socket, Source::Conversation(key)).is_err() {
            return;
        }
        self.table.insert(Talk {
            socket,
            conversation,
            answer: Vec::new(),
            written: 0,
            progress: Progress::Idle,
            touched: core.now,
            begun: core.now,
            has_ended: false,
            lingering: None,
            timer: None,
            generation: self.generation,
        });
        add(&core.shared.conversations.accepted, 1);
        core.shared.conversations.present.store(self.table.len() as u64, Ordering::Relaxed);
        // What it says may be there already; the sooner it is dealt with, the sooner there is room again.
        self.talk(core, key);
    }

    /// Does what there is to do, and sees to it that it is done in time.
    fn talk(&mut self, core: &mut Core, key: Key) {
        let talk = &mut self.table[key.index as usize];
        match talk.step(core) {
            Step::Over => self.end(core, key),
            step => {
                if step == Step::More && !core.talk_again.contains(&key) {
                    core.talk_again.push(key);
                }
                let deadline = talk.deadline();
                core.set_timer(&mut talk.timer, deadline, Timer::Conversation(key));
            }
        }
    }

    /// Ends whoever has been idle for longest, so that another can come; one that is in the middle of something
    /// only when nobody is idle. `false` when nobody has been so for long enough.
    fn displace(&mut self, core: &mut Core) -> bool {
        let now = core.now;
        let longest = self
            .table
            .iter()
            .filter(|(_, talk)| talk.progress != Progress::Following)
            .filter(|(_, talk)| now.duration_since(talk.since()) >= IDLE_MIN)
            .min_by_key(|(_, talk)| (talk.is_busy(), talk.since()));
        let Some((index, talk)) = longest else { return false };
        let key = Key { index: index as u32, generation: talk.generation };
        add(&core.shared.conversations.displaced, 1);
        self.end(core, key);
        true
    }

    fn end(&mut self, core: &mut Core, key: Key) {
        let talk = self.table.remove(key.index as usize);
        if let Some(timer) = talk.timer {
            core.wheel.cancel(timer);
        }
        talk.close();
        core.shared.conversations.present.store(self.table.len() as u64, Ordering::Relaxed);
        if let Some(waiting) = self.waiting.take() {
            core.accept_again.push(waiting);
        }
    }
}

impl Talk {
    /// Writes, tells news, reads once and answers.
    fn step(&mut self, core: &mut Core) -> Step {
        if !self.write(core.now) {
            return Step::Over;
        }
        let mut is_more = false;
        if self.progress == Progress::Following && !self.is_writing() {
            self.progress = self.conversation.handle_news(&mut self.answer);
            is_more = !self.answer.is_empty();
            if !self.write(core.now) {
                return Step::Over;
            }
        }
        if self.is_writing() {
            return Step::Waits;
        }
        if self.progress == Progress::Closing && self.lingering.is_none() {
            if self.has_ended {
                return Step::Over;
            }
            self.lingering = Lingering::begin(&self.socket, core.now);
        }
        if self.progress == Progress::Closing {
            let lingering = self.lingering.as_mut();
            return lingering.map_or(Step::Over, |it| it.step(&self.socket, &mut core.buffer, core.now));
        }
        match net::read(&self.socket, &mut core.buffer) {
            Err(_) => Step::Over,
            Ok(None) if is_more => Step::More,
            Ok(None) => Step::Waits,
            Ok(Some(bytes)) => {
                self.answer(&core.buffer[..bytes], core.now);
                if self.write(core.now) { Step::More } else { Step::Over }
            }
        }
    }

    fn answer(&mut self, bytes: &[u8], now: Instant) {
        let before = self.progress;
        self.progress = self.conversation.handle_bytes(bytes, &mut self.answer);
        if bytes.is_empty() {
            self.has_ended = true;
            self.progress = Progress::Closing;
        }
        if self.progress != before && matches!(self.progress, Progress::Begun(_)) {
            self.begun = now;
        }
        // What somebody says who follows is nothing to go by: whether it takes what it is told is.
        if before != Progress::Following {
            self.touched = now;
        }
    }

    /// Writes what there is to write, as far as it goes. `false`: nobody is there to read it.
    fn write(&mut self, now: Instant) -> bool {
        while self.is_writing() {
            match net::write(&self.socket, &self.answer[self.written..]) {
                Ok(0) => return true,
                Ok(written) => self.written += written,
                Err(_) => return false,
            }
            self.touched = now;
        }
        // An idle connection holds no buffer.
        self.answer = Vec::new();
        self.written = 0;
        true
    }

    fn is_writing(&self) -> bool {
        self.written < self.answer.len()
    }

    /// Whether something would be lost if it ended now.
    fn is_busy(&self) -> bool {
        self.is_writing() || matches!(self.progress, Progress::Begun(_) | Progress::Following)
    }

    /// Since when it is as it is.
    fn since(&self) -> Instant {
        match self.progress {
            Progress::Begun(_) if !self.is_writing() => self.begun,
            _ => self.touched,
        }
    }

    /// Until when it may stay so.
    fn deadline(&self) -> Instant {
        let patience = match self.progress {
            _ if self.is_writing() => STALL_MAX,
            Progress::Idle => IDLE_MAX,
            Progress::Begun(_) => REQUEST_MAX,
            Progress::Following => FOLLOW_SILENCE_MAX,
            // All is written, so it lingers.
            Progress::Closing => return self.lingering.as_ref().map_or(self.touched, Lingering::deadline),
        };
        self.since().saturating_add(patience)
    }

    /// Ends the connection even where a child of this process holds a copy of it.
    fn close(self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
