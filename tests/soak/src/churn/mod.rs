//! Those who come and go while a soak is restless.
//!
//! Model: each is a task with random numbers of its own, made of the seed and its place in the row, that repeats one
//! *turn* as long as [`World::restless`] says so. A turn takes away what it brought, save for wires, which are taken
//! away in [`Churn::rest`].
//! Limits: [`TURN_MAX`] for a turn; one that takes longer is a finding.

mod bus;
mod clients;
mod links;
mod mesh;

use std::{rc::Rc, time::Duration};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::{task::JoinHandle, time::timeout};

use crate::{standing::Standing, world::World};

/// One of those who come and go.
pub(crate) struct Actor {
    pub(crate) world: Rc<World>,
    pub(crate) rng: SmallRng,
    /// Services that come and go.
    pub(crate) guests: Rc<Vec<Guest>>,
    long_cuts: bool,
    /// What always moves.
    pub(crate) moving: Rc<Standing>,
    number: usize,
}

/// A service that comes and goes.
pub(crate) struct Guest {
    pub(crate) name: String,
    /// The number of its site.
    pub(crate) site: usize,
    pub(crate) standing: Rc<Standing>,
}

/// All of them.
pub(crate) struct Churn {
    world: Rc<World>,
    seed: u64,
    long_cuts: bool,
    guests: Rc<Vec<Guest>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Client,
    Service,
    Peer,
    Python,
    Link,
    Bridge,
}

impl Churn {
    /// `long_cuts`: whether links are sometimes cut for longer than the mesh remembers who is silent.
    pub(crate) fn new(world: &Rc<World>, seed: u64, long_cuts: bool) -> Self {
        let guests = (0..GUESTS).map(|number| {
            let standing = Rc::<Standing>::default();
            standing.begin_move();
            Guest {
                name: format!("org.example.Guest{number}"),
                site: number % world.sites.len(),
                standing,
            }
        });
        Self {
            guests: Rc::new(guests.collect()),
            world: Rc::clone(world),
            seed,
            long_cuts,
            tasks: Vec::new(),
        }
    }

    /// Has everything done once, and then at random for a while.
    pub(crate) async fn warm_up(&mut self, time: Duration) {
        self.actor(0, WARM).everything_once().await;
        self.begin(0);
        tokio::time::sleep(time).await;
        self.rest().await;
    }

    /// Lets them all begin. `round` makes their random numbers others than those of the round before.
    pub(crate) fn begin(&mut self, round: u64) {
        self.world.restless.set(true);
        for (number, kind) in ROW.into_iter().enumerate() {
            let actor = self.actor(round, number);
            let task = tokio::task::spawn_local(actor.act(kind));
            self.tasks.push(task);
        }
    }

    fn actor(&self, round: u64, number: usize) -> Actor {
        let seed = self.seed ^ (round << 32) ^ number as u64;
        let moving = Rc::<Standing>::default();
        moving.begin_move();
        Actor {
            world: Rc::clone(&self.world),
            rng: SmallRng::seed_from_u64(seed),
            guests: Rc::clone(&self.guests),
            moving,
            long_cuts: self.long_cuts,
            number,
        }
    }

    /// Has them finish what they are about, and takes away what they left.
    pub(crate) async fn rest(&mut self) {
        self.world.restless.set(false);
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                self.world.ledger.finding(format!("{error}"));
            }
        }
        clients::remove_wires(&self.world).await;
    }
}

impl Actor {
    async fn act(mut self, kind: Kind) {
        while self.world.restless.get() {
            let turn = async {
                match kind {
                    Kind::Client => self.client().await,
                    Kind::Service => self.service().await,
                    Kind::Peer => self.peer().await,
                    Kind::Python => self.python().await,
                    Kind::Link => self.link().await,
                    Kind::Bridge => self.bridge().await,
                }
            };
            if timeout(TURN_MAX, turn).await.is_err() {
                let text = format!("a turn of number {} takes {TURN_MAX:?}", self.number);
                self.world.ledger.finding(text);
            }
        }
    }

    /// Sleeps up to so many milliseconds: often shortly.
    async fn pause(&mut self, most: u64) {
        let part: f64 = self.rng.random();
        let pause = Duration::from_millis(most).mul_f64(part * part);
        tokio::time::sleep(pause).await;
    }

    /// The number of a site.
    fn any_site(&mut self) -> usize {
        self.rng.random_range(0..self.world.sites.len())
    }

    /// A text of a length that is often short.
    fn text(&mut self) -> String {
        let length = LENGTHS[self.rng.random_range(0..LENGTHS.len())];
        let letter: u8 = self.rng.random_range(b'a'..=b'z');
        char::from(letter).to_string().repeat(length)
    }
}

const ROW: [Kind; 18] = [
    Kind::Client,
    Kind::Client,
    Kind::Client,
    Kind::Client,
    Kind::Client,
    Kind::Client,
    Kind::Service,
    Kind::Service,
    Kind::Service,
    Kind::Service,
    Kind::Service,
    Kind::Service,
    Kind::Peer,
    Kind::Peer,
    Kind::Peer,
    Kind::Python,
    Kind::Link,
    Kind::Bridge,
];
/// Where in [`ROW`] the services begin: one for each guest.
const FIRST_SERVICE: usize = 6;
const GUESTS: usize = 6;
/// The number of the one who does everything once.
const WARM: usize = 100;
const TURN_MAX: Duration = Duration::from_secs(180);
const LENGTHS: [usize; 8] = [0, 5, 16, 100, 1000, 5000, 40_000, 200_000];
