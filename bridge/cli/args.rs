//! The command line: the only place where a command or a flag is described.
//!
//! Model: help, manual page and shell completions are made from these types.
//! Invariants: ARGS-1. a flag goes over its environment variable, which goes over the file.

#![allow(
    rustdoc::invalid_html_tags,
    reason = "help texts name parts of addresses in angle brackets"
)]

mod dmx;
mod examples;
mod exec;
mod face;
mod look;
mod midi;
mod osc;
mod publish;
mod scene;
mod service;
mod stream;
mod until;

use std::{collections::HashMap, ffi::OsString, path::PathBuf};

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use clap_complete::{Shell, engine::ArgValueCandidates};
use zbus::Variant;
use zocp_daemon::config::{
    Beacon, BusConfig, Config, ConfigError, ExportConfig, MeshConfig, StateConfig,
};

use crate::{
    complete,
    exit::{EXIT_TABLE, Exit, Failure},
};

pub(crate) use dmx::DmxArgs;
pub(crate) use exec::{EXEC_EXAMPLES, ExecArgs};
pub(crate) use look::{RoleArg, WebArgs};
pub(crate) use midi::MidiArgs;
pub(crate) use osc::{OscArgs, OscFace};
pub(crate) use publish::PublishArgs;
pub(crate) use scene::{SceneCommand, SceneParts, Switch};
pub(crate) use service::{ServiceArgs, ServiceCommand};
pub(crate) use stream::{OfferArgs, StreamArgs};
pub(crate) use until::Until;

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
    /// Print JSON: one value, of `watch` one value a line
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
        node: Option<String>,
    },
    /// Open a stream of a node: a source to stdout, a sink from stdin, or for a command
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
    Web(WebArgs),
    /// Show the mesh in the terminal: nodes, values, wires, traffic
    ///
    /// Keys set values and make and remove wires; `?` lists them.
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
    /// Let peers use a service of this bus, until Ctrl-C
    ///
    /// Lasting exports are in the configuration, as `[[export]]`.
    #[command(after_help = examples::EXPORT)]
    Export {
        /// Its name, org.example.Name, or org.example.* for all below it
        #[arg(add = ArgValueCandidates::new(complete::services))]
        service: String,
        /// Only these methods: interface.member@/path, where the member may be *; all by default
        #[arg(long, value_name = "RULE")]
        call: Vec<String>,
        /// Only these signals, written the same way; none with --call, else all by default
        #[arg(long, value_name = "RULE")]
        broadcast: Vec<String>,
        /// Nothing but to know of it, to introspect and to ping it
        #[arg(long)]
        see: bool,
        /// Record what is asked, and print at the end the rules that allow exactly that
        ///
        /// Without --see, --call and --broadcast everything is allowed meanwhile; with them only that, and
        /// what is refused is recorded too.
        #[arg(long)]
        learn: bool,
        /// Only this peer, by name, UUID or key (key:…); every peer by default
        #[arg(long, value_name = "PEER", add = ArgValueCandidates::new(complete::nodes))]
        peer: Vec<String>,
    },
    /// Run a program on the services of other machines, under their own names
    ///
    /// The program runs here, on a bus where each service that the nodes export to us has its original name, and each
    /// node its name org.z25.Zocp1.Node.<label>. What the program owns itself stays on that bus, which ends with it.
    /// The exit status is that of the program, 128 and the number of the signal that ended it, 127 when it is not
    /// there, and 126 when it cannot be run.
    #[command(after_help = EXEC_EXAMPLES)]
    Exec(ExecArgs),
    /// Show the mesh to programs that speak OSC, or such a program to the mesh, until Ctrl-C
    ///
    /// Each capability has the address /<node>/<objects>/<capability>: messages to it set it, and its values go to
    /// each --send. With --publish a program is a node: what it sends are emitters, what it takes are sensors. Either
    /// is a node of its own and needs no bridge.
    Osc(OscArgs),
    /// Show the channels of a DMX universe as a node, with sACN or Art-Net, until Ctrl-C
    ///
    /// The patch names channels of fixtures, and says whether the mesh sets them, for lamps, or a desk does, for the mesh.
    Dmx(DmxArgs),
    /// Show a MIDI device, or a program, at JACK as a node, until Ctrl-C
    ///
    /// What is moved and played is learned as emitters; what is set, or arrives over a wire, is sent back to motors and
    /// lights. Connect its ports with jack_connect or a patch bay.
    Midi(MidiArgs),
    /// Make or show the key of this machine, for a secure mesh
    #[command(subcommand, after_help = examples::KEY)]
    Key(KeyCommand),
    /// Trust a node of a secure mesh from now on, or list all keys
    ///
    /// Shows the fingerprint and asks whether its owner sees the same; without a key, lists all. Nobody else is met on a secure mesh.
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

