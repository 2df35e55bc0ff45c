//! The index: what the commands in the log build, and what is read.
//!
//! [`Index::apply`] takes one command after the other and comes to the same state and the same answers on every
//! node: it looks at no clock (the time is in the command), draws nothing at random and keeps everything in
//! order. [`Index::publish`] lets readers see it, whole commands only. Any number of threads read through a
//! [`Reader`]; they neither wait for the one who writes nor hold it up, but where a view has to be made for them (see
//! [`Reader`]), and a [`View`] never changes. What no view holds is changed where it lies: see [`Index::offer`].
//!
//! | file | what |
//! |---|---|
//! | `command/` | what can be asked, and its encoding |
//! | `apply.rs` | what each operation does |
//! | `writer.rs` | the few ways in which the state changes, with hash, memory and events in step |
//! | `state.rs`, `view.rs` | what is there and how it is read |
//! | `clients.rs` | answers remembered for retries |
//! | `history.rs`, `watch.rs` | what has happened lately, and who follows it |
//! | `evict.rs` | which keys the primary has taken out to make room |
//! | `forecast.rs` | what the memory will come to by what is under way |
//! | `snapshot/` | a state as a stream of chunks |
//! | `tree/` | the ordered map below all of it |
//!
//! # Why a tree of our own
//!
//! A view must stay as it is while the writer goes on, so the map has to share what its versions have in common.
//! `imbl` 7.0 (B+ tree) and `rpds` 1.2 (red-black tree) do so and were measured with keys of 16 bytes, values of
//! 8 and two versions in an `Arc` each, 1 M random keys, on two busy cores of an AMD EPYC with memory latencies
//! of 120 to 200 ns: 155 and 208 bytes a key, 2.6 and 2.8 µs for a get, 5.6 and 4.8 µs for a put with a clone
//! published after each. An entry of theirs is a pointer to a key, each comparison a miss of the cache, and each
//! copied node touches the count of everything in it. The tree here packs a leaf into one allocation without
//! pointers: 43 bytes a key, 0.4 µs for a get and 1.3 µs for a put with a clone published, by the same measure,
//! beside 0.33 µs for a get from the standard library's `BTreeMap`, which cannot be shared at all.
//! `benches/store.rs` has the figures for the index as a whole.

mod apply;
mod clients;
mod command;
mod entry;
pub mod evict;
pub mod forecast;
mod history;
mod outcome;
pub mod snapshot;
mod state;
mod time;
mod tree;
mod view;
mod watch;
mod wire;
mod writer;

use std::sync::Arc;

use self::apply::Run;
use self::clients::Fate;
pub use self::clients::{Recalled, WINDOW};
use self::command::first_key;
pub use self::command::{
    Command, Comparison, Condition, KEY_MAX, Lifetime, LifetimeCondition, Malformed, OnRefusal, Operand,
    Operation, Range, Relation, RequestId, Settings, Step, Transaction, VERSION, prefix_end,
};
pub use self::entry::{Entry, Found};
use self::history::History;
pub use self::history::{Event, EventKind};
pub use self::outcome::{Answer, Head, Outcome, Refusal};
pub use self::state::{Lease, Page, Removed, State};
pub use self::time::Timestamp;
pub use self::tree::FETCH_MAX;
use self::view::Published;
pub use self::view::{Reader, View};
pub use self::watch::{Compacted, Watch};
use self::writer::{Buffers, Writer, settings_hash};
use crate::error::{Error, Result};

/// What an index keeps of its own; none of it changes what commands do, and nodes need not agree.
///
/// | option | unit | range | default | why |
/// |---|---|---|---|---|
/// | `history_bytes_max` | bytes, 128 an event counted beside its key and value | from 0 | 16 MiB | watchers that are away for a moment miss nothing |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most bytes of events kept for watchers; the latest is kept in any case.
    pub history_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { history_bytes_max: 16 << 20 }
    }
}

/// The index, owned by whoever applies the log.
#[derive(Debug)]
pub struct Index {
    state: State,
    history: History,
    published: Reader,
    /// What is shown in place of a view that was taken back.
    nothing: Arc<View>,
    buffers: Buffers,
}

