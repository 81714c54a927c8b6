//! Streams of nodes, opened by programs of another machine: what arrives, and what each side sees when one ends.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;

use futures_util::StreamExt;
use rustix::process::Signal;
use zbus::Variant;
use zocp_testkit::{Bridge, Cmd, Lab, Program, Venue, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STREAMS: &str = "org.z25.Zocp1.Streams";
const STAGE: &str = "org.z25.Zocp1.Node.stage";
/// More than all buffers on the way hold together.
const LEN: usize = 20_000_000;

/// A shell on the host of a bridge, on its bus.
fn shell(host: &zocp_testkit::Host, bridge: &Bridge, script: &str) -> Cmd {
    let command = host.command("sh").args(["-c", script]);
    command.env("ZOCP", ZOCP).on(&bridge.bus)
}

async fn sum(file: &str) -> String {
    let sum = Cmd::new("sha256sum").arg(file).run().await;
    sum.split_whitespace().next().unwrap().to_owned()
}

async fn film(lab: &Lab) -> (String, String) {
    let mut octets = Vec::with_capacity(LEN);
    let mut state = 1_u64;
    while octets.len() < LEN {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        octets.extend((state >> 16).to_le_bytes());
    }
    let file = lab.file("film", octets);
    let sum = sum(&file).await;
    (file, sum)
}

impl Show {
    async fn open(lab: &Lab) -> Self {
        let venue = Venue::open(lab, ZOCP, "", "").await;
        venue.foh.bus.appears(STAGE).await;
        Self { venue }
    }

    fn on_stage(&self, script: &str) -> Program {
        shell(&self.venue.stage_host, &self.venue.stage, script).start()
    }

    fn at_foh(&self, script: &str) -> Cmd {
        shell(&self.venue.foh_host, &self.venue.foh, script)
    }

    /// Waits until the other machine shows a stream.
    async fn shown(&self, name: &str) {
        let shown = async {
            loop {
                let listed = self.at_foh("$ZOCP streams stage").run().await;
                if listed
                    .lines()
                    .any(|line| line.split_whitespace().nth(1) == Some(name))
                {
                    return;
                }
                self.changed().await;
            }
        };
        in_time(&format!("the stream {name}"), shown).await;
    }

    /// Waits a moment, or until the node on stage says that it changed.
    async fn changed(&self) {
        let node = self.venue.foh.bus.node("stage");
        let mut signals = node.signals("org.freedesktop.DBus.Properties").await;
        let wait = std::time::Duration::from_millis(200);
        let _ = tokio::time::timeout(wait, signals.next()).await;
    }

    fn descriptors(&self) -> (usize, usize) {
        (
            count(&self.venue.stage.program),
            count(&self.venue.foh.program),
        )
    }

    /// Waits until both bridges have no more descriptors than before.
    async fn settles(&self, before: (usize, usize)) {
        let settled = async {
            while self.descriptors().0 > before.0 || self.descriptors().1 > before.1 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let what = format!("{before:?} descriptors, there are {:?}", self.descriptors());
        in_time(&what, settled).await;
    }
}

struct Show {
    venue: Venue,
}

fn count(program: &Program) -> usize {
    let pid = program.pid().unwrap().as_raw_nonzero();
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn octets_of_a_program_arrive_over_the_mesh_and_its_end_is_their_end() {
    isolated(async |lab: Lab| {
        let (file, sum) = film(&lab).await;
        let show = Show::open(&lab).await;
        // The channels' thread has its own.
        warm_up(&show, "warm").await;
        let before = show.descriptors();
        let mut source = show.on_stage(&format!(
            "$ZOCP publish --source film --type video/x -- cat {file}"
        ));
        show.shown("film").await;
        let listed = show.at_foh("$ZOCP --json streams stage").run().await;
        assert!(listed.contains("\"type\": \"video/x\""), "{listed}");
        let got = show
            .at_foh("$ZOCP stream stage film | sha256sum")
            .run()
            .await;
        assert!(got.starts_with(&sum), "{got}");
        assert!(source.ended().await.success());
        show.settles(before).await;
    });
}

#[test]
fn octets_arrive_at_a_sink_and_are_all_that_came() {
    isolated(async |lab: Lab| {
        let (file, sum) = film(&lab).await;
        let show = Show::open(&lab).await;
        let _sink = show.on_stage(&format!(
            "$ZOCP publish --sink tape -- sh -c 'head -c {LEN} | sha256sum'"
        ));
        show.shown("tape").await;
        show.at_foh(&format!("$ZOCP stream stage tape < {file}"))
            .run()
            .await;
        _sink.says(&sum).await;
    });
}

#[test]
fn a_direct_stream_is_a_connection_to_the_node_itself() {
    isolated(async |lab: Lab| {
        let (file, sum) = film(&lab).await;
        let show = Show::open(&lab).await;
        let _server = show.on_stage(&format!(
            "socat -U TCP-LISTEN:5005,reuseaddr,fork FILE:{file}"
        ));
        let _source = show.on_stage("$ZOCP publish --source film --endpoint tcp://0.0.0.0:5005");
        show.shown("film").await;
        let got = show
            .at_foh("$ZOCP stream stage film --way direct | sha256sum")
            .run()
            .await;
        assert!(got.starts_with(&sum), "{got}");
        // The same by relay, over the connections of the mesh.
        let got = show
            .at_foh("$ZOCP stream stage film --way relay | sha256sum")
            .run()
            .await;
        assert!(got.starts_with(&sum), "{got}");
        let refused = show
            .at_foh("$ZOCP stream stage film --way multicast")
            .outcome()
            .await;
        assert!(refused.err.contains("no endpoint"), "{}", refused.err);
        let ends = show.at_foh(
            "$ZOCP stream stage film -- sh -c 'readlink /proc/self/fd/3; ss -tnH dst :5005'",
        );
        let shown = ends.run().await;
        assert!(
            shown.contains("socket:") && shown.contains(":5005"),
            "{shown}"
        );
    });
}

#[test]
fn packets_go_to_a_udp_sink_and_come_from_a_udp_source_that_is_greeted() {
    isolated(async |lab: Lab| {
        let show = Show::open(&lab).await;
        let heard = show.on_stage("socat -u UDP-RECV:5006 STDOUT");
        let _sink = show.on_stage("$ZOCP publish --sink speaker --endpoint udp://0.0.0.0:5006");
        show.shown("speaker").await;
        show.at_foh("printf 'direct\\n' | $ZOCP stream stage speaker")
            .run()
            .await;
        heard.says("direct").await;
        show.at_foh("printf 'relayed\\n' | $ZOCP stream stage speaker --way relay")
            .run()
            .await;
        heard.says("relayed").await;

        let answers = "UDP-RECVFROM:5007,fork EXEC:'echo tick'";
        let _clock = show.on_stage(&format!("socat {answers}"));
        let _source = show.on_stage("$ZOCP publish --source clock --endpoint udp://0.0.0.0:5007");
        show.shown("clock").await;
        for way in ["direct", "relay"] {
            let reader = show
                .at_foh(&format!("$ZOCP stream stage clock --way {way}"))
                .start();
            reader.says("tick").await;
        }
    });
}

#[test]
fn what_one_can_hold_is_held_by_one_and_free_when_its_holder_is_gone() {
    isolated(async |lab: Lab| {
        let show = Show::open(&lab).await;
        warm_up(&show, "warm").await;
        let before = show.descriptors();
        let mut source = show.on_stage(
            "exec $ZOCP publish --source tick -- sh -c 'while echo tick; do sleep 0.1; done'",
        );
        show.shown("tick").await;
        let node = show.venue.foh.bus.node("stage");
        let mut released = node.signals(STREAMS).await;
        for _ in 0..3 {
            let mut holder = show.at_foh("exec $ZOCP stream stage tick").start();
            holder.says("tick").await;
            let second = show.at_foh("$ZOCP stream stage tick").outcome().await;
            assert_eq!(second.status.code(), Some(8), "{}", second.err);
            assert!(second.err.contains("holds the stream"), "{}", second.err);
            holder.kill().await;
            let signal = in_time("Released", released.next()).await.unwrap().unwrap();
            let said: (String, String) = signal.body().deserialize().unwrap();
            assert_eq!(said, ("tick".to_owned(), "closed".to_owned()));
        }
        source.interrupt();
        source.ended().await;
        show.settles(before).await;
    });
}

#[test]
fn a_client_that_is_gone_before_it_has_the_answer_holds_nothing() {
    isolated(async |lab: Lab| {
        let show = Show::open(&lab).await;
        warm_up(&show, "warm").await;
        let _source = show.on_stage(
            "exec $ZOCP publish --source tick -- sh -c 'while echo tick; do sleep 0.1; done'",
        );
        show.shown("tick").await;
        let before = show.descriptors();
        for _ in 0..5 {
            let client = show.venue.foh.bus.connect().await;
            let options = std::collections::HashMap::<&str, Variant<'_>>::new();
            let call = zbus::Message::method_call("/org/z25/Zocp1/Node", "Acquire");
            let call = call.destination(STAGE).interface(STREAMS);
            let call = call.build(&("tick", options)).unwrap();
            client.send(&call).await.unwrap();
            client.close().await.unwrap();
        }
        show.settles(before).await;
        show.at_foh("$ZOCP stream stage tick | head -n 1 | grep tick")
            .run()
            .await;
    });
}

#[test]
fn each_process_may_be_killed_and_the_others_see_the_end() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab).await;
        let publish =
            "exec $ZOCP publish --source tick -- sh -c 'while echo tick; do sleep 0.1; done'";
        let holder = "$ZOCP stream stage tick; echo over";

        let source = show.on_stage(publish);
        show.shown("tick").await;
        let reader = show.at_foh(holder).start();
        reader.says("tick").await;
        source.signal_all(Signal::KILL);
        reader.says("over").await;

        let _source = show.on_stage(publish);
        show.shown("tick").await;
        let reader = show.at_foh(holder).start();
        reader.says("tick").await;
        show.venue.stage.program.kill().await;
        reader.says("over").await;
        show.venue.foh.bus.vanishes(STAGE).await;

        show.venue.restart_stage(&[]).await;
        show.venue.foh.bus.appears(STAGE).await;
        let _source = show.on_stage(publish);
        show.shown("tick").await;
        let reader = show.at_foh(holder).start();
        reader.says("tick").await;
        show.venue.foh.program.kill().await;
        reader.says("over").await;
    });
}

