use proptest::prelude::*;

use super::*;

fn one(octets: &[u8]) -> Message {
    let groups = decode(octets).unwrap();
    assert_eq!((groups.len(), groups[0].messages.len()), (1, 1));
    groups[0].messages[0].clone()
}

/// The examples of OSC 1.0.
#[test]
fn the_examples_of_the_specification_are_read_and_written() {
    let frequency = b"/oscillator/4/frequency\0,f\0\0\x43\xdc\0\0";
    let message = one(frequency);
    assert_eq!(message.address, "/oscillator/4/frequency");
    assert_eq!(message.args, [Arg::Float(440.0)]);
    let mut written = Vec::new();
    encode(&message, &mut written);
    assert_eq!(written, frequency);

    let foo = b"/foo\0\0\0\0,iisff\0\0\0\0\x03\xe8\xff\xff\xff\xffhello\0\0\0\x3f\x9d\xf3\xb6\x40\xb5\xb2\x2d";
    let message = one(foo);
    assert_eq!(
        message.args,
        [
            Arg::Int(1000),
            Arg::Int(-1),
            Arg::Text("hello".into()),
            Arg::Float(1.234),
            Arg::Float(5.678)
        ]
    );
    let mut written = Vec::new();
    encode(&message, &mut written);
    assert_eq!(written, foo);
}

#[test]
fn a_message_without_type_tags_has_no_arguments() {
    assert_eq!(one(b"/go\0").args, []);
}

/// Bundles around a message, the innermost first.
fn nested(depth: usize) -> Vec<u8> {
    let mut packet = b"/go\0,\0\0\0".to_vec();
    for _ in 0..depth {
        let mut around = BUNDLE.to_vec();
        around.extend(AT_ONCE.to_be_bytes());
        around.extend(u32::try_from(packet.len()).unwrap().to_be_bytes());
        around.extend(&packet);
        packet = around;
    }
    packet
}

#[test]
fn bundles_nest_up_to_a_bound() {
    assert_eq!(one(&nested(DEPTH_MAX)).address, "/go");
    assert_eq!(decode(&nested(DEPTH_MAX + 1)), Err(PacketError::TooDeep));
    assert_eq!(decode(&nested(3000)), Err(PacketError::TooDeep));
    assert_eq!(decode(&nested(10_000)), Err(PacketError::TooLong));
}

#[test]
fn arguments_and_addresses_have_bounds() {
    let message = |tags: usize| {
        let mut packet = Vec::new();
        put_text(&mut packet, "/a");
        put_text(&mut packet, &format!(",{}", "T".repeat(tags)));
        packet
    };
    assert_eq!(one(&message(ARGS_MAX)).args.len(), ARGS_MAX);
    assert_eq!(
        decode(&message(ARGS_MAX + 1)),
        Err(PacketError::TooManyArgs)
    );
    let mut long = Vec::new();
    put_text(&mut long, &"/a".repeat(ADDRESS_LEN_MAX));
    assert_eq!(decode(&long), Err(PacketError::Address));
    let brackets = b"/a\0\0,]\0\0".as_slice();
    assert_eq!(decode(brackets), Err(PacketError::Brackets));
}

#[test]
fn a_bundle_in_a_bundle_takes_effect_no_earlier_than_that() {
    let mut inner = BUNDLE.to_vec();
    inner.extend(AT_ONCE.to_be_bytes());
    inner.extend(8_u32.to_be_bytes());
    inner.extend(b"/go\0,\0\0\0");
    let mut outer = BUNDLE.to_vec();
    outer.extend((7_u64 << 32).to_be_bytes());
    outer.extend(u32::try_from(inner.len()).unwrap().to_be_bytes());
    outer.extend(&inner);
    assert_eq!(decode(&outer).unwrap()[0].time, 7 << 32);
}

#[test]
fn a_bundle_with_a_broken_element_is_not_read_at_all() {
    let mut packet = BUNDLE.to_vec();
    packet.extend(AT_ONCE.to_be_bytes());
    packet.extend(8_u32.to_be_bytes());
    packet.extend(b"/go\0,\0\0\0");
    packet.extend(12_u32.to_be_bytes());
    packet.extend(b"/go\0");
    assert_eq!(decode(&packet), Err(PacketError::ElementSize));
}

