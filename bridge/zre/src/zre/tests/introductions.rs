//! Peers that somebody else tells of.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn introduce(&mut self, number: u8, endpoint: SocketAddr) {
        let endpoint = endpoint.into();
        self.zre.introduce(self.now, peer_id(number), endpoint);
    }

    /// Tells of a peer each second; the dials, which all fail at once.
    fn failed_dials(&mut self, number: u8, seconds: u32, is_told: bool) -> usize {
        let mut dials = 0;
        for _ in 0..seconds {
            if is_told {
                self.introduce(number, peer_addr(number));
            }
            // In small steps, since a dial that has failed is followed by the next within the second.
            for _ in 0..50 {
                while let Some((dial, _)) = self.dialed() {
                    dials += 1;
                    self.zre.dial_closed(self.now, dial, DialEnd::Refused);
                }
                self.pass(SECOND / 50);
            }
        }
        dials
    }
}

// protocol.md §1.11
#[test]
fn who_is_told_of_is_dialed_with_the_usual_pauses_and_again_when_it_was_forgotten() {
    let mut bench = Bench::new();
    bench.introduce(1, peer_addr(1));
    let once = bench.failed_dials(1, 29, false);
    let mut bench = Bench::new();
    bench.introduce(1, peer_addr(1));
    assert_eq!(bench.failed_dials(1, 29, true), once);
    // It is forgotten in the meantime, and told of again.
    let again = bench.failed_dials(1, 30, true);
    assert!(again > 0 && again <= once + 2, "{again} after {once}");
    assert_eq!(bench.failed_dials(1, 60, false), 0, "nobody tells of it");
}

// protocol.md §1.11
#[test]
fn what_others_tell_is_no_sign_of_life_and_who_was_lost_is_met_again() {
    let mut bench = Bench::new();
    let player = bench.meet(1);
    let mut exits = Vec::new();
    for _ in 0..40 {
        bench.introduce(1, player.addr);
        bench.pass(SECOND);
        exits.extend(bench.exits());
        if !exits.is_empty() {
            break;
        }
    }
    assert_eq!(exits, [ExitReason::Expired]);
    bench.introduce(1, player.addr);
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, format!("tcp://{}", player.addr));
}

// protocol.md §1.11
#[test]
fn another_endpoint_of_a_known_peer_is_tried_when_the_first_fails() {
    let mut bench = Bench::new();
    bench.introduce(1, peer_addr(1));
    let (dial, _) = bench.dialed().unwrap();
    bench.introduce(1, peer_addr(2));
    assert!(bench.dialed().is_none());
    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
    bench.pass(SECOND);
    let (_, endpoint) = bench.dialed().unwrap();
    assert_eq!(endpoint, format!("tcp://{}", peer_addr(2)));
}

// protocol.md §1.11
#[test]
fn what_others_tell_does_not_take_an_endpoint_from_a_peer() {
    let mut bench = Bench::new();
    bench.introduce(1, peer_addr(1));
    let (dial, _) = bench.dialed().unwrap();
    bench.zre.dial_closed(bench.now, dial, DialEnd::Refused);
    // As after a restart of the node there, both are told of.
    for _ in 0..10 {
        bench.introduce(2, peer_addr(1));
        bench.introduce(1, peer_addr(1));
    }
    assert!(bench.dialed().is_none(), "neither begins anew");
    bench.pass(SECOND);
    assert!(bench.dialed().is_some(), "after the usual pause");
}

#[test]
fn who_is_told_of_at_an_endpoint_that_a_user_gave_is_not_dialed_twice() {
    let mut bench = Bench::new();
    let endpoint = format!("tcp://{}", peer_addr(1));
    bench.zre.connect(bench.now, &endpoint).unwrap();
    assert!(bench.dialed().is_some());
    bench.introduce(1, peer_addr(1));
    assert!(bench.dialed().is_none());
    bench.introduce(2, peer_addr(2));
    assert!(bench.dialed().is_some());
}

// protocol.md §1.12
#[test]
fn who_is_wanted_no_longer_is_not_dialed_and_who_is_present_stays_until_it_leaves() {
    let mut bench = Bench::new();
    let endpoint = format!("tcp://{}", peer_addr(1));
    bench.zre.connect(bench.now, &endpoint).unwrap();
    assert_eq!(bench.zre.disconnect(bench.now, &endpoint, None), Ok(true));
    assert_eq!(bench.zre.disconnect(bench.now, &endpoint, None), Ok(false));
    while bench.dialed().is_some() {}
    assert_eq!(bench.failed_dials(1, 60, false), 0);
    assert!(bench.zre.disconnect(bench.now, "foh", None).is_err());

    // Who is heard by beacons too is dialed as others are; who is met by a HELLO alone is not.
    let player = bench.meet(2);
    let endpoint = format!("tcp://{}", player.addr);
    bench.zre.connect(bench.now, &endpoint).unwrap();
    assert_eq!(bench.zre.disconnect(bench.now, &endpoint, None), Ok(true));
    assert_eq!(bench.exits(), []);
    bench.zre.link_closed(bench.now, player.link);
    bench
        .zre
        .dial_closed(bench.now, player.dial, DialEnd::Closed);
    assert_eq!(bench.exits().len(), 1);
    bench.failed_dials(2, 40, false);
    assert_eq!(bench.failed_dials(2, 60, false), 0);
}
