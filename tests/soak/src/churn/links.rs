//! Links that are cut and mended, and a bridge that is killed and started again.

use std::time::{Duration, Instant};

use rand::Rng;
use rustix::process::Signal;

use super::Actor;
use crate::world::{BOOTH, VISITOR};

impl Actor {
    /// Cuts the link of the booth for a while, one way or another.
    pub(super) async fn link(&mut self) {
        self.pause(8000).await;
        let world = std::rc::Rc::clone(&self.world);
        let site = &world.sites[BOOTH];
        let link = site.host.link(0);
        site.standing.begin_move();
        let cut = Instant::now();
        let long = self.long_cuts && self.rng.random_bool(0.05);
        let most = if long { LONG } else { SHORT };
        match self.rng.random_range(0..3) {
            0 => {
                world.ledger.did("cables pulled");
                link.unplug().await;
                self.pause(most).await;
                link.replug().await;
            }
            1 => {
                world.ledger.did("interfaces taken down");
                link.down().await;
                self.pause(most).await;
                link.up().await;
            }
            _ => {
                world.ledger.did("links gone silent");
                link.go_silent().await;
                self.pause(most).await;
                link.go_on().await;
            }
        }
        // What was sent into the cut is sent again after as long as that at most, and then a close is noticed.
        tokio::time::sleep(REDIAL_MAX + cut.elapsed().min(RETRANSMIT_MAX)).await;
        world.whole(BOOTH).await;
        site.standing.end_move();
    }

    /// Ends the bridge of the visitor, and starts it again.
    pub(super) async fn bridge(&mut self) {
        self.pause(6000).await;
        let world = std::rc::Rc::clone(&self.world);
        let site = &world.sites[VISITOR];
        site.standing.begin_move();
        let (signal, how) = match self.rng.random_range(0..3) {
            0 => (Signal::KILL, "bridges killed"),
            1 => (Signal::TERM, "bridges terminated"),
            _ => (Signal::INT, "bridges interrupted"),
        };
        world.ledger.did(how);
        site.end_bridge(signal).await;
        self.pause(1500).await;
        site.start_bridge().await;
        world.whole(VISITOR).await;
        site.standing.end_move();
    }
}

/// Milliseconds of a cut.
const SHORT: u64 = 4000;
/// Of some: longer than the mesh's expiry.
const LONG: u64 = 50_000;
const REDIAL_MAX: Duration = Duration::from_secs(6);
const RETRANSMIT_MAX: Duration = Duration::from_secs(30);
