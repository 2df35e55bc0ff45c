//! Messages that clients publish, on their way to other nodes and from them. They go over the links beside everything else
//! and not into the log: each comes to a node once, or not at all.

use std::sync::Arc;

use super::Member;
use super::kept::What;
use super::peers::Outbound;
use crate::driver::store::Heard;
use crate::peer::Class;
use crate::replication::relay::{self, Relay};

/// Bytes of messages that wait for the links at most; beyond, they are lost to other nodes.
const BYTES_MAX: usize = 16 << 20;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// Bytes that wait for the links.
    waiting_bytes: usize,
    /// What came, for the loops that serve clients.
    heard: Vec<Heard>,
}

impl Member {
    /// Has a message go to all nodes that are linked.
    pub(in crate::driver::store) fn publish(&mut self, (channel, payload): &Heard) {
        let relay = Relay::Message { channel: channel.to_vec(), payload: payload.to_vec() };
        let bytes = relay::encode(0, &relay);
        let linked: Vec<u64> = self.people.linked().collect();
        for to in linked {
            if self.messages.waiting_bytes + bytes.len() > BYTES_MAX {
                self.unsent_frames += 1;
                continue;
            }
            self.messages.waiting_bytes += bytes.len();
            self.out.push_back(Outbound { to, what: What::Word, class: Class::Bulk, bytes: bytes.clone() });
        }
    }

    /// One has come from another node.
    pub(super) fn hear(&mut self, channel: Vec<u8>, payload: Vec<u8>) {
        self.messages.heard.push((Arc::from(channel), Arc::from(payload)));
    }

    /// What came since this was asked last.
    pub(in crate::driver::store) fn take_heard(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.messages.heard)
    }

    /// The next of what is for other nodes beside the node's own frames.
    pub(super) fn poll_out(&mut self) -> Option<Outbound> {
        let outbound = self.out.pop_front()?;
        if outbound.class == Class::Bulk {
            self.messages.waiting_bytes -= outbound.bytes.len();
        }
        Some(outbound)
    }
}
