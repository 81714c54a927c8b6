//! What the doctor says of beacons, of TCP, and of who is there.

use super::{
    bridge::Bridge,
    finding::Finding,
    firewall::opening,
    probe::{Answer, Dialed},
};

impl Bridge {
    pub(super) fn beacons(&self, port: u16) -> Finding {
        let count = |name| self.count("beacons", name);
        let lately = |name| self.lately("beacons", name);
        match (count("sent"), count("own")) {
            (0, _) => Finding::good("beacons", "they are off: only peers that are named are met"),
            (_, 0) => Finding::problem(
                "beacons",
                "not one of its own comes back: something keeps them out, a firewall most likely",
            )
            .advice(opening(port)),
            (_, own) if lately("own") == 0 && lately("sent") >= SENT_MIN => {
                let found = format!(
                    "its own came back, {own} of them, and do not any more: something keeps them out now, a \
                     firewall's rule that is new most likely"
                );
                Finding::problem("beacons", found).advice(opening(port))
            }
            (_, _) => Finding::good("beacons", format!("{} of others heard", count("heard"))),
        }
    }

    pub(super) fn tcp(&self, port: u16) -> Finding {
        let Some(Dialed { own, peers }) = &self.dialed else {
            let found = "not tried: the bridge is not in this machine's network, or has none";
            return Finding::unknown("tcp", found);
        };
        let endpoint = &self.endpoint;
        match own {
            Answer::Silence => {
                let found = format!(
                    "nobody can dial it: {endpoint} does not answer, TCP that comes in is dropped"
                );
                return Finding::problem("tcp", found).advice(opening(port));
            }
            Answer::Refused => {
                let found = format!(
                    "nobody can dial it: {endpoint} is where it says to be, and no one is there"
                );
                let advice = "the address is not this machine's any more, or a firewall refuses TCP: see `ip \
                              address`, and restart the bridge if the address is right";
                return Finding::problem("tcp", found).advice(advice);
            }
            Answer::Open => {}
        }
        let closed = peers.iter().filter(|(.., answer)| *answer != Answer::Open);
        let closed: Vec<String> = closed
            .map(|(name, endpoint, _)| format!("{name} ({endpoint})"))
            .collect();
        if closed.is_empty() {
            let found = format!("it and {} peers can be dialed", peers.len());
            return Finding::good("tcp", found);
        }
        let found = format!("these cannot be dialed from here: {}", closed.join(", "));
        let is_silent = peers.iter().all(|(.., answer)| *answer == Answer::Silence);
        if is_silent {
            let advice = "not one peer answers: a firewall of this machine drops TCP that goes out, or those of \
                          the peers drop what comes in. Nodes dial each other, at ports that are others at each \
                          start: let TCP of the nodes' network through, both ways";
            return Finding::problem("tcp", found).advice(advice);
        }
        let advice = "others answer: see the firewall and the addresses of these machines";
        Finding::warning("tcp", found).advice(advice)
    }

    pub(super) fn nodes(&self) -> Finding {
        let present = self.peers.len();
        if present == 0 && self.lately("beacons", "heard") >= HEARD_MIN {
            let advice = "their beacons come, so UDP is open: TCP is not, in one of the two directions. `zocp \
                          monitor` shows who is turned away, `zocp -v bridge` whom it cannot reach";
            let found = "nodes are heard, and none is met";
            return Finding::problem("nodes", found).advice(advice);
        }
        let unreachable = self.peers.iter();
        let unreachable = unreachable.filter(|peer| peer.state == "unreachable");
        let unreachable = unreachable.map(|peer| format!("{} at {}", peer.name, peer.endpoint));
        let unreachable: Vec<String> = unreachable.collect();
        if !unreachable.is_empty() {
            let found = format!("cannot be reached: {}", unreachable.join(", "));
            let advice = "they opened a connection to this bridge and nobody answers at their own endpoint, so nothing \
                          can be said to them: a firewall or an address translation (NAT) is before them. Open their \
                          port there, which `mesh.mailbox_port` fixes for a bridge";
            return Finding::warning("nodes", found).advice(advice);
        }
        let evasive = self.peers.iter().filter(|peer| peer.state == "evasive");
        let evasive: Vec<&str> = evasive.map(|peer| peer.name.as_str()).collect();
        if !evasive.is_empty() {
            let found = format!("silent at the moment: {}", evasive.join(", "));
            let advice = "they are gone in half a minute if they stay so";
            return Finding::warning("nodes", found).advice(advice);
        }
        Finding::good("nodes", format!("{present} present"))
    }
}

/// Beacons sent without one that came back: one may be lost.
const SENT_MIN: u64 = 2;
/// Beacons of others, heard while the doctor watched, after which they should have been met.
const HEARD_MIN: u64 = 2;
