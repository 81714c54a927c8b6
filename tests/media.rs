//! Films of GStreamer by each way: every frame that was sent is decoded at the other end, and equal.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;

use zocp_testkit::{Bridge, Cmd, Host, Lab, Program, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STAGE: &str = "org.z25.Zocp1.Node.stage";
const FRAMES: usize = 60;
/// Octets of a frame: I420 with 320 by 240 pixels.
const FRAME_LEN: usize = 320 * 240 * 3 / 2;
/// Snow, of which a frame has many packets.
const FILM: &str = "videotestsrc num-buffers=60 pattern=snow";
/// A ball, of which a frame is one packet: the buffer of a socket takes them all, however late its reader is.
const BALL: &str = "videotestsrc num-buffers=60 pattern=ball";
const ENCODE: &str = "video/x-raw,format=I420,width=320,height=240,framerate=30/1 \
    ! vp8enc deadline=1 cpu-used=8 threads=1 target-bitrate=2000000 ! tee name=t";
const PACKETS: &str = "rtpvp8pay mtu=1200 ssrc=7";
const VP8: &str = "media=video,clock-rate=90000,encoding-name=VP8,payload=96";
const DECODE: &str = "rtpvp8depay ! vp8dec ! filesink buffer-mode=unbuffered location=";
/// 30 octets, key and salt.
const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";

/// A pipeline that encodes a film, keeps what a decoder makes of it in `frames`, and sends the packets to `sink`.
fn sending(source: &str, frames: &str, sink: &str) -> String {
    format!(
        "gst-launch-1.0 -q {source} ! {ENCODE} ! queue ! vp8dec ! filesink location={frames} \
         t. ! queue ! {PACKETS} ! {sink}"
    )
}

/// The caps of packets that are encrypted, for a shell.
fn encrypted() -> String {
    let cipher = "(string)aes-128-icm,srtp-auth=(string)hmac-sha1-80";
    let control = "srtcp-cipher=(string)aes-128-icm,srtcp-auth=(string)hmac-sha1-80";
    let keys = format!("srtp-key=(buffer){KEY},srtp-cipher={cipher},{control},roc=(uint)0");
    let caps = format!("application/x-srtp-stream,{VP8},ssrc=(uint)7,{keys}");
    caps.replace('(', "\\(").replace(')', "\\)")
}

/// A host with a bridge.
struct Machine {
    host: Host,
    bridge: Bridge,
}

impl Machine {
    async fn start(lab: &Lab, name: &str, options: &[&str]) -> Self {
        let host = lab.host(name).await;
        let bridge = Bridge::start(ZOCP, &host, name, options).await;
        Self { host, bridge }
    }

    async fn secure(lab: &Lab, name: &str) -> Self {
        let key = lab.path(&format!("{name}.key"));
        Cmd::new(ZOCP).args(["key", "new", &key]).run().await;
        let config = format!("[mesh]\nkey = '{key}'\nfirst_use = true\n");
        let config = lab.file(&format!("{name}.toml"), config);
        Self::start(lab, name, &["--config", &config]).await
    }

    fn shell(&self, script: &str) -> Cmd {
        let plugins = ["base", "good", "bad"].map(|set| format!("gstreamer1.0-plugins-{set}"));
        let command = self.host.command("sh").args(["-c", script]);
        let command = command.env("ZOCP", ZOCP).on(&self.bridge.bus);
        plugins.iter().fold(command, |command, plugin| {
            command.needs(&format!("/usr/share/doc/{plugin}"))
        })
    }

    async fn shown(&self, stream: &str) {
        self.bridge.bus.appears(STAGE).await;
        let waits = format!("until $ZOCP streams stage | grep -qw {stream}; do sleep 0.1; done");
        self.shell(&waits).run().await;
    }
}

fn assert_equal(sent: &str, received: &str) {
    let (sent, received) = (fs::read(sent).unwrap(), fs::read(received).unwrap());
    assert_eq!(sent.len(), FRAMES * FRAME_LEN);
    assert_eq!(received.len() / FRAME_LEN, FRAMES);
    let frames = sent.chunks(FRAME_LEN).zip(received.chunks(FRAME_LEN));
    for (number, (sent, received)) in frames.enumerate() {
        assert!(sent == received, "frame {number} differs");
    }
}

/// Waits until all frames are in a file, then ends who writes it.
async fn all_frames(machine: &Machine, file: &str, mut writer: Program) {
    let len = FRAMES * FRAME_LEN;
    let waits = format!("until [ $(stat -c %s {file}) -ge {len} ]; do sleep 0.05; done");
    machine.shell(&waits).run().await;
    writer.kill().await;
}

/// Both ends of a film in a file on stage, served over TCP in the framing of RFC 4571.
async fn served(lab: &Lab, stage: &Machine, packets: &str) -> (String, Program) {
    let (sent, film) = (lab.path("sent"), lab.path("film"));
    let file = format!("{packets}rtpstreampay ! filesink location={film}");
    stage.shell(&sending(FILM, &sent, &file)).run().await;
    let serve = format!("exec socat -U TCP-LISTEN:5005,reuseaddr,fork FILE:{film}");
    (sent, stage.shell(&serve).start())
}

#[test]
fn a_film_arrives_in_udp_frame_by_frame() {
    isolated(async |lab: Lab| {
        let stage = Machine::start(&lab, "stage", &[]).await;
        let foh = Machine::start(&lab, "foh", &[]).await;
        let _sink = stage
            .shell("exec $ZOCP publish --sink screen --framing rtp --endpoint udp://0.0.0.0:5006");
        let _sink = _sink.start();
        foh.shown("screen").await;
        for way in ["direct", "relay"] {
            let (sent, got) = (
                lab.path(&format!("sent-{way}")),
                lab.path(&format!("got-{way}")),
            );
            let caps = format!("application/x-rtp,{VP8}");
            let source = "udpsrc port=5006 buffer-size=4000000";
            let show = format!("exec gst-launch-1.0 {source} ! {caps} ! {DECODE}{got}");
            let screen = stage.shell(&show).start();
            screen.says("PLAYING").await;
            // A list of packets would become one datagram.
            let film = sending(
                &format!("{FILM} is-live=true"),
                &sent,
                "identity ! fdsink fd=3",
            );
            foh.shell(&format!("$ZOCP stream stage screen --way {way} -- {film}"))
                .run()
                .await;
            all_frames(&stage, &got, screen).await;
            assert_equal(&sent, &got);
        }
    });
}

#[test]
fn a_film_arrives_in_tcp_and_by_relay() {
    isolated(async |lab: Lab| {
        let stage = Machine::start(&lab, "stage", &[]).await;
        let foh = Machine::start(&lab, "foh", &[]).await;
        let (sent, _server) = served(&lab, &stage, "").await;
        let publish =
            "exec $ZOCP publish --source film --framing rtp --endpoint tcp://0.0.0.0:5005";
        let _source = stage.shell(publish).start();
        foh.shown("film").await;
        assert_film(&lab, &foh, &sent, "direct").await;
        assert_film(&lab, &foh, &sent, "relay").await;
    });
}

/// The film of a source, by one way.
async fn assert_film(lab: &Lab, foh: &Machine, sent: &str, way: &str) {
    let got = lab.path(&format!("got-{way}"));
    let caps = match way {
        "direct" => format!("fdsrc fd=3 ! application/x-rtp-stream,{VP8} ! rtpstreamdepay"),
        _ => format!("fdsrc fd=3 blocksize=65536 do-timestamp=true ! application/x-rtp,{VP8}"),
    };
    let show = format!("gst-launch-1.0 -q {caps} ! {DECODE}{got}");
    foh.shell(&format!("$ZOCP stream stage film --way {way} -- {show}"))
        .run()
        .await;
    assert_equal(sent, &got);
}

#[test]
fn a_film_arrives_on_a_secure_mesh_by_relay_and_encrypted_by_itself() {
    isolated(async |lab: Lab| {
        let stage = Machine::secure(&lab, "stage").await;
        let foh = Machine::secure(&lab, "foh").await;
        let (sent, server) = served(&lab, &stage, "").await;
        let publish = "exec $ZOCP publish --framing rtp --endpoint tcp://0.0.0.0:5005 --source";
        let _source = stage.shell(&format!("{publish} film")).start();
        foh.shown("film").await;
        assert_film(&lab, &foh, &sent, "relay").await;
        drop(server);

        let (sent, _server) = served(&lab, &stage, &format!("srtpenc key={KEY} ! ")).await;
        let _source = stage.shell(&format!("{publish} secret --srtp")).start();
        foh.shown("secret").await;
        let got = lab.path("got-secret");
        let caps = format!("{} ! rtpstreamdepay", encrypted());
        let show = format!("gst-launch-1.0 -q fdsrc fd=3 ! {caps} ! srtpdec ! {DECODE}{got}");
        let open = format!("$ZOCP stream stage secret --way direct -- {show}");
        foh.shell(&open).run().await;
        assert_equal(&sent, &got);
        // With another key nothing is decoded: what went there was encrypted.
        let other = lab.path("got-other");
        let wrong = open.replace(KEY, &"5a".repeat(30)).replace(&got, &other);
        foh.shell(&wrong).outcome().await;
        assert_eq!(fs::read(&other).unwrap().len(), 0);
    });
}

#[test]
fn a_film_arrives_at_three_machines_by_multicast() {
    isolated(async |lab: Lab| {
        let stage = Machine::start(&lab, "stage", &[]).await;
        let mut seats = Vec::new();
        for name in ["foh", "foyer", "dressing"] {
            seats.push(Machine::start(&lab, name, &[]).await);
        }
        let publish =
            "exec $ZOCP publish --source cast --framing rtp --endpoint udp://239.1.2.3:5008";
        let _source = stage.shell(publish).start();
        let caps =
            format!("fdsrc fd=3 blocksize=65536 do-timestamp=true ! application/x-rtp,{VP8}");
        let mut screens = Vec::new();
        for (number, seat) in seats.iter().enumerate() {
            seat.shown("cast").await;
            let got = lab.path(&format!("got{number}"));
            let show = format!("exec gst-launch-1.0 {caps} ! {DECODE}{got}");
            let open = "exec $ZOCP stream stage cast --way multicast --";
            let screen = seat.shell(&format!("{open} sh -c '{show}'")).start();
            screen.says("PREROLLING").await;
            screens.push((seat, got, screen));
        }
        let sent = lab.path("sent");
        let cast = "udpsink host=239.1.2.3 port=5008 auto-multicast=true";
        let cast = sending(&format!("{BALL} is-live=true"), &sent, cast);
        stage
            .shell(&format!("ip route add 224.0.0.0/4 dev eth0; {cast}"))
            .run()
            .await;
        for (seat, got, screen) in screens {
            all_frames(seat, &got, screen).await;
            assert_equal(&sent, &got);
        }
    });
}
