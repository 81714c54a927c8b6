//! The life of a view: its opener, its limits, its rules, the programs in it.

use futures_util::StreamExt;
use zbus::MessageStream;
use zocp_interfaces::ViewProxy;
use zocp_testkit::{Lab, Venue, in_time, isolated};

use super::{
    EXAMPLES, LAMP, LAMP_THERE, ZOCP,
    view::{View, connect, error_of, is_signal, text_of},
};

#[test]
fn when_the_opener_is_gone_nothing_is_left() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        for is_killed in [false, true] {
            let view = View::open(&venue, &["stage"], &[]).await;
            let sender = view.lamp(LAMP).await.sender().await.expect("a lamp");
            assert!(venue.stage.bus.has(&sender).await, "the caller on stage");
            let (socket, mut rest) = (view.socket(), MessageStream::from(&view.program));
            assert!(socket.exists());
            let mode = std::fs::metadata(socket.parent().expect("a directory"));
            let mode = std::os::unix::fs::PermissionsExt::mode(&mode.expect("there").permissions());
            assert_eq!(mode & 0o777, 0o700);
            if is_killed {
                view.opener.close().await.expect("a connection");
            } else {
                let its = ViewProxy::new(&view.opener, view.path.clone()).await;
                its.expect("a proxy").close().await.expect("a view");
            }
            let end = async { while rest.next().await.is_some_and(|it| it.is_ok()) {} };
            in_time("the end of the program's connection", end).await;
            venue.stage.bus.vanishes(&sender).await;
            let gone = async {
                while socket.parent().is_some_and(std::path::Path::exists) {
                    tokio::task::yield_now().await;
                }
            };
            in_time("the end of the socket", gone).await;
            let objects = venue
                .foh
                .bus
                .busctl(&["tree", "--list", "org.z25.Zocp1"])
                .await;
            assert!(
                objects.contains("/nodes/stage") && !objects.contains("/views/"),
                "{objects}"
            );
        }
        // The service of the bus of the bridge is still heard.
        let blink = [
            "call",
            LAMP_THERE,
            "/org/example/lamp",
            "org.example.Lamp1",
            "Blink",
            "u",
            "1",
        ];
        venue.foh.bus.busctl(&blink).await;
    });
}

#[test]
fn a_view_is_closed_by_its_opener_alone_and_is_described() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[]).await;
        let other = ViewProxy::new(venue.foh.bus.connection(), view.path.clone()).await;
        let other = other.expect("a proxy");
        assert_eq!(
            error_of(other.close().await),
            "org.freedesktop.DBus.Error.AccessDenied"
        );
        assert_eq!(other.address().await.as_ref(), Ok(&view.address));
        assert_eq!(other.nodes().await, Ok(vec!["stage".to_owned()]));
        let services = other.services().await.expect("services");
        assert_eq!(services.get(LAMP).map(String::as_str), Some("stage"));
    });
}

#[test]
fn a_program_and_all_together_have_so_many_views() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        venue.foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        let mut open = Vec::new();
        for _ in 0..4 {
            let opener = venue.foh.bus.connect().await;
            for _ in 0..16 {
                let view = View::open_by(opener.clone(), &["stage"], &[]).await;
                open.push(view.expect("a view"));
            }
            if open.len() == 16 {
                let text = text_of(View::open_by(opener, &["stage"], &[]).await.map(|_| ()));
                assert!(
                    text.ends_with("has 16 views, which is as many as one program may have"),
                    "{text}"
                );
            }
        }
        let opener = venue.foh.bus.connect().await;
        let refused = View::open_by(opener.clone(), &["stage"], &[])
            .await
            .map(|_| ());
        let limit = "org.freedesktop.DBus.Error.LimitsExceeded";
        assert_eq!(error_of(refused), limit);
        // One that ends makes room.
        let view = open.pop().expect("a view");
        let its = ViewProxy::new(&view.opener, view.path.clone()).await;
        its.expect("a proxy").close().await.expect("a view");
        View::open_by(opener, &["stage"], &[])
            .await
            .expect("a view");
    });
}

