//! What must hold of the venues, and what is measured.

use std::{collections::BTreeSet, time::Duration};

use zocp_zre::PeerId;

use super::{BRIDGES, STEP, VENUES, Venues, venue};

impl Venues {
    /// What each linked bridge should show: all that its links reach, once; and what is missing or too much.
    pub(super) fn missing(&mut self) -> Option<String> {
        let ids: Vec<PeerId> = self.world.hosts.iter().map(|host| host.id).collect();
        for host in 0..ids.len() {
            for other in (0..ids.len()).filter(|it| *it != host && venue(*it) == venue(host)) {
                if self.world.hosts[host]
                    .node
                    .ours()
                    .peer(ids[other])
                    .is_none()
                {
                    return Some(format!("{host} does not see {other} of its venue"));
                }
            }
        }
        let hosts: Vec<usize> = self.linked.keys().copied().collect();
        for host in hosts {
            let links = self.links.iter();
            let linked = links.filter_map(|&(a, b)| match host {
                it if it == a => Some(b),
                it if it == b => Some(a),
                _ => None,
            });
            let linked: BTreeSet<usize> = linked.collect();
            for other in &linked {
                if !self.is_met(host, ids[*other]) {
                    return Some(format!("{host} has no link with {other}"));
                }
            }
            let venues: BTreeSet<usize> = linked.iter().map(|it| venue(*it)).collect();
            let reached = (0..ids.len()).filter(|it| venues.contains(&venue(*it)));
            let wanted: BTreeSet<PeerId> = reached
                .filter(|it| !linked.contains(it))
                .map(|it| ids[it])
                .collect();
            if self.linked[&host].shown != wanted {
                let shown = self.linked[&host].shown.len();
                return Some(format!("{host} shows {shown} nodes of {}", wanted.len()));
            }
            self.names_are_unique(host, &linked);
        }
        None
    }

    /// One name stands for one node, in what is met and what is passed on.
    fn names_are_unique(&mut self, host: usize, linked: &BTreeSet<usize>) {
        let passing = &self.linked[&host].passing;
        let passed = passing.present().map(|(node, _)| {
            let offer = passing.offer(node).expect("an offer");
            let venue = &passing.linked(offer.via).expect("a link").venue;
            format!("{venue}/{}", offer.name)
        });
        let met = linked
            .iter()
            .map(|it| format!("venue{}/bridge{}", venue(*it), it % BRIDGES));
        let names: Vec<String> = passed.chain(met).collect();
        let unique: BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{host}: {names:?}");
    }

    /// Runs until everything is as it should be; returns how long that took.
    pub(super) fn complete(&mut self, what: &str) -> Duration {
        let begin = self.world.now;
        while let Some(missing) = self.missing() {
            let waited = self.world.now - begin;
            assert!(waited < Duration::from_secs(60), "{what}: {missing}");
            self.run(STEP * 5);
        }
        self.world.now - begin
    }

    /// Packets and octets in a second at rest: of a link, both ways, and of the network of a venue.
    pub(super) fn rest(&mut self) -> Rest {
        let entered: u64 = self.linked.values().map(|it| it.entered).sum();
        self.run(Duration::from_secs(60));
        self.world.counted.clear();
        self.run(Duration::from_secs(60));
        let still: u64 = self.linked.values().map(|it| it.entered).sum();
        assert_eq!(entered, still, "nothing enters at rest");
        let mut link = (0, 0);
        let mut room = (0, 0);
        for ((from, to), (packets, octets)) in &self.world.counted {
            let sum = match venue(*from) == venue(*to) {
                true => &mut room,
                false => &mut link,
            };
            *sum = (sum.0 + packets, sum.1 + octets);
        }
        let per = |count: u64, of: usize| count as f64 / 60.0 / of as f64;
        Rest {
            link: (per(link.0, self.links.len()), per(link.1, self.links.len())),
            venue: (per(room.0, VENUES), per(room.1, VENUES)),
        }
    }
}

/// Traffic at rest: packets and octets in a second.
pub(super) struct Rest {
    pub(super) link: (f64, f64),
    pub(super) venue: (f64, f64),
}
