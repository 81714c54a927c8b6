//! What nodes set in the tree, and what the service makes of it.
//!
//! Model: the tree has the value already. The service is asked to take it, and, when nothing more is under way, which value
//! it has now: the tree then shows that one, whether the service took the value, changed it, or refused it.
//! Invariants: SETTING-1. Values of one property reach the service in order. SETTING-2. While any is under way, values that
//! the service emits of the property are kept but not shown: they may be older. SETTING-3. No value that the service refused
//! stays in the tree.
//! Limits: [`SETTINGS_MAX`] values of a property are under way; of further ones the newest waits.
//! Spec: docs/reference/protocol.md §7.10

use std::sync::Arc;

use zbus::{Message, OwnedVariant, message::Type};
use zocp_node::Value;

use super::{
    limits::SETTINGS_MAX,
    place::{Place, Question, set_call},
    service::{Service, Step},
    values,
};

impl Service {
    /// A node set a value, which the tree has.
    pub(super) fn set(&mut self, place: &Place, name: &Arc<str>, value: Value) {
        let key = (place.clone(), name.clone());
        let settings = self.settings.entry(key).or_default();
        if settings.count >= SETTINGS_MAX {
            settings.waiting = Some(value);
            return;
        }
        let shape = self.shapes.get(place);
        let property = shape.and_then(|shape| shape.properties.get(name));
        let given = property
            .filter(|property| property.is_writable)
            .and_then(|property| values::variant(&property.signature, &value));
        let call = given.and_then(|given| set_call(&self.owner, place, name, &given));
        match call {
            Some(call) => {
                settings.count += 1;
                self.step(Step::Ask(Question::Set(place.clone(), name.clone()), call));
            }
            None => {
                self.refused(place, name, "not a value of its type");
                self.settle(place, name);
            }
        }
    }

    /// The service took a value, or refused.
    pub(super) fn set_answered(
        &mut self,
        place: &Place,
        name: &Arc<str>,
        answer: Option<&Message>,
    ) {
        match answer {
            Some(answer) if answer.message_type() == Type::MethodReturn => {}
            Some(answer) => self.refused(place, name, &answer.to_string()),
            None => self.refused(place, name, "no answer"),
        }
        let key = (place.clone(), name.clone());
        let Some(settings) = self.settings.get_mut(&key) else {
            return;
        };
        settings.count = settings.count.saturating_sub(1);
        match settings.waiting.take() {
            Some(value) => self.set(place, name, value),
            None => self.settle(place, name),
        }
    }

    /// The service replies with the value that it has.
    pub(super) fn value_answered(
        &mut self,
        place: &Place,
        name: &Arc<str>,
        answer: Option<&Message>,
    ) {
        let key = (place.clone(), name.clone());
        let is_last = self.settings.get_mut(&key).is_some_and(|settings| {
            settings.questions = settings.questions.saturating_sub(1);
            settings.questions == 0 && settings.count == 0
        });
        let value = answer.filter(|answer| answer.message_type() == Type::MethodReturn);
        let value: Option<OwnedVariant> = value.and_then(|it| it.body().deserialize().ok());
        if !is_last {
            return;
        }
        self.settings.remove(&key);
        match value {
            Some(value) => self.valued(place, name, Some(&value)),
            // The last one that it emitted.
            None => self.show_value(place, name),
        }
    }

    /// Asks what the service has, when nothing is under way any more.
    fn settle(&mut self, place: &Place, name: &Arc<str>) {
        let key = (place.clone(), name.clone());
        let Some(settings) = self.settings.get_mut(&key).filter(|it| it.count == 0) else {
            return;
        };
        settings.questions += 1;
        let question = Question::Value(place.clone(), name.clone());
        match question.call(&self.owner) {
            Some(call) => self.step(Step::Ask(question, call)),
            None => self.value_answered(place, name, None),
        }
    }

    /// In the log once for each property, so that it stays readable.
    fn refused(&mut self, place: &Place, name: &str, reason: &str) {
        let (service, interface) = (&*self.name, &*place.interface);
        let shape = self.shapes.get_mut(place);
        let property = shape.and_then(|shape| shape.properties.get_mut(name));
        if property.is_some_and(|it| !std::mem::replace(&mut it.is_logged, true)) {
            tracing::warn!(
                service,
                interface,
                name,
                reason,
                "a value that a node set is refused"
            );
        } else {
            tracing::debug!(
                service,
                interface,
                name,
                reason,
                "a value that a node set is refused"
            );
        }
    }
}
