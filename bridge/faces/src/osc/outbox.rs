//! What waits to be sent to one destination.
//!
//! Model: an [`Outbox`] keeps the newest value of each state and every event, in order, and gives them at most once a
//! tick. What a destination has sent itself it is not told again: for [`HOLD`] after its last message for an address
//! nothing of that address goes to it, and then only what differs from that message.
//! Invariants: TELL-1. What is sent last for a state is its newest value. TELL-2. A destination is never told the
//! value that it sent, unless the value was another one in between.
//! Limits: [`STATES_MAX`] states and [`EVENTS_MAX`] events wait; further ones are dropped and counted.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::packet::{Arg, Message};

/// Of one destination.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// What waits. Nothing where it was taken back.
    queue: VecDeque<Option<(Arc<str>, Vec<Arg>)>>,
    /// How much was taken from the front of the queue.
    taken: usize,
    /// Where in the queue each state is, counted with what was taken.
    places: HashMap<Arc<str>, usize>,
    events: usize,
    touched: HashMap<Arc<str>, Touched>,
    /// When each of them is over.
    held: BTreeSet<(Instant, Arc<str>)>,
    /// Nothing is sent before.
    next: Option<Instant>,
    dropped: u64,
}

/// An address for which the destination has sent something lately.
#[derive(Debug)]
struct Touched {
    until: Instant,
    /// What it sent.
    sent: Vec<Arg>,
    /// What it is to be told afterwards.
    waiting: Option<Vec<Arg>>,
}

impl Outbox {
    /// The newest value of a state.
    pub(crate) fn state(&mut self, now: Instant, address: &Arc<str>, args: Vec<Arg>) {
        if let Some(touched) = self.touched.get_mut(address)
            && touched.until > now
        {
            touched.waiting = Some(args);
            return;
        }
        if let Some(place) = self.places.get(address) {
            self.queue[*place - self.taken] = Some((Arc::clone(address), args));
        } else if self.places.len() < STATES_MAX {
            let place = self.taken + self.queue.len();
            self.places.insert(Arc::clone(address), place);
            self.queue.push_back(Some((Arc::clone(address), args)));
        } else {
            self.dropped += 1;
        }
    }

    /// An event. `is_answer`: it may come from what a destination has sent. Then the destination is not told what it
    /// sent, and anything else as a state is, when [`HOLD`] is over.
    pub(crate) fn event(
        &mut self,
        now: Instant,
        address: &Arc<str>,
        args: Vec<Arg>,
        is_answer: bool,
    ) {
        if is_answer
            && let Some(touched) = self.touched.get_mut(address)
            && touched.until > now
        {
            if args != touched.sent {
                self.dropped += u64::from(touched.waiting.replace(args).is_some());
            }
            return;
        }
        if self.events == EVENTS_MAX {
            self.dropped += 1;
            return;
        }
        self.events += 1;
        self.queue.push_back(Some((Arc::clone(address), args)));
    }

    /// The destination has sent this itself.
    pub(crate) fn touched(&mut self, now: Instant, address: &Arc<str>, sent: Vec<Arg>) {
        if let Some(place) = self.places.remove(address) {
            self.queue[place - self.taken] = None;
        }
        if self.touched.len() >= STATES_MAX && !self.touched.contains_key(address) {
            return;
        }
        let touched = Touched {
            until: now + HOLD,
            sent,
            waiting: None,
        };
        self.held.insert((touched.until, Arc::clone(address)));
        let before = self.touched.insert(Arc::clone(address), touched);
        if let Some(before) = before.filter(|before| before.until != now + HOLD) {
            self.held.remove(&(before.until, Arc::clone(address)));
        }
    }

    /// The address is gone.
    pub(crate) fn forget(&mut self, address: &str) {
        if let Some((address, touched)) = self.touched.remove_entry(address) {
            self.held.remove(&(touched.until, address));
        }
        if let Some(place) = self.places.remove(address) {
            self.queue[place - self.taken] = None;
        }
    }

    /// What is to be sent now; empty before the tick.
    pub(crate) fn take(&mut self, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        self.take_while(now, |message| {
            messages.push(message.clone());
            true
        });
        messages
    }

    /// Gives what is to be sent now for as long as it is taken; the rest waits. Nothing before the tick. Returns how much
    /// was taken.
    pub(crate) fn take_while(
        &mut self,
        now: Instant,
        mut put: impl FnMut(&Message) -> bool,
    ) -> u64 {
        if self.next.is_some_and(|next| next > now) {
            return 0;
        }
        self.release(now);
        let mut count = 0;
        while let Some(first) = self.queue.pop_front() {
            if let Some((address, args)) = first {
                let message = Message {
                    address: address.to_string(),
                    args,
                };
                if !put(&message) {
                    self.queue.push_front(Some((address, message.args)));
                    break;
                }
                count += 1;
                match self.places.get(&address) {
                    Some(place) if *place == self.taken => drop(self.places.remove(&address)),
                    _ => self.events -= 1,
                }
            }
            self.taken += 1;
        }
        if count > 0 {
            self.next = Some(now + TICK);
        }
        count
    }

