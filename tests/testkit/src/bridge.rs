//! `zocp bridge` on a host, with a bus of its own.

use crate::{Bus, Host, Program, lab::HOME};

/// A running bridge.
pub struct Bridge {
    /// The bus it shows the mesh on.
    pub bus: Bus,
    /// The daemon.
    pub program: Program,
}

impl Bridge {
    /// Starts `zocp bridge --name NAME` with `options`, state and a bus of its own on `host`, and waits until it is on the bus.
    /// `zocp` is the binary: `env!("CARGO_BIN_EXE_zocp")` in a test.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(zocp: &str, host: &Host, name: &str, options: &[&str]) -> Self {
        let bus = Bus::start(name).await;
        let program = Self::start_on(&bus, zocp, host, name, options).await;
        Self { bus, program }
    }

    /// The same on a bus that is there already.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_on(
        bus: &Bus,
        zocp: &str,
        host: &Host,
        name: &str,
        options: &[&str],
    ) -> Program {
        let command = host
            .command(zocp)
            .arg("bridge")
            .args(["--name", name])
            .arg(format!("--state={HOME}/state-{name}"))
            .args(options);
        let program = command.on(bus).label(&format!("bridge {name}")).start();
        bus.appears("org.z25.Zocp1").await;
        program
    }
}
