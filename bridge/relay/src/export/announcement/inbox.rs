//! What the publisher is to handle, in the order in which it happened.
//!
//! Model: replies, signals and values that nodes set come from tasks that do not wait; the publisher takes them out.
//! Limits: [`WAITING_MAX`] signals and settings wait. Above that a signal is dropped, and its sender is remembered as one of
//! whom a signal was missed; a setting is handed back. Replies are as many as questions.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use zbus::Message;
use zocp_node::{CapPath, Value};

use super::{limits::WAITING_MAX, place::Detail};
use crate::lock::lock;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Locked because the connection that watches the bus and the task of the bridge append, and the publisher takes
    /// out.
    waiting: Mutex<Waiting>,
    /// Something is to be looked at.
    pub(super) notice: Notify,
    /// A signal is there.
    pub(super) signals: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    inputs: VecDeque<Input>,
    /// Owners of whom a signal was forgotten.
    missed: BTreeSet<Arc<str>>,
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum Input {
    /// A service replied.
    Answer(Detail, Message),
    /// The owner of a service emitted a signal.
    Signal(Arc<str>, Message),
    /// A node set a value.
    Set(CapPath, Value),
    /// A bridge comes to show a service.
    Wanted(Arc<str>),
}

impl Inbox {
    /// Adds a reply.
    pub(super) fn answered(&self, detail: Detail, answer: Message) {
        let mut waiting = lock(&self.waiting);
        waiting.inputs.push_back(Input::Answer(detail, answer));
        self.notice.notify_one();
    }

    /// A signal.
    pub(super) fn push_signal(&self, owner: Arc<str>, signal: Message) {
        let mut waiting = lock(&self.waiting);
        if waiting.inputs.len() >= WAITING_MAX {
            waiting.missed.insert(owner);
        } else {
            waiting.inputs.push_back(Input::Signal(owner, signal));
        }
        self.signals.notify_one();
    }

    /// Anything else; whether there was room.
    pub(super) fn push(&self, input: Input) -> bool {
        let mut waiting = lock(&self.waiting);
        let has_room = waiting.inputs.len() < WAITING_MAX;
        if has_room {
            waiting.inputs.push_back(input);
        }
        self.notice.notify_one();
        has_room
    }

    /// All that is there, and the owners of whom a signal was forgotten.
    pub(super) fn take(&self) -> (VecDeque<Input>, BTreeSet<Arc<str>>) {
        let mut waiting = lock(&self.waiting);
        (
            mem::take(&mut waiting.inputs),
            mem::take(&mut waiting.missed),
        )
    }
}
