//! What a service emits: other values, signals, objects that come and go.
//!
//! Spec: docs/reference/protocol.md §7.10

use std::sync::Arc;

use zbus::{Message, OwnedVariant};

use super::{
    crawl::Values,
    place::{PROPERTIES, Place},
    service::{Service, Step},
    values,
};

/// Whether a node receives emissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Somebody,
    Nobody,
}

/// Whether a signal is about properties or objects, which the tree follows also when no node receives emissions.
pub(super) fn is_state(signal: &Message) -> bool {
    let header = signal.header();
    let interface = header.interface().map(|name| name.as_str());
    interface.is_some_and(|name| name == PROPERTIES || name == MANAGER)
}

impl Service {
    /// A signal of the service.
    pub(super) fn handle_signal(&mut self, signal: &Message, audience: Audience) {
        let header = signal.header();
        let (Some(path), Some(interface), Some(member)) =
            (header.path(), header.interface(), header.member())
        else {
            return;
        };
        match (interface.as_str(), member.as_str()) {
            (PROPERTIES, "PropertiesChanged") => self.changed(path.as_str(), signal),
            (MANAGER, _) => self.is_old(),
            (interface, member) if audience == Audience::Somebody => {
                self.signalled(&Place::new(path.as_str(), interface), member, signal);
            }
            _ => {}
        }
    }

    /// Some signals were missed: values are asked for again.
    pub(super) fn missed(&mut self) {
        let followed = self.shapes.iter().filter(|(_, shape)| shape.may_follow);
        let places: Vec<Place> = followed.map(|(place, _)| place.clone()).collect();
        for place in places {
            self.reread(&place);
        }
    }

    fn changed(&mut self, path: &str, signal: &Message) {
        let body = signal.body();
        let Ok((interface, changed, invalidated)) =
            body.deserialize::<(String, Values, Vec<String>)>()
        else {
            return;
        };
        let place = Place::new(path, &interface);
        if self.shapes.get(&place).is_some_and(|it| it.may_follow) {
            for (name, value) in &changed {
                self.valued(&place, name, Some(value));
            }
            if !invalidated.is_empty() {
                self.reread(&place);
            }
        }
        if let Some(crawl) = self.crawl() {
            crawl.changed(&place, changed, &invalidated);
        }
    }

    fn signalled(&mut self, place: &Place, member: &str, signal: &Message) {
        let shape = self.shapes.get(place);
        let Some((name, emitter)) = shape.and_then(|it| it.signals.get_key_value(member)) else {
            return;
        };
        match values::signal_value(&emitter.arguments, &signal.body()) {
            Some(value) => {
                let path = place.object(&self.name).capability(name);
                self.step(Step::Emit(path, value));
            }
            None => tracing::debug!(service = &*self.name, member, "a signal cannot be told"),
        }
    }

    /// All values of an interface, asked for again.
    pub(super) fn values_answered(&mut self, place: &Place, answer: Option<&Message>) {
        let values: Option<Values> = answer.and_then(|answer| answer.body().deserialize().ok());
        for (name, value) in values.unwrap_or_default() {
            self.valued(place, &name, Some(&value));
        }
    }

    /// The service emitted the value of a property, or one that the tree cannot have.
    pub(super) fn valued(&mut self, place: &Place, name: &str, value: Option<&OwnedVariant>) {
        let shape = self.shapes.get_mut(place);
        let Some(property) = shape.and_then(|it| it.properties.get_mut(name)) else {
            return;
        };
        property.value = value.and_then(|value| values::value(value));
        let key = (place.clone(), Arc::from(name));
        // SERVICE-1: it is asked for its value when it has taken the one that it is asked to take.
        if !self.settings.contains_key(&key) {
            self.show_value(place, name);
        }
    }

    /// Makes the tree show the newest value.
    pub(super) fn show_value(&mut self, place: &Place, name: &str) {
        let path = place.object(&self.name).capability(name);
        let shape = self.shapes.get_mut(place);
        let Some(property) = shape.and_then(|it| it.properties.get_mut(name)) else {
            return;
        };
        let step = match (property.is_shown, property.capability()) {
            (true, Some(_)) => property.value.clone().map(|value| Step::Value(path, value)),
            (false, Some(capability)) => Some(Step::Publish(path, capability)),
            (true, None) => Some(Step::Unpublish(path)),
            (false, None) => None,
        };
        property.is_shown = property.value.is_some();
        if let Some(step) = step {
            self.step(step);
        }
    }
}

/// The interface with the signals of objects that come and go.
const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
