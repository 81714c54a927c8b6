//! The command line: the only place where a command or a flag is described.
//!
//! Model: help, manual page and shell completions are made from these types.
//! Invariants: ARGS-1. a flag goes over its environment variable, which goes over the file.

#![allow(
    rustdoc::invalid_html_tags,
    reason = "help texts name parts of addresses in angle brackets"
)]

mod bridge;
mod dmx;
mod examples;
mod exec;
mod export;
mod face;
mod look;
mod midi;
mod monitor;
mod osc;
mod publish;
mod scene;
mod service;
mod stream;
/// Where a server listens: an address and a port. `localhost` is that of IPv4.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    address
        .parse()
        .map_err(|_| "write an address and a port, such as 127.0.0.1:9000".to_owned())
}

#[cfg(test)]
mod tests;
mod until;
mod wire;

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::{Shell, engine::ArgValueCandidates};

use crate::{complete, exit::EXIT_TABLE};

pub(crate) use bridge::{BridgeArgs, of_flag};
pub(crate) use dmx::DmxArgs;
pub(crate) use exec::ExecArgs;
pub(crate) use export::ExportArgs;
pub(crate) use look::{RoleArg, WebArgs};
pub(crate) use midi::MidiArgs;
pub(crate) use monitor::{DoctorArgs, MonitorArgs};
pub(crate) use osc::{OscArgs, OscFace};
pub(crate) use publish::PublishArgs;
pub(crate) use scene::{SceneCommand, SceneParts, Switch};
pub(crate) use service::{ServiceArgs, ServiceCommand};
pub(crate) use stream::{OfferArgs, StreamArgs};
pub(crate) use until::Until;
pub(crate) use wire::WireArgs;

