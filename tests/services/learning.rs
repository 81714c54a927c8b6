//! `zocp export --learn`: the rules that it writes allow what was done meanwhile, and nothing else.

use std::fs;

use rustix::process::Signal;
use zocp_testkit::{Client, Lab, Venue, error_name, isolated};

use super::{LAMP, LAMP_PATH, LAMP_THERE, LAMP1, ZOCP};

const LAMP_OBJECT: (&str, &str, &str) = (LAMP_THERE, LAMP_PATH, LAMP1);

#[test]
fn rules_that_were_learned_allow_what_was_done_and_nothing_else() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, "", "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        let rules = lab.path("rules.toml");
        let learn = format!("exec {ZOCP} export --learn {LAMP} >{rules}");
        let learn = venue.stage_host.command("sh").args(["-c", &learn]);
        let mut learn = learn.on(&venue.stage.bus).label("learn").start();
        learn.says("is exported").await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let mut foh = Client::on(&venue.foh.bus).await;
        let answer = foh.call(LAMP_OBJECT, "Blink", &2u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");

        learn.interrupt();
        assert!(learn.ended().await.success());
        venue.foh.bus.vanishes(LAMP_THERE).await;
        let rules = fs::read_to_string(rules).expect("what was learned");
        assert!(
            rules.contains("org.example.Lamp1.Blink@/org/example/lamp"),
            "{rules}"
        );
        assert!(rules.contains(r#"peers = ["foh"]"#), "{rules}");

        // Pasted as they are.
        lab.file("stage.toml", &rules);
        venue.stage.program.signal(Signal::HUP);
        venue.foh.bus.appears(LAMP_THERE).await;
        let answer = foh.call(LAMP_OBJECT, "Blink", &2u32).await;
        assert_eq!(error_name(&answer), None, "{answer:?}");
        let refused = foh.call(LAMP_OBJECT, "Count", &()).await;
        let denied = "org.freedesktop.DBus.Error.AccessDenied";
        assert_eq!(error_name(&refused).as_deref(), Some(denied), "{rules}");
    });
}
