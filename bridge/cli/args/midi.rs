//! The arguments of `zocp midi`.

use std::{ffi::OsString, path::PathBuf};

use zocp_faces::midi::{MidiOptions, MidiSystem};

use super::face::{MeshArgs, state_folder};
use crate::exit::Failure;

/// What a device of MIDI takes.
#[derive(Debug, clap::Args)]
pub(crate) struct MidiArgs {
    /// The name of its node on the mesh, and of the client of JACK or ALSA
    #[arg(long, default_value = "midi")]
    name: String,
    /// Be a client of ALSA's sequencer, not of JACK
    #[arg(long)]
    alsa: bool,
    /// A file that says which of its controls are which capabilities
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
    /// The directory for what was learned; by default $XDG_STATE_HOME/zocp; '' for none
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ZOCP_STATE",
        hide_env_values = true
    )]
    state: Option<OsString>,
    #[command(flatten)]
    mesh: MeshArgs,
}

impl MidiArgs {
    pub(crate) fn into_options(self) -> Result<MidiOptions, Failure> {
        let mut options = MidiOptions::new(self.mesh.mesh(&self.name)?);
        if self.alsa {
            options.system = MidiSystem::Alsa;
        }
        options.map = self.map;
        options.state = state_folder(self.state);
        Ok(options)
    }
}
