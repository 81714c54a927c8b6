//! Services that come and go.

use std::rc::Rc;

use rand::Rng;

use super::{Actor, FIRST_SERVICE};
use crate::{
    service::Service,
    world::{CALM, imported},
};

impl Actor {
    /// A service, for a while.
    pub(super) async fn service(&mut self) {
        let guests = Rc::clone(&self.guests);
        let world = Rc::clone(&self.world);
        let guest = &guests[self.number - FIRST_SERVICE];
        let home = &world.sites[guest.site];
        let service = Service::start(&home.bus, &guest.name).await;
        // Where something else comes and goes nobody knows when it is shown, or has to be.
        let elsewhere: Vec<usize> = CALM.filter(|site| *site != guest.site).collect();
        let shown = CALM.contains(&guest.site) && self.rng.random_bool(0.7);
        let name = imported(&guest.name, home);
        if shown {
            for site in &elsewhere {
                world.shows(&world.sites[*site], &name).await;
            }
            guest.standing.end_move();
        }
        for _ in 0..self.rng.random_range(0..40) {
            service.tick(self.rng.random()).await;
            self.pause(200).await;
        }
        if shown {
            guest.standing.begin_move();
        }
        if self.rng.random_bool(0.5) {
            world.ledger.did("services that left");
            service.leave().await;
        } else {
            world.ledger.did("services that died");
            service.die();
        }
        if CALM.contains(&guest.site) {
            // Else the one to come would be taken for this one.
            for site in elsewhere {
                world.hides(&world.sites[site], &name).await;
            }
        }
        self.pause(1000).await;
    }
}