/// Puts a zero-configuration mesh of machines on the D-Bus of every one of them.
///
/// `zocp bridge` finds the ZOCP nodes of the network and shows each on D-Bus as a service of its own,
/// with native properties and signals. The other commands are clients of the bridge.
#[derive(Debug, Parser)]
#[command(name = "zocp", version, after_help = EXIT_TABLE, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Common {
    /// Print JSON: one value; `watch`, `publish`, `monitor` and `wires --watch` print one value on each
    /// line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The bus: session, system, embedded or a D-Bus address; by default the session bus, or an
    /// embedded one where `bridge` and `demo` find none. The other commands reach an embedded bus
    /// by the address that it was started with
    #[arg(
        long,
        global = true,
        value_name = "BUS",
        env = "ZOCP_BUS",
        hide_env_values = true
    )]
    pub(crate) bus: Option<String>,
    /// Tell more on stderr; twice still more. `ZOCP_LOG` takes filters such as `zocp_node=debug`
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the bridge: show the nodes of the mesh on the bus
    #[command(after_help = examples::BRIDGE)]
    Bridge(BridgeArgs),
    /// Show the whole thing on this machine alone: a bridge and two nodes
    #[command(after_help = examples::DEMO)]
    Demo,
    /// List the peers that are present
    #[command(after_help = examples::LIST)]
    List,
    /// List, add and remove links: peers of other venues, and peers with which one connection is shared
    ///
    /// Without a command it lists those that are up, with round trip and rates, and those that are down, with the reason.
    #[command(after_help = examples::LINK)]
    Link {
        #[command(subcommand)]
        change: Option<LinkCommand>,
    },
    /// Show the objects and capabilities of a node, or of all
    #[command(after_help = examples::TREE)]
    Tree {
        /// Its name, its label, or the beginning of its UUID
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: Option<String>,
    },
    /// Print a value, or all values of a node
    #[command(after_help = examples::GET)]
    Get {
        /// The node: its name, its label, or the beginning of its UUID
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: String,
        /// The capability: its name, its label, or with the objects before it, `cam.zoom`; all by default
        #[arg(add = ArgValueCandidates::new(complete::capabilities))]
        name: Option<String>,
    },
    /// Set a value
    #[command(after_help = examples::SET)]
    Set {
        /// The node: its name, its label, or the beginning of its UUID
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: String,
        /// The capability: its name, its label, or with the objects before it, `cam.zoom`
        #[arg(add = ArgValueCandidates::new(complete::capabilities))]
        name: String,
        /// As the capability's type has it: 0.5, true, some text, `1,2,3` or `[1,2,3]` for vectors
        #[arg(allow_hyphen_values = true, add = ArgValueCandidates::new(complete::values))]
        value: String,
    },
    /// Call a method and print what it answers
    #[command(after_help = examples::CALL)]
    Call {
        /// The node: its name, its label, or the beginning of its UUID
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: String,
        /// The method: its name, its label, or with the objects before it, `cam.home`
        #[arg(add = ArgValueCandidates::new(complete::methods))]
        method: String,
        /// As its types have it: 0.5, true, some text, `1,2,3` or `[1,2,3]` for vectors
        #[arg(allow_hyphen_values = true)]
        arg: Vec<String>,
    },
    /// List the streams of a node, or of all
    #[command(after_help = examples::STREAMS)]
    Streams {
        /// Its name, its label, or the beginning of its UUID
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: Option<String>,
    },
    /// Open a stream of a node: a source to stdout, a sink from stdin, or for a command
    #[command(after_help = examples::STREAM)]
    Stream(StreamArgs),
    /// Publish a value on the mesh and print what arrives, or offer a stream, until Ctrl-C
    ///
    /// The bridge shows it as its own, as long as this runs. When the bridge is started anew, it is published again.
    #[command(after_help = examples::PUBLISH)]
    Publish(PublishArgs),
    /// Remove a lasting value that was published on this bridge
    #[command(after_help = examples::UNPUBLISH)]
    Unpublish {
        /// Its name, with the objects before it, `cam.pan`
        #[arg(add = ArgValueCandidates::new(complete::own_names))]
        name: String,
    },
    /// Print values and signals as they come, until Ctrl-C
    #[command(after_help = examples::WATCH)]
    Watch {
        /// Only this node, also when it is not there yet
        #[arg(add = ArgValueCandidates::new(complete::nodes))]
        node: Option<String>,
        /// Only this capability of it
        #[arg(add = ArgValueCandidates::new(complete::capabilities))]
        name: Option<String>,
        #[command(flatten)]
        until: Until,
    },
    /// Show what happens on the mesh and in the bridge, until Ctrl-C
    ///
    /// Messages by what they say, with their octets; calls with how long they took; who comes and goes;
    /// what is turned away or refused. Every filter that is given must fit. It costs the bridge nothing
    /// when nobody watches, and never waits for who does: what is missing is told as a number.
    #[command(after_help = examples::MONITOR)]
    Monitor(MonitorArgs),
    /// Find what is usually wrong, and say what to do
    ///
    /// Looks at the configuration, the network, the firewall, the bus and the bridge that runs, and changes
    /// nothing. Warnings are no problems: the exit code is 12 only where something cannot be meant so.
    #[command(after_help = examples::DOCTOR)]
    Doctor(DoctorArgs),
    /// Serve a page to see and patch the mesh, until Ctrl-C
    ///
    /// Prints its address, with a token that lets its holder in: live values with plots, controls, wires to draw
    /// and to remove, scenes, services, and what is wrong. It listens on this machine alone unless told otherwise.
    #[command(after_help = examples::WEB)]
    Web(WebArgs),
    /// Show the mesh in the terminal: nodes, values, wires, traffic
    ///
    /// Keys set values and make and remove wires; `?` lists them.
    #[command(after_help = examples::TOP)]
    Top,
    /// List all wires, whoever made them
    #[command(after_help = examples::WIRES)]
    Wires {
        /// Go on, and print each that changes, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Have what an emitter emits arrive at a sensor
    ///
    /// An end is NODE:CAPABILITY, the capability with the objects before it, `cam.zoom`; or a property, a
    /// method or a signal of a service of this bus, dbus:SERVICE:/PATH:INTERFACE.MEMBER. A name with a
    /// colon in it may be written as its label, `a_3ab` for `a:b`.
    #[command(after_help = examples::WIRE)]
    Wire(WireArgs),
    /// Remove a wire, whoever made it
    #[command(after_help = examples::UNWIRE)]
    Unwire {
        /// Where it begins, as with `wire`
        #[arg(add = ArgValueCandidates::new(complete::wires_from))]
        from: String,
        /// Where it ends
        #[arg(add = ArgValueCandidates::new(complete::wires_to))]
        to: String,
    },
    /// Keep values and wires, and restore them
    #[command(subcommand, after_help = examples::SCENE)]
    Scene(SceneCommand),
    /// Let peers use a service of this bus, until Ctrl-C, or list the rules of exports
    ///
    /// Lasting exports are in the configuration, as `[[export]]`.
    #[command(after_help = examples::EXPORT)]
    Export(ExportArgs),
    /// Run a program on the services of other machines, under their own names
    ///
    /// The program runs here, on a bus where each service that the nodes export to us has its original name, and each
    /// node its name org.z25.Zocp1.Node.<label>. What the program owns itself stays on that bus, which ends with it.
    /// The exit status is that of the program, 128 and the number of the signal that ended it, 127 when it is not
    /// there, and 126 when it cannot be run.
    #[command(after_help = examples::EXEC)]
    Exec(ExecArgs),
    /// Show the mesh to programs that speak OSC, or such a program to the mesh, until Ctrl-C
    ///
    /// Each capability has the address /<node>/<objects>/<capability>: messages to it set it, and its values go to
    /// each --send. With --publish a program is a node: what it sends are emitters, what it takes are sensors. Either
    /// is a node of its own and needs no bridge.
    #[command(after_help = examples::OSC)]
    Osc(OscArgs),
    /// Show the channels of a DMX universe as a node, with sACN or Art-Net, until Ctrl-C
    ///
    /// The patch names channels of fixtures, and says whether the mesh sets them, for lamps, or a desk does, for the
    /// mesh.
    #[command(after_help = examples::DMX)]
    Dmx(DmxArgs),
    /// Show a MIDI device, or a program, at JACK as a node, until Ctrl-C
    ///
    /// What is moved and played is learned as emitters; what is set, or arrives over a wire, is sent back to motors and
    /// lights. Connect its ports with jack_connect or a patch bay.
    #[command(after_help = examples::MIDI)]
    Midi(MidiArgs),
    /// Make or show the key of this machine, for a secure mesh
    #[command(subcommand, after_help = examples::KEY)]
    Key(KeyCommand),
    /// Trust a node of a secure mesh from now on, or list all keys
    ///
    /// Shows the fingerprint and asks whether its owner sees the same; without a key, lists all. Nobody else is met on
    /// a secure mesh.
    #[command(after_help = examples::TRUST)]
    Trust {
        /// Who: a key, a fingerprint or a UUID or the beginning of one, an address, or a node's name
        #[arg(add = ArgValueCandidates::new(complete::fingerprints))]
        who: Option<String>,
        /// The fingerprints were compared: do not ask
        #[arg(long, short, requires = "who")]
        yes: bool,
    },
    /// Trust a node of a secure mesh no longer, and end all connections with it
    #[command(after_help = examples::DISTRUST)]
    Distrust {
        /// Who, as for trust
        #[arg(add = ArgValueCandidates::new(complete::fingerprints))]
        who: String,
    },
    /// Have systemd start the bridge, with the session or with the machine
    ///
    /// Packages bring the same files. The configuration is that which `zocp bridge` reads.
    #[command(subcommand, after_help = examples::SERVICE)]
    Service(ServiceCommand),
    /// Print the completions of a shell, which then asks the running bridge for names
    ///
    /// bash: `source <(zocp completions bash)` in ~/.bashrc; zsh: the same in ~/.zshrc, behind compinit; fish:
    /// `zocp completions fish | source` in ~/.config/fish/config.fish.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = examples::MAN)]
    Man {
        /// Write pages into this directory instead, one of the whole and one for each command
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
}

/// What changes links.
#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Add a link from now on, and trust its key
    Add {
        /// The bridge of the other venue and its key, tcp://HOST:PORT|KEY, or iroh:ID|KEY where neither end can be dialed
        to: String,
        /// With iroh: a relay where both ends meet, https://HOST:PORT; may be given again
        #[arg(long, value_name = "URL")]
        relay: Vec<String>,
        /// With iroh: a file with the certificate of the relay, in PEM, if no authority of the web vouches for it
        #[arg(long, value_name = "FILE")]
        relay_certificate: Option<PathBuf>,
    },
    /// Remove a link that was added, and trust its key no longer
    Remove {
        /// The link, tcp://HOST:PORT or iroh:ID, or with its key
        #[arg(add = ArgValueCandidates::new(complete::links))]
        to: String,
    },
}

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Draw a key and write it to a file, for `mesh.key` of the configuration
    New {
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Print the public key of a file and its fingerprint
    Show {
        /// The file
        file: PathBuf,
    },
}
