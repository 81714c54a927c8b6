//! Starts a node: identity, networks, mailbox, beacons, actor.
//!
//! Layout: `startup/mailbox.rs` opens the TCP port.
//! Not here: what the node does then (`actor.rs`).

mod mailbox;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use zocp_model::{Follow, Model, NodeId};
use zocp_zre::{Endpoint, GroupName, HEADER_BRIDGE, IdHash, PeerId, Times, Zre};

use crate::actor::{Actor, Mailboxes, Parts, Queues};
use crate::beacon::{Beacons, Datagram, Failure};
use crate::channel::{Channels, HEADER_CHANNEL};
use crate::clock;
use crate::command::COMMANDS_MAX;
use crate::config::{BeaconMode, Config, Ipv6, ZOCP_GROUP};
use crate::connection::HANDSHAKE_LONGEST;
use crate::credit::SendCredits;
use crate::events::Events;
use crate::gossip::{self, GossipParts};
use crate::handover::{HEADER_LOCAL, HandoverServer, LocalName, serve};
use crate::interfaces::{Network, Selection, Watch, choose, describe};
use crate::passing::HEADER_NODES;
use crate::ports::Ports;
use crate::security::{HEADER_KEY, Keys, Security};
use crate::shared::{ChannelContext, Commands, Shared};
use crate::traffic::Traffic;
use crate::venue::{HEADER_VENUE, check_venue};

