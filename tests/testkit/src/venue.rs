//! Two machines of one show, each with a bus and a bridge: the *stage* exports, *front of house* imports.

use crate::{Bridge, Bus, Cmd, Host, Lab, Program, silence, tools};

/// The two machines.
pub struct Venue {
    /// Where the services are.
    pub stage: Bridge,
    /// The machine on stage.
    pub stage_host: Host,
    /// Where they are used: under `<service>.stage`.
    pub foh: Bridge,
    /// The machine at the front of house.
    pub foh_host: Host,
    zocp: String,
}

impl Venue {
    /// Starts both; `exports` and `imports` are their configurations.
    ///
    /// # Panics
    /// When one does not come up.
    pub async fn open(lab: &Lab, zocp: &str, exports: &str, imports: &str) -> Self {
        let (stage_host, foh_host) = (lab.host("stage").await, lab.host("foh").await);
        let exports = lab.file("stage.toml", exports);
        let imports = lab.file("foh.toml", imports);
        let stage = Bridge::start(zocp, &stage_host, "stage", &["--config", &exports]).await;
        let foh = Bridge::start(zocp, &foh_host, "foh", &["--config", &imports]).await;
        Self {
            stage,
            stage_host,
            foh,
            foh_host,
            zocp: zocp.to_owned(),
        }
    }

    /// Two machines whose bridges run.
    #[must_use]
    pub fn of(stage: (Bridge, Host), foh: (Bridge, Host), zocp: &str) -> Self {
        Self {
            stage: stage.0,
            stage_host: stage.1,
            foh: foh.0,
            foh_host: foh.1,
            zocp: zocp.to_owned(),
        }
    }

    /// Has mpv play a minute of silence on stage, over and over; waits until it is a player there.
    ///
    /// # Panics
    /// When it is not.
    pub async fn play(&self, lab: &Lab) -> Program {
        play(lab, &self.stage_host, &self.stage.bus).await
    }

    /// Starts the bridge on stage once more, after its end.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart_stage(&mut self, options: &[&str]) {
        let (bus, host) = (&self.stage.bus, &self.stage_host);
        self.stage.program = Bridge::start_on(bus, &self.zocp, host, "stage", options).await;
    }
}

/// Has mpv play a minute of silence on a machine, over and over; waits until it is a player on a bus there.
///
/// # Panics
/// When it is not.
pub async fn play(lab: &Lab, host: &Host, bus: &Bus) -> Program {
    const PLUGIN: &str = "/usr/lib/mpv-mpris/mpris.so";
    let tone = lab.file("tone.wav", silence());
    let mpv = host.command("mpv").needs(PLUGIN);
    let mpv = mpv
        .args(["--no-config", "--ao=null", "--vo=null", "--video=no"])
        .args(["--msg-level=all=warn", "--loop"])
        .arg(format!("--script={PLUGIN}"))
        .arg(tone);
    let mpv = mpv.on(bus).start();
    bus.appears("org.mpris.MediaPlayer2.mpv").await;
    mpv
}

impl Bus {
    /// Starts a service in Python, a script of `tests/peers`, under `name`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn serve(&self, script: &str, name: &str) -> Program {
        let script = tools::peers().join(script);
        let command = Cmd::python("gi").arg(script).arg(name);
        let service = command.on(self).label(name).start();
        service.says("ready").await;
        service
    }
}
