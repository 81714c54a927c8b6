//! `zocp scene hold`: the wires of a scene are there for as long as this runs.
//!
//! Model: whenever a wire or a peer changes in what matters here, the wires that are there are compared with the scene.
//! What is missing is made, as soon as its nodes are here; with `--exclusive` what is not in the scene is removed,
//! whoever made it. A scene may name a node by its UUID or its label where the bridge shows its name: so a wire that
//! was made here
//! is known by its object path, and another one by its ends as they are written. When the bridge ends, this waits for
//! the next one and holds the scene there.
//! Limits: compared once for changes that come together, and every [`AGAIN`] while something is missing; each wire is
//! made at most every [`AGAIN`]. A problem is printed once, and again when it changes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, sleep};
use zbus::{Message, OwnedObjectPath, OwnedVariant};
use zocp_interfaces::{PEER_INTERFACE, WIRE_INTERFACE, WireProxy};

use super::load::{problem, rewire};
use crate::{
    client::Client,
    command::bridge::end_signals,
    exit::{Exit, Failure},
    listener::{Listener, bridge_rule, new_bridge, objects_rule, peers_rule, wires_rule},
    output::{Output, printable},
    scene::{Scene, SceneWire},
    wiring::WireView,
};

pub(super) async fn hold(
    output: &Output,
    client: &Client,
    scene: &Scene,
    is_exclusive: bool,
) -> Result<(), Failure> {
    let rules = [peers_rule(), wires_rule(), objects_rule()];
    let mut listener = Listener::new(client, &rules).await?;
    let mut bridges = Listener::new(client, &[bridge_rule()]).await?;
    let mut holder = Holder {
        output,
        client,
        reported: BTreeMap::new(),
        made: BTreeMap::new(),
    };
    let mut ended = pin!(end_signals(&[])?);
    let mut is_bridge_here = true;
    loop {
        tokio::select! {
            // The bridge ends what is under way; the next round would compare anew.
            () = &mut ended => return Ok(()),
            signal = bridges.next() => {
                let Some(owner) = new_bridge(&signal?)? else { continue };
                if is_bridge_here {
                    eprintln!("zocp: the bridge has ended: the scene is held again when there is one");
                }
                is_bridge_here = !owner.is_empty();
                if is_bridge_here {
                    eprintln!("zocp: the scene is held again");
                }
                holder.forget();
            }
            failure = holder.follow(scene, is_exclusive, &mut listener), if is_bridge_here => {
                return Err(failure);
            }
        }
    }
}

/// Whether a signal may change what is compared. The counters of a wire change all the time.
fn matters(signal: &Message) -> bool {
    let header = signal.header();
    if header
        .member()
        .is_none_or(|member| member != "PropertiesChanged")
    {
        return true;
    }
    let body = signal.body();
    let changed: Result<(&str, HashMap<&str, OwnedVariant>, Vec<&str>), _> = body.deserialize();
    let Ok((interface, changed, _)) = changed else {
        return true;
    };
    let compared: &[&str] = match interface {
        WIRE_INTERFACE => &["State", "From", "To", "Conversion"],
        PEER_INTERFACE => &["BusName"],
        _ => &[],
    };
    compared
        .iter()
        .any(|property| changed.contains_key(property))
}

struct Holder<'a> {
    output: &'a Output,
    client: &'a Client,
    /// The last reported problem of each wire.
    reported: BTreeMap<String, String>,
    /// When each wire of the scene was made last, and as which object.
    made: BTreeMap<String, (Instant, Option<OwnedObjectPath>)>,
}

