//! Keyspace notifications: what has happened to keys, published as Redis names it.

use std::collections::VecDeque;

use super::hub::Hub;
use super::value::Value;
use crate::store::index::{Event, EventKind, Range, View, Watch};

/// Which notifications are published, as `notify-keyspace-events` says it.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    classes: Vec<u8>,
    watch: Option<Watch>,
    /// Seen and not yet published: the keys, and what has happened to them.
    seen: VecDeque<(Vec<u8>, (u8, &'static str))>,
}

/// Whether these are classes of notifications, as `notify-keyspace-events` takes them; none are too.
pub fn are_classes(classes: &[u8]) -> bool {
    classes.iter().all(|class| KNOWN.contains(class))
}

const KNOWN: &[u8] = b"KEg$lshzxetdmnA";
/// What `A` stands for.
const ALL: &[u8] = b"g$lshzxetd";

impl Notifications {
    /// Takes new classes from the sequence of `view` on; `None`: there is no such class.
    pub(super) fn configure(&mut self, classes: &[u8], view: &View) -> Option<()> {
        if !are_classes(classes) {
            return None;
        }
        self.classes = classes.to_vec();
        let is_on = self.has(b'K') || self.has(b'E');
        self.seen = VecDeque::new();
        self.watch = is_on.then(|| Watch::new(&Range::ALL, view.sequence() + 1));
        Some(())
    }

    fn has(&self, class: u8) -> bool {
        self.classes.contains(&class) || (self.classes.contains(&b'A') && ALL.contains(&class))
    }

    /// The classes as Redis tells them: those that `A` stands for first, and `n`, which it leaves out beside `A`.
    pub(super) fn text(&self) -> String {
        let has_all = ALL.iter().all(|class| self.has(*class));
        let mut text = String::new();
        if has_all {
            text.push('A');
        } else {
            text.extend(
                b"g$lshzxetdn".iter().filter(|class| self.has(**class)).map(|class| char::from(*class)),
            );
        }
        text.extend(b"KEm".iter().filter(|class| self.has(**class)).map(|class| char::from(*class)));
        text
    }
}

/// Events looked at in one call.
const EVENTS_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;
/// Patterns that events are held against in one call.
const LOOKS_MAX: usize = 65_536;

/// What the channels of notifications begin with.
const CHANNELS: [&[u8]; 2] = [b"__keyspace@0__:", b"__keyevent@0__:"];

/// Whether this is a channel of notifications.
pub(super) fn is_of_keys(channel: &[u8]) -> bool {
    CHANNELS.iter().any(|it| channel.starts_with(it))
}

/// Whether a pattern may fit one, by what it has before all that fits more than itself.
pub(super) fn may_be_of_keys(pattern: &[u8]) -> bool {
    let plain = pattern.iter().take_while(|byte| !b"*?[\\".contains(byte)).count();
    let (plain, is_all) = (&pattern[..plain], plain == pattern.len());
    CHANNELS.iter().any(|it| plain.starts_with(it) || (!is_all && it.starts_with(plain)))
}

impl Hub {
    /// Takes new classes, as `notify-keyspace-events` says them, from the sequence of `view` on; `None`: there is no
    /// such class.
    pub fn configure(&mut self, classes: &[u8], view: &View) -> Option<()> {
        self.notifications.configure(classes, view)
    }

    /// Whether anybody has asked for notifications.
    pub fn wants_news(&self) -> bool {
        self.notifications.watch.is_some()
    }

    /// Publishes what has happened up to `view`, as far as clients have asked for it by `CONFIG SET`; says whether
    /// there is more, to be called for after messages have been delivered. Where something is too long ago to be told, or a snapshot of
    /// another node's has taken its place, whoever listens is cut: it would take what it keeps for what is so.
    pub fn handle_view(&mut self, view: &View) -> bool {
        let Some(mut watch) = self.notifications.watch.take() else { return false };
        if self.notifications.seen.is_empty() {
            match watch.next(view, EVENTS_MAX, BYTES_MAX) {
                Ok(events) => {
                    let seen = events.iter().map(|event| (event.key().to_vec(), named(event)));
                    self.notifications.seen = seen.collect();
                }
                Err(_) => {
                    // Nobody listens now: who will, hears what happens from then on.
                    watch = Watch::new(&Range::ALL, view.sequence() + 1);
                    self.cut_listeners();
                }
            }
        }
        let has_more = watch.next_sequence() <= view.sequence();
        self.notifications.watch = Some(watch);
        let mut looks = 0;
        while !self.is_crowded() && looks < LOOKS_MAX {
            let Some((key, (class, name))) = self.notifications.seen.pop_front() else { return has_more };
            if !self.notifications.has(class) {
                continue;
            }
            looks += 1 + self.patterns.len();
            if self.notifications.has(b'K') {
                // Other loops tell theirs.
                let channel = [b"__keyspace@0__:", &key[..]].concat();
                self.publish_here(&channel.into(), &name.as_bytes().into());
            }
            if self.notifications.has(b'E') {
                let channel = format!("__keyevent@0__:{name}").into_bytes();
                self.publish_here(&channel.into(), &key.into());
            }
        }
        true
    }
}

/// The class of an event, and its name.
fn named(event: &Event) -> (u8, &'static str) {
    let is_hash = event.value().is_some_and(|value| matches!(Value::parse(value), Value::Hash(_)));
    match event.kind() {
        EventKind::Put if is_hash => (b'h', "hset"),
        EventKind::Put => (b'$', "set"),
        EventKind::Incremented => (b'$', "incrby"),
        EventKind::Appended => (b'$', "append"),
        EventKind::LifetimeSet => (b'g', "expire"),
        EventKind::Deleted | EventKind::Revoked => (b'g', "del"),
        EventKind::Expired => (b'x', "expired"),
        EventKind::Evicted => (b'e', "evicted"),
    }
}
