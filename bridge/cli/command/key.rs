//! `zocp key`: make or show the key of this machine. It needs no bridge.

use std::path::Path;

use serde_json::json;
use zocp_daemon::config::key::{self, KeyFileError};
use zocp_node::KeyPair;

use crate::{
    args::KeyCommand,
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(output: &Output, command: &KeyCommand) -> Result<(), Failure> {
    let (KeyCommand::New { file } | KeyCommand::Show { file }) = command;
    if let KeyCommand::New { file } = command {
        key::make(file).map_err(|error| failure(file, &error))?;
    }
    let pair = key::read(file).map_err(|error| failure(file, &error))?;
    let public = pair.public();
    show(output, &pair)?;
    if let KeyCommand::New { file } = command {
        eprintln!("zocp: say so in the configuration of this machine, under [mesh]:");
        eprintln!("  key = \"{}\"", file.display());
        eprintln!("zocp: and in that of those who are to meet it, under [mesh]:");
        eprintln!("  trusted = [\"{public}\"]");
    }
    Ok(())
}

fn show(output: &Output, pair: &KeyPair) -> Result<(), Failure> {
    let public = pair.public();
    let fingerprint = public.fingerprint();
    let id = iroh_id(pair);
    if output.json {
        let mut value = json!({"key": public.to_string(), "fingerprint": fingerprint});
        if let Some(id) = id {
            value["iroh"] = id.into();
        }
        return Ok(output.value(&value)?);
    }
    output.line(&format!("key          {public}"))?;
    output.line(&format!("fingerprint  {fingerprint}"))?;
    match id {
        Some(id) => Ok(output.line(&format!("iroh id      {id}"))?),
        None => Ok(()),
    }
}

/// The id of this machine in links by iroh.
fn iroh_id(pair: &KeyPair) -> Option<String> {
    #[cfg(feature = "iroh")]
    return Some(zocp_iroh::Id::of_secret(&pair.secret_octets()).to_string());
    #[cfg(not(feature = "iroh"))]
    {
        let _ = pair;
        None
    }
}

fn failure(file: &Path, error: &KeyFileError) -> Failure {
    Failure::new(Exit::Failure, format!("{}: {error}", file.display()))
}
