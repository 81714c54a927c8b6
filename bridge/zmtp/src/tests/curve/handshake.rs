//! The handshake, and everything that ends it.

use super::{
    client, client_pair, command, curve_greeting, entropy, greet, greeted, met, pair, server,
    server_pair, take,
};
use crate::tests::{dealer_opening, events, frame, message};
use crate::{
    Connection, Error, Event, Forged, KeyError, KeyPair, Limits, Malformed, Mechanism, Misbehaved,
    SendError, SocketKind, Unsupported,
};

/// The commands of a whole handshake, in the order in which they are sent.
fn transcript() -> [Vec<u8>; 4] {
    let (mut client, mut server) = greeted();
    let hello = take(&mut client);
    server.handle_input(&hello).unwrap();
    let welcome = take(&mut server);
    client.handle_input(&welcome).unwrap();
    let initiate = take(&mut client);
    server.handle_input(&initiate).unwrap();
    assert!(server.accept());
    [hello, welcome, initiate, take(&mut server)]
}

/// What the end that is to take command `step` of the transcript says to these octets instead.
fn answer_at(step: usize, octets: &[u8]) -> Result<Vec<Event>, Error> {
    let [hello, welcome, initiate, _] = transcript();
    let (mut client, mut server) = greeted();
    match step {
        0 => {}
        1 => take(&mut client).clear(),
        2 => server.handle_input(&hello).unwrap(),
        _ => {
            client.handle_input(&welcome).unwrap();
            server.handle_input(&hello).unwrap();
            server.handle_input(&initiate).unwrap();
        }
    }
    let end = if step.is_multiple_of(2) {
        &mut server
    } else {
        &mut client
    };
    end.handle_input(octets).map(|()| events(end))
}

#[test]
fn each_end_learns_who_the_other_is() {
    let (mut client, mut server) = greeted();
    server.handle_input(&take(&mut client)).unwrap();
    client.handle_input(&take(&mut server)).unwrap();
    server.handle_input(&take(&mut client)).unwrap();
    let asked = Event::PeerKey {
        key: client_pair().public(),
        identity: "client".into(),
    };
    assert_eq!(events(&mut server), [asked]);
    assert!(server.accept());
    let ready = |socket_type, identity: &'static str| Event::Ready {
        socket_type,
        identity: identity.into(),
    };
    assert_eq!(events(&mut server), [ready(SocketKind::Dealer, "client")]);
    client.handle_input(&take(&mut server)).unwrap();
    assert_eq!(events(&mut client), [ready(SocketKind::Router, "")]);
    assert!(client.is_ready() && server.is_ready());
}

#[test]
fn nothing_is_sent_and_nobody_is_let_in_before_the_owner_says_so() {
    let (mut client, mut server) = greeted();
    assert!(!server.accept() && !client.accept() && !server.refuse());
    server.handle_input(&take(&mut client)).unwrap();
    client.handle_input(&take(&mut server)).unwrap();
    assert_eq!(client.send(&[b"early"]), Err(SendError::NotReady));
    server.handle_input(&take(&mut client)).unwrap();
    assert!(!server.is_ready());
    assert_eq!(server.output_len(), 0);
    assert_eq!(server.send(&[b"early"]), Err(SendError::NotReady));
}

#[test]
fn who_is_refused_is_told_so() {
    let (mut client, mut server) = greeted();
    server.handle_input(&take(&mut client)).unwrap();
    client.handle_input(&take(&mut server)).unwrap();
    server.handle_input(&take(&mut client)).unwrap();
    assert!(server.refuse());
    assert!(!server.is_ready() && !server.refuse() && !server.accept());
    assert_eq!(server.send(&[b"x"]), Err(SendError::Failed));
    assert_eq!(server.output(), command(b"ERROR", b"\x03400"));
    let refused = client.handle_input(&take(&mut server));
    let reason = "400".into();
    assert_eq!(refused, Err(Error::Refused { reason }));
    assert_eq!(events(&mut client), []);
}