/// Why a node could not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The TCP port for peers could not be opened.
    #[error("no TCP port for peers could be opened: {0}")]
    Mailbox(#[source] io::Error),
    /// None of the TCP ports that the user chose for peers could be opened.
    #[error("TCP port {ports} for peers (mesh.mailbox_port) could not be opened: {error}")]
    MailboxPorts {
        /// The ports that were tried.
        ports: Ports,
        /// The error of the kernel for the last of them.
        #[source]
        error: io::Error,
    },
    /// The kernel's list of links and addresses could not be read.
    #[error("the list of network interfaces could not be read (netlink): {0}")]
    Netlink(#[source] io::Error),
    /// None of the interfaces that the user named exists and is up.
    #[error("no interface {} is up with an address; there are: {there}", named.join(" or "))]
    NoInterface {
        /// The names or addresses that the user gave.
        named: Vec<String>,
        /// The interfaces that exist, as `name (address)`, with a comma between.
        there: String,
    },
    /// No network could be used for beacons.
    #[error("UDP port {port} of the beacons could not be opened: {error}")]
    Beacon {
        /// The port.
        port: u16,
        /// The error of the kernel.
        #[source]
        error: io::Error,
    },
    /// Links cannot come in.
    #[error("cannot listen for links of other venues at {address}: {error}")]
    LinkMailbox {
        /// Where.
        address: SocketAddr,
        /// The error of the kernel.
        #[source]
        error: io::Error,
    },
    /// The gossip cannot listen.
    #[error("cannot listen for gossip at {address}: {error}")]
    Gossip {
        /// Where.
        address: SocketAddr,
        /// The error of the kernel.
        #[source]
        error: io::Error,
    },
    /// The operating system gave no random numbers for the identity.
    #[error("no random numbers for the node's identity: {0}")]
    Random(#[source] io::Error),
    /// An endpoint, a group or a header in the configuration is malformed; the text says which.
    #[error("{0}")]
    Config(String),
}

pub(crate) async fn start(config: Config) -> Result<(Shared, Events), StartError> {
    let id = fresh_identity()?;
    let seed = u64::from_ne_bytes(random()?);
    let watch = Watch::open().map_err(StartError::Netlink)?;
    let listed = watch.list().await.map_err(StartError::Netlink)?;
    let selection = selection(&config);
    let networks = chosen(&listed.networks, &selection, config.ipv6)?;
    let (mesh, port) = mailbox::open(&config).await?;
    let mailboxes = Mailboxes {
        mesh,
        links: mailbox::open_for_links(&config).await?,
    };
    let link_port = mailboxes.link_port().map_err(StartError::Mailbox)?;
    let (received, datagrams) = mpsc::channel(DATAGRAMS_MAX);
    let hash = IdHash::new(seed);
    let traffic = Arc::new(Traffic::new(hash));
    let beacons = open_beacons(&config, &networks, received, &traffic)?;
    let handovers = open_handovers(&config)?;
    let local = handovers.as_ref().map(|it| it.name);
    let zre = Zre::new(clock::now(), zre_config(&config, (id, port), local, seed)?);
    let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
    let (requests, request_queue) = mpsc::channel(COMMANDS_MAX);
    let (inputs, input_queue) = mpsc::channel(INPUTS_MAX);
    let (events, event_queue) = mpsc::channel(EVENT_BATCHES_MAX);
    let credits = Arc::new(SendCredits::new(config.limits.outgoing_whispers_max, hash));
    let stop = CancellationToken::new();
    let channels = Arc::new(Channels::new(stop.clone()));
    let channel_context = channel_context(&config);
    let parts = Parts {
        id,
        zre,
        model: model(&config, id),
        beacons,
        selection,
        networks,
        listed,
        inputs,
        credits: Arc::clone(&credits),
        channels: Arc::clone(&channels),
        traffic: Arc::clone(&traffic),
        stop: stop.clone(),
        hash,
    };
    let mut actor = Actor::new(&config, parts);
    actor.learn_own_addresses();
    for endpoint in &config.peers {
        actor
            .connect(clock::now(), endpoint)
            .map_err(|error| StartError::Config(format!("peer {endpoint}: {error}")))?;
    }
    for link in &config.links {
        actor
            .link(clock::now(), link)
            .map_err(|error| StartError::Config(format!("link {link}: {error}")))?;
    }
    let gossip = gossip_parts(&config, (id, port), requests.clone(), stop.clone()).await?;
    let queues = Queues {
        commands: command_queue,
        requests: request_queue,
        inputs: input_queue,
        datagrams,
        events,
    };
    tokio::spawn(actor.run(mailboxes, watch, queues));
    if let Some(gossip) = gossip {
        tokio::spawn(gossip::run(gossip));
    }
    if let Some(server) = handovers {
        tokio::spawn(serve(server, channels.tickets.clone(), stop.clone()));
    }
    let shared = Shared {
        id,
        key: config.security.map(|security| security.keys.public()),
        name: config.name,
        venue: config.venue,
        port,
        link_port,
        commands,
        requests,
        credits,
        channels,
        channel_context,
        traffic,
        stop,
    };
    Ok((shared, Events::new(event_queue)))
}

/// What the gossip needs; `None` without one.
async fn gossip_parts(
    config: &Config,
    (id, port): (PeerId, u16),
    requests: Commands,
    stop: CancellationToken,
) -> Result<Option<GossipParts>, StartError> {
    if config.gossip.is_empty() && config.gossip_listen.is_none() {
        return Ok(None);
    }
    let mut security = config.security.iter();
    if security.any(|security| !security.is_for_links()) {
        let text =
            "gossip is not encrypted: on a secure mesh name the peers with their keys instead";
        return Err(StartError::Config(text.to_owned()));
    }
    let endpoint = |text: &str| -> Result<Endpoint, StartError> {
        let wrong = |error| StartError::Config(format!("gossip {text}: {error}"));
        text.parse().map_err(wrong)
    };
    let servers = config.gossip.iter().map(|text| endpoint(text));
    let listener = match &config.gossip_listen {
        None => None,
        Some(text) => {
            let no_address =
                || StartError::Config(format!("gossip {text}: no address to listen at"));
            let address = endpoint(text)?.socket_addr().ok_or_else(no_address)?;
            let listener = TcpListener::bind(address).await;
            Some(listener.map_err(|error| StartError::Gossip { address, error })?)
        }
    };
    Ok(Some(GossipParts {
        id,
        port,
        servers: servers.collect::<Result<_, _>>()?,
        listener,
        requests,
        silence_max: config.silence_max,
        stop,
    }))
}

fn channel_context(config: &Config) -> ChannelContext {
    ChannelContext {
        keys: Keys::of(config.security.as_ref()),
        limits: config.limits.zmtp.clone(),
        handshake_max: config.limits.handshake_max,
        silence_max: config.silence_max,
    }
}

fn selection(config: &Config) -> Selection {
    if config.loopback {
        Selection::Loopback
    } else if config.interfaces.is_empty() {
        Selection::Usable
    } else {
        Selection::Named(config.interfaces.clone())
    }
}

/// The networks that exist at the start. There may be none, unless the user named some.
fn chosen(all: &[Network], selection: &Selection, ipv6: Ipv6) -> Result<Vec<Network>, StartError> {
    let networks = choose(all, selection, ipv6);
    match selection {
        Selection::Named(named) if networks.is_empty() => Err(StartError::NoInterface {
            named: named.clone(),
            there: describe(all),
        }),
        _ => Ok(networks),
    }
}

/// Opens the beacons of all networks. It is an error if that fails on every one.
fn open_beacons(
    config: &Config,
    networks: &[Network],
    received: mpsc::Sender<Datagram>,
    traffic: &Arc<Traffic>,
) -> Result<Beacons, StartError> {
    let mut beacons = Beacons::new(
        config.beacon,
        config.beacon_port(),
        received,
        Arc::clone(traffic),
        &config.limits,
    );
    let failures = beacons.follow(networks);
    if !beacons.is_silent() {
        failures.iter().for_each(Failure::warn);
    } else if let Some(failure) = failures.into_iter().next() {
        return Err(StartError::Beacon {
            port: config.beacon_port(),
            error: failure.error,
        });
    }
    Ok(beacons)
}

fn model(config: &Config, id: PeerId) -> Model {
    let follow = if config.follow {
        Follow::Everyone
    } else {
        Follow::Nobody
    };
    let me = NodeId::new(*id.as_bytes());
    Model::new(me, config.limits.model.clone()).with_follow(follow)
}

/// Where nodes of this machine pass descriptors; `None` if there can be no such socket, and then they are relayed.
fn open_handovers(config: &Config) -> Result<Option<HandoverServer>, StartError> {
    if !config.extended {
        return Ok(None);
    }
    let opened = HandoverServer::open(LocalName::new(random()?));
    let failed = |error: &io::Error| {
        warn!(%error, "no socket for descriptors of this machine: they are relayed");
    };
    Ok(opened.inspect_err(failed).ok())
}

fn zre_config(
    config: &Config,
    (id, port): (PeerId, u16),
    local: Option<LocalName>,
    seed: u64,
) -> Result<zocp_zre::Config, StartError> {
    // protocol.md §4.1, §6.1
    let mut headers = vec![(String::from("X-ZOCP"), String::from("1"))];
    if config.extended {
        headers.push((String::from(HEADER_BRIDGE), String::from("1")));
        // protocol.md §9.1
        headers.push((String::from(HEADER_CHANNEL), String::from("1")));
    }
    if let Some(local) = local {
        // protocol.md §9.10
        headers.push((String::from(HEADER_LOCAL), local.to_string()));
    }
    if let Some(venue) = &config.venue {
        check_venue(venue)
            .map_err(|error| StartError::Config(format!("venue {venue}: {error}")))?;
        headers.push((String::from(HEADER_VENUE), venue.clone()));
        if config.extended && config.security.is_some() {
            // protocol.md §10.1
            headers.push((String::from(HEADER_NODES), String::from("1")));
        }
    }
    if let Some(security) = &config.security {
        let key = security.keys.public().to_string();
        headers.push((String::from(HEADER_KEY), key));
    }
    headers.extend(config.headers.iter().cloned());
    let mut groups = vec![GroupName::new(ZOCP_GROUP)];
    groups.extend(config.groups.iter().map(|group| GroupName::new(group)));
    let groups = groups
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| StartError::Config(format!("a group in the configuration: {error}")))?;
    Ok(zocp_zre::Config {
        headers,
        groups,
        beacon: config.beacon != BeaconMode::Off,
        // protocol.md §2.11
        shares: config.extended,
        security: config.security.as_ref().map(Security::of_core),
        open: config.security.as_ref().is_some_and(Security::is_for_links),
        times: Times {
            silence_ping: config.silence_ping,
            silence_max: config.silence_max,
            // The task of the dial ends it earlier (protocol.md §2.13).
            dial_timeout: config.limits.handshake_max.max(HANDSHAKE_LONGEST),
            ..Times::default()
        },
        limits: config.limits.zre,
        ..zocp_zre::Config::new(id, &config.name, port, seed)
    })
}

/// A random UUID of version 4, as zyre and pyre make them.
fn fresh_identity() -> Result<PeerId, StartError> {
    let mut octets: [u8; 16] = random()?;
    octets[6] = octets[6] & 0x0f | 0x40;
    octets[8] = octets[8] & 0x3f | 0x80;
    Ok(PeerId::new(octets))
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)
        .map_err(|error| StartError::Random(io::Error::other(error.to_string())))?;
    Ok(octets)
}

/// Inputs that wait for the actor, each of one read of at most 128 KiB; beyond it connections are not read.
const INPUTS_MAX: usize = 64;

/// Batches of events that wait for their reader, each of what one turn of the actor brought (one read
/// of 128 KiB, or a burst of commands); then neither connections are read nor commands taken that make events.
const EVENT_BATCHES_MAX: usize = 16;

/// Beacons that wait for the actor; further ones are dropped, and their senders repeat them.
const DATAGRAMS_MAX: usize = 1024;
