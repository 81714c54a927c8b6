//! `zocp osc`: the mesh as an OSC address space, until it is told to end.
//!
//! Not here: all of it, which is `zocp_faces::osc`.

use zocp_faces::{
    FaceError,
    osc::{Ready, run as run_face},
};

use crate::{
    args::OscArgs,
    command::bridge::end_signals,
    exit::{Exit, Failure},
};

pub(crate) async fn run(args: OscArgs) -> Result<(), Failure> {
    let options = args.into_options()?;
    let shutdown = end_signals(&[])?;
    Ok(Box::pin(run_face(options, told, shutdown)).await?)
}

fn told(ready: Ready) {
    eprintln!(
        "zocp: OSC at {}, mesh port {}",
        ready.listen, ready.mesh_port
    );
}

impl From<FaceError> for Failure {
    fn from(error: FaceError) -> Self {
        let exit = match &error {
            FaceError::Mesh(_) => Exit::NoMesh,
            FaceError::Usage(_) => Exit::Usage,
            _ => Exit::Failure,
        };
        Self::new(exit, error.to_string())
    }
}