#[test]
fn what_cannot_be_meant_is_refused() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let refused = async |nodes: &[&str], also: &[&str]| {
            let opener = venue.foh.bus.connect().await;
            let outcome = View::open_by(opener, nodes, also).await.map(|_| ());
            text_of(outcome)
        };
        assert_eq!(
            refused(&[], &[]).await,
            "a view needs the names of its nodes"
        );
        assert!(refused(&["stage"], &["no name"]).await.contains("no name"));
        let nodes = vec!["stage"; 65];
        let text = refused(&nodes, &[]).await;
        assert_eq!(text, "65 nodes are more than the 64 that a view may have");
        let also = vec!["org.example.*"; 65];
        let text = refused(&["stage"], &also).await;
        assert!(text.contains("more than the 64"), "{text}");
    });
}

#[test]
fn the_rules_of_import_hold() {
    const RULES: &str = "[[import]]\nservice = 'org.example.Hidden'\nfrom = 'stage'\nname = false\n\
                         [[import]]\nservice = 'org.example.Lamp'\nname = 'org.other.{tail}'\n\
                         call = ['org.example.Lamp1.Count', 'org.example.Lamp1.Counted']\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, RULES).await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let _hidden = venue
            .stage
            .bus
            .serve("lamp_service.py", "org.example.Hidden")
            .await;
        let _shown = venue
            .stage
            .bus
            .serve("lamp_service.py", "org.example.Shown")
            .await;
        venue.foh.bus.appears("org.example.Shown.stage").await;
        let view = View::open(&venue, &["stage"], &[]).await;
        let lamp = view.lamp(LAMP).await;
        lamp.count().await.expect("a count");
        assert_eq!(lamp.counted().await, Ok(1));
        assert_eq!(
            error_of(lamp.blink(1).await),
            "org.freedesktop.DBus.Error.AccessDenied"
        );
        assert_eq!(view.owner("org.example.Hidden").await, None);
        assert!(view.owner("org.example.Shown").await.is_some());
    });
}

#[test]
fn what_the_service_emits_and_says_to_one_client_arrives_there() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[]).await;
        let other = connect(&view.address).await;
        let listen = async |bus: &zbus::Connection| {
            let rule = format!("type='signal',sender='{LAMP}'");
            let bus_proxy = zbus::fdo::DBusProxy::new(bus).await.expect("a proxy");
            let rule = zbus::MatchRule::try_from(rule.as_str()).expect("a rule");
            bus_proxy.add_match_rule(rule).await.expect("a match");
            MessageStream::from(bus)
        };
        let (mut here, mut there) = (listen(&view.program).await, listen(&other).await);
        let lamp = view.lamp(LAMP).await;
        lamp.whisper("to one").await.expect("a lamp");
        lamp.blink(3).await.expect("a lamp");
        let members = async |stream: &mut MessageStream| {
            let mut heard = Vec::new();
            let hear = async {
                while heard.iter().filter(|it| **it == "Blinked").count() < 3 {
                    let message = stream.next().await.expect("the view").expect("a message");
                    for member in ["Blinked", "Whispered"] {
                        if is_signal(&message, member) {
                            heard.push(member);
                        }
                    }
                }
            };
            in_time("three signals", hear).await;
            heard
        };
        assert_eq!(
            members(&mut here).await,
            ["Whispered", "Blinked", "Blinked", "Blinked"]
        );
        assert_eq!(members(&mut there).await, ["Blinked"; 3]);
        let first = view.lamp(LAMP).await.sender().await.expect("a lamp");
        let second = super::view::lamp_on(&other, LAMP).await.sender().await;
        assert_ne!(Ok(first), second, "each program is a client of its own");
    });
}

#[test]
fn a_name_that_a_program_of_the_view_owns_stays_there() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(
            &lab,
            ZOCP,
            "[[export]]\nservice = '*'\ntalk = true\n",
            "[[export]]\nservice = '*'\ntalk = true\n",
        )
        .await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[]).await;
        let own = "org.example.Own";
        view.program.request_name(own).await.expect("a name");
        let other = connect(&view.address).await;
        let bus = zbus::fdo::DBusProxy::new(&other).await.expect("a proxy");
        let owner = bus.get_name_owner(own.try_into().expect("a name")).await;
        let unique = view.program.unique_name().map(ToString::to_string);
        assert_eq!(owner.map(|it| it.to_string()).ok(), unique);
        // Behind a name that does come out of front of house.
        let marker = venue.foh.bus.connect().await;
        marker
            .request_name("org.example.Marker")
            .await
            .expect("a name");
        venue.stage.bus.appears("org.example.Marker.foh").await;
        assert!(!venue.foh.bus.has(own).await);
        assert!(!venue.stage.bus.has("org.example.Own.foh").await);
    });
}
