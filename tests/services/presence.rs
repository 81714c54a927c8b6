//! Services, bridges and links that come and go, politely or not, and the calls that are under way then.

use std::time::{Duration, Instant};

use zbus::Message;
use zocp_testkit::{CLOSED_MAX, Client, Lab, Program, Venue, error_name, isolated, message};

use super::{EXAMPLES, LAMP, LAMP_PATH, LAMP_THERE, LAMP1, ZOCP};

/// A mesh in which silence is death after three seconds.
const IMPATIENT: &str = "[mesh]\nevasive = 1\nexpiry = 3\n";
const LAMP_OBJECT: (&str, &str, &str) = (LAMP_THERE, LAMP_PATH, LAMP1);

/// A lamp on stage, and a client at front of house that has talked to it.
struct Scene {
    venue: Venue,
    lamp: Program,
    foh: Client,
}

impl Scene {
    async fn start(lab: &Lab, mesh: &str) -> Self {
        let exports = format!("{mesh}{EXAMPLES}");
        let venue = Venue::open(lab, ZOCP, &exports, mesh).await;
        let lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut foh = Client::on(&venue.foh.bus).await;
        let answer = foh.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
        Self { venue, lamp, foh }
    }

    /// A call that the lamp has and does not answer.
    async fn call_under_way(&mut self) -> Message {
        let wait = message(LAMP_THERE, LAMP_PATH, LAMP1, "Wait");
        let wait = wait.build(&()).expect("a call");
        self.foh.send(&wait).await;
        // Behind it in the same row: when this one is answered, the lamp has the first.
        self.foh.call(LAMP_OBJECT, "Count", &()).await;
        wait
    }
}

#[track_caller]
fn assert_in_time(what: &str, since: Instant) {
    let took = since.elapsed();
    assert!(took < CLOSED_MAX, "{what} took {took:?}");
}

#[test]
fn a_service_that_is_killed_is_gone_and_back_when_it_is_restarted() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, "").await;
        for _ in 0..3 {
            let wait = scene.call_under_way().await;
            scene.lamp.kill().await;
            let killed = Instant::now();
            let answer = scene.foh.answer(&wait).await;
            assert!(error_name(&answer).is_some(), "{answer:?}");
            scene.venue.foh.bus.vanishes(LAMP_THERE).await;
            assert_in_time("the end", killed);
            scene.lamp = scene.venue.stage.bus.serve("lamp_service.py", LAMP).await;
            let back = Instant::now();
            scene.venue.foh.bus.appears(LAMP_THERE).await;
            assert_in_time("the return", back);
            let answer = scene.foh.call(LAMP_OBJECT, "Count", &()).await;
            assert_eq!(error_name(&answer), None);
        }
    });
}

#[test]
fn when_the_exporting_bridge_is_killed_names_go_and_calls_are_answered_at_once() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, "").await;
        let wait = scene.call_under_way().await;
        scene.venue.stage.program.kill().await;
        let killed = Instant::now();
        let answer = scene.foh.answer(&wait).await;
        let node_gone = "org.z25.Zocp1.Error.NodeGone";
        assert_eq!(error_name(&answer).as_deref(), Some(node_gone));
        scene.venue.foh.bus.vanishes(LAMP_THERE).await;
        assert_in_time("the end", killed);
        let config = lab.file("again.toml", EXAMPLES);
        scene.venue.restart_stage(&["--config", &config]).await;
        scene.venue.foh.bus.appears(LAMP_THERE).await;
        let answer = scene.foh.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
    });
}

#[test]
fn when_the_importing_bridge_is_killed_its_callers_are_gone_from_the_stage() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, "").await;
        let sender = scene.foh.call(LAMP_OBJECT, "Sender", &()).await;
        let sender: String = sender.body().deserialize().expect("a name");
        assert!(scene.venue.stage.bus.has(&sender).await);
        scene.venue.foh.program.kill().await;
        let killed = Instant::now();
        scene.venue.stage.bus.vanishes(&sender).await;
        assert_in_time("the caller's end", killed);
        scene.venue.foh.bus.vanishes(LAMP_THERE).await;
    });
}

#[test]
fn a_caller_that_leaves_its_bus_leaves_the_other_too_and_nobody_else_does() {
    isolated(async |lab: Lab| {
        let scene = Scene::start(&lab, "").await;
        let (mut one, mut other) = (scene.foh, Client::on(&scene.venue.foh.bus).await);
        let mut names = Vec::new();
        for client in [&mut one, &mut other] {
            let sender = client.call(LAMP_OBJECT, "Sender", &()).await;
            names.push(sender.body().deserialize::<String>().expect("a name"));
        }
        assert_ne!(names[0], names[1]);
        let stage = &scene.venue.stage.bus;
        assert!(stage.has(&names[0]).await);
        one.leave().await;
        stage.vanishes(&names[0]).await;
        assert!(stage.has(&names[1]).await);
        let again = other.call(LAMP_OBJECT, "Sender", &()).await;
        assert_eq!(
            again.body().deserialize::<String>().expect("a name"),
            names[1]
        );
    });
}

#[test]
fn a_service_behind_a_silent_link_is_gone_at_expiry_and_back_under_its_name() {
    isolated(async |lab: Lab| {
        let mut scene = Scene::start(&lab, IMPATIENT).await;
        let wait = scene.call_under_way().await;
        scene.venue.stage_host.link(0).go_silent().await;
        let silent = Instant::now();
        let answer = scene.foh.answer(&wait).await;
        let node_gone = "org.z25.Zocp1.Error.NodeGone";
        assert_eq!(error_name(&answer).as_deref(), Some(node_gone));
        scene.venue.foh.bus.vanishes(LAMP_THERE).await;
        let took = silent.elapsed();
        assert!(took > Duration::from_secs(1), "gone after {took:?} already");
        assert!(took < CLOSED_MAX, "gone after {took:?} only");
        scene.venue.stage_host.link(0).go_on().await;
        scene.venue.foh.bus.appears(LAMP_THERE).await;
        let answer = scene.foh.call(LAMP_OBJECT, "Count", &()).await;
        assert_eq!(error_name(&answer), None);
    });
}
