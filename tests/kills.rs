//! Each process of a stream is killed in the middle of it: what the others see, and how soon.
//!
//! `cargo test --test kills -- --nocapture` shows the times, which docs/explanation/figures.md has.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use zocp_testkit::{Cmd, Lab, Program, Venue, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STREAMS: &str = "org.z25.Zocp1.Streams";
const STAGE: &str = "org.z25.Zocp1.Node.stage";
/// All of it is noticed by a connection that closes.
const SEEN_MAX: Duration = Duration::from_secs(2);

/// A program that listens and sends a line each 10 ms, to one after the other.
const SOURCE: &str = "
import socket, time
server = socket.create_server(('0.0.0.0', 5005))
print('listens', flush=True)
while True:
    connection, _ = server.accept()
    print('has a holder', flush=True)
    try:
        while True:
            connection.sendall(b'tick\\n')
            time.sleep(0.01)
    except OSError as error:
        print('lost its holder', flush=True)
";
/// Says when lines come, and that no more come.
const HOLDER: &str = "
import os
print('holds', flush=True)
while octets := os.read(3, 65536):
    print('tick', flush=True)
print('sees the end', flush=True)
";

struct Show {
    venue: Venue,
    source: Program,
    holder: Program,
    _offer: Program,
}

impl Show {
    /// A stream that is held, by this way.
    async fn open(lab: &Lab, way: &str) -> Self {
        let venue = Venue::open(lab, ZOCP, "", "").await;
        let on_stage = |program: &str| venue.stage_host.command(program).on(&venue.stage.bus);
        let source = on_stage("python3").args(["-c", SOURCE]).start();
        source.says("listens").await;
        let publish = [
            "publish",
            "--source",
            "tick",
            "--endpoint",
            "tcp://0.0.0.0:5005",
        ];
        let offer = on_stage(ZOCP).args(publish).start();
        venue.foh.bus.appears(STAGE).await;
        let at_foh = |program: &str| venue.foh_host.command(program).on(&venue.foh.bus);
        let shown = "until \"$ZOCP\" streams stage | grep -qw tick; do sleep 0.1; done";
        at_foh("sh")
            .args(["-c", shown])
            .env("ZOCP", ZOCP)
            .run()
            .await;
        let stream = [
            "stream", "stage", "tick", "--way", way, "--", "python3", "-c", HOLDER,
        ];
        let holder: Cmd = at_foh(ZOCP).args(stream);
        let holder = holder.start();
        source.says("has a holder").await;
        holder.says("tick").await;
        Self {
            venue,
            source,
            holder,
            _offer: offer,
        }
    }

    /// What comes from now on, after a moment in which what was under way has come.
    async fn goes_on(&self) {
        self.holder.forget_said();
        for _ in 0..20 {
            self.holder.says("tick").await;
        }
    }
}

/// How long it takes from now on until something is seen, which must be soon.
async fn seen(what: &str, since: Instant, event: impl Future) {
    in_time(what, event).await;
    let took = since.elapsed();
    println!("{what}: {} ms", took.as_millis());
    assert!(took < SEEN_MAX, "{what} took {took:?}");
}

#[test]
fn the_source_is_killed_and_the_holder_of_a_relayed_stream_sees_the_end() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "relay").await;
        let node = show.venue.foh.bus.node("stage");
        let mut released = node.signals(STREAMS).await;
        let now = Instant::now();
        show.source.kill().await;
        let what = "source killed, relay: holder sees the end";
        seen(what, now, show.holder.says("sees the end")).await;
        let what = "source killed, relay: Released at the holder's bus";
        seen(what, now, released.next()).await;
        assert!(show.venue.foh.bus.has(STAGE).await);
    });
}

#[test]
fn the_source_is_killed_and_the_holder_of_a_direct_stream_sees_the_end() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "direct").await;
        let now = Instant::now();
        show.source.kill().await;
        let what = "source killed, direct: holder sees the end";
        seen(what, now, show.holder.says("sees the end")).await;
    });
}

#[test]
fn the_bridge_of_the_source_is_killed_and_a_relayed_stream_ends_at_both_ends() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "relay").await;
        let now = Instant::now();
        show.venue.stage.program.kill().await;
        let what = "bridge of the source killed, relay: holder sees the end";
        seen(what, now, show.holder.says("sees the end")).await;
        let what = "bridge of the source killed, relay: source sees it";
        seen(what, now, show.source.says("lost its holder")).await;
        let what = "bridge of the source killed: its node is gone from the holder's bus";
        seen(what, now, show.venue.foh.bus.vanishes(STAGE)).await;
    });
}

#[test]
fn the_bridge_of_the_holder_is_killed_and_a_relayed_stream_ends_at_both_ends() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "relay").await;
        let now = Instant::now();
        show.venue.foh.program.kill().await;
        let what = "bridge of the holder killed, relay: holder sees the end";
        seen(what, now, show.holder.says("sees the end")).await;
        let what = "bridge of the holder killed, relay: source sees it";
        seen(what, now, show.source.says("lost its holder")).await;
    });
}

#[test]
fn the_holder_is_killed_and_the_source_of_a_relayed_stream_sees_it() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "relay").await;
        let node = show.venue.foh.bus.node("stage");
        let mut released = node.signals(STREAMS).await;
        let now = Instant::now();
        show.holder.kill().await;
        let what = "holder killed, relay: source sees it";
        seen(what, now, show.source.says("lost its holder")).await;
        let what = "holder killed, relay: Released at the holder's bus";
        seen(what, now, released.next()).await;
    });
}

#[test]
fn the_holder_is_killed_and_the_source_of_a_direct_stream_sees_it() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "direct").await;
        let now = Instant::now();
        show.holder.kill().await;
        let what = "holder killed, direct: source sees it";
        seen(what, now, show.source.says("lost its holder")).await;
    });
}

#[test]
fn a_direct_stream_goes_on_when_both_bridges_are_killed() {
    isolated(async |lab: Lab| {
        let mut show = Show::open(&lab, "direct").await;
        show.venue.stage.program.kill().await;
        show.venue.foh.program.kill().await;
        show.goes_on().await;
        show.source.kill().await;
        show.holder.says("sees the end").await;
    });
}