#[test]
fn a_link_that_is_cut_ends_a_relayed_stream_at_both_ends() {
    isolated(async |lab: Lab| {
        let show = Show::open(&lab).await;
        let _source = show.on_stage(
            "exec $ZOCP publish --source tick -- sh -c 'while echo tick; do sleep 0.1; done'",
        );
        show.shown("tick").await;
        let reader = show.at_foh("$ZOCP stream stage tick; echo over").start();
        reader.says("tick").await;
        show.venue.stage_host.link(0).unplug().await;
        show.venue.foh.bus.vanishes(STAGE).await;
        reader.says("over").await;
        // The source is free again, for the next one.
        show.venue.stage_host.link(0).replug().await;
        show.venue.foh.bus.appears(STAGE).await;
        show.shown("tick").await;
        let reader = show.at_foh("$ZOCP stream stage tick").start();
        reader.says("tick").await;
    });
}

#[test]
fn a_secure_mesh_relays_and_lets_nothing_out_that_is_not_encrypted() {
    isolated(async |lab: Lab| {
        let (file, sum) = film(&lab).await;
        let (stage_host, foh_host) = (lab.host("stage").await, lab.host("foh").await);
        let secure = async |name: &str| {
            let key = lab.path(&format!("{name}.key"));
            Cmd::new(ZOCP).args(["key", "new", &key]).run().await;
            let config = format!("[mesh]\nkey = '{key}'\nfirst_use = true\n");
            lab.file(&format!("{name}.toml"), config)
        };
        let (at_stage, at_foh) = (secure("stage").await, secure("foh").await);
        let stage = Bridge::start(ZOCP, &stage_host, "stage", &["--config", &at_stage]).await;
        let foh = Bridge::start(ZOCP, &foh_host, "foh", &["--config", &at_foh]).await;
        let venue = Venue::of((stage, stage_host), (foh, foh_host), ZOCP);
        venue.foh.bus.appears(STAGE).await;
        let show = Show { venue };
        let _server = show.on_stage(&format!(
            "socat -U TCP-LISTEN:5005,reuseaddr,fork FILE:{file}"
        ));
        let _source = show.on_stage("$ZOCP publish --source film --endpoint tcp://0.0.0.0:5005");
        show.shown("film").await;
        let refused = show
            .at_foh("$ZOCP stream stage film --way direct")
            .outcome()
            .await;
        assert!(refused.err.contains("srtp"), "{}", refused.err);
        let got = show
            .at_foh("$ZOCP stream stage film | sha256sum")
            .run()
            .await;
        assert!(got.starts_with(&sum), "{got}");
        let _open =
            show.on_stage("$ZOCP publish --source open --srtp --endpoint tcp://0.0.0.0:5005");
        show.shown("open").await;
        let got = show
            .at_foh("$ZOCP stream stage open --way direct | sha256sum")
            .run()
            .await;
        assert!(got.starts_with(&sum), "{got}");
    });
}