    /// What was held back long enough is queued, if it is news to the destination.
    fn release(&mut self, now: Instant) {
        while self.held.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, address)) = self.held.pop_first() else {
                return;
            };
            let Some(touched) = self.touched.remove(&address) else {
                continue;
            };
            if let Some(args) = touched.waiting.filter(|args| *args != touched.sent) {
                self.state(now, &address, args);
            }
        }
    }

    /// When there is something to be taken next.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let queued = self
            .queue
            .iter()
            .any(Option::is_some)
            .then(|| self.next.unwrap_or(now));
        let held = self.held.first().map(|(until, _)| *until);
        [queued, held].into_iter().flatten().min()
    }

    /// How much was dropped since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// The shortest time between two packets or rows of packets to one destination.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// How long after its last message for an address a destination is not told of it.
pub(crate) const HOLD: Duration = Duration::from_millis(300);
/// States that wait for a destination, and addresses of which it is known what it sent.
pub(crate) const STATES_MAX: usize = 65_536;
/// Events that wait for a destination.
pub(crate) const EVENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn level() -> Arc<str> {
        Arc::from("/lamp/level")
    }

    fn value(number: f32) -> Vec<Arg> {
        vec![Arg::Float(number)]
    }

    fn taken(outbox: &mut Outbox, now: Instant) -> Vec<Vec<Arg>> {
        let messages = outbox.take(now).into_iter();
        messages.map(|message| message.args).collect()
    }

    #[test]
    fn of_a_state_the_newest_value_is_sent_once_a_tick() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        outbox.state(start, &level(), value(0.1));
        assert_eq!(taken(&mut outbox, start), [value(0.1)], "at once when idle");
        for step in 0..1000_u16 {
            outbox.state(start, &level(), value(f32::from(step)));
        }
        assert_eq!(outbox.poll_timeout(start), Some(start + TICK));
        assert!(taken(&mut outbox, start).is_empty());
        assert_eq!(taken(&mut outbox, start + TICK), [value(999.0)]);
        assert_eq!(outbox.poll_timeout(start), None);
    }

    #[test]
    fn events_are_all_sent_up_to_a_bound() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        for _ in 0..EVENTS_MAX + 3 {
            outbox.event(start, &level(), Vec::new(), false);
        }
        assert_eq!(taken(&mut outbox, start).len(), EVENTS_MAX);
        assert_eq!(outbox.take_dropped(), 3);
    }

    #[test]
    fn states_that_wait_have_a_bound() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        for number in 0..STATES_MAX + 2 {
            outbox.state(start, &format!("/{number}").into(), Vec::new());
        }
        assert_eq!(taken(&mut outbox, start).len(), STATES_MAX);
        assert_eq!(outbox.take_dropped(), 2);
    }

    #[test]
    fn nobody_is_told_what_it_sent_itself() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        outbox.state(start, &level(), value(0.9));
        for (ms, number) in [(0, 0.1), (10, 0.2), (20, 0.3)] {
            let now = start + Duration::from_millis(ms);
            outbox.touched(now, &level(), value(number));
            outbox.state(now, &level(), value(number));
        }
        // The node tells late what it was set to: the fader must not jump back.
        outbox.state(start + Duration::from_millis(30), &level(), value(0.2));
        outbox.state(start + Duration::from_millis(40), &level(), value(0.3));
        let over = outbox.poll_timeout(start).unwrap();
        assert_eq!(over, start + Duration::from_millis(20) + HOLD);
        assert!(taken(&mut outbox, over).is_empty());
        assert_eq!(outbox.poll_timeout(over), None);
        outbox.state(over, &level(), value(0.3));
        assert_eq!(
            taken(&mut outbox, over),
            [value(0.3)],
            "a touch of somebody else"
        );
    }

    #[test]
    fn what_a_node_makes_of_a_value_is_told_when_the_hand_rests() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        outbox.touched(start, &level(), value(2.0));
        outbox.state(start, &level(), value(1.0));
        assert!(taken(&mut outbox, start).is_empty());
        assert_eq!(taken(&mut outbox, start + HOLD), [value(1.0)]);
    }

    #[test]
    fn an_event_that_comes_from_the_destination_is_not_told_to_it() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        outbox.touched(start, &level(), value(1.0));
        outbox.event(start, &level(), value(1.0), true);
        outbox.event(start, &level(), value(2.0), false);
        assert_eq!(taken(&mut outbox, start), [value(2.0)]);
    }
}
