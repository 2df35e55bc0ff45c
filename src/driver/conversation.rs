//! Connections that are answered from memory, as the admin socket's are: bytes in, bytes out. Few, short, and
//! bounded in number, size and time.

use std::io;
use std::time::Duration;

use slab::Slab;
use socket2::Socket;

use crate::driver::net::{self, Accepted};
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Timer};

/// One connection's side of a conversation, without its socket.
pub(crate) trait Conversation: Send {
    /// Takes what came and appends what is to be answered. Called with nothing when the other side has ended
    /// its half.
    fn handle_bytes(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Progress;
}

/// How a conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It may say more.
    More,
    /// It ends when the answer is written.
    Close,
}

/// Where conversations begin.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) make: Box<dyn FnMut() -> Box<dyn Conversation> + Send>,
}

/// A worker's conversations.
pub(crate) struct Conversations {
    listeners: Vec<Listener>,
    /// The number of the first listener of these, behind those that relay.
    base: usize,
    table: Slab<Talk>,
    generation: u32,
}

struct Talk {
    socket: Socket,
    conversation: Box<dyn Conversation>,
    answer: Vec<u8>,
    written: usize,
    is_closing: bool,
    timer: Option<TimerId>,
    generation: u32,
}

/// The most conversations at once; whoever comes beyond is turned away.
pub(crate) const CONVERSATIONS_MAX: usize = 64;
/// How long a conversation may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

impl Conversations {
    pub(crate) fn open(listeners: Vec<Listener>, base: usize, core: &Core) -> io::Result<Self> {
        for (at, listener) in listeners.iter().enumerate() {
            core.register(&listener.socket, Source::Listener((base + at) as u32))?;
        }
        Ok(Self { listeners, base, table: Slab::new(), generation: 0 })
    }

    pub(crate) fn is_listener(&self, index: usize) -> bool {
        index >= self.base
    }

    pub(crate) fn accept(&mut self, core: &mut Core, index: usize) {
        let Some(at) = index.checked_sub(self.base) else { return };
        loop {
            let Some(listener) = self.listeners.get_mut(at) else { return };
            match net::accept(&listener.socket) {
                Accepted::One(socket, _) => {
                    if self.table.len() < CONVERSATIONS_MAX {
                        let conversation = (listener.make)();
                        self.begin(core, socket, conversation);
                    }
                }
                Accepted::Gone => {}
                Accepted::None | Accepted::Broken(_) => return,
                Accepted::Starved(_) => {
                    core.pause(index as u32);
                    return;
                }
            }
        }
    }

    pub(crate) fn handle_event(&mut self, core: &mut Core, key: Key) {
        let is_live =
            self.table.get(key.index as usize).is_some_and(|talk| talk.generation == key.generation);
        if is_live && !self.talk(core, key) {
            self.end(core, key);
        }
    }

    pub(crate) fn handle_timeout(&mut self, core: &mut Core, key: Key) {
        if let Some(talk) = self.table.get_mut(key.index as usize)
            && talk.generation == key.generation
        {
            talk.timer = None;
            self.end(core, key);
        }
    }

    pub(crate) fn close_all(&mut self, core: &mut Core) {
        self.listeners.clear();
        for talk in self.table.drain() {
            if let Some(timer) = talk.timer {
                core.wheel.cancel(timer);
            }
            // What is left of an answer goes as far as the system takes it.
            let _ = net::write(&talk.socket, &talk.answer[talk.written..]);
        }
    }

    fn begin(&mut self, core: &mut Core, socket: Socket, conversation: Box<dyn Conversation>) {
        self.generation = (self.generation + 1) & GENERATION_MASK;
        let key = Key { index: self.table.vacant_key() as u32, generation: self.generation };
        if core.register(&socket, Source::Conversation(key)).is_err() {
            return;
        }
        let timer = Some(core.wheel.insert(core.now.saturating_add(SILENCE_MAX), Timer::Conversation(key)));
        self.table.insert(Talk {
            socket,
            conversation,
            answer: Vec::new(),
            written: 0,
            is_closing: false,
            timer,
            generation: self.generation,
        });
        // What it says may be there already, but then there is an event for it.
    }

    /// Reads, answers and writes as far as it goes. `false`: it is over.
    fn talk(&mut self, core: &mut Core, key: Key) -> bool {
        let talk = &mut self.table[key.index as usize];
        core.set_timer(&mut talk.timer, core.now.saturating_add(SILENCE_MAX), Timer::Conversation(key));
        loop {
            while talk.written < talk.answer.len() {
                match net::write(&talk.socket, &talk.answer[talk.written..]) {
                    Ok(0) => return true,
                    Ok(written) => talk.written += written,
                    Err(_) => return false,
                }
            }
            talk.answer.clear();
            talk.written = 0;
            if talk.is_closing {
                return false;
            }
            match net::read(&talk.socket, &mut core.buffer) {
                Ok(None) => return true,
                Err(_) => return false,
                Ok(Some(bytes)) => {
                    let progress = talk.conversation.handle_bytes(&core.buffer[..bytes], &mut talk.answer);
                    talk.is_closing = progress == Progress::Close || bytes == 0;
                }
            }
        }
    }

    fn end(&mut self, core: &mut Core, key: Key) {
        let talk = self.table.remove(key.index as usize);
        if let Some(timer) = talk.timer {
            core.wheel.cancel(timer);
        }
    }
}
