//! The publisher's table of what is offered, and who follows its signals.
//!
//! Spec: docs/reference/protocol.md §7.2

use std::{collections::BTreeSet, sync::Arc};

use zocp_node::{NodeError, ObjectPath, Value};

use super::{emissions::Audience, place::service_object, publisher::Publisher, service::Service};
use crate::schema::{ACTIVATABLE, ORIGIN, REVISION, RUNNING, SERVICE_TYPE, SERVICES};
use crate::{export::state::Announced, lock::lock};

impl Publisher {
    /// Makes the tree match what is offered.
    pub(super) async fn follow_offers(&mut self) -> Result<(), NodeError> {
        let wanted = lock(&self.shared.wanted).clone();
        let names: BTreeSet<Arc<str>> = self
            .announced_now
            .keys()
            .chain(wanted.keys())
            .cloned()
            .collect();
        for name in names {
            match (self.announced_now.get(&name), wanted.get(&name)) {
                (Some(old), Some(new)) if old == new => {}
                (_, Some(new)) => self.offered(&name, new).await?,
                (_, None) => self.withdrawn(&name).await?,
            }
        }
        self.announced_now = wanted;
        Ok(())
    }

    async fn offered(&mut self, name: &Arc<str>, announced: &Announced) -> Result<(), NodeError> {
        let owner = announced
            .owner
            .clone()
            .filter(|_| announced.grant.may_see());
        let (revision, grant) = (announced.revision, announced.grant.clone());
        let before = self.services.get(name).map(|it| it.owner.clone());
        match owner {
            Some(owner) if self.services.contains_key(name) => {
                self.with(name, |service| service.renew(owner, revision, grant))
                    .await?;
            }
            Some(owner) => {
                let service = Service::new(name.clone(), owner, revision, grant);
                self.services.insert(name.clone(), service);
            }
            None => {
                self.with(name, Service::clear).await?;
                self.services.remove(name);
            }
        }
        // First the new, then not the old: of a service that is offered anew nothing is lost in between.
        self.follow(name);
        self.ignore(name, before);
        let outcome = self.describe(name, announced).await;
        self.check(name, outcome)?;
        self.begin(name).await
    }

    async fn withdrawn(&mut self, name: &Arc<str>) -> Result<(), NodeError> {
        lock(&self.shared.methods).remove(name);
        let before = self.services.remove(name).map(|it| it.owner);
        self.ignore(name, before);
        let object = service_object(name);
        self.values
            .retain(|path, _| !path.object.starts_with(&object));
        let outcome = self.node.remove_object(object).await;
        self.check(name, outcome)
    }

    async fn describe(&self, service: &str, announced: &Announced) -> Result<(), NodeError> {
        // protocol.md §7.2
        let services = ObjectPath::root().child(SERVICES);
        let kind = |kind: &str| ("type".to_owned(), Value::from(kind));
        self.node.describe(services, vec![kind(SERVICES)]).await?;
        let mut entries = vec![
            (ORIGIN.to_owned(), Value::from(self.node.id().to_string())),
            (REVISION.to_owned(), Value::from(announced.revision)),
            (RUNNING.to_owned(), Value::from(announced.owner.is_some())),
            kind(SERVICE_TYPE),
        ];
        let before = self.announced_now.get(service);
        let was_activatable = before.is_some_and(|before| before.is_activatable);
        if announced.is_activatable || was_activatable {
            let is_activatable = Value::from(announced.is_activatable);
            entries.push((ACTIVATABLE.to_owned(), is_activatable));
        }
        self.node.describe(service_object(service), entries).await
    }

    /// Has the bus send the signals of a service.
    fn follow(&self, name: &Arc<str>) {
        let Some(service) = self.services.get(name) else {
            return;
        };
        *lock(&self.shared.followed)
            .entry(service.owner.clone())
            .or_default() += 1;
        for rule in rules(name) {
            self.watch.add_rule(&rule);
        }
    }

    /// The opposite, once; `owner` is who had the name then.
    fn ignore(&self, name: &Arc<str>, owner: Option<Arc<str>>) {
        let Some(owner) = owner else {
            return;
        };
        let mut followed = lock(&self.shared.followed);
        if let Some(count) = followed.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                followed.remove(&owner);
            }
        }
        drop(followed);
        for rule in rules(name) {
            self.watch.remove_rule(&rule);
        }
    }

    /// Whether a node is there that would receive emissions.
    pub(super) fn audience(&self) -> Audience {
        if lock(&self.shared.plain).is_empty() {
            Audience::Nobody
        } else {
            Audience::Somebody
        }
    }
}

/// The match rules for a service. Its signals too when no node receives them yet: a node that comes
/// sees the emitters at once, and what they emit from then on is not lost while the bus is asked.
fn rules(service: &str) -> [String; 3] {
    let of = |interface: &str| format!("type='signal',sender='{service}',interface='{interface}'");
    [
        of("org.freedesktop.DBus.Properties"),
        of("org.freedesktop.DBus.ObjectManager"),
        // The same rule may be there for those who subscribed; a bus counts how often it was added. A namespace of
        // the path `/` would match that path alone on dbus-broker.
        format!("type='signal',sender='{service}'"),
    ]
}
