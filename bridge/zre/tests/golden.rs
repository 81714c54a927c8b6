//! What zyre and pyre really sent: it decodes to what it meant and encodes to the
//! same octets.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

use zocp_zre::{Beacon, Command, HelloLimits, decode};

const BEACONS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/vectors/zre/beacons.txt"
));
const COMMANDS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/vectors/zre/commands.txt"
));

fn vectors(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(octets).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).expect("hex")).collect();
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

// protocol.md §1.1
#[test]
fn every_captured_beacon_comes_back_as_it_was() {
    let beacons = vectors(BEACONS);
    assert!(beacons.len() >= 14);
    for octets in beacons {
        let beacon = Beacon::parse(&octets).unwrap();
        assert_eq!(beacon.encode().as_slice(), octets);
    }
}

// protocol.md §3.1
#[test]
fn every_captured_command_comes_back_as_it_was() {
    let commands = vectors(COMMANDS);
    assert!(commands.len() >= 27);
    for octets in commands {
        let (command, sequence) = decode(&octets, &HelloLimits::default()).unwrap();
        let mut again = Vec::new();
        command.encode(sequence, &mut again);
        assert_eq!(again, octets);
    }
}

#[test]
fn the_first_hello_of_each_peer_says_who_it_is() {
    for (vector, port) in [(0, 49152), (13, 44657)] {
        let octets = &vectors(COMMANDS)[vector];
        let Ok((Command::Hello(hello), 1)) = decode(octets, &HelloLimits::default()) else {
            panic!("vector {vector} is no HELLO");
        };
        assert_eq!(hello.endpoint, format!("tcp://10.99.1.1:{port}"));
        assert_eq!(hello.name, "alice");
        assert_eq!(hello.groups, ["ZOCP"]);
        assert_eq!(hello.status, 1);
        assert_eq!(hello.headers, [("X-ZOCP".to_owned(), "1".to_owned())]);
    }
}

#[test]
fn joins_and_leaves_of_both_peers_count_on_from_their_hello() {
    let all = vectors(COMMANDS);
    for first in [5, 18] {
        let limits = HelloLimits::default();
        assert_eq!(
            decode(&all[first], &limits).unwrap().0,
            Command::Join {
                group: "GLOBAL".into(),
                status: 2
            }
        );
        assert_eq!(
            decode(&all[first + 1], &limits).unwrap().0,
            Command::Leave {
                group: "GLOBAL".into(),
                status: 3
            }
        );
    }
}
