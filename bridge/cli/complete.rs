//! Completion of a command line: at each Tab the shell asks this program, and names come from the running bridge.
//!
//! Model: the script of a shell (`zocp completions SHELL`) runs the program again with [`VARIABLE`] set and the words so
//! far. What commands and options there are is known from `args`; for names, the functions here ask the bridge, and find
//! in the words which bus and which node are meant.
//! Invariants: COMPLETE-1. where there is no bus or no bridge nothing is said, and no bridge is started. COMPLETE-2. no
//! name that steers a terminal is offered.
//! Limits: [`ANSWER_MAX`] for the bridge.
//! Layout: `bash` is the script and the answer for bash; `names_first` keeps options back where names are.

mod bash;
mod names_first;

use std::{ffi::OsString, future::Future, sync::OnceLock, time::Duration};

use clap::{ArgMatches, Command};
use clap_complete::{
    CompletionCandidate,
    env::{CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh},
};
use tokio::time::timeout;
use zbus::{fdo::DBusProxy, names::BusName};
use zocp_client::text::is_steering;
use zocp_interfaces::{BRIDGE_NAME, NODE_NAME_PREFIX};

use self::names_first::NamesFirst;
use crate::{
    client::Client,
    exit::Failure,
    keys,
    links::removable,
    methods::names,
    scene::Scenes,
    streams::streams_of,
    view::{CapabilityView, NodeView, PeerView},
};

/// What `zocp` takes. The candidates that its arguments name are here, so the arguments are told, not imported.
static COMMAND: OnceLock<fn() -> Command> = OnceLock::new();

/// Answers the shell and ends, if one asks.
pub(crate) fn answer_shell(command: fn() -> Command) {
    COMMAND.get_or_init(|| command);
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .shells(Shells(SHELLS))
        .complete();
}

/// The script that a shell reads once, so that it asks from then on.
pub(crate) fn script(shell: &str) -> Result<String, Failure> {
    let mut text = Vec::new();
    let shells = Shells(SHELLS);
    if let Some(shell) = shells.completer(shell) {
        shell.write_registration(VARIABLE, "zocp", "zocp", "zocp", &mut text)?;
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if shell == "zsh" {
        // zsh reads a file of its `fpath` when it completes for the first time, and expects an answer then.
        text.push_str("\n[[ ${funcstack[1]-} == _zocp ]] && _clap_dynamic_completer_zocp \"$@\"\n");
    }
    Ok(text)
}

/// The nodes, and this bridge as one.
pub(crate) fn nodes() -> Vec<CompletionCandidate> {
    ask(async |client, _| Ok(named(&client.nodes().await?)))
}

/// The capabilities of the node that the words name.
pub(crate) fn capabilities() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        let peer = client.node(&line.word("node")).await?;
        let tree = client.tree(&peer.bus_name).await?;
        Ok(with_values(&tree))
    })
}

/// What is published on this bridge.
pub(crate) fn own_names() -> Vec<CompletionCandidate> {
    ask(async |client, _| Ok(with_values(&client.tree(BRIDGE_NAME).await?)))
}

/// The capabilities of a node, each with its value and access.
fn with_values(tree: &NodeView) -> Named {
    let named = tree.named().into_iter();
    let with_value = |(name, capability): (String, &CapabilityView)| {
        let value = capability.value.as_ref();
        let value = value.map(|(value, _)| value.to_string());
        let access = capability.described("access");
        (name, format!("{} {access}", value.unwrap_or_default()))
    };
    named.map(with_value).collect()
}

/// The streams of the node that the words name.
pub(crate) fn streams() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        let peer = client.node(&line.word("node")).await?;
        let tree = client.tree(&peer.bus_name).await?;
        let of = streams_of(&peer.name, &tree).into_iter();
        Ok(of
            .map(|stream| (stream.dotted, stream.direction.name().to_owned()))
            .collect())
    })
}