/// What the doctor looks at.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The configuration of the bridge; by default that which it would read here
    #[arg(long, value_name = "FILE", env = "ZOCP_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// What of all that happens is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitorArgs {
    /// Only what concerns this peer, by its name or UUID; may be given several times
    #[arg(long, value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub(crate) peer: Vec<String>,
    /// Only messages that say this: SIG, SET, call, signal; may be given several times
    #[arg(long, value_name = "VERB")]
    pub(crate) verb: Vec<String>,
    /// Only D-Bus messages of this service; may be given several times
    #[arg(long, value_name = "SERVICE", add = ArgValueCandidates::new(complete::services))]
    pub(crate) service: Vec<String>,
    /// The beacons of others, too
    #[arg(long)]
    pub(crate) beacons: bool,
    /// Write a capture file, pcapng, which Wireshark opens; - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) until: Until,
}

/// What a wire is made with.
#[derive(Debug, clap::Args)]
pub(crate) struct WireArgs {
    /// Where it begins: an emitter, or a property or signal of a service
    #[arg(add = ArgValueCandidates::new(complete::ends))]
    pub(crate) from: String,
    /// Where it ends: a sensor or what can be set, or a property or method of a service
    #[arg(add = ArgValueCandidates::new(complete::ends))]
    pub(crate) to: String,
    /// From one range to another, 0..1=0..255, or `ends` for the ranges of the two ends
    #[arg(
        long,
        value_name = "FIRST..LAST=FIRST..LAST",
        allow_hyphen_values = true
    )]
    pub(crate) scale: Option<String>,
    /// Keep the value in the range that it goes to
    #[arg(long)]
    pub(crate) clamp: bool,
    /// Turn the range that it goes to around
    #[arg(long)]
    invert: bool,
    /// Let pass nothing but a trigger, each time the value rises to this (with --invert: falls below)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) threshold: Option<f64>,
    /// Compute the value first, such as `if value > 3 { 1 } else { 0 }`
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    pub(crate) expr: Option<String>,
    /// Deliver each value, in order, however slow the target is: for events (the default for methods, and for
    /// what cannot be read)
    #[arg(long, conflicts_with = "latest")]
    every: bool,
    /// Deliver the newest value when the target is slower than the source: for states (the default for
    /// properties, and for what can be read)
    #[arg(long)]
    latest: bool,
    /// Hand over the value that the source has when the wire is made; without this a state is handed over
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true
    )]
    initial: Option<bool>,
    /// Keep the wire when the bridge ends; its ends need not be here yet
    #[arg(long)]
    pub(crate) lasting: bool,
}

impl WireArgs {
    /// As the bridge takes them.
    pub(crate) fn options(&self) -> HashMap<&'static str, Variant<'static>> {
        let text = |text: &Option<String>| text.clone().map(Variant::new);
        let truth = |truth: bool| truth.then(|| Variant::new(true));
        let options = [
            ("Scale", text(&self.scale)),
            ("Clamp", truth(self.clamp)),
            ("Invert", truth(self.invert)),
            ("Threshold", self.threshold.map(Variant::new)),
            ("Expression", text(&self.expr)),
            (
                "Deliver",
                self.every.then(|| Variant::new("every".to_owned())),
            ),
            (
                "Deliver",
                self.latest.then(|| Variant::new("latest".to_owned())),
            ),
            ("Initial", self.initial.map(Variant::new)),
            ("Lasting", truth(self.lasting)),
        ];
        let given = options
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        given.collect()
    }
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

/// What the bridge takes.
#[derive(Debug, clap::Args)]
pub(crate) struct BridgeArgs {
    /// The name of the bridge on the mesh; the host's name by default
    #[arg(long, env = "ZOCP_NAME", hide_env_values = true)]
    name: Option<String>,
    /// A network interface to use, by name or address; every usable one by default
    #[arg(
        long,
        value_name = "INTERFACE",
        env = "ZOCP_INTERFACE",
        value_delimiter = ',',
        add = ArgValueCandidates::new(complete::interfaces)
    )]
    #[arg(hide_env_values = true)]
    interface: Option<Vec<String>>,
    /// How peers are found; broadcast by default
    #[arg(long, env = "ZOCP_BEACON", value_enum, hide_env_values = true)]
    beacon: Option<BeaconArg>,
    /// The UDP port of the beacons; 5670 by default
    #[arg(long, env = "ZOCP_PORT", hide_env_values = true)]
    port: Option<u16>,
    /// The TCP port for peers, or a range such as 49152-49160, of which the first that is free is taken; the
    /// system chooses by default
    #[arg(
        long,
        value_name = "PORT",
        env = "ZOCP_MAILBOX_PORT",
        hide_env_values = true
    )]
    mailbox_port: Option<String>,
    /// A peer to meet without beacons, tcp://HOST:PORT
    #[arg(
        long,
        value_name = "ENDPOINT",
        env = "ZOCP_PEER",
        value_delimiter = ','
    )]
    #[arg(hide_env_values = true)]
    peer: Option<Vec<String>>,
    /// A service of this bus that every peer may use, org.example.Name or org.example.*
    #[arg(
        long,
        value_name = "SERVICE",
        env = "ZOCP_EXPORT",
        value_delimiter = ','
    )]
    #[arg(hide_env_values = true)]
    export: Vec<String>,
    /// The configuration file; by default $XDG_CONFIG_HOME/zocp/bridge.toml, else
    /// /etc/zocp/bridge.toml
    #[arg(long, value_name = "FILE", env = "ZOCP_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// The directory for what outlives the bridge; by default $XDG_STATE_HOME/zocp; '' for none
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ZOCP_STATE",
        hide_env_values = true
    )]
    state: Option<OsString>,
}

