//! [`Farewells`]: clients who were told why their connection ends, and may be sending still. They have time to read that
//! ([`Lingering`]); of each no more is kept than its socket, and its place among the clients. Nobody's end waits for them.

use std::collections::VecDeque;
use std::sync::Arc;

use slab::Slab;
use socket2::Socket;

use crate::driver::lingering::{Lingering, Step};
use crate::driver::net;
use crate::driver::resp::shared::SharedClients;
use crate::driver::timer::TimerId;
use crate::driver::token::{GENERATION_MASK, Key, Source};
use crate::driver::worker::{Core, Timer};
use crate::sys::fork::Moment;

/// A loop's.
#[derive(Default)]
pub(crate) struct Farewells {
    table: Slab<Farewell>,
    generation: u32,
    /// Those who had no place, the oldest first.
    strangers: VecDeque<Key>,
    /// Those of whom there may be more to read.
    again: Vec<Key>,
}

struct Farewell {
    socket: Socket,
    lingering: Lingering,
    /// Where it has its place; `None`: there was none for it.
    place: Option<Arc<SharedClients>>,
    timer: Option<TimerId>,
    generation: u32,
    since: Moment,
}

/// Clients without a place at once, in a loop; then the oldest is closed.
pub(crate) const STRANGERS_MAX: usize = 16;

impl Farewells {
    /// Those with more to do in this turn.
    pub(crate) fn take_again(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.again)
    }

    /// Whether the next turn has something to do even if nothing happens.
    pub(crate) fn is_pressed(&self) -> bool {
        !self.again.is_empty()
    }

    fn get(&mut self, key: Key) -> Option<&mut Farewell> {
        self.table.get_mut(key.index as usize).filter(|farewell| farewell.generation == key.generation)
    }
}

impl Core {
    /// Closes the connection of a client, which is registered and has been told all, when that has read it. Its place in
    /// `clients` is given back then.
    pub(crate) fn see_off(&mut self, socket: Socket, since: Moment, clients: Arc<SharedClients>) {
        self.bid_farewell(socket, since, Some(clients));
    }

    /// The same of somebody for whom there was no place, and whose socket is not registered.
    pub(crate) fn turn_away(&mut self, socket: Socket, since: Moment) {
        if self.farewells.strangers.len() >= STRANGERS_MAX
            && let Some(oldest) = self.farewells.strangers.pop_front()
        {
            self.end_farewell(oldest);
        }
        self.bid_farewell(socket, since, None);
    }

    fn bid_farewell(&mut self, socket: Socket, since: Moment, place: Option<Arc<SharedClients>>) {
        let farewells = &mut self.farewells;
        farewells.generation = (farewells.generation + 1) & GENERATION_MASK;
        let key = Key { index: farewells.table.vacant_key() as u32, generation: farewells.generation };
        let source = Source::Farewell(key);
        let registered = match place {
            Some(_) => self.reregister_for_reading(&socket, source),
            None => self.register_for_reading(&socket, source),
        };
        let lingering = Lingering::begin(&socket, self.now).filter(|_| registered.is_ok());
        let Some(lingering) = lingering else {
            net::close(socket, since);
            place.iter().for_each(|clients| clients.leave());
            self.has_freed = true;
            return;
        };
        if place.is_none() {
            self.farewells.strangers.push_back(key);
        }
        let farewell = Farewell { socket, lingering, place, timer: None, generation: key.generation, since };
        self.farewells.table.insert(farewell);
        self.go_on_with_farewell(key);
    }

    /// Something has come, or there may be more.
    pub(crate) fn go_on_with_farewell(&mut self, key: Key) {
        let Some(farewell) = self.farewells.get(key) else { return };
        let step = farewell.lingering.step(&farewell.socket, &mut self.buffer, self.now);
        let (mut timer, deadline) = (farewell.timer, farewell.lingering.deadline());
        if step == Step::Over {
            return self.end_farewell(key);
        }
        self.set_timer(&mut timer, deadline, Timer::Farewell(key));
        if let Some(farewell) = self.farewells.get(key) {
            farewell.timer = timer;
        }
        if step == Step::More && !self.farewells.again.contains(&key) {
            self.farewells.again.push(key);
        }
    }

    /// It has had its time.
    pub(crate) fn end_farewell(&mut self, key: Key) {
        if self.farewells.get(key).is_none() {
            return;
        }
        let farewell = self.farewells.table.remove(key.index as usize);
        if let Some(timer) = farewell.timer {
            self.wheel.cancel(timer);
        }
        match farewell.place {
            Some(clients) => clients.leave(),
            None => self.farewells.strangers.retain(|stranger| *stranger != key),
        }
        net::close(farewell.socket, farewell.since);
        self.has_freed = true;
    }

    pub(crate) fn end_farewells(&mut self) {
        let all = self.farewells.table.iter();
        let keys: Vec<Key> = all
            .map(|(index, farewell)| Key { index: index as u32, generation: farewell.generation })
            .collect();
        for key in keys {
            self.end_farewell(key);
        }
    }
}
