//! `zocp key`: make or show the key of this machine. It needs no bridge.

use std::path::Path;

use serde_json::json;
use zocp_daemon::config::key::{self, KeyFileError};
use zocp_node::PublicKey;

use crate::{
    args::KeyCommand,
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) fn run(output: &Output, command: &KeyCommand) -> Result<(), Failure> {
    let public = match command {
        KeyCommand::New { file } => key::make(file).map_err(|error| failure(file, &error))?,
        KeyCommand::Show { file } => {
            let pair = key::read(file).map_err(|error| failure(file, &error))?;
            pair.public()
        }
    };
    show(output, public)?;
    if let KeyCommand::New { file } = command {
        eprintln!("zocp: say so in the configuration of this machine, under [mesh]:");
        eprintln!("  key = \"{}\"", file.display());
        eprintln!("zocp: and in that of those who are to meet it, under [mesh]:");
        eprintln!("  trusted = [\"{public}\"]");
    }
    Ok(())
}

fn show(output: &Output, public: PublicKey) -> Result<(), Failure> {
    let fingerprint = public.fingerprint();
    if output.json {
        let value = json!({"key": public.to_string(), "fingerprint": fingerprint});
        return Ok(output.value(&value)?);
    }
    output.line(&format!("key          {public}"))?;
    Ok(output.line(&format!("fingerprint  {fingerprint}"))?)
}

fn failure(file: &Path, error: &KeyFileError) -> Failure {
    Failure::new(Exit::Failure, format!("{}: {error}", file.display()))
}
