//! Whether something was there, undisturbed, from one moment to another.
//!
//! Model: whoever takes a thing away or brings it back *moves* it from [`Standing::begin_move`] to
//! [`Standing::end_move`]. A [`Stamp`] is taken of several things at once; [`Stamp::holds`] later if none of them
//! moved then or has since. What fails without that is a finding, and only that.

use std::{cell::Cell, rc::Rc};

/// One thing.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    moves: Cell<u32>,
    epoch: Cell<u64>,
}

impl Standing {
    pub(crate) fn begin_move(&self) {
        self.moves.set(self.moves.get() + 1);
        self.epoch.set(self.epoch.get() + 1);
    }

    pub(crate) fn end_move(&self) {
        self.moves.set(self.moves.get().saturating_sub(1));
        self.epoch.set(self.epoch.get() + 1);
    }

    /// Whether it does not move now.
    pub(crate) fn is_still(&self) -> bool {
        self.moves.get() == 0
    }
}

/// Several things as they stood at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    things: Vec<(Rc<Standing>, u64)>,
    still: bool,
}

impl Stamp {
    pub(crate) fn of(things: impl IntoIterator<Item = Rc<Standing>>) -> Self {
        let things: Vec<_> = things
            .into_iter()
            .map(|thing| {
                let epoch = thing.epoch.get();
                (thing, epoch)
            })
            .collect();
        let still = things.iter().all(|(thing, _)| thing.is_still());
        Self { things, still }
    }

    /// Whether nothing moved at that moment or has since.
    pub(crate) fn holds(&self) -> bool {
        self.still
            && self
                .things
                .iter()
                .all(|(thing, epoch)| thing.epoch.get() == *epoch)
    }
}
