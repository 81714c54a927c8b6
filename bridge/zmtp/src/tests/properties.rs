//! Properties: of any stream, of any split of it, of any octets at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{command, dealer_opening, events, frame, frames, message, ready_pair};
use crate::{Connection, Error, Event, Limits};

/// Small, so that arbitrary streams reach every limit.
fn limits() -> Limits {
    Limits {
        frame_len_max: 600,
        message_len_max: 900,
        frames_max: 6,
        command_len_max: 300,
        output_len_max: 4096,
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 250..260),
        1 => vec(any::<u8>(), 595..603),
    ]
}

/// Something that may stand where a frame may: mostly in order, at times not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(body(), 1..4).prop_map(|bodies| {
            message(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }),
        2 => body().prop_map(|body| frame(1, &body)),
        2 => vec(any::<u8>(), 2..18).prop_map(|data| command(b"PING", &data)),
        1 => vec(any::<u8>(), 0..320).prop_map(|data| command(b"UNKNOWN", &data)),
        1 => body().prop_map(|body| long_form(&body)),
        1 => vec(any::<u8>(), 0..12),
    ]
}

fn long_form(body: &[u8]) -> Vec<u8> {
    [&[2][..], &(body.len() as u64).to_be_bytes(), body].concat()
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..30).prop_map(|pieces| [dealer_opening(), pieces.concat()].concat())
}

/// Everything that can be seen of a connection that took these pieces.
fn outcome<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Vec<u8>, Option<Error>) {
    let mut router = Connection::router(limits());
    let mut got = Vec::new();
    for piece in pieces {
        let result = router.handle_input(piece);
        got.extend(events(&mut router));
        if let Err(error) = result {
            return (got, router.output().to_vec(), Some(error));
        }
    }
    (got, router.output().to_vec(), None)
}

/// `octets` cut into pieces of these lengths, over and over.
fn cut<'a>(mut octets: &'a [u8], lens: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lens.iter().cycle().map_while(move |&len| {
        let (piece, rest) = octets.split_at(len.min(octets.len()));
        octets = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// More than this a connection with these limits never holds for input: a message and its ends, with
/// room for twice, a command.
fn input_max(limits: &Limits) -> usize {
    let ends = 2 * 4 * limits.frames_max.max(4);
    limits.message_len_max + limits.command_len_max + ends
}

proptest! {
    // protocol.md §2.6
    #[test]
    fn any_split_of_a_stream_decodes_like_the_whole(
        stream in stream(),
        lens in vec(1..200_usize, 1..20),
    ) {
        let whole = outcome(std::iter::once(&stream[..]));
        prop_assert_eq!(&outcome(cut(&stream, &lens)), &whole);
        prop_assert_eq!(&outcome(cut(&stream, &[1])), &whole);
    }

    #[test]
    fn arbitrary_octets_never_panic(
        octets in vec(any::<u8>(), 0..400),
        lens in vec(1..50_usize, 1..5),
    ) {
        prop_assert_eq!(outcome(cut(&octets, &lens)), outcome(std::iter::once(&octets[..])));
        let (_, mut router) = ready_pair(&limits());
        let _ = router.handle_input(&octets);
        events(&mut router);
    }

    #[test]
    fn arbitrary_octets_in_ready_never_panic(data in vec(any::<u8>(), 0..200)) {
        let opening = [super::greeting(), command(b"READY", &data)].concat();
        let _ = outcome(std::iter::once(&opening[..]));
    }

    #[test]
    fn no_stream_makes_a_connection_hold_more_than_its_limits(
        stream in stream(),
        lens in vec(1..200_usize, 1..20),
    ) {
        let mut router = Connection::router(limits());
        for piece in cut(&stream, &lens) {
            let result = router.handle_input(piece);
            events(&mut router);
            router.consume_output(router.output_len());
            let idle = crate::output::CAPACITY_MIN;
            prop_assert!(router.capacity() <= input_max(&limits()) + idle);
            if result.is_err() {
                break;
            }
        }
    }

    #[test]
    fn what_is_sent_is_what_arrives(
        messages in vec(vec(vec(any::<u8>(), 0..300), 1..6), 0..20),
        lens in vec(1..300_usize, 1..20),
    ) {
        let (mut dealer, mut router) = ready_pair(&Limits::default());
        for message in &messages {
            dealer.send(&message.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        }
        let mut arrived = Vec::new();
        for len in lens.iter().cycle() {
            let len = (*len).min(dealer.output_len());
            if len == 0 {
                break;
            }
            router.handle_input(&dealer.output()[..len]).unwrap();
            dealer.consume_output(len);
            arrived.extend(events(&mut router));
        }
        let arrived: Vec<_> = arrived
            .iter()
            .map(|event| match event {
                Event::Message(message) => frames(message),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(arrived, messages);
    }

    #[test]
    fn every_frame_is_the_same_by_every_way_to_it(bodies in vec(vec(any::<u8>(), 0..50), 1..8)) {
        let (mut dealer, mut router) = ready_pair(&Limits::default());
        dealer.send(&bodies.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        super::carry(&mut dealer, &mut router);
        let Some(Event::Message(message)) = router.poll_event() else { panic!() };
        prop_assert_eq!(&frames(&message), &bodies);
        for (index, body) in bodies.iter().enumerate() {
            prop_assert_eq!(message.frame(index), Some(&body[..]));
            let taken = message.clone().into_frame(index);
            prop_assert_eq!(taken.as_deref(), Some(&body[..]));
        }
        let all: Vec<_> = message.clone().into_frames().collect();
        prop_assert_eq!(&all, &bodies);
        prop_assert_eq!(message.into_frame(bodies.len()), None);
    }
}