/// What a capability can be set to, where that is a choice.
pub(crate) fn values() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        let peer = client.node(&line.word("node")).await?;
        let tree = client.tree(&peer.bus_name).await?;
        let found = tree.find(&line.word("name")).map(|(_, found)| found);
        let Some(capability) = found else {
            return Ok(Vec::new());
        };
        let hint = capability.described("type_hint");
        let texts: Vec<String> = match capability.value.as_ref() {
            Some((value, _)) if value.is_boolean() => {
                vec![String::from("true"), String::from("false")]
            }
            _ => ["min", "max"]
                .iter()
                .filter_map(|bound| Some(capability.description.get(*bound)?.to_string()))
                .collect(),
        };
        let texts = texts.into_iter();
        Ok(texts.map(|text| (text, hint.to_owned())).collect())
    })
}

/// The methods of the node that the words name.
pub(crate) fn methods() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        let peer = client.node(&line.word("node")).await?;
        let tree = client.tree(&peer.bus_name).await?;
        let names = names(&client, &tree).await?;
        Ok(names
            .into_iter()
            .map(|name| (name, String::new()))
            .collect())
    })
}

/// The ends of wires: NODE:CAPABILITY. Nodes first, unless the beginning of one is written.
pub(crate) fn ends() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        if let Some(service) = line.current.strip_prefix("dbus:") {
            let services = services_of(&client).await?.into_iter();
            let is_meant = |(name, _): &(String, String)| name.starts_with(service);
            let ends = services.filter(is_meant);
            return Ok(ends
                .map(|(name, help)| (format!("dbus:{name}:/"), help))
                .collect());
        }
        let nodes = client.nodes().await?;
        let begin = line.current.split(':').next().unwrap_or_default();
        let nodes: Vec<(String, String)> = named(&nodes)
            .into_iter()
            .map(|(name, label)| {
                (
                    if name.contains(':') {
                        label.clone()
                    } else {
                        name
                    },
                    label,
                )
            })
            .filter(|(name, _)| match line.current.contains(':') {
                true => name == begin,
                false => name.starts_with(begin),
            })
            .collect();
        let [(node, _)] = &nodes[..] else {
            let ends = nodes.into_iter();
            return Ok(ends
                .map(|(name, help)| (format!("{name}:"), help))
                .collect());
        };
        let peer = client.node(node).await?;
        let tree = client.tree(&peer.bus_name).await?;
        let ends = tree.named().into_iter().map(|(name, capability)| {
            let access = capability.described("access").to_owned();
            (format!("{node}:{name}"), access)
        });
        Ok(ends.collect())
    })
}

/// Where a wire begins.
pub(crate) fn wires_from() -> Vec<CompletionCandidate> {
    ask(async |client, _| {
        let wires = client.wires().await?.into_iter();
        Ok(wires.map(|wire| (wire.from, wire.state)).collect())
    })
}

/// Where the wires end that begin at the end that the words name.
pub(crate) fn wires_to() -> Vec<CompletionCandidate> {
    ask(async |client, line| {
        let from = line.word("from");
        let wires = client.wires().await?.into_iter();
        let of_it = wires.filter(|wire| wire.from == from);
        Ok(of_it.map(|wire| (wire.to, wire.state)).collect())
    })
}

/// The services of this bus.
pub(crate) fn services() -> Vec<CompletionCandidate> {
    ask(async |client, _| services_of(&client).await)
}

/// The fingerprints that the bridge knows.
pub(crate) fn fingerprints() -> Vec<CompletionCandidate> {
    ask(async |client, _| keys::fingerprints(&client).await)
}

/// Links that were added by command, without their keys.
pub(crate) fn links() -> Vec<CompletionCandidate> {
    ask(async |client, _| removable(&client).await)
}

/// The scenes of this user; they need no bridge.
pub(crate) fn scenes() -> Vec<CompletionCandidate> {
    let names = Scenes::of_user().and_then(|scenes| scenes.names());
    let names = names.unwrap_or_default().into_iter();
    candidates(names.map(|name| (name, String::new())).collect())
}

/// The network interfaces of this machine.
pub(crate) fn interfaces() -> Vec<CompletionCandidate> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    let names = names.map(|name| (name.to_string_lossy().into_owned(), String::new()));
    candidates(names.collect())
}

/// A name and a few words about it.
type Named = Vec<(String, String)>;

/// The words so far.
struct Line {
    matches: ArgMatches,
    current: String,
}

