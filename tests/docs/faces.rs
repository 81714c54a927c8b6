//! What a page shows of a shell beside `zocp osc` goes as it says: a lamp on stage, liblo's tools at front of house.

use serde_json::json;
use zocp_testkit::{Lab, PyPeer, isolated};

use super::{ZOCP, read, transcripts::steps};

const OSC: &str = "docs/how-to/osc.md";

#[test]
fn osc_is_spoken_in_a_shell_as_the_page_says() {
    isolated(async |lab: Lab| {
        let foh = lab.host("foh").await;
        let directory = ZOCP.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = std::env::var("PATH").unwrap_or_default();
        let shell = |line: &str| {
            let line = format!("exec {}", line.trim_end_matches(" &"));
            let shell = foh.command("bash").args(["-c", &line]);
            shell.env("PATH", format!("{directory}:{path}"))
        };
        let level = json!({"register": {"name": "level", "value": 0.5, "typeHint": "flt", "access": "rwe", "max": 1}});
        let mut lamp = PyPeer::start(&lab.host("stage").await, "lamp", &[level]).await;
        let becomes = async |lamp: &PyPeer, value: f64| {
            lamp.event("modified", |event| {
                event["data"]["level"]["value"] == json!(value)
            })
            .await;
        };
        let page = read(OSC);
        let steps = steps(&page);
        let [osc, set, all, dump, one] = &steps[..] else {
            panic!("five commands are shown");
        };
        let program = shell(osc.command).start();
        for line in &osc.printed {
            let (before_port, _) = line.rsplit_once(' ').expect("a port");
            program.says(before_port).await;
        }
        lamp.event("subscribed", |_| true).await;
        shell(set.command).run().await;
        becomes(&lamp, 0.8).await;
        shell(all.command).run().await;
        becomes(&lamp, 0.0).await;
        let dump = shell(dump.command).start();
        let second = shell(one.command).start();
        second.says("OSC at 127.0.0.1:9002").await;
        dump.says("/lamp/level f 0.000000").await;
        lamp.command(json!({"emit": ["level", 0.25]})).await;
        dump.says("/lamp/level f 0.250000").await;
        lamp.is_unharmed().await;
    });
}
