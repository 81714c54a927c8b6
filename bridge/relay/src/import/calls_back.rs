//! Calls of an imported service that wait for the replies of programs here.
//!
//! Limits: `calls_back_max`; further ones get `Busy`.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::deadlines::Deadlines;
use zocp_dbus::errors::Refusal;

/// Calls that wait for the answers of programs here.
#[derive(Debug, Default)]
pub(super) struct CallsBack {
    /// By serial on the import's connection.
    pub(super) waiting: HashMap<NonZeroU32, CallBack>,
    deadlines: Deadlines<NonZeroU32>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct CallBack {
    /// Its number between the bridges.
    pub(super) id: NonZeroU32,
    /// Who is called.
    pub(super) caller: Arc<str>,
}

impl CallsBack {
    pub(super) fn add(
        &mut self,
        serial: NonZeroU32,
        id: NonZeroU32,
        caller: &str,
        max: usize,
    ) -> Result<(), Refusal> {
        let count = self.waiting.len();
        if count >= max {
            let text = format!("{count} calls wait for programs");
            return Err(Refusal::Busy(text));
        }
        let caller = caller.into();
        self.waiting.insert(serial, CallBack { id, caller });
        Ok(())
    }

    pub(super) fn expect(&mut self, serial: NonZeroU32, timeout: Duration) {
        let (waiting, deadline) = (&self.waiting, Instant::now() + timeout);
        self.deadlines
            .add(deadline, serial, |serial| waiting.contains_key(serial));
    }

    pub(super) fn expire(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some(serial) = self.deadlines.pop(now) {
            self.waiting.remove(&serial);
        }
        self.deadlines.next()
    }
}