impl BridgeArgs {
    /// What flags and environment say, to be laid over the file.
    pub(crate) fn into_config(self, bus: Option<String>) -> Config {
        Config {
            mesh: MeshConfig {
                name: self.name,
                interface: self.interface,
                beacon: self.beacon.map(Beacon::from),
                port: self.port,
                mailbox_port: self.mailbox_port,
                peers: self.peer,
                ..MeshConfig::default()
            },
            bus: BusConfig { address: bus },
            state: StateConfig {
                directory: self.state.map(PathBuf::from),
            },
            export: self.export.into_iter().map(ExportConfig::talk).collect(),
            ..Config::default()
        }
    }
}

/// What is wrong with what a flag or its variable said, by the flag's name too.
pub(crate) fn of_flag(error: ConfigError) -> Failure {
    match error {
        ConfigError::Invalid { key, reason } => {
            let flag = flag_of(key).map(|flag| format!(" ({flag})"));
            let text = format!("{key}{}: {reason}", flag.unwrap_or_default());
            Failure::new(Exit::Usage, text)
        }
        error => error.into(),
    }
}

/// The flag that says the same as a key of the configuration.
pub(crate) fn flag_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "mesh.name" => "--name",
        "mesh.port" => "--port",
        "mesh.mailbox_port" => "--mailbox-port",
        "mesh.peers" => "--peer",
        "bus.address" => "--bus",
        _ => return None,
    })
}

/// How peers are found.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BeaconArg {
    /// A datagram each second to each network's broadcast address
    Broadcast,
    /// A datagram each second to the group 225.25.25.25
    Multicast,
    /// Only configured peers, and those that greet
    Off,
}

impl From<BeaconArg> for Beacon {
    fn from(beacon: BeaconArg) -> Self {
        match beacon {
            BeaconArg::Broadcast => Self::Broadcast,
            BeaconArg::Multicast => Self::Multicast,
            BeaconArg::Off => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// Every line `  zocp …` at the end of a help, without what is behind it.
    #[test]
    fn the_examples_of_the_help_are_command_lines() {
        let mut read = 0;
        for command in Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default().replace("\\\n", "");
            for line in help.lines().filter(|line| line.contains("zocp ")) {
                let line = line.trim().trim_start_matches("sudo ");
                let line = line.trim_start_matches("source <(").trim_end_matches(')');
                let line = line.split(" #").next().unwrap_or_default();
                let line = line.split(['|', '<', '>']).next().unwrap_or_default();
                let words = line
                    .split("\'")
                    .enumerate()
                    .flat_map(|(at, part)| match at % 2 {
                        0 => part.split_whitespace().collect(),
                        _ => vec![part],
                    });
                let words: Vec<&str> = words.collect();
                if let Err(error) = Args::try_parse_from(&words) {
                    panic!("{line}: {error}");
                }
                read += 1;
            }
        }
        assert!(read > 40, "{read} examples are read");
    }

    #[test]
    fn a_negative_number_is_a_value() {
        let args = Args::try_parse_from(["zocp", "set", "lamp", "level", "-0.5"]).unwrap();
        assert!(matches!(args.command, Command::Set { value, .. } if value == "-0.5"));
    }

    #[test]
    fn flags_of_the_bridge_become_configuration() {
        let line = "zocp bridge --name a --peer tcp://h:1 --peer tcp://h:2 --interface lo --beacon off \
             --export org.a.B --export org.c.*";
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Command::Bridge(bridge) = args.command else {
            panic!("not the bridge")
        };
        let config = bridge.into_config(Some(String::from("system")));
        assert_eq!(config.mesh.name.as_deref(), Some("a"));
        assert_eq!(config.mesh.peers.unwrap(), ["tcp://h:1", "tcp://h:2"]);
        assert_eq!(config.mesh.interface.unwrap(), ["lo"]);
        assert_eq!(config.mesh.beacon, Some(Beacon::Off));
        assert_eq!(config.bus.address.as_deref(), Some("system"));
        assert_eq!(config.mesh.port, None);
        let exported: Vec<&str> = config.export.iter().map(|it| &*it.service).collect();
        assert_eq!(exported, ["org.a.B", "org.c.*"]);
        assert!(config.export.iter().all(|it| it.talk));
    }
}
