//! Services of a bridge of one venue in another, by way of a linked bridge that passes them on.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use futures_util::StreamExt;
use zbus::{DBusError, Message, MessageStream, Proxy};
use zocp_testkit::{Bridge, Lab, Plan, Program, Site, in_time, isolated, play};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const LAMP_THERE: &str = "org.example.Lamp.north.stage";
const PLAYER_THERE: &str = "org.mpris.MediaPlayer2.north.stage.mpv";
const PATH: &str = "/org/example/lamp";
const INTERFACE: &str = "org.example.Lamp1";

const NORTH: Plan<'_> = Plan {
    name: "north",
    bridge: "link",
    dials: &[],
    trusts: &["south"],
    rules: "[[pass]]\nnodes = ['stage']\nservices = ['org.example.Lamp', 'org.mpris.MediaPlayer2.*']\n\
            [[pass]]\nnodes = ['*']\n",
};
const SOUTH: Plan<'_> = Plan {
    name: "south",
    bridge: "foh",
    dials: &["north"],
    trusts: &[],
    rules: "",
};
const EXPORTS: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n\
                       [[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\n";

/// The linked bridges of two venues, and one more bridge in the north.
struct Venues {
    north: Site,
    south: Site,
    stage: Bridge,
}

impl Venues {
    async fn open(lab: &Lab) -> Self {
        let sites = Site::open_all(lab, ZOCP, &[NORTH, SOUTH]).await;
        let [north, south] = sites.try_into().unwrap_or_else(|_| panic!("two"));
        let stage = stage(lab, &north).await;
        south
            .bridge
            .bus
            .appears("org.z25.Zocp1.Node.north.stage")
            .await;
        Self {
            north,
            south,
            stage,
        }
    }
}

async fn stage(lab: &Lab, north: &Site) -> Bridge {
    let host = north.machine(lab, "north-stage").await;
    let exports = lab.file("stage.toml", EXPORTS);
    Bridge::start(ZOCP, &host, "stage", &["--config", &exports]).await
}

async fn lamp(site: &Site) -> Proxy<'static> {
    let connection = site.bridge.bus.connect().await;
    let lamp = Proxy::new(&connection, LAMP_THERE, PATH, INTERFACE).await;
    lamp.expect("a proxy")
}

/// The name of an error.
fn error_of(outcome: zbus::Result<Message>) -> String {
    match outcome {
        Err(zbus::Error::MethodError(name, ..)) => name.to_string(),
        Err(zbus::Error::FDO(error)) => error.name().to_string(),
        other => panic!("no error of a call: {other:?}"),
    }
}

#[test]
fn playerctl_of_one_venue_controls_the_player_behind_the_linked_bridge_of_the_other() {
    isolated(async |lab: Lab| {
        let Venues {
            north,
            south,
            stage,
        } = Venues::open(&lab).await;
        let host = north.machine(&lab, "north-player").await;
        let _mpv = play(&lab, &host, &stage.bus).await;
        south.bridge.bus.appears(PLAYER_THERE).await;
        let player = |args: &[&str]| {
            let command = south.bridge.bus.command("playerctl");
            command.args(["-p", "north.stage"]).args(args)
        };
        let follow = player(&["status", "--follow"]).start();
        follow.says("Playing").await;
        player(&["pause"]).run().await;
        follow.says("Paused").await;
        assert_eq!(player(&["status"]).run().await.trim(), "Paused");
        let title = player(&["metadata", "xesam:title"]).run().await;
        assert_eq!(title.trim(), "tone.wav");
        player(&["play"]).run().await;
        follow.says("Playing").await;
        // It is on the bus of the linked bridge, too, as in every venue of one mesh.
        assert!(
            north
                .bridge
                .bus
                .has("org.mpris.MediaPlayer2.stage.mpv")
                .await
        );
    });
}

#[test]
fn calls_errors_and_signals_pass_and_what_no_rule_names_does_not() {
    isolated(async |lab: Lab| {
        let venues = Venues::open(&lab).await;
        let (south, stage) = (&venues.south, &venues.stage);
        let _other = stage
            .bus
            .serve("lamp_service.py", "org.example.Secret")
            .await;
        let _lamp = stage.bus.serve("lamp_service.py", LAMP).await;
        south.bridge.bus.appears(LAMP_THERE).await;
        let lamp = lamp(south).await;
        let mut blinks = lamp.receive_signal("Blinked").await.expect("a signal");
        let done: String = lamp.call("Blink", &(2u32,)).await.expect("a reply");
        assert_eq!(done, "blinked 2 times");
        for wanted in 0..2u32 {
            let blink = in_time("a signal", blinks.next()).await.expect("a signal");
            assert_eq!(blink.body().deserialize::<u32>(), Ok(wanted));
        }
        let failed = lamp.call_method("Fail", &()).await;
        assert_eq!(error_of(failed), "org.example.Lamp.Error.Broken");
        lamp.set_property("Level", 0.75).await.expect("it is set");
        assert_eq!(lamp.get_property::<f64>("Level").await, Ok(0.75));
        // In their order, and each once.
        for _ in 0..100 {
            lamp.call_noreply("Count", &()).await.expect("it is sent");
        }
        assert_eq!(lamp.call::<_, _, u32>("Counted", &()).await, Ok(100));
        // A signal for the caller alone.
        let mut rest = MessageStream::from(lamp.connection());
        lamp.call_method("Whisper", &("psst",))
            .await
            .expect("a reply");
        let whisper = async {
            loop {
                let message = rest.next().await.expect("a message").expect("a message");
                let header = message.header();
                if header.member().is_some_and(|it| *it == "Whispered") {
                    break message.body().deserialize::<String>();
                }
            }
        };
        assert_eq!(in_time("a whisper", whisper).await, Ok("psst".to_owned()));
        let names = zbus::fdo::DBusProxy::new(lamp.connection()).await;
        let names = names.expect("the bus").list_names().await.expect("names");
        assert!(
            !names.iter().any(|name| name.contains("Secret")),
            "the stage exports it, but it is not passed on: {names:?}"
        );
    });
}

/// Calls a method that is never answered; the outcome, once there is one.
async fn waits(site: &Site) -> tokio::task::JoinHandle<zbus::Result<Message>> {
    site.bridge.bus.appears(LAMP_THERE).await;
    let lamp = lamp(site).await;
    let counted: zbus::Result<u32> = lamp.call("Counted", &()).await;
    counted.expect("a reply");
    tokio::spawn(async move { lamp.call_method("Wait", &()).await })
}

#[test]
fn a_call_under_way_gets_one_error_whatever_ends_and_the_service_comes_back() {
    isolated(async |lab: Lab| {
        let Venues {
            mut north,
            south,
            mut stage,
        } = Venues::open(&lab).await;
        let host = north.machine(&lab, "north-stage-2").await;
        let mut service: Program = stage.bus.serve("lamp_service.py", LAMP).await;
        let ended = async |waiting: tokio::task::JoinHandle<zbus::Result<Message>>| {
            let outcome = in_time("an error", waiting).await.expect("no panic");
            south.bridge.bus.vanishes(LAMP_THERE).await;
            error_of(outcome)
        };

        let waiting = waits(&south).await;
        service.kill().await;
        assert_eq!(
            ended(waiting).await,
            "org.freedesktop.DBus.Error.ServiceUnknown"
        );
        let _service = stage.bus.serve("lamp_service.py", LAMP).await;

        let waiting = waits(&south).await;
        stage.program.kill().await;
        assert_eq!(ended(waiting).await, "org.z25.Zocp1.Error.NodeGone");
        let exports = lab.path("stage.toml");
        let options = ["--config", exports.as_str()];
        stage.program = Bridge::start_on(&stage.bus, ZOCP, &host, "stage", &options).await;

        let waiting = waits(&south).await;
        north.cut().await;
        assert_eq!(ended(waiting).await, "org.z25.Zocp1.Error.NodeGone");
        north.restore().await;

        let waiting = waits(&south).await;
        north.bridge.program.kill().await;
        assert_eq!(ended(waiting).await, "org.z25.Zocp1.Error.NodeGone");
        let options = ["--config", north.config.as_str()];
        let bus = &north.bridge.bus;
        north.bridge.program = Bridge::start_on(bus, ZOCP, &north.host, "link", &options).await;
        waits(&south).await.abort();
    });
}

#[test]
fn the_rules_of_the_linked_bridge_are_followed_while_it_runs() {
    isolated(async |lab: Lab| {
        let Venues {
            north,
            south,
            stage,
        } = Venues::open(&lab).await;
        let _lamp = stage.bus.serve("lamp_service.py", LAMP).await;
        let waiting = waits(&south).await;
        let with = std::fs::read_to_string(&north.config).expect("its file");
        let without = with.replace("'org.example.Lamp', ", "");
        for (text, is_there) in [(&without, false), (&with, true)] {
            std::fs::write(&north.config, text).expect("written");
            north.bridge.program.signal(rustix::process::Signal::HUP);
            match is_there {
                true => south.bridge.bus.appears(LAMP_THERE).await,
                false => south.bridge.bus.vanishes(LAMP_THERE).await,
            }
        }
        let outcome = in_time("an error", waiting).await.expect("no panic");
        error_of(outcome);
        let lamp = lamp(&south).await;
        assert_eq!(lamp.call::<_, _, u32>("Counted", &()).await, Ok(0));
    });
}