/// What starts with the first stream, and stays.
async fn warm_up(show: &Show, name: &str) {
    let script =
        format!("exec $ZOCP publish --source {name} -- sh -c 'echo once; exec sleep 1000'");
    let mut source = show.on_stage(&script);
    show.shown(name).await;
    let mut reader = show
        .at_foh(&format!("exec $ZOCP stream stage {name}"))
        .start();
    reader.says("once").await;
    reader.kill().await;
    source.interrupt();
    source.ended().await;
}

const TONE: &str = "gst-launch-1.0 audiotestsrc is-live=true freq=440 \
    ! audio/x-raw,rate=48000,channels=1 ! audioconvert ! rtpL16pay mtu=1400";
const L16: &str = "media=audio,clock-rate=48000,encoding-name=L16,channels=1";
const WAVE: &str = "rtpL16depay ! audioconvert ! wavenc ! filesink location=";

/// The frequency that sox finds in a file.
async fn frequency(file: &str) -> u32 {
    let stat = Cmd::new("sox").args([file, "-n", "stat"]).outcome().await;
    let line = stat.err.lines().find(|line| line.starts_with("Rough"));
    let number = line.and_then(|line| line.split_whitespace().last());
    number
        .and_then(|it| it.parse().ok())
        .unwrap_or_else(|| panic!("{}", stat.err))
}

