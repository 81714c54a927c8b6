//! Programs on the buses, which do a few things and leave, or die.

use std::{collections::HashMap, rc::Rc};

use rand::Rng;
use zbus::{OwnedObjectPath, Variant};

use super::Actor;
use crate::{
    caller::{Caller, Pending},
    service::{BROKEN, INTERFACE, PATH},
    standing::{Stamp, Standing},
    world::{CALM, STEADY, Site, World, imported, node_name},
};

/// A program on the bus of a site.
struct Client {
    caller: Caller,
    site: usize,
    here: Rc<Site>,
}

impl Actor {
    /// A program, for a while.
    pub(super) async fn client(&mut self) {
        let site = self.any_site();
        let here = Rc::clone(&self.world.sites[site]);
        let caller = Caller::on(&here.bus, &self.world.ledger).await;
        let client = Client { caller, site, here };
        for _ in 0..self.rng.random_range(1..20) {
            let kind = self.rng.random_range(0..KINDS);
            self.deed(kind, &client).await;
            self.pause(40).await;
        }
        if self.rng.random_bool(0.6) {
            self.world.ledger.did("clients that left");
            client.caller.leave().await;
        } else {
            for _ in 0..self.rng.random_range(0..20) {
                self.begin_slow(&client).await;
            }
            self.world.ledger.did("clients that died");
            client.caller.die();
        }
        self.pause(100).await;
    }

    /// A program at each site does everything once: what bridges make when it is first needed is there after that.
    pub(super) async fn everything_once(&mut self) {
        for (site, here) in self.world.sites.clone().into_iter().enumerate() {
            let caller = Caller::on(&here.bus, &self.world.ledger).await;
            let client = Client { caller, site, here };
            for kind in 0..KINDS {
                self.deed(kind, &client).await;
            }
            client.caller.leave().await;
        }
    }

    async fn deed(&mut self, kind: u32, client: &Client) {
        match kind {
            0..3 => self.echo(client).await,
            3 => self.many_at_once(client).await,
            4 => self.node(client).await,
            5 => self.look_around(client).await,
            6 => self.publish(client).await,
            7 => self.hear(client).await,
            8 => self.export(client).await,
            9 => self.wire(client).await,
            10 => self.nonsense(client).await,
            11 => self.property(client).await,
            _ => self.begin_slow(client).await,
        }
    }

    /// A service of another site, as it is called here, and what it stands on.
    fn service_elsewhere(&mut self, client: &Client) -> Option<(String, Stamp)> {
        let (service, site, standing) = if self.rng.random_bool(0.5) {
            let guest = &self.guests[self.rng.random_range(0..self.guests.len())];
            let is_calm = CALM.contains(&guest.site) && CALM.contains(&client.site);
            let standing = Rc::clone(if is_calm {
                &guest.standing
            } else {
                &self.moving
            });
            (guest.name.clone(), guest.site, standing)
        } else {
            (STEADY.to_owned(), self.any_site(), Rc::default())
        };
        let there = &self.world.sites[site];
        let stamp = client.stamp([standing, Rc::clone(&there.standing)]);
        (site != client.site).then(|| (imported(&service, there), stamp))
    }

    async fn echo(&mut self, client: &Client) {
        let Some((service, stamp)) = self.service_elsewhere(client) else {
            return;
        };
        let sent: (u32, String) = (self.rng.random(), self.text());
        let place = (&*service, PATH, INTERFACE);
        let answer = client.caller.call(place, "Echo", &sent, &stamp).await;
        self.same(answer, &sent);
    }

    async fn many_at_once(&mut self, client: &Client) {
        let Some((service, stamp)) = self.service_elsewhere(client) else {
            return;
        };
        let place = (&*service, PATH, INTERFACE);
        let mut begun: Vec<((u32, String), Pending)> = Vec::new();
        for number in 0..self.rng.random_range(1..100) {
            let sent = (number, self.text());
            let pending = client.caller.begin(place, "Echo", &sent).await;
            begun.push((sent, pending));
        }
        for (sent, pending) in begun {
            let answer = client.caller.end(pending, &stamp, |_| false).await;
            self.same(answer, &sent);
        }
    }

    fn same(&self, answer: Option<zbus::Message>, sent: &(u32, String)) {
        let Some(answer) = answer else { return };
        let got = answer.body().deserialize::<(u32, String)>();
        if got.as_ref().ok() != Some(sent) {
            let text = format!("another answer than what was sent: {answer:?}");
            self.world.ledger.finding(text);
        }
    }

    /// A call that is answered after a while, which nobody waits for.
    async fn begin_slow(&mut self, client: &Client) {
        if let Some((service, _)) = self.service_elsewhere(client) {
            let milliseconds: u32 = self.rng.random_range(0..3000);
            let place = (&*service, PATH, INTERFACE);
            drop(client.caller.begin(place, "Slow", &milliseconds).await);
        }
    }