impl Index {
    /// An empty index, before the first command.
    pub fn new(options: &Options) -> Self {
        Self::from_state(State::empty(), options)
    }

    /// An index that goes on from `state`. Nothing before it can be watched.
    pub fn from_state(state: State, options: &Options) -> Self {
        let mut history = History::new(options.history_bytes_max, state.sequence);
        let nothing = View { state: State::default(), history: history.view(), is_nothing: true };
        let view = View { state: state.clone(), history: history.view(), is_nothing: false };
        let published = Reader { published: Arc::new(Published::new(Arc::new(view))) };
        Self { state, history, published, nothing: Arc::new(nothing), buffers: Buffers::default() }
    }

    /// Applies the command at `sequence` of the log, encoded as [`Command::encode`] does. Readers see it after
    /// the next [`Index::publish`].
    ///
    /// A command that is malformed or refused changes nothing, on every node alike, and is an answer, no error.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `sequence` is not behind the last one applied, or the command has a later
    /// version than this library reads: the node must stop and be updated, for others have done what it says.
    /// Nothing was done.
    pub fn apply(&mut self, sequence: u64, command: &[u8]) -> Result<Outcome> {
        let settings = self.state.settings;
        match Command::decode(command, &settings) {
            Ok(command) => self.apply_command(sequence, &command),
            // Others can read it: to refuse what they do would part this node from them.
            Err(malformed @ Malformed::Version { found: VERSION.. }) => {
                Err(Error::invalid("command", malformed.to_string()))
            }
            Err(malformed) => {
                self.begin(sequence)?;
                Ok(Outcome { sequence, is_repeated: false, answer: Err(Refusal::Malformed(malformed)) })
            }
        }
    }

    /// [`Index::apply`] for one who has the command at hand. It must be within the [`Settings`]:
    /// [`Command::check`] says so.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `sequence` is not behind the last one applied; nothing was done.
    pub fn apply_command(&mut self, sequence: u64, command: &Command<'_>) -> Result<Outcome> {
        self.apply_command_at(sequence, command.time, command)
    }

    /// [`Index::apply_command`] with another time than the command's.
    pub(in crate::store) fn apply_command_at(
        &mut self,
        sequence: u64,
        time: Timestamp,
        command: &Command<'_>,
    ) -> Result<Outcome> {
        if is_long(&command.operation) && self.published.published.view().is_none() {
            self.show();
        }
        self.begin(sequence)?;
        self.state.time = self.state.time.max(time);
        if let Some(request) = &command.request
            && let Fate::Known(outcome) = clients::fate(&self.state, request)
        {
            return Ok(outcome);
        }
        if let Operation::Transaction(transaction) = &command.operation {
            self.fetch_all(transaction);
        }
        let before = self.history.open().mark();
        let events = self.history.open();
        let writer = Writer { state: &mut self.state, scratch: &mut self.buffers, events, sequence };
        let mut run = Run::new(writer);
        let answer = run.operation(&command.operation);
        if let (Some(request), Ok(answer)) = (&command.request, &answer) {
            clients::remember(&mut run.writer, request, answer);
        }
        clients::enforce(&mut run.writer);
        self.history.settle(&before);
        Ok(Outcome { sequence, is_repeated: false, answer })
    }

