use serde_json::json;

use super::*;
use crate::{Limits, Tree};

fn tree(sources: Value) -> Tree {
    Tree::from_json(json!({ "sources": sources }), &Limits::default()).unwrap()
}

fn read(entry: Value) -> Option<Stream> {
    Stream::read(&entry)
}

#[test]
fn an_entry_is_read_and_what_is_unknown_in_it_survives() {
    let entry = json!({
        "endpoint": ["udp://0.0.0.0:5004", "tcp://10.0.0.7:5005", "unix:/run/cam"],
        "framing": "rtp", "type": "video/VP8", "sdp": "v=0", "mtu": 1400, "srtp": true, "lens": [35, null]
    });
    let tree = tree(json!({"cam": entry}));
    let (name, raw, stream) = tree.root().streams(Direction::Source).next().unwrap();
    assert_eq!((name, raw), ("cam", &entry));
    let shown: Vec<String> = stream.endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["udp://0.0.0.0:5004", "tcp://10.0.0.7:5005", "unix:/run/cam"]
    );
    assert_eq!(
        (stream.framing, stream.mtu, stream.srtp),
        (Framing::Rtp, Some(1400), true)
    );
    assert_eq!(stream.kind.as_deref(), Some("video/VP8"));
    assert_eq!(tree.to_json(), json!({"sources": {"cam": entry}}));
    assert_eq!(tree.root().streams(Direction::Sink).count(), 0);
}

#[test]
fn what_is_no_stream_is_left_out_and_stays_as_data() {
    let sources =
        json!({"no": 1, "yes": {}, "odd": {"endpoint": 7, "framing": "x", "mtu": -1, "sdp": 3}});
    let tree = tree(sources.clone());
    let names: Vec<&str> = tree
        .root()
        .streams(Direction::Source)
        .map(|it| it.0)
        .collect();
    assert_eq!(names, ["odd", "yes"]);
    assert_eq!(tree.root().data["sources"], sources);
    let none =
        Tree::from_json(json!({"sources": "none", "sinks": []}), &Limits::default()).unwrap();
    assert!(
        Direction::ALL
            .into_iter()
            .all(|it| none.root().streams(it).count() == 0)
    );
}

#[test]
fn an_endpoint_is_one_or_none() {
    for text in [
        "tcp://10.0.0.7:1",
        "udp://239.1.2.3:5004",
        "unix:/run/cam",
        "unix:@cam",
    ] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    let long = format!("unix:/{}", "x".repeat(ENDPOINT_LEN_MAX));
    for text in [
        "",
        "cam",
        "tcp://10.0.0.7",
        "tcp://10.0.0.7:0",
        "tcp://host:1",
        "tcp://[::1]:1",
        "unix:",
        "unix:cam",
        "unix:@",
        "unix:/a\0b",
        "http://10.0.0.7:80",
        "udp:10.0.0.7:1",
        long.as_str(),
    ] {
        assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
    }
    let group = |text: &str| text.parse::<Endpoint>().unwrap().group();
    assert_eq!(group("udp://239.1.2.3:1"), Some([239, 1, 2, 3].into()));
    assert_eq!(group("udp://10.0.0.7:1"), None);
    assert_eq!(group("tcp://239.1.2.3:1"), None);
}

#[test]
fn the_framing_follows_from_the_endpoint_where_none_is_named() {
    let framing = |entry| read(entry).unwrap().framing;
    assert_eq!(
        framing(json!({"endpoint": "udp://10.0.0.7:1"})),
        Framing::Packets
    );
    assert_eq!(
        framing(json!({"endpoint": "tcp://10.0.0.7:1"})),
        Framing::Octets
    );
    assert_eq!(
        framing(json!({"endpoint": "tcp://10.0.0.7:1", "framing": "rtp"})),
        Framing::Rtp
    );
    assert_eq!(framing(json!({})), Framing::Octets);
}

#[test]
fn streams_have_bounds() {
    let many: serde_json::Map<String, Value> = (0..STREAMS_MAX + 1)
        .map(|it| (it.to_string(), json!({})))
        .collect();
    let tree = tree(Value::Object(many));
    assert_eq!(tree.root().streams(Direction::Source).count(), STREAMS_MAX);
    let endpoints = vec!["udp://10.0.0.7:1"; ENDPOINTS_MAX + 1];
    let stream = read(json!({
        "endpoint": endpoints, "sdp": "x".repeat(SDP_LEN_MAX + 1), "type": "x".repeat(TYPE_LEN_MAX + 1)
    }));
    let stream = stream.unwrap();
    assert_eq!(stream.endpoints.len(), ENDPOINTS_MAX);
    assert_eq!((stream.sdp, stream.kind), (None, None));
}
