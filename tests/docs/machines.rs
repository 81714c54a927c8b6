//! What pages show of two machines goes as they say: the evening of the tutorial, and values that are published.

use std::time::Duration;

use tokio::time::timeout;
use zocp_testkit::{Bridge, Cmd, Lab, in_time, isolated};

use super::{
    ROOT, ZOCP, read,
    transcripts::{assert_goes_so, says, shell, steps},
};

const EVENING: &str = "docs/tutorial/first-evening.md";
const PUBLISH: &str = "docs/how-to/publish.md";

/// The lines of the block of code below a sentence.
fn block<'p>(page: &'p str, sentence: &str) -> &'p str {
    let (_, behind) = page.split_once(sentence).expect("the sentence is there");
    let block = behind.split("```").nth(1).expect("a block of code");
    block.split_once('\n').map_or("", |(_, lines)| lines)
}

#[test]
fn the_evening_of_the_tutorial_goes_as_it_says() {
    isolated(async |lab: Lab| {
        let (pi, laptop) = (lab.host("pi").await, lab.host("laptop").await);
        let bridge = Bridge::start(ZOCP, &laptop, "laptop", &[]).await;
        let python = std::env::var("ZOCP_TEST_PYTHON")
            .unwrap_or_else(|_| format!("{ROOT}/target/venv/bin/python"));
        let lamp = pi.command(&python);
        let lamp = lamp.arg(format!("{ROOT}/docs/tutorial/lamp.py"));
        let mut lamp = lamp.label("lamp").start();
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        let page = read(EVENING);
        // Before it is the demo, which another test goes through.
        let (_, evening) = page.split_once("\n## 2. ").expect("a second part");
        let mut watch = None;
        for step in steps(evening) {
            match step.command {
                // It runs already.
                "zocp bridge" => {}
                "zocp watch lamp" => {
                    let program = shell(&bridge.bus, step.command).start();
                    for line in &step.printed {
                        says(&program, line).await;
                    }
                    watch = Some(program);
                }
                _ => assert_goes_so(&bridge.bus, EVENING, &step).await,
            }
        }
        let watch = watch.expect("the lamp is watched");
        for line in block(evening, "And on the other machine:").lines() {
            lamp.says(line).await;
        }
        lamp.tell("0.1").await;
        for line in block(evening, "That moves its fader:").lines() {
            says(&watch, line).await;
        }
        let follow = block(evening, "a shell will do:");
        let _follow = shell(&bridge.bus, follow).start();
        for line in block(evening, "and dims the lamp:").lines() {
            let fader = line.split(' ').nth(1).expect("a value");
            in_time("the shell that follows", async {
                // It follows as soon as it watches, which nothing tells.
                while timeout(AGAIN, lamp.says(line)).await.is_err() {
                    lamp.tell(fader).await;
                }
            })
            .await;
        }
        lamp.kill().await;
        for line in block(evening, "after half a minute:").lines() {
            says(&watch, line).await;
        }
        bridge.bus.vanishes("org.z25.Zocp1.Node.lamp").await;
    });
}

#[test]
fn a_value_that_is_published_and_a_method_are_used_as_the_page_says() {
    isolated(async |lab: Lab| {
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let stage = Bridge::start(ZOCP, &stage, "stage", &[]).await;
        let foh = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        let page = read(PUBLISH);
        let (values, methods) = page.split_once("\n## Call a method\n").expect("methods");
        let values = steps(values);
        let (publish, used) = values.split_first().expect("a value");
        let (said, arrives) = publish.printed.split_first().expect("what it says");
        let publisher = shell(&stage.bus, publish.command).start();
        says(&publisher, said).await;
        let node = foh.bus.node("stage");
        node.becomes("fader", 0.5).await;
        for step in used {
            assert_goes_so(&foh.bus, PUBLISH, step).await;
        }
        for line in arrives {
            says(&publisher, line).await;
        }
        let sensor = Cmd::python("dasbus").arg(format!("{ROOT}/examples/sensor.py"));
        let _sensor = sensor.on(&stage.bus).start();
        // It emits this when it has offered its method.
        node.becomes("dimmer", 0.25).await;
        for step in steps(methods) {
            assert_goes_so(&foh.bus, PUBLISH, &step).await;
        }
    });
}

const AGAIN: Duration = Duration::from_millis(500);