impl Holder<'_> {
    /// Compares at once and after each change, until that fails. A bridge that is gone is no failure: the bus tells
    /// of it, and of the next one.
    async fn follow(
        &mut self,
        scene: &Scene,
        is_exclusive: bool,
        listener: &mut Listener,
    ) -> Failure {
        loop {
            let is_whole = match self.compare(scene, is_exclusive).await {
                Ok(is_whole) => is_whole,
                Err(failure) if matches!(failure.exit, Exit::NoBridge | Exit::Unavailable) => false,
                Err(failure) => return failure,
            };
            // A present node may not have sent its tree yet, and nothing announces when it does.
            tokio::select! {
                changed = listener.change(matters) => match changed {
                    Ok(()) => {}
                    Err(failure) => return failure,
                },
                () = sleep(AGAIN), if !is_whole => {}
            }
        }
    }

    /// Another bridge has none of the wires, and gives their paths to others.
    fn forget(&mut self) {
        self.made.clear();
        self.reported.clear();
    }

    /// Makes what is missing and removes what is too much; whether nothing is left to do.
    async fn compare(&mut self, scene: &Scene, is_exclusive: bool) -> Result<bool, Failure> {
        let present = self.client.wires().await?;
        let mut is_whole = true;
        let mut meant = HashSet::new();
        for wire in &scene.wires {
            let found = present.iter().find(|shown| self.is(wire, shown));
            if let Some(found) = found {
                meant.insert(&found.path);
            }
            if found.is_none_or(|found| found.conversion != wire.conversion) {
                is_whole &= self.make(wire).await?;
            }
        }
        let made = self.made.values().filter_map(|(_, path)| path.clone());
        let made: HashSet<OwnedObjectPath> = made.collect();
        let others = present
            .iter()
            .filter(|shown| !meant.contains(&shown.path) && !made.contains(&shown.path));
        let others: Vec<&WireView> = others.collect();
        if is_exclusive {
            for shown in &others {
                is_whole &= self.remove(shown).await?;
            }
        }
        let known = scene.wires.iter().map(name);
        let known: HashSet<String> = known
            .chain(others.iter().map(|it| name(&SceneWire::from(*it))))
            .collect();
        self.reported.retain(|wire, _| known.contains(wire));
        Ok(is_whole)
    }

    /// Whether the bridge shows this wire of the scene as that one.
    fn is(&self, wire: &SceneWire, shown: &WireView) -> bool {
        let made = self.made.get(&name(wire));
        made.is_some_and(|(_, path)| path.as_ref() == Some(&shown.path))
            || (&shown.from, &shown.to) == (&wire.from, &wire.to)
    }

    /// Makes a wire of the scene; whether the bridge has it now.
    async fn make(&mut self, wire: &SceneWire) -> Result<bool, Failure> {
        let name = name(wire);
        let made = self.made.get(&name);
        if made.is_some_and(|(made, _)| made.elapsed() < AGAIN) {
            return Ok(false);
        }
        let (path, problem) = match rewire(self.client, wire).await {
            Ok(made) => (Some(made.path.clone()), problem(&made)),
            Err(failure) => (None, Some(failure.message().to_owned())),
        };
        let has_it = path.is_some();
        self.made.insert(name.clone(), (Instant::now(), path));
        self.report(name, "wired", problem)?;
        Ok(has_it)
    }

    /// Removes a wire; whether it is gone.
    async fn remove(&mut self, shown: &WireView) -> Result<bool, Failure> {
        let proxy = WireProxy::builder(&self.client.connection);
        let proxy = proxy.path(shown.path.clone()).build().await?;
        let problem = match proxy.remove().await {
            Ok(()) => None,
            // Somebody else removed it first.
            Err(zbus::Error::MethodError(name, ..)) if name == UNKNOWN_OBJECT => None,
            Err(error) => Some(Failure::from(error).message().to_owned()),
        };
        let is_gone = problem.is_none();
        self.report(name(&SceneWire::from(shown)), "removed", problem)?;
        Ok(is_gone)
    }

    fn report(&mut self, wire: String, done: &str, problem: Option<String>) -> Result<(), Failure> {
        match problem {
            None => {
                self.reported.remove(&wire);
                Ok(self.output.line(&printable(&format!("{wire}: {done}")))?)
            }
            Some(problem) => {
                if self.reported.get(&wire) != Some(&problem) {
                    eprintln!("zocp: {}", printable(&format!("{wire}: {problem}")));
                    self.reported.insert(wire, problem);
                }
                Ok(())
            }
        }
    }
}

fn name(wire: &SceneWire) -> String {
    format!("{} -> {}", wire.from, wire.to)
}

const UNKNOWN_OBJECT: &str = "org.freedesktop.DBus.Error.UnknownObject";
const AGAIN: Duration = Duration::from_secs(1);
