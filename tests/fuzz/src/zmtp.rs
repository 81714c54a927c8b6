//! Connections of ZMTP for the targets: carried, ready, opened.

use zocp_zmtp::{Connection, Limits};

/// What one end has to say goes to the other, all of it.
pub(crate) fn carry(from: &mut Connection, to: &mut Connection) {
    let taken = to.handle_input(from.output());
    assert_eq!(taken, Ok(()), "what we put out is taken");
    from.consume_output(from.output_len());
}

/// Both ends with the handshake over and nothing waiting.
pub(crate) fn ready_pair(limits: &Limits) -> (Connection, Connection) {
    let mut dealer = Connection::dealer(b"lamp", limits.clone());
    let mut router = Connection::router(limits.clone());
    while !(dealer.is_ready() && router.is_ready()) {
        carry(&mut dealer, &mut router);
        carry(&mut router, &mut dealer);
    }
    assert!(dealer.poll_event().is_some() && router.poll_event().is_some());
    (dealer, router)
}

/// All that one end says until the handshake is over.
pub(crate) fn handshake(mut from: Connection, mut to: Connection) -> Vec<u8> {
    let mut said = Vec::new();
    while !(from.is_ready() && to.is_ready()) {
        said.extend_from_slice(from.output());
        carry(&mut from, &mut to);
        carry(&mut to, &mut from);
    }
    said
}
