//! `zocp osc`: the mesh as an OSC address space, until it is told to end.
//!
//! Not here: all of it, which is `zocp_faces::osc`.

use zocp_faces::{
    FaceError,
    osc::{Ready, publish, run as run_face},
};

use crate::{
    args::{OscArgs, OscFace},
    command::bridge::end_signals,
    exit::{Exit, Failure},
};

pub(crate) async fn run(args: OscArgs) -> Result<(), Failure> {
    let face = args.into_face()?;
    let shutdown = end_signals(&[])?;
    match face {
        OscFace::Mesh(options) => Box::pin(run_face(options, told, shutdown)).await?,
        OscFace::Program(options) => Box::pin(publish(options, told, shutdown)).await?,
    }
    Ok(())
}

fn told(ready: Ready) {
    let query = ready
        .query
        .map(|query| format!(", OSCQuery at http://{query}"));
    eprintln!(
        "zocp: OSC at {}{}, mesh port {}",
        ready.listen,
        query.unwrap_or_default(),
        ready.mesh_port
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
