//! The links that a user wants: since when each is up or down, and why it is down.
//!
//! Model: a [`WantedLinks`] has an entry for each endpoint that [`Node::link`](crate::Node::link) took. What happens to the
//! node that has its key is told to it; it decides nothing. Plain data without a clock.
//! Limits: as many entries as endpoints that a user may name (`zocp_zre::Limits::manual_max`).

use std::time::{Duration, Instant};

use zocp_zmtp::PublicKey;
use zocp_zre::{ExitReason, PeerId};

/// A link that a user wants, and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// The endpoint and the key, as they were given: `tcp://host:port|key`.
    pub to: String,
    /// The node at the other end, if it is present.
    pub peer: Option<PeerId>,
    /// For how long the link has been up or down.
    pub since: Duration,
    /// Why it is down; empty where it is up.
    pub why: String,
    /// The time until the next attempt; `None` where it is up, or an attempt is under way.
    pub next: Option<Duration>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct WantedLinks(Vec<Entry>);

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) to: String,
    pub(crate) key: PublicKey,
    pub(crate) since: Instant,
    pub(crate) why: String,
    pub(crate) peer: Option<PeerId>,
}

impl WantedLinks {
    /// Adds a link to a node that is present, or not.
    pub(crate) fn add(&mut self, now: Instant, to: &str, key: PublicKey, peer: Option<PeerId>) {
        if self.0.iter().any(|entry| entry.to == to) {
            return;
        }
        let why = if peer.is_some() { "" } else { NO_ATTEMPT };
        self.0.push(Entry {
            to: to.to_owned(),
            key,
            since: now,
            why: why.to_owned(),
            peer,
        });
    }

    pub(crate) fn remove(&mut self, to: &str) {
        self.0.retain(|entry| entry.to != to);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// The node that has this key is present.
    pub(crate) fn entered(&mut self, now: Instant, key: Option<PublicKey>, peer: PeerId) {
        for entry in self.0.iter_mut().filter(|entry| Some(entry.key) == key) {
            entry.peer = Some(peer);
            entry.since = now;
            entry.why.clear();
        }
    }

    /// It is not any more.
    pub(crate) fn exited(&mut self, now: Instant, peer: PeerId, reason: ExitReason) {
        for entry in self.0.iter_mut().filter(|entry| entry.peer == Some(peer)) {
            entry.peer = None;
            entry.since = now;
            entry.why = text(reason).to_owned();
        }
    }

    /// A connection to it could not be made.
    pub(crate) fn failed(&mut self, key: PublicKey, why: &str) {
        let down = self.0.iter_mut().filter(|entry| entry.peer.is_none());
        for entry in down.filter(|entry| entry.key == key) {
            entry.why = why.to_owned();
        }
    }
}

const fn text(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Goodbye => "the bridge there has ended",
        ExitReason::Expired => "nothing came for too long",
        ExitReason::LinkClosed => "the connection was closed",
        ExitReason::Distrusted => "the key of the bridge there is not trusted any more",
        ExitReason::Unreachable => "the connection could not be kept up",
        ExitReason::TooSlow => "the bridge there did not read what was sent to it",
        _ => "the connection is being renewed",
    }
}

const NO_ATTEMPT: &str = "no attempt has ended yet";

#[cfg(test)]
mod tests {
    use zocp_zmtp::KeyPair;

    use super::*;

    #[test]
    fn a_link_that_is_down_says_why_and_since_when() {
        let key = |number| KeyPair::from_secret(&[number; 32]).public();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut links = WantedLinks::default();
        links.add(start, "tcp://a:1|a", key(1), None);
        links.add(start, "tcp://a:1|a", key(1), None);
        links.add(start, "tcp://b:1|b", key(2), None);
        let told = |links: &WantedLinks| {
            let first = links.iter().next().unwrap();
            (first.since, first.why.clone())
        };
        assert_eq!(links.iter().count(), 2);
        links.failed(key(1), "Connection refused");
        assert_eq!(told(&links), (start, "Connection refused".to_owned()));
        links.entered(at(3), Some(key(1)), PeerId::new([1; 16]));
        links.failed(key(1), "one of two attempts");
        assert_eq!(told(&links), (at(3), String::new()));
        links.exited(at(5), PeerId::new([1; 16]), ExitReason::LinkClosed);
        links.entered(at(6), Some(key(2)), PeerId::new([2; 16]));
        assert_eq!(
            told(&links),
            (at(5), "the connection was closed".to_owned())
        );
        links.failed(key(1), "Network is unreachable");
        assert_eq!(told(&links), (at(5), "Network is unreachable".to_owned()));
        links.remove("tcp://a:1|a");
        assert_eq!(links.iter().count(), 1);
    }
}