impl Line {
    /// From the arguments that the script of a shell gives: `-- zocp WORD…`, of which one is being written.
    fn read() -> Option<Self> {
        let mut words: Vec<OsString> = std::env::args_os()
            .skip_while(|word| word != "--")
            .collect();
        if words.is_empty() {
            return None;
        }
        words.remove(0);
        let last = words.len().saturating_sub(1);
        let index = std::env::var("_CLAP_COMPLETE_INDEX").ok();
        let index = index.and_then(|text| text.parse().ok()).unwrap_or(last);
        let current = words
            .get(index)
            .map(|word| word.to_string_lossy().into_owned());
        words.truncate(index);
        let command = COMMAND.get()?().ignore_errors(true);
        Some(Self {
            matches: command.try_get_matches_from(words).ok()?,
            current: current.unwrap_or_default(),
        })
    }

    /// A word by the name of its argument; empty where it is not written yet.
    fn word(&self, argument: &str) -> String {
        let mut matches = &self.matches;
        let mut found = None;
        loop {
            if let Ok(Some(word)) = matches.try_get_one::<String>(argument) {
                found = Some(word.clone());
            }
            match matches.subcommand() {
                Some((_, inner)) => matches = inner,
                None => return found.unwrap_or_default(),
            }
        }
    }
}

/// What the bridge says; nothing where there is none, or none that answers.
fn ask<F>(question: impl FnOnce(Client, Line) -> F) -> Vec<CompletionCandidate>
where
    F: Future<Output = Result<Named, Failure>>,
{
    let asked = async {
        let line = Line::read()?;
        let bus = Some(line.word("bus")).filter(|bus| !bus.is_empty());
        let client = Client::open(bus.as_deref()).await.ok()?;
        let dbus = DBusProxy::new(&client.connection).await.ok()?;
        let bridge = BusName::try_from(BRIDGE_NAME).ok()?;
        if !dbus.name_has_owner(bridge).await.ok()? {
            return None;
        }
        question(client, line).await.ok()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = runtime.ok().and_then(|runtime| {
        // The timer belongs to the runtime that it is made in.
        runtime.block_on(async { timeout(ANSWER_MAX, asked).await.ok().flatten() })
    });
    candidates(answer.unwrap_or_default())
}

fn candidates(names: Named) -> Vec<CompletionCandidate> {
    let fit = |text: &str| !text.is_empty() && !text.chars().any(is_steering);
    let names = names.into_iter().filter(|(name, _)| fit(name));
    names
        .map(|(name, help)| {
            let help = Some(help).filter(|help| fit(help));
            CompletionCandidate::new(name).help(help.map(Into::into))
        })
        .collect()
}

/// Each by its name, or by its label where another has the name.
fn named(peers: &[PeerView]) -> Named {
    let is_alone = |peer: &PeerView| peers.iter().filter(|it| it.name == peer.name).count() == 1;
    peers
        .iter()
        .map(|peer| {
            let name = if is_alone(peer) {
                &peer.name
            } else {
                &peer.label
            };
            (name.clone(), peer.label.clone())
        })
        .collect()
}

/// The names of services that are no nodes.
async fn services_of(client: &Client) -> Result<Named, Failure> {
    let dbus = DBusProxy::new(&client.connection).await?;
    let names = dbus.list_names().await?;
    let names = names.iter().map(|name| name.as_str()).filter(|name| {
        let is_ours = name.starts_with(NODE_NAME_PREFIX) || *name == BRIDGE_NAME;
        !is_ours && !name.starts_with(':') && *name != "org.freedesktop.DBus"
    });
    Ok(names.map(|name| (name.to_owned(), String::new())).collect())
}

/// A shell that asks for names.
const fn asking<S>(shell: S) -> NamesFirst<S> {
    NamesFirst {
        shell,
        is_option: || Line::read().is_some_and(|line| line.current.starts_with('-')),
    }
}

/// The shells that ask.
const SHELLS: &[&dyn EnvCompleter] = &[
    &asking(bash::Bash),
    &asking(Elvish),
    &asking(Fish),
    &asking(Powershell),
    &asking(Zsh),
];
/// Set by the scripts; its value is the shell.
const VARIABLE: &str = "ZOCP_COMPLETE";
/// Who presses Tab does not wait longer.
const ANSWER_MAX: Duration = Duration::from_millis(500);
