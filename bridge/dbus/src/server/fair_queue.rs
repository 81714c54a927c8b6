//! Received calls that were not processed yet, in one queue for each caller.
//!
//! Model: the queues are served round robin, one call each.
//! Invariants: FAIRQUEUE-1. Calls of one caller are processed in order. FAIRQUEUE-2. Between two calls of one caller, one
//! call of every other waiting caller is processed.
//! Limits: [`WAITING_MAX`] calls and [`WAITING_OCTETS_MAX`] octets of one caller; a further call is rejected.
//! [`ALL_OCTETS_MAX`] octets of all callers; above that nothing is read from the bus.

use std::collections::{HashMap, VecDeque};

use zbus::Message;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    queues: HashMap<Box<str>, Queue>,
    /// The callers with waiting calls, in the order in which they are served.
    order: VecDeque<Box<str>>,
    octets: usize,
}

#[derive(Debug, Default)]
struct Queue {
    calls: VecDeque<Message>,
    octets: usize,
}

impl FairQueue {
    /// Queues a call. `Err` returns the call if too many calls of its caller wait.
    pub(super) fn push(&mut self, call: Message) -> Result<(), Message> {
        let header = call.header();
        let caller = header.sender().map_or("", |sender| sender.as_str());
        let len = call.data().len();
        if !self.queues.contains_key(caller) {
            self.order.push_back(caller.into());
            self.queues.insert(caller.into(), Queue::default());
        }
        let Some(queue) = self.queues.get_mut(caller) else {
            return Ok(());
        };
        // A call that is longer than the limit is accepted if no other call of its caller waits.
        let is_full = queue.calls.len() >= WAITING_MAX || queue.octets >= WAITING_OCTETS_MAX;
        drop(header);
        if is_full {
            return Err(call);
        }
        queue.calls.push_back(call);
        queue.octets += len;
        self.octets += len;
        Ok(())
    }

    /// Removes the next call.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let caller = self.order.pop_front()?;
        let queue = self.queues.get_mut(&caller)?;
        let call = queue.calls.pop_front()?;
        let len = call.data().len();
        queue.octets -= len;
        self.octets -= len;
        if queue.calls.is_empty() {
            self.queues.remove(&caller);
        } else {
            self.order.push_back(caller);
        }
        Some(call)
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether so many octets wait that the bus must not be read.
    pub(super) fn is_full(&self) -> bool {
        self.octets >= ALL_OCTETS_MAX
    }
}

/// Calls of one caller that may wait: more than any program needs at once.
pub(super) const WAITING_MAX: usize = 16_384;
/// Octets of the waiting calls of one caller; a single call may be longer.
const WAITING_OCTETS_MAX: usize = 8 << 20;
/// Octets of the waiting calls of all callers.
const ALL_OCTETS_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(caller: &str, number: usize, octets: usize) -> Message {
        Message::method_call("/", format!("M{number}").as_str())
            .sender(caller)
            .build(&"x".repeat(octets))
            .unwrap()
    }

    fn popped(queue: &mut FairQueue) -> Option<(String, String)> {
        let call = queue.pop()?;
        let header = call.header();
        Some((
            header.sender().unwrap().to_string(),
            header.member().unwrap().to_string(),
        ))
    }

    #[test]
    fn who_has_ten_thousand_calls_waiting_goes_after_who_has_one() {
        let mut queue = FairQueue::default();
        for number in 0..10_000 {
            queue.push(call(":1.1", number, 0)).unwrap();
        }
        queue.push(call(":1.2", 0, 0)).unwrap();
        queue.push(call(":1.3", 0, 0)).unwrap();
        queue.push(call(":1.2", 1, 0)).unwrap();
        let order: Vec<_> = (0..6).filter_map(|_| popped(&mut queue)).collect();
        let expected = [
            (":1.1", "M0"),
            (":1.2", "M0"),
            (":1.3", "M0"),
            (":1.1", "M1"),
            (":1.2", "M1"),
            (":1.1", "M2"),
        ];
        let expected = expected.map(|(who, what)| (who.to_owned(), what.to_owned()));
        assert_eq!(order, expected);
        for number in 3..10_000 {
            assert_eq!(popped(&mut queue).unwrap().1, format!("M{number}"));
        }
        assert!(queue.is_empty() && popped(&mut queue).is_none());
    }

    #[test]
    fn who_has_too_many_calls_waiting_gets_them_back_and_nobody_else_does() {
        let mut queue = FairQueue::default();
        for number in 0..WAITING_MAX {
            queue.push(call(":1.1", number, 0)).unwrap();
        }
        assert!(queue.push(call(":1.1", 0, 0)).is_err());
        queue.push(call(":1.2", 0, 0)).unwrap();
        queue.push(call(":1.3", 0, WAITING_OCTETS_MAX)).unwrap();
        assert!(queue.push(call(":1.3", 1, 0)).is_err());
        queue.pop().unwrap();
        queue.push(call(":1.1", 0, 0)).unwrap();
    }

    #[test]
    fn so_much_of_all_callers_is_kept_and_then_no_more_is_read() {
        let mut queue = FairQueue::default();
        for caller in 0..ALL_OCTETS_MAX / WAITING_OCTETS_MAX {
            assert!(!queue.is_full());
            let caller = format!(":1.{caller}");
            queue.push(call(&caller, 0, WAITING_OCTETS_MAX)).unwrap();
        }
        assert!(queue.is_full());
        queue.pop().unwrap();
        assert!(!queue.is_full());
    }
}