/// GStreamer sends 440 Hz on stage, and what arrives by each way is 440 Hz.
#[test]
fn the_tone_of_gstreamer_is_found_again_by_sox() {
    isolated(async |lab: Lab| {
        let show = Show::open(&lab).await;
        let server = show.on_stage(&format!(
            "{TONE} ! rtpstreampay ! tcpserversink host=0.0.0.0 port=5005"
        ));
        let _source = show.on_stage(
            "$ZOCP publish --source tone --framing rtp --type audio/L16 --endpoint tcp://0.0.0.0:5005",
        );
        server.says("PLAYING").await;
        let group = "239.1.2.3";
        let _cast = show.on_stage(&format!(
            "ip route add 224.0.0.0/4 dev eth0; exec {TONE} ! udpsink host={group} port=5008 auto-multicast=true"
        ));
        let _group = show.on_stage(&format!(
            "$ZOCP publish --source cast --framing rtp --endpoint udp://{group}:5008"
        ));
        for name in ["tone", "cast"] {
            show.shown(name).await;
        }
        let stream = format!("application/x-rtp-stream,{L16} ! rtpstreamdepay");
        let packets = format!("application/x-rtp,{L16}");
        for (name, way, source, caps) in [
            (
                "tone",
                "direct",
                "fdsrc fd=3 num-buffers=40 blocksize=4096",
                &stream,
            ),
            (
                "tone",
                "relay",
                "fdsrc fd=3 num-buffers=100 blocksize=65536 do-timestamp=true",
                &packets,
            ),
            (
                "cast",
                "multicast",
                "fdsrc fd=3 num-buffers=100 blocksize=65536 do-timestamp=true",
                &packets,
            ),
        ] {
            let file = lab.path(&format!("{name}-{way}.wav"));
            let read = format!("gst-launch-1.0 -q {source} ! {caps} ! {WAVE}{file}");
            let open = format!("$ZOCP stream stage {name} --way {way} -- {read}");
            show.at_foh(&open).run().await;
            let found = frequency(&file).await;
            assert!((438..=442).contains(&found), "{way}: {found} Hz");
        }
    });
}
