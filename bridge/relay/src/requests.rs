//! What one peer was asked and has not replied to.
//!
//! Model: [`Requests`] numbers what a peer is asked and keeps it until it is closed. Whoever closes a request replies to
//! who waits for it. Two halves of the relay ask a peer, and each has requests of its own: those of the importer have
//! even numbers and those of the exporter odd ones, so a number says which half waits for the reply.
//! Invariants: REQUEST-1. A number is used again only after its request was closed. REQUEST-2. When a program leaves its
//! bus, its requests are closed, whether the peer replies to them or not.
//! Limits: `requests_max` requests of each half, to which come the importer's subscriptions, one for each import;
//! `caller_calls_max` of them of one program; further ones get `Busy`.

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::Arc,
};

use crate::limits::ServiceLimits;
use zocp_dbus::errors::Refusal;

/// Which half of the relay asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// Calls of services of the peer.
    Import,
    /// Calls of services here, for programs that called them from the peer's bus.
    Export,
}

impl Half {
    /// The half that a request with this number is of.
    pub(crate) fn of(id: NonZeroU32) -> Self {
        match id.get() % 2 {
            0 => Self::Import,
            _ => Self::Export,
        }
    }
}

/// Something that a peer is asked.
pub(crate) trait Request {
    /// Which half asks.
    const HALF: Half;

    /// The program here whose call it is, if it is one's.
    fn program(&self) -> Option<&Arc<str>>;

    /// Whether it is kept at `requests_max` too, since something else bounds how many there are.
    fn is_always_kept(&self) -> bool {
        false
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Requests<R> {
    last: u32,
    open: BTreeMap<NonZeroU32, R>,
    /// How many calls of each program here wait.
    programs: HashMap<Arc<str>, usize>,
}

impl<R: Request> Default for Requests<R> {
    fn default() -> Self {
        Self {
            // The next number, two further, is of the right half.
            last: match R::HALF {
                Half::Import => 0,
                Half::Export => u32::MAX,
            },
            open: BTreeMap::new(),
            programs: HashMap::new(),
        }
    }
}

impl<R: Request> Requests<R> {
    /// Keeps a request to the peer of this name; its number.
    pub(crate) fn open(
        &mut self,
        request: R,
        limits: &ServiceLimits,
        peer: &str,
    ) -> Result<NonZeroU32, Refusal> {
        let count = self.open.len();
        if count >= limits.requests_max && !request.is_always_kept() {
            return Err(Refusal::Busy(format!("{count} calls wait for {peer}")));
        }
        if let Some(program) = request.program() {
            let count = self.programs.entry(program.clone()).or_default();
            if *count >= limits.caller_calls_max {
                let text = format!("{count} calls of {program} wait for {peer}");
                return Err(Refusal::Busy(text));
            }
            *count += 1;
        }
        loop {
            self.last = self.last.wrapping_add(2);
            if let Some(id) = NonZeroU32::new(self.last)
                && !self.open.contains_key(&id)
            {
                self.open.insert(id, request);
                return Ok(id);
            }
        }
    }

    /// Takes a request out, to reply to who waits for it.
    pub(crate) fn close(&mut self, id: NonZeroU32) -> Option<R> {
        let request = self.open.remove(&id)?;
        self.uncount(&request);
        Some(request)
    }

    /// A request that is open.
    pub(crate) fn get(&self, id: NonZeroU32) -> Option<&R> {
        self.open.get(&id)
    }

    /// Whether a request is open.
    pub(crate) fn is_open(&self, id: NonZeroU32) -> bool {
        self.open.contains_key(&id)
    }

    /// A program here has left its bus: nobody waits for the replies to its calls (REQUEST-2).
    pub(crate) fn close_program(&mut self, program: &str) {
        if self.programs.remove(program).is_some() {
            let is_its = |request: &R| request.program().is_some_and(|its| **its == *program);
            self.open.retain(|_, request| !is_its(request));
        }
    }

    /// Takes out all requests that something holds of.
    pub(crate) fn close_all(&mut self, is_its: impl Fn(&R) -> bool) -> Vec<R> {
        let all = std::mem::take(&mut self.open).into_iter();
        let (taken, open) = all.partition(|(_, request)| is_its(request));
        self.open = open;
        let taken: Vec<R> = BTreeMap::into_values(taken).collect();
        for request in &taken {
            self.uncount(request);
        }
        taken
    }

    /// Whether something holds of a request.
    pub(crate) fn any(&self, is_it: impl FnMut(&R) -> bool) -> bool {
        self.open.values().any(is_it)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.open.values()
    }

    /// How many requests are of the program that has the most.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn of_programs(&self) -> usize {
        self.programs.values().copied().max().unwrap_or_default()
    }

    fn uncount(&mut self, request: &R) {
        let Some(program) = request.program() else {
            return;
        };
        if let Some(count) = self.programs.get_mut(program) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.programs.remove(program);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Call(Option<Arc<str>>);

    impl Request for Call {
        const HALF: Half = Half::Import;

        fn program(&self) -> Option<&Arc<str>> {
            self.0.as_ref()
        }
    }

    #[derive(Debug)]
    struct CallBack;

    impl Request for CallBack {
        const HALF: Half = Half::Export;

        fn program(&self) -> Option<&Arc<str>> {
            None
        }
    }

    #[test]
    fn each_half_has_numbers_of_its_own_also_when_they_begin_anew() {
        let limits = ServiceLimits::default();
        let mut calls = Requests {
            last: u32::MAX - 3,
            ..Requests::default()
        };
        let mut calls_back = Requests {
            last: u32::MAX - 2,
            ..Requests::default()
        };
        for _ in 0..4 {
            let id = calls.open(Call(None), &limits, "peer").unwrap();
            assert_eq!(Half::of(id), Half::Import);
            let id = calls_back.open(CallBack, &limits, "peer").unwrap();
            assert_eq!(Half::of(id), Half::Export);
        }
        let first = Requests::default().open(CallBack, &limits, "peer").unwrap();
        assert_eq!(first.get(), 1);
    }

    #[test]
    fn a_program_has_no_more_calls_than_the_limit_and_none_when_it_leaves() {
        let limits = ServiceLimits {
            requests_max: 3,
            caller_calls_max: 2,
            ..ServiceLimits::default()
        };
        let mut calls = Requests::default();
        let open = |calls: &mut Requests<Call>, program: &str| {
            calls.open(Call(Some(program.into())), &limits, "peer").ok()
        };
        let first = open(&mut calls, ":1.1").unwrap();
        assert!(open(&mut calls, ":1.1").is_some());
        assert!(open(&mut calls, ":1.1").is_none());
        let other = open(&mut calls, ":1.2").unwrap();
        assert!(open(&mut calls, ":1.3").is_none());
        assert!(calls.close(first).is_some() && calls.close(first).is_none());
        calls.close_program(":1.1");
        assert!(calls.is_open(other) && calls.open.len() == 1);
        assert_eq!(calls.close_all(|_| true).len(), 1);
        assert!(calls.programs.is_empty());
    }
}
