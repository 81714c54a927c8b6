//! Local services that are let into a view.

use futures_util::StreamExt;
use zbus::MessageStream;
use zocp_testkit::{Cmd, Lab, Venue, in_time, isolated};

use super::{
    EXAMPLES, LAMP, LAMP_THERE, ZOCP, exec,
    view::{View, error_of, is_signal},
};

const LOCAL: &str = "org.example.Local";

#[test]
fn a_local_service_answers_emits_and_refuses_under_its_own_name() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let mut local = venue.foh.bus.serve("lamp_service.py", LOCAL).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let view = View::open(&venue, &["stage"], &[LOCAL]).await;
        assert!(view.owner(LAMP).await.is_some());
        let lamp = view.lamp(LOCAL).await;
        let rule = format!("type='signal',sender='{LOCAL}'");
        let rule = zbus::MatchRule::try_from(rule.as_str()).expect("a rule");
        let bus = zbus::fdo::DBusProxy::new(&view.program)
            .await
            .expect("a proxy");
        bus.add_match_rule(rule).await.expect("a match");
        let mut heard = MessageStream::from(&view.program);
        lamp.whisper("to one").await.expect("a lamp");
        assert_eq!(lamp.blink(30).await.as_deref(), Ok("blinked 30 times"));
        // What the service emitted before its reply comes before it.
        let mut signals = Vec::new();
        let hear = async {
            while let Some(Ok(message)) = heard.next().await {
                if is_signal(&message, "Blinked") || is_signal(&message, "Whispered") {
                    signals.push(message);
                } else if message.body().deserialize::<&str>() == Ok("blinked 30 times") {
                    break;
                }
            }
        };
        in_time("the signals, then the reply", hear).await;
        assert_eq!(signals.len(), 31);
        assert!(is_signal(&signals[0], "Whispered"));
        assert_eq!(error_of(lamp.fail().await), "org.example.Lamp.Error.Broken");

        // The service has a client for each program, and loses it with the program.
        let sender = lamp.sender().await.expect("a lamp");
        assert!(venue.foh.bus.has(&sender).await);
        drop((lamp, bus, heard));
        let View {
            program,
            opener,
            address,
            path,
        } = view;
        program.close().await.expect("a connection");
        venue.foh.bus.vanishes(&sender).await;

        let view = View {
            program: super::view::connect(&address).await,
            opener,
            address,
            path,
        };
        local.kill().await;
        view.becomes(LOCAL, false).await;
        let _local = venue.foh.bus.serve("lamp_service.py", LOCAL).await;
        view.becomes(LOCAL, true).await;
        assert_eq!(
            view.lamp(LOCAL).await.blink(1).await.as_deref(),
            Ok("blinked 1 times")
        );
    });
}

#[test]
fn nothing_local_is_let_in_that_is_not_named_and_what_is_goes_before_the_stage() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _stage = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let _local = venue.foh.bus.serve("lamp_service.py", LAMP).await;
        let _other = venue.foh.bus.serve("lamp_service.py", LOCAL).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let here = super::view::lamp_on(venue.foh.bus.connection(), LAMP).await;
        here.set_level(0.125).await.expect("a lamp");
        let view = View::open(&venue, &["stage"], &[LAMP]).await;
        assert_eq!(view.lamp(LAMP).await.level().await, Ok(0.125));
        assert_eq!(view.lamp(LAMP_THERE).await.level().await, Ok(0.5));
        assert_eq!(view.owner(LOCAL).await, None);
        let view = View::open(&venue, &["stage"], &["org.example.*"]).await;
        assert!(view.owner(LOCAL).await.is_some());
    });
}

#[test]
fn descriptors_pass_themselves_to_a_local_service_and_back() {
    isolated(async |lab: Lab| {
        const PIPES: &str = "org.example.Pipes";
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let service = Cmd::python("dbus").arg("tests/peers/pipe_service.py");
        let service = service.arg(PIPES).on(&venue.foh.bus).start();
        service.says("ready").await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let client = async |what: &str| {
            let client = [
                "/usr/bin/python3",
                "tests/peers/pipe_client.py",
                PIPES,
                what,
            ];
            exec(&venue, &["stage", "--also", PIPES], &client)
                .run()
                .await
        };
        let said = client("numbers").await;
        assert_eq!(said.lines().next(), Some("itself itself itself"));
        let count = || {
            let bridge = venue.foh.program.pid().expect("it runs").as_raw_nonzero();
            let descriptors = std::fs::read_dir(format!("/proc/{bridge}/fd"));
            descriptors.expect("a process").count()
        };
        let before = count();
        for what in ["send", "receive", "stream", "lent", "many"] {
            assert_eq!(client(what).await, "done\n", "{what}");
        }
        let settled = async {
            while count() > before {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        in_time("no descriptor is left", settled).await;
    });
}