#[test]
fn what_comes_behind_initiate_before_the_verdict_ends_the_connection() {
    let [hello, _, initiate, _] = transcript();
    let (_, mut server) = greeted();
    server.handle_input(&hello).unwrap();
    let ping = command(b"PING", b"\0\0");
    let both = [initiate, ping].concat();
    let early = Err(Misbehaved::CommandBeforeReady.into());
    assert_eq!(server.handle_input(&both), early);
    assert!(!server.accept());
    assert!(!server.is_ready());
}

// protocol.md §8.1
#[test]
fn curve_and_null_refuse_each_other() {
    let limits = Limits::default();
    let refusal = |name: &str, ours| -> Result<(), Error> {
        let name = name.into();
        Err(Unsupported::Mechanism { name, ours }.into())
    };
    let plain = dealer_opening();
    let null = refusal("NULL", Mechanism::Curve);
    assert_eq!(client(&limits).handle_input(&plain), null);
    assert_eq!(server(&limits).handle_input(&plain), null);
    let mut router = Connection::router(limits.clone());
    let curve = refusal("CURVE", Mechanism::Null);
    assert_eq!(router.handle_input(client(&limits).output()), curve);
    let mut dealer = Connection::dealer(b"", limits.clone());
    assert_eq!(dealer.handle_input(server(&limits).output()), curve);
}

