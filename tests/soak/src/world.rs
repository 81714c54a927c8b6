//! The machines, and what is there all the time.
//!
//! Model: a *site* is a machine with a bus, a bridge and the service `org.example.Steady`. *stage* and *foh* are never
//! disturbed; the link of *booth* is cut and mended; the bridge of *visitor* is killed and started again. The nodes
//! *rock* and *pond* are the process of the soak itself. What one site shows of another is a [`Standing`] of the two.

use std::{cell::Cell, cell::RefCell, path::Path, rc::Rc, time::Duration};

use rustix::process::Signal;
use zocp_testkit::{Bridge, Bus, Host, Lab, Program};

use crate::{
    ledger::Ledger,
    peer::Peer,
    service::Service,
    standing::{Stamp, Standing},
};

/// A machine.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) host: Host,
    pub(crate) bus: Bus,
    pub(crate) standing: Rc<Standing>,
    steady: Service,
    program: RefCell<Option<Program>>,
    zocp: String,
    config: String,
}

/// All that there is.
pub(crate) struct World {
    pub(crate) sites: Vec<Rc<Site>>,
    pub(crate) rock: Rc<Peer>,
    _pond: Peer,
    pub(crate) ledger: Rc<Ledger>,
    /// Whether those who come and go may begin something.
    pub(crate) restless: Cell<bool>,
    /// Wires that were made and are not taken away yet: the site and the object.
    pub(crate) wires: RefCell<Vec<(usize, String)>>,
}

impl Site {
    async fn start(lab: &Lab, zocp: &Path, name: &'static str) -> Self {
        let host = lab.host(name).await;
        let bus = Bus::start(name).await;
        let zocp = zocp.to_string_lossy().into_owned();
        let config = lab.file(&format!("{name}.toml"), CONFIG);
        let site = Self {
            name,
            steady: Service::start(&bus, STEADY).await,
            standing: Rc::default(),
            program: RefCell::default(),
            host,
            bus,
            zocp,
            config,
        };
        site.start_bridge().await;
        site
    }

    /// Starts its bridge.
    pub(crate) async fn start_bridge(&self) {
        let options = ["--config", &self.config];
        let program =
            Bridge::start_on(&self.bus, &self.zocp, &self.host, self.name, &options).await;
        self.program.replace(Some(program));
    }

    /// Ends its bridge with a signal.
    pub(crate) async fn end_bridge(&self, signal: Signal) {
        let program = self.program.take();
        if let Some(mut program) = program {
            program.signal(signal);
            program.ended().await;
        }
    }

    /// The process of its bridge.
    pub(crate) fn pid(&self) -> Option<i32> {
        let program = self.program.borrow();
        let pid = program.as_ref().and_then(Program::pid);
        pid.map(|pid| pid.as_raw_nonzero().get())
    }

    /// Forgets what its bridge said, which was printed.
    pub(crate) fn forget_said(&self) {
        if let Some(program) = &*self.program.borrow() {
            program.forget_said();
        }
    }

    /// Its own service.
    pub(crate) fn steady(&self) -> &Service {
        &self.steady
    }
}

impl World {
    /// Starts everything and waits until everybody sees everybody.
    pub(crate) async fn open(lab: &Lab, zocp: &Path, ledger: Rc<Ledger>) -> Self {
        lab.attach().await;
        let mut sites = Vec::new();
        for name in SITES {
            sites.push(Rc::new(Site::start(lab, zocp, name).await));
        }
        let world = Self {
            rock: Rc::new(Peer::start("rock").await),
            _pond: Peer::start("pond").await,
            restless: Cell::new(false),
            wires: RefCell::default(),
            sites,
            ledger,
        };
        for site in 0..world.sites.len() {
            world.whole(site).await;
        }
        world
    }

    pub(crate) fn stage(&self) -> &Rc<Site> {
        &self.sites[STAGE]
    }

    pub(crate) fn foh(&self) -> &Rc<Site> {
        &self.sites[FOH]
    }

    /// Waits until a site shows all that stays and is shown everywhere.
    pub(crate) async fn whole(&self, site: usize) {
        let one = &self.sites[site];
        for node in ["rock", "pond"] {
            self.shows(one, &node_name(node)).await;
        }
        for other in &self.sites {
            // What moves by itself is waited for by who moves it.
            if other.name == one.name || !other.standing.is_still() {
                continue;
            }
            for (here, there) in [(one, other), (other, one)] {
                self.shows(here, &node_name(there.name)).await;
                self.shows(here, &imported(STEADY, there)).await;
            }
        }
    }

    /// Waits until a name is on the bus of a site; it is a finding if it does not come.
    pub(crate) async fn shows(&self, site: &Site, name: &str) {
        self.until(&format!("{name} on the bus of {}", site.name), async || {
            site.bus.has(name).await
        })
        .await;
    }

    /// Waits until a name is not on the bus of a site.
    pub(crate) async fn hides(&self, site: &Site, name: &str) {
        let what = format!("{name} gone from the bus of {}", site.name);
        self.until(&what, async || !site.bus.has(name).await).await;
    }

    /// Waits until a name is on the bus of a site, unless what it stands on moves.
    pub(crate) async fn shows_while(&self, site: &Site, name: &str, stamp: &Stamp) {
        let what = format!("{name} on the bus of {}", site.name);
        self.until(&what, async || !stamp.holds() || site.bus.has(name).await)
            .await;
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(SHOWN_MAX, wait).await.is_err() {
            self.ledger
                .finding(format!("waited {SHOWN_MAX:?} in vain for {what}"));
        }
    }
}

/// The name that an imported service has.
pub(crate) fn imported(service: &str, from: &Site) -> String {
    format!("{service}.{}", from.name)
}

/// The name that a mirrored node has.
pub(crate) fn node_name(node: &str) -> String {
    format!("org.z25.Zocp1.Node.{node}")
}

/// Their names.
pub(crate) const SITES: [&str; 4] = ["stage", "foh", "booth", "visitor"];
const STAGE: usize = 0;
const FOH: usize = 1;
/// Those that nobody disturbs.
pub(crate) const CALM: std::ops::RangeInclusive<usize> = STAGE..=FOH;
/// The site whose link is cut.
pub(crate) const BOOTH: usize = 2;
/// The site whose bridge is killed.
pub(crate) const VISITOR: usize = 3;
/// Those whose bridge is one process all the time.
pub(crate) const LASTING: std::ops::Range<usize> = STAGE..VISITOR;
/// The service that every site has.
pub(crate) const STEADY: &str = "org.example.Steady";
const CONFIG: &str = "[[export]]\nservice = \"org.example.*\"\ntalk = true\n";
const LOOK: Duration = Duration::from_millis(50);
const SHOWN_MAX: Duration = Duration::from_secs(60);
