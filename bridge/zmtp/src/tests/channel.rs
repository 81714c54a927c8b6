//! END and RESET, in the clear and sealed.

use super::curve::{met, take};
use super::{command, events, ready_pair, ready_router};
use crate::{Connection, Error, Event, Limits, Malformed, SendError};

fn received(from: &mut Connection, to: &mut Connection) -> Vec<Event> {
    to.handle_input(&take(from)).unwrap();
    events(to)
}

fn each_pair(test: impl Fn(Connection, Connection)) {
    let (dealer, router) = ready_pair(&Limits::default());
    test(dealer, router);
    let (dealer, router) = met(&Limits::default());
    test(dealer, router);
}

#[test]
fn the_end_of_one_direction_comes_behind_its_messages_and_leaves_the_other_open() {
    each_pair(|mut dealer, mut router| {
        dealer.send(&[b"last"]).unwrap();
        dealer.send_end().unwrap();
        let got = received(&mut dealer, &mut router);
        assert!(matches!(&got[..], [Event::Message(_), Event::End]));
        router.send(&[b"back"]).unwrap();
        let got = received(&mut router, &mut dealer);
        assert!(matches!(&got[..], [Event::Message(_)]));
    });
}

#[test]
fn a_reset_says_why_in_printable_octets_and_at_most_255_of_them() {
    each_pair(|mut dealer, mut router| {
        dealer.send_reset("gone\n").unwrap();
        dealer.send_reset(&"x".repeat(300)).unwrap();
        let got = received(&mut dealer, &mut router);
        let why = |why: String| Event::Reset { why };
        assert_eq!(got, [why("gone\\n".to_owned()), why("x".repeat(255))]);
    });
}

#[test]
fn a_reset_whose_reason_is_cut_off_is_malformed() {
    let mut router = ready_router(Limits::default());
    let error = router.handle_input(&command(b"RESET", b"\x05why"));
    assert_eq!(error, Err(Error::Malformed(Malformed::Reason)));
}

#[test]
fn nothing_is_ended_before_the_handshake() {
    let mut dealer = Connection::dealer(b"x", Limits::default());
    assert_eq!(dealer.send_end(), Err(SendError::NotReady));
    assert_eq!(dealer.send_reset("no"), Err(SendError::NotReady));
}
