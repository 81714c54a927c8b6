//! Players and streams of one venue in another, over a link that only one of the two can open.

use zocp_testkit::{Lab, Plan, Site, isolated, silence};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PLAYER: &str = "org.mpris.MediaPlayer2.north.stage.mpv";
const PLUGIN: &str = "/usr/lib/mpv-mpris/mpris.so";
/// More than all buffers on the way hold together.
const LEN: usize = 20_000_000;

const NORTH: Plan<'_> = Plan {
    name: "north",
    bridge: "stage",
    dials: &[],
    trusts: &["south"],
    rules: "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\nvenues = ['south']\n",
};
const SOUTH: Plan<'_> = Plan {
    name: "south",
    bridge: "foh",
    dials: &["north"],
    trusts: &[],
    rules: "",
};

async fn open(lab: &Lab) -> [Site; 2] {
    let sites = Site::open_all(lab, ZOCP, &[NORTH, SOUTH]).await;
    let sites: [Site; 2] = sites.try_into().unwrap_or_else(|_| panic!("two"));
    let [north, south] = &sites;
    south
        .bridge
        .bus
        .appears("org.z25.Zocp1.Node.north.stage")
        .await;
    north
        .bridge
        .bus
        .appears("org.z25.Zocp1.Node.south.foh")
        .await;
    sites
}

#[test]
fn a_player_of_the_north_is_a_player_in_the_south() {
    isolated(async |lab: Lab| {
        let [north, south] = open(&lab).await;
        let tone = lab.file("tone.wav", silence());
        let mpv = north.host.command("mpv").needs(PLUGIN);
        let mpv = mpv
            .args(["--no-config", "--ao=null", "--vo=null", "--video=no"])
            .args(["--msg-level=all=warn", "--loop"])
            .arg(format!("--script={PLUGIN}"))
            .arg(tone);
        let _mpv = mpv.on(&north.bridge.bus).start();
        south.bridge.bus.appears(PLAYER).await;
        let playerctl = |args: &[&str]| south.bridge.bus.command("playerctl").args(args);
        for player in ["north.stage", "north"] {
            let follow = playerctl(&["-p", player, "status", "-F"]).start();
            follow.says("Playing").await;
            let said = playerctl(&["-p", player, "status"]).run().await;
            assert_eq!(said.trim(), "Playing", "{player}");
        }
        playerctl(&["-p", "north.stage", "pause"]).run().await;
        let there = north.bridge.bus.command("playerctl").args(["status", "-F"]);
        there.start().says("Paused").await;
        let exec = ["exec", "north/stage", "--", "playerctl", "status"];
        assert_eq!(south.zocp(ZOCP, &exec).run().await.trim(), "Paused");
    });
}

#[test]
fn a_stream_passes_the_link_in_both_directions_whichever_end_can_be_dialed() {
    isolated(async |lab: Lab| {
        let [north, south] = open(&lab).await;
        let octets: Vec<u8> = (0..LEN as u64)
            .map(|at| (at.wrapping_mul(6_364_136_223_846_793_005) >> 33) as u8)
            .collect();
        let film = lab.file("film", octets);
        let shell = |site: &Site, script: &str| site.shell(ZOCP, script);
        let sum = shell(&north, &format!("sha256sum < {film}")).run().await;
        for (offers, opens, node) in [
            (&north, &south, "north/stage"),
            (&south, &north, "south/foh"),
        ] {
            let offer = format!("$ZOCP publish --source film -- cat {film}");
            let mut source = shell(offers, &offer).start();
            opens.lists_stream(ZOCP, node, "film").await;
            let stream = format!("$ZOCP stream {node} film | sha256sum");
            assert_eq!(shell(opens, &stream).run().await, sum, "{node}");
            assert!(source.ended().await.success());
        }
    });
}
