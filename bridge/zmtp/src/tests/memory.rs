//! What a connection holds: while data trickles in, while output waits, and when it is idle again.

use super::{command, events, message, ready_pair, ready_router};
use crate::capacity::retained;
use crate::frame::{self, FrameKind};
use crate::output::{CAPACITY_MIN, CLEAR_MIN, Output, PONGS_MAX};
use crate::{Event, Limits};

#[test]
fn a_large_announcement_reserves_nothing() {
    let mut router = ready_router(Limits::default());
    let before = router.capacity();
    let announced = [&[2][..], &(60_u64 << 20).to_be_bytes()].concat();
    router.handle_input(&announced).unwrap();
    assert_eq!(router.capacity(), before);
    router.handle_input(&[7; 1000]).unwrap();
    assert!(router.capacity() <= before + 2000);
}

#[test]
fn a_message_in_pieces_takes_at_most_twice_what_has_arrived_and_ends_exact() {
    let mut router = ready_router(Limits::default());
    let before = router.capacity();
    let octets = super::frame(0, &vec![7; 300_000]);
    let mut arrived = 0;
    for piece in octets.chunks(1460) {
        arrived += piece.len();
        router.handle_input(piece).unwrap();
        assert!(router.capacity() <= before + (2 * arrived).min(300_000));
    }
    let Some(Event::Message(message)) = router.poll_event() else {
        panic!()
    };
    assert_eq!(message.octet_len(), 300_000);
    assert_eq!(router.capacity(), before);
}

#[test]
fn a_failed_connection_holds_no_input() {
    let mut router = ready_router(Limits::default());
    router
        .handle_input(&super::frame(1, &[7; 100_000]))
        .unwrap();
    router.handle_input(&[0x80]).unwrap_err();
    assert!(router.capacity() < 1000);
}

#[test]
fn events_take_no_more_than_the_limits_say_and_leave_nothing_behind() {
    let mut router = ready_router(Limits::default());
    let idle = router.events_capacity();
    let read = vec![0; 64 << 10];
    router.handle_input(&read).unwrap();
    // Each two octets are an empty message, and the queue may have room for twice what is in it.
    assert!(router.events_capacity() * size_of::<Event>() <= 60 * read.len());
    assert_eq!(events(&mut router).len(), read.len() / 2);
    assert!(router.events_capacity() <= idle.max(64));
}

#[test]
fn a_message_that_is_sent_reserves_just_what_it_takes() {
    for len in [0, 1, 254, 255, 256, 300_000] {
        let mut out = Vec::new();
        frame::encode(FrameKind::Last, &vec![0; len], &mut out);
        assert_eq!(frame::frame_len(len), out.len());
    }
}

#[cfg(target_pointer_width = "64")]
#[test]
fn a_message_is_never_allowed_more_than_its_ends_can_count() {
    let limits = Limits {
        message_len_max: usize::MAX,
        ..Limits::default()
    };
    assert_eq!(limits.clamped().message_len_max, u32::MAX as usize);
}

#[test]
fn a_peer_that_pings_and_does_not_read_gets_a_bounded_number_of_answers() {
    let mut router = ready_router(Limits::default());
    let ping = command(b"PING", b"\0\x01context");
    let pong = command(b"PONG", b"context");
    for _ in 0..1000 {
        router.handle_input(&ping).unwrap();
    }
    assert_eq!(router.output_len(), PONGS_MAX * pong.len());
    router.consume_output(router.output_len() - 1);
    router.handle_input(&ping).unwrap();
    assert_eq!(router.output_len(), 1);
    router.consume_output(1);
    router.handle_input(&ping).unwrap();
    assert_eq!(router.output(), pong);
}

#[test]
fn pings_are_answered_on_when_only_messages_wait() {
    let (mut dealer, _) = ready_pair(&Limits::default());
    let ping = command(b"PING", b"\0\x01");
    let pong_len = command(b"PONG", b"").len();
    for _ in 0..3 * PONGS_MAX {
        let before = dealer.output_len();
        dealer.handle_input(&ping).unwrap();
        assert_eq!(dealer.output_len(), before + pong_len);
        dealer.send(&[b"message"]).unwrap();
        dealer.consume_output(before + pong_len);
        assert!(dealer.output_len() > 0);
    }
}

#[test]
fn output_comes_out_in_order_through_any_mix_of_filling_and_writing() {
    let mut output = Output::default();
    let mut expected = std::collections::VecDeque::<u8>::new();
    for step in 0..4000_usize {
        let piece: Vec<u8> = (0..step % 97).map(|at| (step * 31 + at) as u8).collect();
        output.reserve(piece.len()).extend_from_slice(&piece);
        expected.extend(&piece);
        let len = (step * 7919) % 95;
        let len = len.min(output.waiting().len());
        assert!(
            expected
                .drain(..len)
                .eq(output.waiting()[..len].iter().copied())
        );
        output.consume(len);
        assert_eq!(output.waiting().len(), expected.len());
    }
    assert!(expected.iter().eq(output.waiting()));
}

#[test]
fn written_output_is_cleared_away_while_more_waits() {
    let mut output = Output::default();
    let piece = vec![1; 1000];
    output.reserve(piece.len()).extend_from_slice(&piece);
    for _ in 0..10_000 {
        output.reserve(piece.len()).extend_from_slice(&piece);
        output.consume(piece.len());
    }
    assert_eq!(output.waiting().len(), 1000);
    assert!(output.capacity() <= 4 * CLEAR_MIN, "{}", output.capacity());
}

#[test]
fn consuming_more_than_there_is_takes_all() {
    let (mut dealer, _) = ready_pair(&Limits::default());
    dealer.send(&[b"x"]).unwrap();
    dealer.consume_output(usize::MAX);
    assert_eq!(dealer.output_len(), 0);
    dealer.send(&[b"y"]).unwrap();
    assert_eq!(dealer.output(), message(&[b"y"]));
}

#[test]
fn output_shrinks_back_after_a_burst() {
    let mut output = Output::default();
    output.reserve(8 << 20).extend_from_slice(&[0; 8 << 20]);
    output.consume(8 << 20);
    assert!(output.capacity() <= CAPACITY_MIN);

    output.reserve(500_000).extend_from_slice(&[0; 500_000]);
    output.consume(500_000);
    for _ in 0..10 {
        output.reserve(10).extend_from_slice(&[0; 10]);
        output.consume(10);
    }
    assert!(output.capacity() <= CAPACITY_MIN);
}

#[test]
fn a_buffer_in_steady_use_keeps_what_it_needs() {
    assert_eq!(retained(10, 0, 16), 10);
    assert_eq!(retained(100, 50, 16), 100);
    assert_eq!(retained(100, 25, 16), 100);
    assert_eq!(retained(100, 24, 16), 50);
    assert_eq!(retained(20, 1, 16), 16);
    assert_eq!(retained(16 * 64 + 1, usize::MAX, 16), 16);
    assert_eq!(retained(usize::MAX, 0, usize::MAX), usize::MAX);
}