#[test]
fn the_greeting_says_curve_and_who_is_the_server() {
    let limits = Limits::default();
    assert_eq!(
        client(&limits).output()[12..33],
        *b"CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    );
    assert_eq!(
        server(&limits).output()[12..33],
        *b"CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
    );
}

#[test]
fn plain_traffic_after_a_greeting_of_curve_is_refused() {
    let ready = dealer_opening()[64..].to_vec();
    let (mut client, mut server) = greeted();
    let early: Result<(), Error> = Err(Misbehaved::CommandBeforeReady.into());
    assert_eq!(client.handle_input(&ready), early);
    assert_eq!(server.handle_input(&ready), early);
    let (mut client, mut server) = greeted();
    let early: Result<(), Error> = Err(Misbehaved::MessageBeforeReady.into());
    assert_eq!(client.handle_input(&message(&[b"x"])), early);
    assert_eq!(server.handle_input(&message(&[b"x"])), early);
}

#[test]
fn a_client_that_knows_another_key_of_the_server_is_refused_at_hello() {
    let wrong = pair(9).public();
    let mut client =
        Connection::curve_dealer(b"", &client_pair(), wrong, entropy(1), Limits::default());
    client.handle_input(&curve_greeting()).unwrap();
    let mut server = server(&Limits::default());
    let forged = server.handle_input(&take(&mut client));
    assert_eq!(forged, Err(Forged::Hello.into()));
}

#[test]
fn a_server_without_the_key_that_the_client_knows_is_refused_at_welcome() {
    // It answers a HELLO for its own key with what it would say to the client.
    let (mut client, _) = greeted();
    let other = pair(9);
    let mut impostor = Connection::curve_router(&other, entropy(7), Limits::default());
    impostor.handle_input(&curve_greeting()).unwrap();
    take(&mut impostor);
    let mut own = Connection::curve_dealer(
        b"",
        &client_pair(),
        other.public(),
        entropy(0x40),
        Limits::default(),
    );
    own.handle_input(&curve_greeting()).unwrap();
    own.consume_output(64);
    impostor.handle_input(&take(&mut own)).unwrap();
    let forged = client.handle_input(&take(&mut impostor));
    assert_eq!(forged, Err(Forged::Welcome.into()));
}

#[test]
fn a_client_cannot_name_a_key_that_it_does_not_have() {
    // With the public key of another in place of its own.
    let stolen = KeyPair::claiming(&pair(3), client_pair().public());
    let server_key = server_pair().public();
    let mut thief =
        Connection::curve_dealer(b"", &stolen, server_key, entropy(5), Limits::default());
    let mut server = server(&Limits::default());
    greet(&mut thief, &mut server);
    server.handle_input(&take(&mut thief)).unwrap();
    thief.handle_input(&take(&mut server)).unwrap();
    let forged = server.handle_input(&take(&mut thief));
    assert_eq!(forged, Err(Forged::Vouch.into()));
    assert_eq!(events(&mut server), []);
}

#[test]
fn each_command_has_its_turn() {
    let commands = transcript();
    for (step, _) in commands.iter().enumerate() {
        for (other, octets) in commands.iter().enumerate().filter(|(at, _)| *at != step) {
            let error: Error = Misbehaved::CommandBeforeReady.into();
            // The server's READY ends its handshake: what follows must be sealed.
            assert_eq!(answer_at(step, octets), Err(error), "{other} at {step}");
        }
    }
}

#[test]
fn a_command_of_another_length_is_refused() {
    let bodies = transcript().map(|octets| match octets[0] {
        4 => octets[2..].to_vec(),
        _ => octets[9..].to_vec(),
    });
    for (step, body) in bodies.iter().enumerate() {
        for len in 0..body.len() {
            let cut = answer_at(step, &frame(4, &body[..len]));
            assert!(cut.is_err(), "{len} octets at {step}");
        }
        let longer = [body, &b"\0"[..]].concat();
        let longer = answer_at(step, &frame(4, &longer));
        assert!(longer.is_err(), "longer at {step}");
    }
}

#[test]
fn commands_of_another_connection_open_nowhere() {
    let key = server_pair().public();
    let limits = Limits::default();
    let (mut client, mut server) = greeted();
    let mut elsewhere = Connection::curve_router(&server_pair(), entropy(0x70), limits.clone());
    elsewhere.handle_input(&curve_greeting()).unwrap();
    elsewhere.consume_output(64);
    let hello = take(&mut client);
    elsewhere.handle_input(&hello).unwrap();
    client.handle_input(&take(&mut elsewhere)).unwrap();
    let initiate = take(&mut client);

    // The same HELLO again, on a connection that has welcomed it with other keys.
    server.handle_input(&hello).unwrap();
    let welcome = take(&mut server);
    assert_eq!(server.handle_input(&initiate), Err(Forged::Cookie.into()));

    // A WELCOME that is for another.
    let mut third = Connection::curve_dealer(b"", &client_pair(), key, entropy(0x50), limits);
    third.handle_input(&curve_greeting()).unwrap();
    assert_eq!(third.handle_input(&welcome), Err(Forged::Welcome.into()));
}

#[test]
fn a_key_of_low_order_is_refused() {
    let [mut hello, ..] = transcript();
    let key_at = 2 + 6 + 2 + 72;
    hello[key_at..key_at + 32].fill(0);
    let low_order = Malformed::Key(KeyError::LowOrder);
    assert_eq!(answer_at(0, &hello), Err(low_order.into()));
}

#[test]
fn another_version_and_padding_that_is_not_zero_are_refused() {
    for at in [8, 9, 10, 81] {
        let [mut hello, ..] = transcript();
        hello[at] ^= 1;
        let malformed = Malformed::Curve { command: "HELLO" };
        assert_eq!(answer_at(0, &hello), Err(malformed.into()), "{at}");
    }
}

#[test]
fn an_error_is_taken_in_the_clear_only_during_the_handshake() {
    let refusal = command(b"ERROR", b"\x03400");
    let reason = "400".into();
    assert_eq!(answer_at(1, &refusal), Err(Error::Refused { reason }));
    let (mut client, _) = met(&Limits::default());
    let plain = client.handle_input(&refusal);
    assert_eq!(plain, Err(Misbehaved::Plain.into()));
}
