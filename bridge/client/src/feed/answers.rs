//! Answers become changes of the model.

use serde_json::{Map, Value};
use tokio::time::Instant;
use zocp_interfaces::BRIDGE_NAME;

use super::{
    Feed,
    question::{Answer, BridgeAnswer, Question},
    schedule::{FAILED_PAUSE, KEPT_MAX, Whom},
};
use crate::model::OWN_LABEL;

impl Feed {
    pub(super) fn answered(&mut self, question: Question, answer: zbus::Result<Answer>) {
        if let Question::Owner(whom) = &question {
            self.schedule.sought(whom);
        }
        match (question, answer) {
            (Question::Owner(whom), Ok(Answer::Owner(owner))) => {
                // It may have gone since it was asked for.
                if self.is_expected(&whom) {
                    self.schedule.found_owner(Instant::now(), whom, owner);
                }
            }
            (Question::Statistics, Ok(Answer::Statistics(statistics))) => {
                self.lock().set_statistics(statistics);
            }
            // The name has another owner soon, or none, and then the bridge says so; it may have been asked too early.
            (Question::Owner(whom @ Whom::Node(_)), Err(_)) if self.is_expected(&whom) => {
                self.schedule.seek(Instant::now() + FAILED_PAUSE, whom);
            }
            (Question::All(whom, owner), answer) => self.told_all(&whom, &owner, answer),
            (question, Err(error)) => tracing::debug!(?question, %error, "no answer"),
            (question, Ok(_)) => tracing::debug!(?question, "another answer"),
        }
    }

    fn told_all(&mut self, whom: &Whom, owner: &str, answer: zbus::Result<Answer>) {
        let now = Instant::now();
        let Some(kept) = self.schedule.answered(owner) else {
            return;
        };
        let position = match answer {
            Ok(Answer::Bridge(answer)) => {
                let position = answer.position;
                self.set_bridge(*answer);
                position
            }
            Ok(Answer::Node(answer)) => {
                let Whom::Node(label) = whom else {
                    return;
                };
                self.lock().set_tree(label, answer.tree, answer.readings);
                answer.position
            }
            Ok(_) => return,
            Err(error) => {
                // One that went is told by the bus; one that is slow is asked again.
                tracing::debug!(?whom, %error, "not told what it has");
                if matches!(error, zbus::Error::InputOutput(_)) {
                    return;
                }
                if is_gone(&error) {
                    // The node may have another connection now.
                    self.schedule.lost(owner);
                    if self.is_expected(whom) {
                        self.schedule.seek(now + FAILED_PAUSE, whom.clone());
                    }
                } else {
                    self.schedule.failed(now, whom);
                }
                return;
            }
        };
        if kept.len() >= KEPT_MAX {
            self.schedule.want(now, whom);
        }
        for message in kept.into_iter().filter(|it| it.recv_position() > position) {
            self.apply(whom, &message);
        }
    }

    fn set_bridge(&mut self, answer: BridgeAnswer) {
        let now = self.now();
        let mut model = self.lock();
        model.set_bridge(answer.properties);
        let gone: Vec<String> = {
            let there = |label: &String| label == OWN_LABEL || answer.peers.contains_key(label);
            let known = model.nodes().keys();
            known.filter(|label| !there(label)).cloned().collect()
        };
        for label in gone {
            model.lose_node(&label, now);
        }
        let bus_names: Vec<(String, String)> = answer
            .peers
            .iter()
            .map(|(label, it)| (label.clone(), text(it, "BusName")))
            .collect();
        for (label, properties) in answer.peers {
            model.set_peer(&label, properties);
        }
        let unwired: Vec<u32> = model
            .wires()
            .keys()
            .copied()
            .filter(|it| !answer.wires.contains_key(it))
            .collect();
        for number in unwired {
            model.lose_wire(number);
        }
        for (number, properties) in answer.wires {
            model.set_wire(number, properties);
        }
        let own = model.bridge().properties.clone();
        let own = own
            .into_iter()
            .chain([("BusName".to_owned(), Value::from(BRIDGE_NAME))]);
        model.set_peer(OWN_LABEL, own.collect());
        model.set_tree(OWN_LABEL, answer.tree, answer.readings);
        drop(model);
        for (label, bus_name) in bus_names {
            self.meet(&label, &bus_name);
        }
    }

    /// A node has this bus name, or none any more.
    pub(super) fn meet(&mut self, label: &str, bus_name: &str) {
        let whom = Whom::Node(label.to_owned());
        if bus_name.is_empty() {
            self.schedule.part(&whom);
        } else {
            self.schedule.meet(Instant::now(), whom);
        }
    }

    /// Whether somebody has a bus name, as far as the bridge told.
    fn is_expected(&self, whom: &Whom) -> bool {
        let Whom::Node(label) = whom else {
            return true;
        };
        let model = self.lock();
        let node = model.nodes().get(label);
        node.is_some_and(|node| node.left.is_none() && !node.bus_name.is_empty())
    }
}

/// Whether a connection that was asked is gone, or shows nothing any more.
fn is_gone(error: &zbus::Error) -> bool {
    let name = match error {
        zbus::Error::MethodError(name, ..) => name.as_str(),
        _ => return false,
    };
    GONE.contains(&name)
}

fn text(properties: &Map<String, Value>, key: &str) -> String {
    properties
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Errors of a connection that is gone, or shows nothing any more.
const GONE: [&str; 3] = [
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.UnknownObject",
];