#[test]
fn messages_are_bundled_up_to_a_length() {
    let message = Message {
        address: "/a/b".into(),
        args: vec![Arg::Int(1)],
    };
    let single = packets([&message], 100);
    assert_eq!(single, [b"/a/b\0\0\0\0,i\0\0\0\0\0\x01".to_vec()]);
    let several = packets([&message; 10], 100);
    assert_eq!(several.len(), 3, "four of twenty octets in each");
    assert!(several.iter().all(|packet| packet.len() <= 100));
    let read: usize = several
        .iter()
        .flat_map(|packet| decode(packet).unwrap())
        .map(|group| group.messages.len())
        .sum();
    assert_eq!(read, 10);
    let small = packets([&message], 4);
    assert_eq!(small.len(), 1, "a message is not cut");
}

fn arg() -> impl Strategy<Value = Arg> {
    prop_oneof![
        any::<i32>().prop_map(Arg::Int),
        any::<i64>().prop_map(Arg::Long),
        (-1e30_f32..1e30).prop_map(Arg::Float),
        (-1e300_f64..1e300).prop_map(Arg::Double),
        "[^\0]{0,20}".prop_map(Arg::Text),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Arg::Blob),
        any::<u64>().prop_map(Arg::Time),
        any::<char>().prop_map(Arg::Char),
        any::<[u8; 4]>().prop_map(Arg::Color),
        any::<[u8; 4]>().prop_map(Arg::Midi),
        any::<bool>().prop_map(Arg::Bool),
        Just(Arg::Nil),
        Just(Arg::Impulse),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = ("/[a-z/]{0,20}", proptest::collection::vec(arg(), 0..8)).prop_map(
        |(address, mut args)| {
            if args.len() > 4 {
                args.insert(1, Arg::ArrayBegin);
                args.insert(3, Arg::ArrayEnd);
            }
            Message { address, args }
        },
    );
    proptest::collection::vec(message, 1..6)
}

/// The same message as another library has it.
fn of_rosc(message: rosc::OscMessage) -> Message {
    fn flat(args: Vec<rosc::OscType>, flattened: &mut Vec<Arg>) {
        use rosc::OscType as Type;
        for arg in args {
            let one = match arg {
                Type::Int(value) => Arg::Int(value),
                Type::Long(value) => Arg::Long(value),
                Type::Float(value) => Arg::Float(value),
                Type::Double(value) => Arg::Double(value),
                Type::String(value) => Arg::Text(value),
                Type::Blob(value) => Arg::Blob(value),
                Type::Time(time) => {
                    Arg::Time(u64::from(time.seconds) << 32 | u64::from(time.fractional))
                }
                Type::Char(value) => Arg::Char(value),
                Type::Color(it) => Arg::Color([it.red, it.green, it.blue, it.alpha]),
                Type::Midi(it) => Arg::Midi([it.port, it.status, it.data1, it.data2]),
                Type::Bool(value) => Arg::Bool(value),
                Type::Nil => Arg::Nil,
                Type::Inf => Arg::Impulse,
                Type::Array(array) => {
                    flattened.push(Arg::ArrayBegin);
                    flat(array.content, flattened);
                    Arg::ArrayEnd
                }
            };
            flattened.push(one);
        }
    }
    let mut args = Vec::new();
    flat(message.args, &mut args);
    Message {
        address: message.addr,
        args,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(messages in messages()) {
        for packet in packets(&messages, PACKET_LEN_MAX) {
            let read: Vec<Message> = decode(&packet).unwrap().into_iter().flat_map(|group| group.messages).collect();
            prop_assert_eq!(&read, &messages);
        }
    }

    #[test]
    fn another_library_reads_what_is_written_as_the_same(messages in messages()) {
        for message in messages {
            let mut packet = Vec::new();
            encode(&message, &mut packet);
            let (rest, read) = rosc::decoder::decode_udp(&packet).unwrap();
            prop_assert!(rest.is_empty());
            let rosc::OscPacket::Message(read) = read else { panic!("a message") };
            prop_assert_eq!(of_rosc(read), message);
        }
    }

    #[test]
    fn no_octets_do_any_harm(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&octets);
    }

    #[test]
    fn a_packet_with_an_octet_changed_does_no_harm(
        messages in messages(), at in any::<proptest::sample::Index>(), octet in any::<u8>(), end in any::<proptest::sample::Index>()
    ) {
        for mut packet in packets(&messages, PACKET_LEN_MAX) {
            let at = at.index(packet.len());
            packet[at] = octet;
            let _ = decode(&packet);
            packet.truncate(end.index(packet.len()));
            let _ = decode(&packet);
        }
    }
}
