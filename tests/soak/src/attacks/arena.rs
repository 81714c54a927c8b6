//! Where attacks take place: two machines, an honest pair across their bridges, and what is measured.
//!
//! Model: the honest pair lives in a thread of its own, so that what attackers do here takes nothing from it but what
//! they take from the machine. Its service is on the bus of *stage*, which is attacked from the mesh; its listener is on
//! the bus of *foh*, whose clients attack.

use std::{sync::mpsc, thread, time::Duration};

use tokio::{net::UdpSocket, task::LocalSet};
use zbus::{Connection, connection::Builder};
use zocp_testkit::{Bridge, Bus, Host, Lab};

use crate::{
    census,
    service::{Service, tick},
    stream::{Stream, Watcher},
};

/// The two machines and the pair.
pub(crate) struct Arena {
    pub(crate) zocp: String,
    pub(crate) stage: Bridge,
    pub(crate) stage_host: Host,
    pub(crate) foh: Bridge,
    /// For faults of a third machine.
    pub(crate) third_host: Host,
    pub(crate) pair: Watcher,
    _target: Service,
    /// Where nodes reach the bridge of stage, and its identity.
    pub(crate) endpoint: String,
    pub(crate) stage_id: [u8; 16],
    pub(crate) foh_id: [u8; 16],
}

impl Arena {
    pub(crate) async fn open(lab: &Lab, zocp: &str) -> Self {
        lab.attach().await;
        let (stage_host, foh_host) = (lab.host("stage").await, lab.host("foh").await);
        let third_host = lab.host("third").await;
        let config = lab.file("stage.toml", CONFIG);
        let stage = Bridge::start(zocp, &stage_host, "stage", &["--config", &config]).await;
        let foh = Bridge::start(zocp, &foh_host, "foh", &["--config", &config]).await;
        foh.bus.appears("org.z25.Zocp1.Node.stage").await;
        let pair = pair(&stage.bus, &foh.bus).await;
        let target = Service::start(&stage.bus, TARGET).await;
        foh.bus.appears(HONEST_THERE).await;
        foh.bus.appears(TARGET_THERE).await;
        let endpoint = property(&stage.bus, "Endpoint").await;
        Self {
            zocp: zocp.to_owned(),
            stage_id: id(&property(&stage.bus, "Uuid").await),
            foh_id: id(&property(&foh.bus, "Uuid").await),
            stage,
            stage_host,
            foh,
            third_host,
            pair,
            _target: target,
            endpoint,
        }
    }

    /// What the two bridges have in memory, in KiB, and how many descriptors.
    pub(crate) fn weight(&self) -> (u64, u64) {
        let pids = [&self.stage, &self.foh].map(|bridge| bridge.program.pid());
        let weights = pids
            .into_iter()
            .flatten()
            .map(|pid| census::weight(pid.as_raw_nonzero().get()));
        weights.fold((0, 0), |(memory, fds), weight| {
            (memory + weight.0, fds + weight.1)
        })
    }

    /// Names of mirrored nodes on the bus of stage.
    pub(crate) async fn nodes(&self) -> usize {
        let names = census::names(self.stage.bus.connection())
            .await
            .unwrap_or_default();
        names
            .iter()
            .filter(|name| name.starts_with("org.z25.Zocp1.Node."))
            .count()
    }

    /// A socket that may send beacons.
    pub(crate) async fn beacons(&self) -> std::io::Result<UdpSocket> {
        let socket = UdpSocket::bind("10.99.0.254:0").await?;
        socket.set_broadcast(true)?;
        Ok(socket)
    }

    /// One more connection to the bus of foh.
    pub(crate) async fn client(&self) -> Connection {
        self.foh.bus.connect().await
    }

    /// Forgets what the bridges said, which was printed.
    pub(crate) fn forget_said(&self) {
        self.stage.program.forget_said();
        self.foh.program.forget_said();
    }
}

/// Starts the honest pair in a thread of its own.
async fn pair(stage: &Bus, foh: &Bus) -> Watcher {
    let (from, to) = (stage.address().to_owned(), foh.address().to_owned());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        LocalSet::new().block_on(&runtime, async move {
            let service = Builder::address(&*from).build().await;
            let service = service.unwrap_or_else(|error| panic!("{from}: {error}"));
            let named = service.request_name(HONEST).await;
            named.unwrap_or_else(|error| panic!("{HONEST}: {error}"));
            // Until its listener is there, nothing may be sent.
            let stream = Stream::start(
                "the honest pair",
                RATE,
                async move |number| tick(&service, number).await,
                &to,
                (HONEST_THERE, "Tick"),
            );
            let stream = stream.await;
            let _ = tell.send(stream.watcher().clone());
            std::future::pending::<()>().await;
        });
    });
    let waiting = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(20)));
    match waiting.await {
        Ok(Ok(watcher)) => watcher,
        _ => panic!("the honest pair did not start"),
    }
}

async fn property(bus: &Bus, name: &str) -> String {
    let shown = bus.bridge().shown("org.z25.Zocp1.Bridge", name).await;
    shown.trim_start_matches("s ").trim_matches('"').to_owned()
}

fn id(hex: &str) -> [u8; 16] {
    let mut id = [0; 16];
    for (octet, digits) in id.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *octet = u8::from_str_radix(digits, 16).unwrap_or_default();
    }
    id
}

/// The service of the honest pair, at stage.
const HONEST: &str = "org.example.Honest";
/// The same at foh.
const HONEST_THERE: &str = "org.example.Honest.stage";
/// Another service at stage, which attackers call.
const TARGET: &str = "org.example.Target";
pub(crate) const TARGET_THERE: &str = "org.example.Target.stage";
const CONFIG: &str = "[[export]]\nservice = \"org.example.*\"\ntalk = true\n";
/// Signals a second of the honest pair.
const RATE: u32 = 1000;
