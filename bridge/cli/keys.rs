//! What the bridge knows of keys, and which one a text means.

use serde_json::{Value, json};
use zocp_interfaces::{BRIDGE_NAME, BRIDGE_PATH, PEER_INTERFACE, TrustProxy};
use zocp_node::PublicKey;

use crate::{
    client::{Client, UUID_PREFIX_MIN},
    exit::{Exit, Failure},
    near::suggestion,
    value::to_json,
    view::Properties,
};

/// Every key of which the bridge knows something.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) key: String,
    pub(crate) fingerprint: String,
    pub(crate) first_use: bool,
    pub(crate) all: Vec<KeyView>,
}

/// A key, and what is known of who has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct KeyView {
    pub(crate) key: String,
    pub(crate) fingerprint: String,
    pub(crate) state: State,
    /// By whose word it is trusted.
    pub(crate) source: String,
    /// What its node calls itself; empty where that is not known.
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) address: String,
    pub(crate) times: u64,
    pub(crate) silent: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    Trusted,
    Distrusted,
    Stranger,
    /// Nobody has heard of it but the user.
    #[default]
    Unheard,
}

impl Client {
    /// The keys of a secure mesh.
    pub(crate) async fn keys(&self) -> Result<Keys, Failure> {
        self.bridge().await?;
        let bridge = TrustProxy::new(&self.connection).await?;
        let key = bridge.key().await?;
        if key.is_empty() {
            let failure = Failure::new(Exit::Failure, "this mesh is not a secure one");
            return Err(failure.hint("see `zocp key --help` for how to make it one"));
        }
        let (trusted, strangers) = (bridge.trusted().await?, bridge.strangers().await?);
        let mut all: Vec<KeyView> = trusted
            .iter()
            .map(|told| KeyView::new(State::Trusted, told))
            .collect();
        all.extend(bridge.distrusted().await?.into_iter().map(|key| KeyView {
            state: State::Distrusted,
            ..KeyView::of(key)
        }));
        all.extend(
            strangers
                .iter()
                .map(|told| KeyView::new(State::Stranger, told))
                .filter(|stranger| all.iter().all(|it| it.key != stranger.key))
                .collect::<Vec<_>>(),
        );
        for interfaces in self.managed(BRIDGE_NAME, BRIDGE_PATH).await?.values() {
            let Some(peer) = interfaces.get(PEER_INTERFACE) else {
                continue;
            };
            let here = KeyView::new(State::Trusted, peer);
            if let Some(known) = all.iter_mut().find(|it| it.key == here.key) {
                known.name = here.name;
                known.uuid = here.uuid;
            }
        }
        Ok(Keys {
            key,
            fingerprint: bridge.fingerprint().await?,
            first_use: bridge.first_use().await?,
            all,
        })
    }
}

impl Client {
    /// Whether a node with this key is present.
    pub(crate) async fn is_here(&self, key: &str) -> Result<bool, Failure> {
        let objects = self.managed(BRIDGE_NAME, BRIDGE_PATH).await?;
        Ok(objects
            .values()
            .filter_map(|interfaces| interfaces.get(PEER_INTERFACE))
            .any(|peer| KeyView::new(State::Trusted, peer).key == key))
    }
}

impl Keys {
    /// The one key that a text means.
    pub(crate) fn find(&self, text: &str) -> Result<KeyView, Failure> {
        if text.parse::<PublicKey>().is_ok() {
            let known = self.all.iter().find(|it| it.key == text);
            return Ok(known
                .cloned()
                .unwrap_or_else(|| KeyView::of(text.to_owned())));
        }
        let wanted = digits(text);
        let whole = |it: &&KeyView| digits(&it.fingerprint) == wanted;
        if let Some(found) = self.all.iter().find(whole) {
            return Ok(found.clone());
        }
        let mut found = self.all.iter().filter(|it| it.is_meant_by(text, &wanted));
        match (found.next(), found.next()) {
            (Some(found), None) => Ok(found.clone()),
            (Some(_), Some(_)) => {
                let message = format!("several keys are there for \"{text}\"");
                Err(Failure::new(Exit::Usage, message).hint("say which by its fingerprint"))
            }
            _ => {
                let message = format!("no key, node or stranger is known as \"{text}\"");
                let failure = Failure::new(Exit::NoNode, message);
                let names = self.all.iter().flat_map(KeyView::names);
                Err(match suggestion(text, names) {
                    Some(suggestion) => failure.hint(suggestion),
                    None => failure.hint("see `zocp trust` for those that are known"),
                })
            }
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let of = |state| {
            let such = self.all.iter().filter(move |it| it.state == state);
            such.map(KeyView::to_json).collect::<Vec<_>>()
        };
        json!({
            "key": self.key,
            "fingerprint": self.fingerprint,
            "first_use": self.first_use,
            "trusted": of(State::Trusted),
            "distrusted": of(State::Distrusted),
            "strangers": of(State::Stranger),
        })
    }
}

impl KeyView {
    fn new(state: State, told: &Properties) -> Self {
        let shown = |name: &str| told.get(name).map(|value| to_json(value));
        let text = |name| match shown(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Self {
            key: text("Key"),
            fingerprint: text("Fingerprint"),
            state,
            source: text("Source"),
            name: text("Name"),
            uuid: text("Uuid"),
            address: text("Address"),
            times: shown("Times")
                .and_then(|it| it.as_u64())
                .unwrap_or_default(),
            silent: shown("Silent")
                .and_then(|it| it.as_f64())
                .unwrap_or_default(),
        }
    }

    fn of(key: String) -> Self {
        Self {
            fingerprint: fingerprint_of(&key),
            key,
            ..Self::default()
        }
    }

    fn is_meant_by(&self, text: &str, wanted: &str) -> bool {
        let begins =
            |whole: &str| wanted.len() >= UUID_PREFIX_MIN && digits(whole).starts_with(wanted);
        let host = self.address.rsplit_once(':').map(|(host, _)| host);
        let is_named = !text.is_empty() && (self.name == text || self.address == text);
        is_named || host == Some(text) || begins(&self.fingerprint) || begins(&self.uuid)
    }

    /// What people may have meant to write.
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = [&self.name, &self.fingerprint, &self.address];
        names
            .into_iter()
            .map(String::as_str)
            .filter(|it| !it.is_empty())
    }

