//! Hosts and the networks between them.
//!
//! Model: a [`Host`] is a network namespace. A [`Network`] is an Ethernet bridge of the test's own namespace. A
//! [`Link`] is a cable between the two: a veth pair, `ethK` on the host, a *port* of the bridge at the other end. Host H
//! on network N has the address 10.99.N.H/24.
//! Limits: 250 hosts, 250 networks, since both are octets of an address.
//! Not here: what makes the test's own namespaces (`isolated.rs`).

use std::{cell::Cell, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Cmd, in_time, tools};

/// The test's home: on a file system of its own, gone with the test.
pub(crate) const HOME: &str = "/run/lab";

/// What a test makes hosts and networks with.
pub struct Lab {
    hosts: Cell<u8>,
    networks: Cell<u8>,
    /// The network that [`Lab::host`] plugs into.
    pub network: Network,
}

/// An Ethernet.
pub struct Network {
    number: u8,
}

/// A machine, as far as the network goes.
pub struct Host {
    name: String,
    number: u8,
    links: Cell<u8>,
}

/// A host's cable to a network.
pub struct Link<'h> {
    host: &'h Host,
    number: u8,
}

impl Lab {
    /// Readies the namespaces that the inner run was started in.
    pub(crate) async fn open() -> Self {
        Cmd::new("mount")
            .args(["-t", "tmpfs", "lab", "/run"])
            .run()
            .await;
        for folder in [HOME, &format!("{HOME}/config"), &format!("{HOME}/runtime")] {
            std::fs::create_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        }
        ip(&[], "link set lo up").await;
        let network = Network { number: 0 };
        network.lay().await;
        Self {
            hosts: Cell::new(0),
            networks: Cell::new(1),
            network,
        }
    }

    /// A host that is plugged into [`Lab::network`] with its first link.
    pub async fn host(&self, name: &str) -> Host {
        let host = self.bare_host(name).await;
        host.plug(&self.network).await;
        host
    }

    /// A host that has nothing but a loopback device.
    pub async fn bare_host(&self, name: &str) -> Host {
        let number = next(&self.hosts) + 1;
        ip(&[], &format!("netns add {name}")).await;
        ip(&["-n", name], MULTICAST_ON_LOOPBACK).await;
        let host = Host {
            name: name.to_owned(),
            number,
            links: Cell::new(0),
        };
        host.command("sh").args(["-c", NO_DETECTION]).run().await;
        host
    }

    /// Puts the test itself on [`Lab::network`], as if it were a host; gives back its address.
    pub async fn attach(&self) -> String {
        let (address, device) = (format!("10.99.0.{TEST_ITSELF}"), self.network.device());
        ip(
            &[],
            &format!("addr add {address}/24 broadcast + dev {device}"),
        )
        .await;
        address
    }

    /// Sends multicasts of the test itself over the loopback, as pyre needs it where there is no network.
    pub async fn route_multicasts_to_loopback(&self) {
        ip(&[], MULTICAST_ON_LOOPBACK).await;
    }

    /// A file with this content in the test's home; gives back its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{path}: {error}"));
        path
    }

    /// The path of a file in the test's home.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{HOME}/{name}")
    }

    /// One more network.
    pub async fn new_network(&self) -> Network {
        let network = Network {
            number: next(&self.networks),
        };
        network.lay().await;
        network
    }
}

impl Network {
    async fn lay(&self) {
        let device = self.device();
        // Without snooping a multicast goes to all ports, as on a plain switch.
        ip(
            &[],
            &format!("link add {device} type bridge mcast_snooping 0\nlink set {device} up"),
        )
        .await;
    }

    pub(crate) fn device(&self) -> String {
        format!("net{}", self.number)
    }
}

impl Host {
    /// Connects the host to `network` by one more link.
    pub async fn plug(&self, network: &Network) -> Link<'_> {
        let link = Link {
            host: self,
            number: next(&self.links),
        };
        let (port, device, bridge) = (link.port(), link.device(), network.device());
        ip(&[], &format!(
            "link add {port} type veth peer name {device} netns {}\nlink set {port} master {bridge} up",
            self.name
        ))
        .await;
        ip(&["-n", &self.name], &format!("link set {device} up")).await;
        link.add_address(&format!("{}/24", self.address_on(network)))
            .await;
        // The route for bare hosts would keep multicasts away from the wire.
        if link.number == 0 {
            ip(&["-n", &self.name], "route del 224.0.0.0/4 dev lo").await;
        }
        link
    }

    /// The host's link number `number`, counted from 0 in the order of plugging.
    #[must_use]
    pub fn link(&self, number: u8) -> Link<'_> {
        assert!(
            number < self.links.get(),
            "{} has {} links only",
            self.name,
            self.links.get()
        );
        Link { host: self, number }
    }

    /// The host's address on `network`.
    #[must_use]
    pub fn address_on(&self, network: &Network) -> String {
        format!("10.99.{}.{}", network.number, self.number)
    }

    /// The host's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs on this host.
    #[must_use]
    pub fn command(&self, program: &str) -> Cmd {
        Cmd::on_host(&self.name, program)
    }

    /// The Python that has what `tests/peers/requirements.txt` names, on this host.
    #[must_use]
    pub fn pypi_python(&self) -> Cmd {
        self.command(&tools::python().to_string_lossy())
    }
}

