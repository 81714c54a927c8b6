//! Who has which name in a view, and from when to when.

use zocp_testkit::{Bridge, Lab, Venue, in_time, isolated};

use super::{
    EXAMPLES, LAMP, ZOCP,
    view::{View, lamp_on},
};

/// Sets the level of a machine's lamp, to tell it from others.
async fn mark(bridge: &Bridge, level: f64) {
    let lamp = lamp_on(bridge.bus.connection(), LAMP).await;
    lamp.set_level(level).await.expect("a lamp");
}

async fn level(view: &View, name: &str) -> f64 {
    view.lamp(name).await.level().await.expect("a lamp")
}

#[test]
fn the_node_that_is_named_first_has_the_name_and_the_next_one_when_it_is_gone() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let config = lab.file("balcony.toml", EXAMPLES);
        let host = lab.host("balcony").await;
        let balcony = Bridge::start(ZOCP, &host, "balcony", &["--config", &config]).await;
        let mut lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let _other = balcony.bus.serve("lamp_service.py", LAMP).await;
        mark(&venue.stage, 0.25).await;
        mark(&balcony, 0.5).await;
        venue.foh.bus.appears("org.example.Lamp.stage").await;
        venue.foh.bus.appears("org.example.Lamp.balcony").await;

        let view = View::open(&venue, &["stage", "balcony"], &[]).await;
        let levels = async || {
            (
                level(&view, LAMP).await,
                level(&view, "org.example.Lamp.balcony").await,
            )
        };
        assert_eq!(levels().await, (0.25, 0.5));
        let other = View::open(&venue, &["balcony", "stage"], &[]).await;
        assert_eq!(level(&other, LAMP).await, 0.5);
        assert_eq!(level(&other, "org.example.Lamp.stage").await, 0.25);

        lamp.kill().await;
        view.becomes("org.example.Lamp.balcony", false).await;
        view.becomes(LAMP, true).await;
        assert_eq!(level(&view, LAMP).await, 0.5);
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        mark(&venue.stage, 0.75).await;
        // From one to the other, so that there is always somebody.
        view.becomes("org.example.Lamp.balcony", true).await;
        // It gives the name back when it has the other one.
        let back = async { while level(&view, LAMP).await == 0.5 {} };
        in_time("the first lamp to have its name", back).await;
        assert_eq!(levels().await, (0.75, 0.5));
    });
}

#[test]
fn of_two_nodes_with_one_name_the_first_has_the_names() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        mark(&venue.stage, 0.25).await;
        venue.foh.bus.appears("org.example.Lamp.stage").await;
        let view = View::open(&venue, &["stage"], &[]).await;

        let config = lab.file("second.toml", EXAMPLES);
        let host = lab.host("second").await;
        let bus = zocp_testkit::Bus::start("second").await;
        let _bridge = Bridge::start_on(&bus, ZOCP, &host, "stage", &["--config", &config]).await;
        let _other = bus.serve("lamp_service.py", LAMP).await;
        let services = async || {
            let list = venue
                .foh
                .bus
                .busctl(&["list", "--acquired", "--no-legend"])
                .await;
            let names = list.lines().filter_map(|line| line.split(' ').next());
            let its = names.filter(|name| name.starts_with("org.example.Lamp.stage_"));
            its.map(str::to_owned).next()
        };
        let appears = async {
            loop {
                if let Some(name) = services().await {
                    break name;
                }
            }
        };
        let second = in_time("the service of the second stage", appears).await;
        view.becomes(&second, true).await;
        assert_eq!(level(&view, LAMP).await, 0.25);
        assert_eq!(level(&view, &second).await, 0.5);
        let label = second.trim_start_matches("org.example.Lamp.");
        assert!(view.owner("org.z25.Zocp1.Node.stage").await.is_some());
        view.becomes(&format!("org.z25.Zocp1.Node.{label}"), true)
            .await;

        // A label means one node.
        let one = View::open(&venue, &[label], &[]).await;
        assert_eq!(level(&one, LAMP).await, 0.5);
        assert_eq!(one.owner("org.z25.Zocp1.Node.stage").await, None);
    });
}

#[test]
fn services_and_nodes_that_come_later_appear_and_go_as_on_the_session_bus() {
    isolated(async |lab: Lab| {
        let mut venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        venue.foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        let view = View::open(&venue, &["stage", "later"], &[]).await;
        assert!(view.owner("org.z25.Zocp1.Node.stage").await.is_some());
        assert_eq!(view.owner(LAMP).await, None);
        for _ in 0..2 {
            let mut lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
            view.becomes(LAMP, true).await;
            let answer = view.lamp(LAMP).await.blink(2).await;
            assert_eq!(answer.as_deref(), Ok("blinked 2 times"));
            lamp.kill().await;
            view.becomes(LAMP, false).await;
        }
        venue.stage.program.kill().await;
        view.becomes("org.z25.Zocp1.Node.stage", false).await;
        let config = lab.file("again.toml", EXAMPLES);
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.restart_stage(&["--config", &config]).await;
        view.becomes(LAMP, true).await;
        view.becomes("org.z25.Zocp1.Node.stage", true).await;

        let host = lab.host("later").await;
        let later = Bridge::start(ZOCP, &host, "later", &["--config", &config]).await;
        let _other = later
            .bus
            .serve("lamp_service.py", "org.example.Other")
            .await;
        view.becomes("org.example.Other", true).await;
        view.becomes("org.z25.Zocp1.Node.later", true).await;
    });
}