    /// A value and a method of a node that is always there.
    async fn node(&mut self, client: &Client) {
        let (rock, stamp) = (node_name("rock"), client.stamp([]));
        let properties = (&*rock, NODE_PATH, PROPERTIES);
        let caller = &client.caller;
        caller
            .call(properties, "Get", &(VALUES, "count"), &stamp)
            .await;
        let part: f64 = self.rng.random();
        let set = (VALUES, "scratch", Variant::new(part));
        caller.call(properties, "Set", &set, &stamp).await;
        let number: i64 = self.rng.random_range(-1000..1000);
        let methods = (&*rock, NODE_PATH, "org.z25.Zocp1.Methods");
        let answer = caller.call(methods, "double", &number, &stamp).await;
        let twice = answer.map(|answer| answer.body().deserialize::<i64>().ok());
        if twice.is_some_and(|twice| twice != Some(2 * number)) {
            self.world.ledger.finding("a method answered wrongly");
        }
    }

    async fn look_around(&mut self, client: &Client) {
        let stamp = client.stamp([]);
        let caller = &client.caller;
        let manager = (BRIDGE, BRIDGE_PATH, MANAGER);
        caller.call(manager, "GetManagedObjects", &(), &stamp).await;
        let introspectable = "org.freedesktop.DBus.Introspectable";
        for path in [
            "/",
            "/org/z25",
            BRIDGE_PATH,
            "/org/z25/Zocp1/nodes",
            "/org/z25/Zocp1/Local",
        ] {
            let place = (BRIDGE, path, introspectable);
            caller.call(place, "Introspect", &(), &stamp).await;
        }
        let place = (BRIDGE, BRIDGE_PATH, PROPERTIES);
        caller
            .call(place, "GetAll", &"org.z25.Zocp1.Bridge", &stamp)
            .await;
        if let Some((service, stamp)) = self.service_elsewhere(client) {
            let place = (&*service, PATH, introspectable);
            caller.call(place, "Introspect", &(), &stamp).await;
        }
    }

    /// A property of a service elsewhere.
    async fn property(&mut self, client: &Client) {
        let Some((service, stamp)) = self.service_elsewhere(client) else {
            return;
        };
        let place = (&*service, PATH, PROPERTIES);
        let level: f64 = self.rng.random();
        let set = (INTERFACE, "Level", Variant::new(level));
        let caller = &client.caller;
        caller.call(place, "Set", &set, &stamp).await;
        caller
            .call(place, "Get", &(INTERFACE, "Level"), &stamp)
            .await;
        caller.call(place, "GetAll", &INTERFACE, &stamp).await;
    }

    /// Values of its own, on the mesh.
    async fn publish(&mut self, client: &Client) {
        let stamp = client.stamp([]);
        let local = (BRIDGE, LOCAL_PATH, "org.z25.Zocp1.Local");
        let caller = &client.caller;
        let name = format!("soak {}", self.rng.random::<u32>());
        let options = HashMap::from([("Access", Variant::new("rwe"))]);
        let publication = (&*name, Variant::new(0.5), options);
        if caller
            .call(local, "Publish", &publication, &stamp)
            .await
            .is_none()
        {
            return;
        }
        let properties = (BRIDGE, LOCAL_PATH, PROPERTIES);
        let label = name.replace(' ', "_20");
        for _ in 0..self.rng.random_range(0..20) {
            let set = (VALUES, &*label, Variant::new(self.rng.random::<f64>()));
            caller.call(properties, "Set", &set, &stamp).await;
        }
        // Else it goes with its program.
        if self.rng.random_bool(0.5) {
            caller.call(local, "Unpublish", &name, &stamp).await;
        }
    }

    /// Rules for signals, which may stay until the program leaves.
    async fn hear(&mut self, client: &Client) {
        let stamp = client.stamp([]);
        let Some((service, _)) = self.service_elsewhere(client) else {
            return;
        };
        let rule = format!("type='signal',sender='{service}'");
        let place = (BUS, "/org/freedesktop/DBus", BUS);
        client.caller.call(place, "AddMatch", &rule, &stamp).await;
        self.pause(300).await;
        if self.rng.random_bool(0.5) {
            client
                .caller
                .call(place, "RemoveMatch", &rule, &stamp)
                .await;
        }
    }

    /// A service of its own, exported by itself.
    async fn export(&mut self, client: &Client) {
        let stamp = client.stamp([]);
        let name = format!("net.example.Own{}", self.number);
        let caller = &client.caller;
        if caller.connection().request_name(&*name).await.is_err() {
            // It still has it, from a deed before.
            return;
        }
        let exporter = (BRIDGE, BRIDGE_PATH, "org.z25.Zocp1.Exporter");
        let rules = HashMap::from([("talk", Variant::new(true))]);
        caller
            .call(exporter, "Export", &(&*name, rules), &stamp)
            .await;
        let elsewhere = if client.site == 0 {
            self.world.foh()
        } else {
            self.world.stage()
        };
        if self.rng.random_bool(0.5) {
            let name = imported(&name, &client.here);
            self.world.shows_while(elsewhere, &name, &stamp).await;
        }
        self.world.ledger.did("exports");
        if self.rng.random_bool(0.5) {
            caller.call(exporter, "Unexport", &name, &stamp).await;
            let _ = caller.connection().release_name(&*name).await;
        }
    }