impl Link<'_> {
    /// The device's name on the host.
    #[must_use]
    pub fn device(&self) -> String {
        format!("eth{}", self.number)
    }

    /// Takes the device down on the host, as its user might.
    pub async fn down(&self) {
        self.on_host(&format!("link set {} down", self.device()))
            .await;
    }

    /// Brings the device up again. Its IPv4 addresses are still there.
    pub async fn up(&self) {
        self.on_host(&format!("link set {} up", self.device()))
            .await;
    }

    /// Gives the device another name, for which it has to be down a moment.
    pub async fn rename(&self, name: &str) {
        let device = self.device();
        self.on_host(&format!(
            "link set {device} down\nlink set {device} name {name}\nlink set {name} up"
        ))
        .await;
    }

    /// Takes the device away, as an adapter that is pulled out.
    pub async fn remove(&self) {
        ip(&[], &format!("link del {}", self.port())).await;
    }

    /// Pulls the cable: the host sees that the carrier is gone.
    pub async fn unplug(&self) {
        ip(&[], &format!("link set {} down", self.port())).await;
    }

    /// Puts the cable in again.
    pub async fn replug(&self) {
        ip(&[], &format!("link set {} up", self.port())).await;
    }

    /// Lets every frame vanish, both ways, and nobody sees why: a switch gone mad, or a radio out of reach.
    pub async fn go_silent(&self) {
        Cmd::new("bridge")
            .args(["link", "set", "dev", &self.port(), "state", BLOCKED])
            .run()
            .await;
    }

    /// Lets frames pass again.
    pub async fn go_on(&self) {
        Cmd::new("bridge")
            .args(["link", "set", "dev", &self.port(), "state", FORWARDING])
            .run()
            .await;
    }

    /// Adds an address, such as `10.99.0.77/24`.
    pub async fn add_address(&self, address: &str) {
        self.on_host(&format!(
            "addr add {address} broadcast + dev {}",
            self.device()
        ))
        .await;
    }

    /// Takes an address away.
    pub async fn remove_address(&self, address: &str) {
        self.on_host(&format!("addr del {address} dev {}", self.device()))
            .await;
    }

    async fn on_host(&self, command: &str) {
        ip(&["-n", &self.host.name], command).await;
    }

    pub(crate) fn port(&self) -> String {
        format!("p{}.{}", self.host.number, self.number)
    }
}

/// Runs a batch of `ip` commands, one a line.
pub(crate) async fn ip(options: &[&str], batch: &str) {
    let mut command = Command::new(tools::find("ip"));
    command.args(options).args(["-batch", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(batch.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    match in_time("ip", run).await {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "ip {options:?}:\n{batch}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("ip: {error}"),
    }
}

fn next(counter: &Cell<u8>) -> u8 {
    let number = counter.get();
    assert!(number < NUMBER_MAX, "no more than {NUMBER_MAX} of these");
    counter.set(number + 1);
    number
}

const NUMBER_MAX: u8 = 250;
/// pyre meets its like on a host without a network only by multicast over the loopback.
const MULTICAST_ON_LOOPBACK: &str = "link set lo up multicast on\nroute add 224.0.0.0/4 dev lo";
/// The kernel looks for duplicates of an address of IPv6 for one or two seconds; until then nodes do not use it.
const NO_DETECTION: &str =
    "cd /proc/sys/net/ipv6/conf && echo 0 >all/accept_dad && echo 0 >default/accept_dad";
/// The last octet of the address that [`Lab::attach`] gives the test.
const TEST_ITSELF: u8 = 254;
/// States of a bridge's port: BR_STATE_DISABLED and BR_STATE_FORWARDING.
const BLOCKED: &str = "0";
const FORWARDING: &str = "3";
