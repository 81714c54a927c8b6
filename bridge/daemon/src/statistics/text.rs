//! The counters as Prometheus reads them.
//!
//! Invariants: STATISTICSTEXT-1. names stay. STATISTICSTEXT-2. a counter that has not been is not there, as on the bus. STATISTICSTEXT-3. text of
//! others stands in labels alone, escaped.
//! Limits: three lines and two for each direction of a peer: as many as peers are present.
//! Spec: Prometheus text exposition format 0.0.4

use std::fmt::Write;

use zocp_node::{Counts, PeerInfo, Tally, Verb};

use super::{Statistics, Tallies, tallies};

/// A text that is being written.
#[derive(Debug, Default)]
struct Text {
    out: String,
}

/// What a name counts.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Counter,
    Gauge,
}

/// A label and its value.
type Label<'a> = (&'a str, &'a str);

impl Statistics {
    /// Everything, with what is counted of these peers.
    pub(super) fn text(&self, peers: &[PeerInfo]) -> String {
        let (traffic, packets) = (self.node.traffic(), self.metrics.packets());
        let mut text = Text::default();
        text.begin(
            "zocp_start_time_seconds",
            Sort::Gauge,
            "When counting began, since 1970.",
        );
        text.line("zocp_start_time_seconds", &[], self.since);
        text.begin(
            "zocp_queued_octets",
            Sort::Gauge,
            "Octets that wait to be written to all peers.",
        );
        text.line("zocp_queued_octets", &[], self.queued());
        text.both(
            ["zocp_messages_total", "zocp_message_octets_total"],
            ["Messages of the mesh.", "Their octets."],
            "verb",
            [tallies(&traffic.received), tallies(&traffic.sent)],
        );
        text.both(
            ["zocp_packets_total", "zocp_packet_octets_total"],
            ["D-Bus messages of services.", "Their octets."],
            "type",
            [tallies(&packets.received), tallies(&packets.sent)],
        );
        let groups = self.groups();
        for (group, name, sort, label, help) in GROUPS {
            text.begin(name, sort, help);
            for (kind, count) in groups.get(group).into_iter().flatten() {
                text.line(name, &[(label, kind)], *count);
            }
        }
        self.peers(&mut text, peers);
        text.out
    }

    fn peers(&self, text: &mut Text, peers: &[PeerInfo]) {
        let present = peers.iter().filter_map(|peer| {
            let traffic = self.node.traffic().peer(peer.id)?;
            Some(Present {
                name: &peer.name,
                uuid: peer.id.to_string(),
                sums: [total(&traffic.received), total(&traffic.sent)],
                queued: self.node.queued(peer.id) as u64,
            })
        });
        let present: Vec<Present<'_>> = present.collect();
        let messages = ("zocp_peer_messages_total", "Messages from and to a peer.");
        text.peers(messages, &present, |sum| sum.count);
        let octets = ("zocp_peer_octets_total", "Their octets.");
        text.peers(octets, &present, |sum| sum.octets);
        let name = "zocp_peer_queued_octets";
        let help = "Octets that wait to be written to a peer.";
        text.begin(name, Sort::Gauge, help);
        for peer in &present {
            let labels = [("peer", peer.name), ("uuid", &peer.uuid)];
            text.line(name, &labels, peer.queued);
        }
    }
}

/// A peer with what was counted of it.
struct Present<'a> {
    name: &'a str,
    uuid: String,
    /// In the order of [`WAYS`].
    sums: [Tally; 2],
    queued: u64,
}

/// All kinds together.
fn total(counts: &Counts<Verb>) -> Tally {
    let mut total = Tally::default();
    for (_, tally) in counts.tallies() {
        total.count += tally.count;
        total.octets += tally.octets;
    }
    total
}

impl Text {
    /// Says what a name means, before its lines.
    fn begin(&mut self, name: &str, sort: Sort, help: &str) {
        let sort = match sort {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
        };
        // Writing to a string never fails.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {sort}");
    }

    fn line(&mut self, name: &str, labels: &[Label<'_>], value: u64) {
        self.out.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{before}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {value}");
    }

    /// A counter of each peer, of both directions.
    fn peers(&mut self, name: (&str, &str), present: &[Present<'_>], of: fn(&Tally) -> u64) {
        let (name, help) = name;
        self.begin(name, Sort::Counter, help);
        for peer in present {
            for (way, sum) in WAYS.iter().zip(&peer.sums) {
                let labels = [
                    ("peer", peer.name),
                    ("uuid", &peer.uuid),
                    ("direction", way),
                ];
                self.line(name, &labels, of(sum));
            }
        }
    }

    /// Counts and octets, of both directions.
    fn both(&mut self, names: [&str; 2], helps: [&str; 2], label: &str, of: [Tallies; 2]) {
        for (place, (name, help)) in names.iter().zip(helps).enumerate() {
            self.begin(name, Sort::Counter, help);
            for (way, tallies) in WAYS.iter().zip(&of) {
                for (kind, (count, octets)) in tallies {
                    let value = if place == 0 { *count } else { *octets };
                    self.line(name, &[("direction", way), (label, kind)], value);
                }
            }
        }
    }
}

/// As the format wants it in a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

const WAYS: [&str; 2] = ["received", "sent"];
/// The groups of `Counts`, each with its name here and what its label is called.
const GROUPS: [(&str, &str, Sort, &str, &str); 5] = [
    (
        "beacons",
        "zocp_beacons_total",
        Sort::Counter,
        "kind",
        "Datagrams on the port of the beacons.",
    ),
    (
        "peers",
        "zocp_peers",
        Sort::Gauge,
        "state",
        "Peers that are there.",
    ),
    (
        "left",
        "zocp_left_total",
        Sort::Counter,
        "why",
        "Peers that left.",
    ),
    (
        "turned away",
        "zocp_turned_away_total",
        Sort::Counter,
        "kind",
        "What was not let in, or not understood.",
    ),
    (
        "refused",
        "zocp_refused_total",
        Sort::Counter,
        "error",
        "Calls that the bridge answered with an error.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_labels_escaped() {
        let mut text = Text::default();
        text.begin("zocp_x", Sort::Gauge, "X.");
        text.line("zocp_x", &[], 1);
        text.line("zocp_x", &[("peer", "a\"b\\c\nd"), ("way", "in")], 2);
        let lines = "# HELP zocp_x X.\n# TYPE zocp_x gauge\nzocp_x 1\n\
                     zocp_x{peer=\"a\\\"b\\\\c\\nd\",way=\"in\"} 2\n";
        assert_eq!(text.out, lines);
    }
}
