//! What CURVE costs beside NULL: the codec alone, two ends in one thread, without sockets.
//!
//! Model: batches of messages go from one end to the other, sealed and plain in turns, and medians count, as
//! in `compare`. A message has the two frames of a whisper.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use zocp_zmtp::{Connection, Entropy, Event, KeyPair, Limits};

/// Prints the cost of a message and of a handshake, for both mechanisms.
pub fn run(batches: usize, messages: usize, sizes: &[usize]) {
    println!("codec, one thread, {batches} batches of {messages} messages of two frames, medians");
    for &size in sizes {
        let (mut null, mut curve) = (Vec::new(), Vec::new());
        for _ in 0..batches {
            null.push(batch(plain_pair(), messages, size));
            curve.push(batch(sealed_pair(), messages, size));
        }
        let (null, curve) = (median(null), median(curve));
        let each = |time: Duration| time.as_nanos() as f64 / messages as f64;
        println!(
            "{size:>7} octets: NULL {:>8.0} ns, CURVE {:>8.0} ns, {:.0} ns more",
            each(null),
            each(curve),
            each(curve) - each(null),
        );
    }
    let times = |make: fn() -> (Connection, Connection)| {
        let time = |_| {
            let begin = Instant::now();
            std::hint::black_box(make());
            begin.elapsed()
        };
        median((0..batches).map(time).collect())
    };
    println!(
        "handshake, both ends: NULL {:.1} µs, CURVE {:.1} µs",
        times(plain_pair).as_nanos() as f64 / 1e3,
        times(sealed_pair).as_nanos() as f64 / 1e3,
    );
}

/// Encodes, carries and decodes.
fn batch((mut from, mut to): (Connection, Connection), messages: usize, size: usize) -> Duration {
    let header = [0xaa; 6];
    let content = vec![7; size];
    let begin = Instant::now();
    for _ in 0..messages {
        from.send(&[&header, &content]).expect("it fits");
        to.handle_input(from.output()).expect("it was sent");
        from.consume_output(from.output_len());
        assert!(matches!(to.poll_event(), Some(Event::Message(_))));
    }
    begin.elapsed()
}

fn plain_pair() -> (Connection, Connection) {
    let limits = Limits::default;
    shaken(
        Connection::dealer(b"id", limits()),
        Connection::router(limits()),
    )
}

fn sealed_pair() -> (Connection, Connection) {
    let (client, server) = (
        KeyPair::from_secret(&[1; 32]),
        KeyPair::from_secret(&[2; 32]),
    );
    let limits = Limits::default;
    shaken(
        Connection::curve_dealer(b"id", &client, server.public(), entropy(3), limits()),
        Connection::curve_router(&server, entropy(4), limits()),
    )
}

/// Not random: these keys protect nothing.
fn entropy(octet: u8) -> Entropy {
    let Ok(entropy) = Entropy::draw(|octets| {
        octets.fill(octet);
        Ok::<_, Infallible>(())
    });
    entropy
}

fn shaken(mut dealer: Connection, mut router: Connection) -> (Connection, Connection) {
    while !(dealer.is_ready() && router.is_ready()) {
        router.handle_input(dealer.output()).expect("a handshake");
        dealer.consume_output(dealer.output_len());
        router.accept();
        dealer.handle_input(router.output()).expect("a handshake");
        router.consume_output(router.output_len());
    }
    for end in [&mut dealer, &mut router] {
        while end.poll_event().is_some() {}
    }
    (dealer, router)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
