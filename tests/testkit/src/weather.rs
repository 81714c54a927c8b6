//! A link with bad weather: what passes may be lost, doubled, overtaken. For kernels without `netem`.
//!
//! Model: between the host's port and the network are two TAP devices, and between these `tests/peers/weather.py`,
//! which passes on whole Ethernet frames, both ways; so TCP and UDP have to live with it alike.
//! Invariants: the kernel's offloads end at the TAP devices: each frame is one packet as on a cable.

use crate::{Cmd, Link, Network, Program, lab::ip, tools};

/// What becomes of frames, in percent of them.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Never arrive.
    pub lost: u8,
    /// Arrive twice.
    pub doubled: u8,
    /// Arrive up to 20 ms later, so that others overtake them.
    pub late: u8,
    /// The time that each frame takes besides, in milliseconds.
    pub delay: u16,
    /// Of the generator: with the same one, the same frames meet the same fate.
    pub seed: u32,
}

impl Link<'_> {
    /// Lets the weather in on this link to `network`, for as long as the program runs that it gives back.
    ///
    /// # Panics
    /// When the kernel has no TAP devices.
    pub async fn weather(&self, network: &Network, weather: &Weather) -> Program {
        self.passed(network, weather, &[]).await
    }

    /// The same, by somebody who writes all frames to the file `record`, and changes a bit of `flipped` percent of the UDP
    /// packets. Told `replay`, it sends all that passed once more.
    ///
    /// # Panics
    /// When the kernel has no TAP devices.
    pub async fn hostile(
        &self,
        network: &Network,
        weather: &Weather,
        (flipped, record): (u8, &str),
    ) -> Program {
        let more = [flipped.to_string(), record.to_owned()];
        self.passed(network, weather, &more).await
    }

    async fn passed(&self, network: &Network, weather: &Weather, more: &[String]) -> Program {
        let (port, net) = (self.port(), network.device());
        let (yard, inner, outer) = (format!("y{port}"), format!("i{port}"), format!("o{port}"));
        ip(
            &[],
            &format!(
                "link add {yard} type bridge mcast_snooping 0\n\
                 tuntap add dev {inner} mode tap\n\
                 tuntap add dev {outer} mode tap\n\
                 link set {inner} master {yard}\n\
                 link set {outer} master {net}\n\
                 link set {port} master {yard}\n\
                 link set {yard} up\nlink set {inner} up\nlink set {outer} up"
            ),
        )
        .await;
        let fates = [weather.lost, weather.doubled, weather.late].map(|fate| fate.to_string());
        let program = Cmd::new("python3")
            .needs("/dev/net/tun")
            .arg(tools::peers().join("weather.py"))
            .args([&inner, &outer])
            .args(fates)
            .arg(weather.seed.to_string())
            .arg(weather.delay.to_string())
            .args(more)
            .label("weather")
            .start();
        program.says("ready").await;
        program
    }
}