    fn to_json(&self) -> Value {
        let mut value = json!({"key": self.key, "fingerprint": self.fingerprint});
        match self.state {
            State::Trusted => {
                value["source"] = json!(self.source);
                value["name"] = json!(self.name);
            }
            State::Stranger => {
                value["uuid"] = json!(self.uuid);
                value["address"] = json!(self.address);
                value["times"] = json!(self.times);
                value["silent"] = json!(self.silent);
            }
            State::Distrusted | State::Unheard => {}
        }
        value
    }
}

/// The beginning of a key, as people compare it; empty for what is none.
pub(crate) fn fingerprint_of(key: &str) -> String {
    let key = key.parse::<PublicKey>();
    key.map_or_else(|_| String::new(), |key| key.fingerprint())
}

/// Hexadecimal digits as they are compared.
fn digits(text: &str) -> String {
    text.replace('-', "").to_lowercase()
}

/// Every fingerprint that the bridge knows, with who has it.
pub(crate) async fn fingerprints(client: &Client) -> Result<Vec<(String, String)>, Failure> {
    let keys = client.keys().await?.all.into_iter();
    Ok(keys
        .map(|key| (key.fingerprint.clone(), described(&key)))
        .collect())
}

/// Who a key may be, in a few words.
pub(crate) fn described(key: &KeyView) -> String {
    let name = match key.name.as_str() {
        "" => String::from("a node"),
        name => format!("\"{name}\""),
    };
    match key.state {
        State::Trusted => format!("{name}, which is trusted already ({})", key.source),
        State::Distrusted => format!("{name}, which was distrusted"),
        State::Stranger => format!(
            "a stranger, heard {} times from {}, {:.0} s ago",
            key.times, key.address, key.silent
        ),
        State::Unheard => String::from("a key of which nothing was heard yet"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(number: u8, state: State, name: &str, address: &str) -> KeyView {
        let key = zocp_node::KeyPair::from_secret(&[number; 32]).public();
        KeyView {
            state,
            name: name.to_owned(),
            address: address.to_owned(),
            uuid: format!("{number:02x}").repeat(16),
            ..KeyView::of(key.to_string())
        }
    }

    fn keys() -> Keys {
        Keys {
            key: String::new(),
            fingerprint: String::new(),
            first_use: false,
            all: vec![
                view(1, State::Trusted, "stage", ""),
                view(2, State::Stranger, "", "10.0.0.7:5669"),
                view(3, State::Trusted, "stage", ""),
            ],
        }
    }

    #[test]
    fn a_key_is_found_by_all_that_is_known_of_it_and_by_no_more_than_one_has() {
        let keys = keys();
        let found = |text: &str| keys.find(text).map(|it| it.uuid[..2].to_owned()).ok();
        let second = &keys.all[1];
        for text in [
            second.key.as_str(),
            &second.fingerprint,
            &second.fingerprint.to_uppercase(),
            &second.fingerprint[..9],
            &second.uuid,
            "0202",
            "10.0.0.7",
            "10.0.0.7:5669",
        ] {
            assert_eq!(found(text).as_deref(), Some("02"), "{text}");
        }
        assert_eq!(found(""), None);
        assert_eq!(found("02"), None, "too short");
        assert_eq!(keys.find("stage").unwrap_err().exit, Exit::Usage, "two");
        let unknown = keys.find("stgae").unwrap_err();
        assert_eq!(unknown.exit, Exit::NoNode);
        assert!(unknown.to_string().contains("did you mean \"stage\"?"));
    }

    #[test]
    fn a_name_that_looks_like_a_fingerprint_is_not_taken_for_it() {
        let mut keys = keys();
        keys.all[0].name = keys.all[1].fingerprint.clone();
        let found = keys.find(&keys.all[1].fingerprint).unwrap();
        assert_eq!(found, keys.all[1]);
    }

    #[test]
    fn a_key_that_nobody_has_heard_of_may_be_written_in_full() {
        let own = view(9, State::Unheard, "", "");
        assert_eq!(keys().find(&own.key).unwrap().fingerprint, own.fingerprint);
    }
}