    /// Has the memory fetched that these commands will need, for several together, before they are applied one after the
    /// other: of the first [`FETCH_MAX`] keys. It changes nothing.
    pub fn fetch<'c>(&self, commands: impl IntoIterator<Item = &'c Command<'c>>) {
        self.state.fetch(commands.into_iter().flat_map(|command| command.operation.keys()));
    }

    /// Likewise of commands that are encoded, of those with a single step.
    pub fn fetch_encoded<'c>(&self, commands: impl IntoIterator<Item = &'c [u8]>) {
        self.state.entries.fetch(commands.into_iter().filter_map(first_key));
    }

    /// Shows readers all that was applied. To be called after each batch, before anybody is answered; or
    /// [`Index::offer`].
    pub fn publish(&mut self) {
        self.show();
    }

    /// Likewise where readers can ask for a view ([`Index::serve`]): if nobody has looked at the last one, there is none
    /// until somebody asks. Then what is applied changes the trees where they lie.
    pub fn offer(&mut self) {
        let published = &self.published.published;
        match published.view() {
            // What is asked for will be made then.
            None => published.note(&self.state),
            Some(_) if !published.was_read() && published.take_back(&self.state, &self.nothing) => {}
            Some(_) => {
                self.show();
            }
        }
    }

    /// All that was applied, which readers see too from now on.
    pub fn view(&mut self) -> Arc<View> {
        let shown = self.published.published.view();
        shown.filter(|view| view.sequence() == self.state.sequence).unwrap_or_else(|| self.show())
    }

    /// Has readers ask by `ask` when there is no view: it is to give [`Index::view`], from any thread. Once in the life
    /// of an index. See [`Reader`].
    pub fn serve(&self, ask: impl Fn() -> Arc<View> + Send + Sync + 'static) {
        self.published.published.serve(Box::new(ask));
    }

    /// Has the memory fetched that the steps of a transaction need.
    fn fetch_all(&self, transaction: &Transaction<'_>) {
        for steps in transaction.then.chunks(FETCH_MAX).filter(|steps| steps.len() > 1) {
            self.state.entries.fetch(steps.iter().filter_map(key_of));
        }
    }

    fn show(&mut self) -> Arc<View> {
        let view = View { state: self.state.clone(), history: self.history.view(), is_nothing: false };
        let view = Arc::new(view);
        self.published.published.show(Arc::clone(&view));
        view
    }

    /// Goes on from `state`, which came from elsewhere, and shows it to all readers there are. Nothing before it can be
    /// watched any more.
    pub fn replace(&mut self, state: State) {
        self.history = self.history.emptied(state.sequence);
        let removed = self.state.removed;
        self.state = State { removed, ..state };
        self.publish();
    }

    /// All that was read of the log is applied: what is taken out from now on counts.
    pub fn opened(&mut self) {
        self.state.removed = Removed::default();
        self.publish();
    }

    /// The state with all that was applied, published or not.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// By which other threads read.
    pub fn reader(&self) -> Reader {
        self.published.clone()
    }

    fn begin(&mut self, sequence: u64) -> Result<()> {
        if sequence <= self.state.sequence {
            return Err(Error::invalid(
                "sequence",
                format!("{sequence} is not behind {}, which was applied last", self.state.sequence),
            ));
        }
        self.state.sequence = sequence;
        Ok(())
    }
}

impl<'a> Operation<'a> {
    /// The keys that it names one by one, its conditions aside.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        let steps = match self {
            Operation::Step(step) => std::slice::from_ref(step),
            Operation::Transaction(transaction) => &transaction.then[..],
            _ => &[],
        };
        steps.iter().filter_map(key_of)
    }
}

fn key_of<'s>(step: &Step<'s>) -> Option<&'s [u8]> {
    match step {
        Step::Put { key, .. }
        | Step::Delete { key, .. }
        | Step::Increment { key, .. }
        | Step::Append { key, .. }
        | Step::SetLifetime { key, .. }
        | Step::Get { key } => Some(*key),
        Step::DeleteRange { .. } | Step::Range { .. } => None,
    }
}

/// Steps that are done without a view beside them, at most.
const SHORT_MAX: usize = 64;

/// Whether an operation may take long, so that nobody should have to wait for it.
fn is_long(operation: &Operation<'_>) -> bool {
    let is_long = |step: &Step<'_>| matches!(step, Step::DeleteRange { .. } | Step::Range { .. });
    match operation {
        Operation::Step(step) => is_long(step),
        Operation::Transaction(Transaction { conditions, then, otherwise, .. }) => {
            conditions.len() + then.len() + otherwise.len() > SHORT_MAX
                || then.iter().chain(otherwise).any(is_long)
        }
        Operation::LeaseGrant { .. } | Operation::LeaseRevoke { .. } | Operation::Expire { .. } => true,
        Operation::Evict { keys } => keys.len() > SHORT_MAX,
        Operation::LeaseKeepAlive { .. } | Operation::Configure(_) => false,
    }
}

impl State {
    fn empty() -> Self {
        let mut state = Self::default();
        state.hash = settings_hash(&state.settings, &mut Vec::new());
        state
    }
}
