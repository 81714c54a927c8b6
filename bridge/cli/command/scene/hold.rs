//! `zocp scene hold`: the wires of a scene are there for as long as this runs.
//!
//! Model: whenever wires or peers change, those that are there are compared with the scene. What is missing is made, as
//! soon as its nodes are here; with `--exclusive` what is not in the scene is taken away, by whomever it was made.
//! Limits: compared at most every [`TOGETHER`], and every [`AGAIN`] while something is missing; each wire is made at most
//! every [`AGAIN`]. A problem is told once
//! until it is another one.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};
use zbus::{MessageStream, fdo::DBusProxy};
use zocp_interfaces::{BRIDGE_NAME, BRIDGE_PATH, PEERS_PATH, WIRES_PATH, WireProxy};

use super::load::rewire;
use crate::{
    client::Client,
    exit::{Exit, Failure},
    output::{Output, printable},
    scene::{Scene, SceneWire},
};

pub(super) async fn hold(
    output: &Output,
    client: &Client,
    scene: &Scene,
    is_exclusive: bool,
) -> Result<(), Failure> {
    let listener = client.again().await?;
    let mut stream = MessageStream::from(&listener.connection);
    let dbus = DBusProxy::new(&listener.connection).await?;
    for rule in rules() {
        dbus.add_match_rule(rule.as_str().try_into()?).await?;
    }
    let mut holder = Holder {
        output,
        client,
        told: BTreeMap::new(),
        made: BTreeMap::new(),
    };
    // One future for all turns: what comes while wires are made is not missed.
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let is_whole = tokio::select! {
            // What is under way is the bridge's to end; the next turn would compare anew.
            interrupted = &mut interrupted => return Ok(interrupted?),
            compared = holder.compare(scene, is_exclusive) => compared?,
        };
        tokio::select! {
            // Cancel safe: a message is taken from the stream's queue, or stays in it.
            message = stream.next() => if message.transpose()?.is_none() {
                return Err(Failure::new(Exit::NoBus, "the bus is gone"));
            },
            // A node that is here may not have told its tree yet, of which nobody says when it has.
            () = sleep(AGAIN), if !is_whole => {}
            interrupted = &mut interrupted => return Ok(interrupted?),
        }
        // What comes together is looked at together.
        sleep(TOGETHER).await;
        while let Some(Some(_)) = stream.next().now_or_never() {}
    }
}

struct Holder<'a> {
    output: &'a Output,
    client: &'a Client,
    /// The problems that were told, by their wires.
    told: BTreeMap<String, String>,
    /// When each wire was made last.
    made: BTreeMap<String, Instant>,
}

impl Holder<'_> {
    /// Makes what is missing and takes away what is too much; whether nothing is missing now.
    async fn compare(&mut self, scene: &Scene, is_exclusive: bool) -> Result<bool, Failure> {
        let present = self.client.wires().await?;
        let is_in = |wire: &SceneWire, other: &SceneWire| {
            (&wire.from, &wire.to, &wire.conversion) == (&other.from, &other.to, &other.conversion)
        };
        let there: Vec<SceneWire> = present.iter().map(SceneWire::from).collect();
        if is_exclusive {
            for (wire, shown) in there.iter().zip(&present) {
                let is_meant = |it: &SceneWire| (&it.from, &it.to) == (&wire.from, &wire.to);
                if !scene.wires.iter().any(is_meant) {
                    let proxy = WireProxy::builder(&self.client.connection);
                    let proxy = proxy.path(shown.path.clone()).build().await?;
                    let problem = proxy.remove().await.map_err(Failure::from).err();
                    self.tell(wire, "removed", problem)?;
                }
            }
        }
        let mut is_whole = true;
        for wire in &scene.wires {
            if there.iter().any(|it| is_in(it, wire)) {
                continue;
            }
            // One that the bridge shows with other ends than those of the scene is not made all the time.
            let what = format!("{} -> {}", wire.from, wire.to);
            if self
                .made
                .get(&what)
                .is_some_and(|made| made.elapsed() < AGAIN)
            {
                is_whole = false;
                continue;
            }
            self.made.insert(what, Instant::now());
            // The bridge makes a wire that waits.
            let problem = rewire(self.client, wire).await.err();
            is_whole &= problem.is_none();
            self.tell(wire, "wired", problem)?;
        }
        Ok(is_whole)
    }

    fn tell(
        &mut self,
        wire: &SceneWire,
        done: &str,
        problem: Option<Failure>,
    ) -> Result<(), Failure> {
        let what = format!("{} -> {}", wire.from, wire.to);
        match problem {
            None => {
                self.told.remove(&what);
                Ok(self.output.line(&printable(&format!("{what}: {done}")))?)
            }
            Some(failure) => {
                let problem = failure.message().to_owned();
                if self.told.get(&what) != Some(&problem) {
                    eprintln!("zocp: {}", printable(&format!("{what}: {problem}")));
                    self.told.insert(what, problem);
                }
                Ok(())
            }
        }
    }
}

fn rules() -> [String; 3] {
    let from = format!("type='signal',sender='{BRIDGE_NAME}'");
    let properties = "interface='org.freedesktop.DBus.Properties'";
    [
        format!("{from},path_namespace='{PEERS_PATH}',{properties}"),
        format!("{from},path_namespace='{WIRES_PATH}',{properties}"),
        format!("{from},path='{BRIDGE_PATH}',interface='org.freedesktop.DBus.ObjectManager'"),
    ]
}

const TOGETHER: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_secs(1);
