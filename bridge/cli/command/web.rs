//! `zocp web`: a page to see and patch the mesh.
//!
//! Model: two connections to the bus, one that follows and one that acts; scenes and the doctor are this program again.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path};

use zocp_web::{Actions, Options, Role, Secret, Server, StartError, Tools, follow, secrets};

use crate::{
    args::{RoleArg, WebArgs},
    client::Client,
    command::bridge::end_signals,
    exit::{Exit, Failure},
    output::Output,
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    args: WebArgs,
) -> Result<(), Failure> {
    let listener = Client::open(bus.as_deref()).await?;
    let actor = listener.again().await?;
    let (listen, is_named) = (args.listen, !args.host.is_empty());
    let server = Server::start(options(args)?)
        .await
        .map_err(|error| failure(&error))?;
    let host = match listen.ip() {
        address if address.is_loopback() => address.to_string(),
        address if address.is_unspecified() || is_named => host_name(),
        address => address.to_string(),
    };
    output.line(&server.url(&bracketed(&host)))?;
    if let Some(fingerprint) = server.fingerprint() {
        eprintln!("zocp: the certificate's SHA-256 fingerprint is\n  {fingerprint}");
    }
    let (followed, feed) = follow(listener.connection.clone());
    let actions = Actions::new(actor.connection.clone(), followed.clone());
    let tools = Tools::new(env::current_exe()?, listener.address().to_owned());
    let ended = end_signals(&[])?;
    tokio::select! {
        // None has a state that is to be kept: with one, all end.
        lost = feed => {
            lost?;
            Err(Failure::new(Exit::NoBus, "the bus is gone"))
        }
        served = server.run(followed, actions, tools) => Ok(served?),
        () = ended => Ok(()),
    }
}

fn options(args: WebArgs) -> Result<Options, Failure> {
    let passwords = args.password_file.as_deref().map(passwords).transpose()?;
    Ok(Options {
        listen: args.listen,
        hosts: args.host.into_iter().chain([host_name()]).collect(),
        role: match args.role {
            RoleArg::Look => Role::Look,
            RoleArg::Play => Role::Play,
            RoleArg::Patch => Role::Patch,
        },
        passwords: passwords.unwrap_or_default(),
        certificate: args.certificate.zip(args.key),
        state: crate::scene::state_directory()?,
    })
}

/// The passwords of a file that nobody else reads.
fn passwords(file: &Path) -> Result<Vec<Secret>, Failure> {
    let at = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{}: {error}", file.display()))
    };
    let mode = fs::metadata(file)
        .map_err(|error| at(&error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(at(&"others may read it").hint(format!("run `chmod 600 {}`", file.display())));
    }
    let text = fs::read_to_string(file).map_err(|error| at(&error))?;
    secrets(&text).map_err(|error| {
        at(&error).hint("a line is `patch a long password`; the roles are look, play, patch")
    })
}

fn failure(error: &StartError) -> Failure {
    match error {
        StartError::Open(_) => {
            let failure = Failure::new(Exit::Usage, error.to_string());
            failure.hint("write a file with the line `patch a long password`, and name it with --password-file")
        }
        StartError::Listen(_, reason) => {
            let failure = Failure::new(Exit::Failure, error.to_string());
            match reason.kind() {
                std::io::ErrorKind::AddrInUse => {
                    failure.hint("name another port with --listen; 0 takes a free one")
                }
                _ => failure,
            }
        }
        _ => Failure::new(Exit::Failure, error.to_string()),
    }
}

fn host_name() -> String {
    let names = rustix::system::uname();
    names.nodename().to_string_lossy().into_owned()
}

/// An IPv6 address as it is written in an address of a page.
fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}