    /// A wire, which may be left for others to take away.
    async fn wire(&mut self, client: &Client) {
        let stamp = client.stamp([]);
        let bridge = (BRIDGE, BRIDGE_PATH, "org.z25.Zocp1.Bridge");
        let mut options = HashMap::new();
        if self.rng.random_bool(0.5) {
            options.insert("Expression", Variant::new("value + 1"));
        }
        let body = ("rock:tick", "pond:ear", options);
        let pending = client.caller.begin(bridge, "WireWith", &body).await;
        // Others may have made the same.
        let Some(answer) = client.caller.end(pending, &stamp, is_of_wires).await else {
            return;
        };
        let Ok(path) = answer.body().deserialize::<OwnedObjectPath>() else {
            self.world.ledger.finding(format!("no wire: {answer:?}"));
            return;
        };
        self.world.ledger.did("wires");
        if self.rng.random_bool(0.5) {
            self.pause(1000).await;
            remove_wire(&client.caller, path.as_str(), &stamp).await;
        } else {
            let mut wires = self.world.wires.borrow_mut();
            wires.push((client.site, path.to_string()));
        }
    }

    /// What can only be refused, and is refused at once.
    async fn nonsense(&mut self, client: &Client) {
        let rock = node_name("rock");
        let stamp = client.stamp([]);
        let places = [
            ((BRIDGE, BRIDGE_PATH, "org.example.No1"), "No"),
            (
                (BRIDGE, "/no/such/object", "org.z25.Zocp1.Bridge"),
                "FindNode",
            ),
            ((&*rock, NODE_PATH, VALUES), "No"),
            (("org.z25.Zocp1.Node.nobody", "/", VALUES), "No"),
            (("org.example.Steady.nowhere", PATH, INTERFACE), "Echo"),
        ];
        for (place, method) in places {
            let pending = client.caller.begin(place, method, &7u32).await;
            let answer = client.caller.end(pending, &stamp, is_of_nonsense).await;
            if let Some(answer) = answer {
                self.world
                    .ledger
                    .finding(format!("{method} worked: {answer:?}"));
            }
        }
        if let Some((service, stamp)) = self.service_elsewhere(client) {
            let pending = client
                .caller
                .begin((&*service, PATH, INTERFACE), "Fail", &())
                .await;
            client
                .caller
                .end(pending, &stamp, |name| name == BROKEN)
                .await;
        }
    }
}

impl Client {
    fn stamp(&self, things: impl IntoIterator<Item = Rc<Standing>>) -> Stamp {
        let here = [Rc::clone(&self.here.standing)];
        Stamp::of(here.into_iter().chain(things))
    }
}

/// Takes away the wires that were left.
pub(super) async fn remove_wires(world: &World) {
    let wires = world.wires.take();
    for (site, path) in wires {
        let site = &world.sites[site];
        let caller = Caller::on(&site.bus, &world.ledger).await;
        let stamp = Stamp::of([Rc::clone(&site.standing)]);
        remove_wire(&caller, &path, &stamp).await;
        caller.leave().await;
    }
    // A wire between nodes goes on without the bridge that made it, and so after its end.
    let caller = Caller::on(&world.stage().bus, &world.ledger).await;
    let bridge = (BRIDGE, BRIDGE_PATH, "org.z25.Zocp1.Bridge");
    let ends = ("rock", "tick", "pond", "ear");
    let pending = caller.begin(bridge, "Unwire", &ends).await;
    caller.end(pending, &Stamp::of([]), |_| true).await;
    caller.leave().await;
}

/// Takes a wire away that another may have taken away.
async fn remove_wire(caller: &Caller, path: &str, stamp: &Stamp) {
    let place = (BRIDGE, path, "org.z25.Zocp1.Wire");
    let pending = caller.begin(place, "Remove", &()).await;
    caller.end(pending, stamp, is_of_wires).await;
}

/// Another may have taken the wire away, also while it was made, and its object be that of a wire of another bridge by
/// now; of a node that came back just now a bridge does not know what it has.
fn is_of_wires(name: &str) -> bool {
    let ends = [
        "UnknownObject",
        "UnknownInterface",
        "FileExists",
        "NodeGone",
        "NotSupported",
        "Error.Busy",
        "Error.Failed",
    ];
    ends.iter().any(|end| name.ends_with(end))
}

fn is_of_nonsense(name: &str) -> bool {
    let ends = [
        "UnknownObject",
        "UnknownInterface",
        "UnknownMethod",
        "ServiceUnknown",
        "NameHasNoOwner",
    ];
    ends.iter().any(|end| name.ends_with(end))
}

/// Of deeds.
const KINDS: u32 = 13;
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
const BRIDGE: &str = "org.z25.Zocp1";
const BRIDGE_PATH: &str = "/org/z25/Zocp1";
const LOCAL_PATH: &str = "/org/z25/Zocp1/Local";
const NODE_PATH: &str = "/org/z25/Zocp1/Node";
const VALUES: &str = "org.z25.Zocp1.Values";
