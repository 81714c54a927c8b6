//! Services in a view that do not run, and that their bus starts when they are called.

use zbus::{
    fdo::{DBusProxy, StartServiceReply},
    names::WellKnownName,
};
use zocp_testkit::{Lab, Venue, isolated};

use super::{
    EXAMPLES, LAMP, LAMP_THERE, ZOCP, exec,
    view::{View, error_of},
};

const PLAYER: &str = "org.mpris.MediaPlayer2.started";
const PLAYERS: &str = "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\n";
const LOCAL: &str = "org.example.Local";
const ABSENT: &str = "org.example.Absent";

async fn activatable(view: &View) -> Vec<String> {
    let bus = DBusProxy::new(&view.program).await.expect("a proxy");
    let names = bus.list_activatable_names().await.expect("names");
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

async fn start(view: &View, name: &str) -> zbus::fdo::Result<StartServiceReply> {
    let bus = DBusProxy::new(&view.program).await.expect("a proxy");
    let name = WellKnownName::try_from(name).expect("a name");
    bus.start_service_by_name(name, 0).await
}

#[test]
fn a_service_that_does_not_run_is_listed_as_on_its_own_bus_and_its_first_call_starts_it() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        // The bridge is told when the bus can start something else.
        venue.stage.bus.can_start("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[]).await;
        assert_eq!(activatable(&view).await, [LAMP, "org.freedesktop.DBus"]);
        assert_eq!(view.owner(LAMP).await, None);
        let absent = view.lamp(ABSENT).await.blink(1).await;
        assert_eq!(
            error_of(absent),
            "org.freedesktop.DBus.Error.ServiceUnknown"
        );
        assert!(
            !venue.stage.bus.has(LAMP).await,
            "to list it starts nothing"
        );
        let listed = exec(
            &venue,
            &["stage"],
            &["busctl", "--user", "list", "--no-legend"],
        );
        let listed = listed.run().await;
        let line = listed.lines().find(|line| line.starts_with(LAMP));
        assert!(
            line.is_some_and(|line| line.contains("(activatable)")),
            "{listed}"
        );

        let lamp = view.lamp(LAMP).await;
        // Calls that come together are answered in order, and start it once.
        let (first, second, third) = tokio::join!(lamp.blink(1), lamp.blink(2), lamp.count());
        assert_eq!(first.as_deref(), Ok("blinked 1 times"));
        assert_eq!(second.as_deref(), Ok("blinked 2 times"));
        assert_eq!(third, Ok(()));
        assert_eq!(lamp.counted().await, Ok(1));
        assert!(venue.stage.bus.has(LAMP).await);
        assert!(view.owner(LAMP).await.is_some());
        assert_eq!(
            start(&view, LAMP).await,
            Ok(StartServiceReply::AlreadyRunning),
            "it runs"
        );
        assert_eq!(activatable(&view).await, [LAMP, "org.freedesktop.DBus"]);
    });
}

#[test]
fn a_started_service_that_ends_is_only_listed_again_and_is_started_again() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        venue.stage.bus.can_start("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[]).await;
        for _ in 0..2 {
            assert_eq!(start(&view, LAMP).await, Ok(StartServiceReply::Success));
            let lamp = view.lamp(LAMP).await;
            assert_eq!(lamp.blink(3).await.as_deref(), Ok("blinked 3 times"));
            let owner = view.owner(LAMP).await;
            let pid = venue.stage.bus.busctl(&["status", LAMP]).await;
            let pid = pid.lines().find_map(|line| line.strip_prefix("PID="));
            venue
                .stage
                .bus
                .command("kill")
                .arg(pid.expect("a process"))
                .run()
                .await;
            view.becomes(LAMP, false).await;
            assert!(owner.is_some());
        }
        venue.stage.bus.cannot_start(LAMP).await;
        venue.foh.bus.vanishes(LAMP_THERE).await;
        let gone = view.lamp(LAMP).await.blink(1).await;
        assert_eq!(error_of(gone), "org.freedesktop.DBus.Error.ServiceUnknown");
        assert_eq!(activatable(&view).await, ["org.freedesktop.DBus"]);
    });
}

#[test]
fn a_service_that_cannot_be_started_says_why_and_is_let_go() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        venue.stage.bus.can_run("/bin/false", LAMP).await;
        venue.foh.bus.can_run("/bin/false", LOCAL).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[LOCAL]).await;
        for name in [LAMP, LOCAL] {
            for _ in 0..2 {
                let failed = view.lamp(name).await.blink(1).await;
                assert_eq!(
                    error_of(failed),
                    "org.freedesktop.DBus.Error.Spawn.ChildExited",
                    "{name}"
                );
            }
        }
        assert_eq!(view.owner(LOCAL).await, None);
    });
}

#[test]
fn a_player_that_does_not_run_is_started_by_a_call_and_by_no_list() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        venue.stage.bus.can_start("lamp_service.py", PLAYER).await;
        // A marker: the bridge of the stage has told what there is.
        let _other = venue
            .stage
            .bus
            .serve("lamp_service.py", "org.mpris.MediaPlayer2.zz")
            .await;
        venue
            .foh
            .bus
            .appears("org.mpris.MediaPlayer2.stage.zz")
            .await;
        let view = View::open(&venue, &["stage"], &[]).await;
        assert!(activatable(&view).await.contains(&PLAYER.to_owned()));
        let bus = DBusProxy::new(&view.program).await.expect("a proxy");
        let names = bus.list_names().await.expect("names");
        let players = names.iter().filter(|name| name.starts_with("org.mpris."));
        assert_eq!(players.count(), 1);
        assert!(!venue.stage.bus.has(PLAYER).await);
        let lamp = view.lamp(PLAYER).await;
        assert_eq!(lamp.blink(2).await.as_deref(), Ok("blinked 2 times"));
        assert!(venue.stage.bus.has(PLAYER).await);
        // Now that it runs it is on the bus of the bridge as well.
        let there = "org.mpris.MediaPlayer2.stage.started";
        venue.foh.bus.appears(there).await;
    });
}

#[test]
fn a_local_service_that_does_not_run_is_started_when_it_is_called() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.can_start("lamp_service.py", LOCAL).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[LOCAL]).await;
        assert_eq!(activatable(&view).await, [LOCAL, "org.freedesktop.DBus"]);
        assert_eq!(view.owner(LOCAL).await, None);
        let lamp = view.lamp(LOCAL).await;
        let (first, second) = tokio::join!(lamp.blink(1), lamp.blink(2));
        assert_eq!(first.as_deref(), Ok("blinked 1 times"));
        assert_eq!(second.as_deref(), Ok("blinked 2 times"));
        assert!(venue.foh.bus.has(LOCAL).await);
        assert_eq!(
            start(&view, LOCAL).await,
            Ok(StartServiceReply::AlreadyRunning)
        );
    });
}
