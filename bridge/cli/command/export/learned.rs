//! What was asked of a service, as rules for the configuration.
//!
//! Model: a rule for each service and set of peers that asked the same of it, with exactly what was
//! asked; properties, which rules cannot tell apart, are named in comments.
//! Invariants: LEARNED-1. what is printed is a configuration as it is, whatever peers are called and ask for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    io,
};

use serde_json::{Value, json};
use zbus::{OwnedVariant, Variant};

use crate::output::{Output, printable};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Learned {
    exports: Vec<Export>,
    is_complete: bool,
}

/// One `[[export]]`.
#[derive(Debug, PartialEq, Eq)]
struct Export {
    service: String,
    peers: BTreeSet<String>,
    asked: Asked,
}

/// What was asked, with the properties that a member was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    call: BTreeMap<String, BTreeSet<String>>,
    broadcast: BTreeMap<String, BTreeSet<String>>,
    call_back: BTreeMap<String, BTreeSet<String>>,
}

impl Learned {
    /// From what the bridge answers.
    pub(super) fn new(notes: Vec<HashMap<String, OwnedVariant>>, is_complete: bool) -> Self {
        let mut asked: BTreeMap<(String, String), Asked> = BTreeMap::new();
        for note in &notes {
            let text = |key: &str| match note.get(key).map(|value| &**value) {
                Some(Variant::Str(text)) => text.to_string(),
                _ => String::new(),
            };
            let its = asked.entry((text("service"), text("peer"))).or_default();
            let members = match &*text("word") {
                "call" => &mut its.call,
                "broadcast" => &mut its.broadcast,
                "call_back" => &mut its.call_back,
                // Whoever may do anything may see.
                _ => continue,
            };
            let properties = members.entry(text("rule")).or_default();
            properties.extend(Some(text("property")).filter(|text| !text.is_empty()));
        }
        let mut exports: Vec<Export> = Vec::new();
        for ((service, peer), asked) in asked {
            let same = |export: &&mut Export| export.service == service && export.asked == asked;
            if let Some(export) = exports.iter_mut().find(same) {
                export.peers.insert(peer);
            } else {
                let peers = BTreeSet::from([peer]);
                exports.push(Export {
                    service,
                    peers,
                    asked,
                });
            }
        }
        Self {
            exports,
            is_complete,
        }
    }

    pub(super) fn print(&self, output: &Output) -> io::Result<()> {
        if !self.is_complete {
            eprintln!("zocp: more was asked than is recorded: these rules do not allow all of it");
        }
        if output.json {
            return output.value(&self.json());
        }
        if self.exports.is_empty() {
            eprintln!("zocp: nothing was asked");
        }
        output.text(&self.toml())
    }

    fn toml(&self) -> String {
        let tables: Vec<String> = self.exports.iter().map(Export::toml).collect();
        tables.join("\n")
    }

    fn json(&self) -> Value {
        let exports = self.exports.iter().map(Export::json);
        json!({"export": exports.collect::<Vec<_>>(), "complete": self.is_complete})
    }
}

impl Export {
    fn toml(&self) -> String {
        let mut text = format!("[[export]]\nservice = {}\n", quoted(&self.service));
        let peers: Vec<String> = self.peers.iter().map(|peer| quoted(peer)).collect();
        let lists = self.lists();
        if self.asks_nothing() {
            text += "see = true\n";
        }
        for (word, members) in lists.iter().filter(|(_, members)| !members.is_empty()) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{word} = [");
            for (rule, properties) in *members {
                let _ = write!(text, "    {},", quoted(rule));
                if !properties.is_empty() {
                    let names: Vec<&str> = properties.iter().map(String::as_str).collect();
                    let _ = write!(text, "  # {}", printable(&names.join(", ")));
                }
                text.push('\n');
            }
            text += "]\n";
        }
        let _ = writeln!(text, "peers = [{}]", peers.join(", "));
        text
    }

    fn json(&self) -> Value {
        let mut export = json!({"service": self.service, "peers": self.peers});
        for (word, members) in self.lists() {
            if !members.is_empty() {
                export[word] = members.keys().cloned().collect();
            }
        }
        if self.asks_nothing() {
            export["see"] = true.into();
        }
        export
    }

    fn asks_nothing(&self) -> bool {
        self.asked.call.is_empty() && self.asked.broadcast.is_empty()
    }

    fn lists(&self) -> [(&'static str, &BTreeMap<String, BTreeSet<String>>); 3] {
        [
            ("call", &self.asked.call),
            ("broadcast", &self.asked.broadcast),
            ("call_back", &self.asked.call_back),
        ]
    }
}

/// Text as a string of TOML: that of JSON, which also has to escape DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use zocp_daemon::config::Config;

    use super::*;

    fn note(
        peer: &str,
        word: &'static str,
        rule: &'static str,
        property: &'static str,
    ) -> HashMap<String, OwnedVariant> {
        let entry = |key: &str, value: &str| {
            let value = Variant::new(value.to_owned());
            (key.to_owned(), OwnedVariant::try_from(value).unwrap())
        };
        HashMap::from([
            entry("service", "org.a.Lamp"),
            entry("peer", peer),
            entry("word", word),
            entry("rule", rule),
            entry("property", property),
        ])
    }

    #[test]
    fn what_was_asked_is_a_configuration_that_can_be_pasted() {
        let odd = "a \"desk\"\n\u{7f}";
        let notes = vec![
            note("foh", "see", "", ""),
            note("foh", "call", "org.a.Lamp.Blink@/lamp", ""),
            note(
                "foh",
                "call",
                "org.freedesktop.DBus.Properties.Get@/lamp",
                "org.a.Lamp.Level",
            ),
            note("foh", "broadcast", "org.a.Lamp.Done@/lamp", ""),
            note(odd, "see", "", ""),
        ];
        let text = Learned::new(notes, true).toml();
        assert!(
            text.contains(
                "    \"org.freedesktop.DBus.Properties.Get@/lamp\",  # org.a.Lamp.Level\n"
            ),
            "{text}"
        );
        let config = Config::parse(&text).unwrap();
        let [desk, foh] = &config.export[..] else {
            panic!("{text}")
        };
        assert!(desk.see && desk.peers == [odd]);
        assert_eq!(foh.call[0], "org.a.Lamp.Blink@/lamp");
        assert_eq!((foh.call.len(), foh.broadcast.len()), (2, 1));
        assert!(!foh.see && foh.peers == ["foh"]);
    }

    #[test]
    fn peers_that_asked_the_same_share_a_rule() {
        let notes = ["b", "a"].map(|peer| note(peer, "call", "org.a.Lamp.Blink@/lamp", ""));
        let learned = Learned::new(notes.into(), false);
        let export = json!({
            "service": "org.a.Lamp",
            "peers": ["a", "b"],
            "call": ["org.a.Lamp.Blink@/lamp"],
        });
        let expected = json!({"export": [export], "complete": false});
        assert_eq!(learned.json(), expected);
    }
}
