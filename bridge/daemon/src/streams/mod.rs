//! Streams of nodes as descriptors.
//!
//! Model: [`acquire`] opens a stream of a peer for a program of this bus, by the first way that leads there; [`offers`]
//! answers peers that ask for streams of this node. The bridge keeps nothing of a direct or a multicast socket. A relayed
//! stream is a channel that is carried to a socket pair; it is over when either end is closed. A peer of this machine
//! passes the socket that it connected.
//! Invariants: STREAMS-1. The bridge's own copy of what it hands over is closed when the answer is sent, or is not: so a
//! holder that is gone, before or after, closes the stream.
//! Limits: those of channels (`zocp_node`); [`sockets`].
//! Not here: the objects that have streams (`crate::view`), who may publish one (`crate::local`).
//! Spec: docs/reference/dbus.md, "Streams"; docs/reference/protocol.md §9.7

pub(crate) mod offers;
mod sockets;
mod ways;

use std::io;
use std::os::fd::OwnedFd;

use futures_util::{FutureExt, future::BoxFuture};
use zbus::Variant;
use zocp_dbus::{errors::Refusal, message::Text, server::ObjectTable};
use zocp_interfaces::STREAMS_INTERFACE;
use zocp_mapping::types;
use zocp_node::model::stream::{Direction, Stream};
use zocp_node::{
    CapPath, Carried, Channel, DescriptorKind, LocalEnd, LocalName, Node, ObjectPath, PeerId,
    Redeemed, Value,
};

pub(crate) use self::ways::Way;
use self::ways::{Attempt, Reach, plan};
use crate::{node_error::refusal, view::metadata::ObjectMetadata};

/// What a program wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The stream.
    pub(crate) path: CapPath,
    pub(crate) direction: Direction,
    /// What its node says of it.
    pub(crate) stream: Stream,
    pub(crate) way: Option<Way>,
}

impl Wanted {
    /// The stream of this name of an object; `None` if there is none.
    pub(crate) fn of(
        object: &ObjectPath,
        metadata: &ObjectMetadata,
        name: &str,
        options: Options,
    ) -> Option<Self> {
        let mut directions = Direction::ALL.into_iter();
        directions.find_map(|direction| {
            let is_wanted = options.direction.is_none_or(|wanted| wanted == direction);
            let stream = metadata.stream(direction, name).filter(|_| is_wanted)?;
            Some(Self {
                path: object.capability(name),
                direction,
                stream,
                way: options.way,
            })
        })
    }
}

/// What a program gets.
pub struct Acquired {
    pub(crate) fd: OwnedFd,
    pub(crate) info: Variant<'static>,
    /// Ends when a relayed stream is over.
    pub(crate) over: Option<BoxFuture<'static, Option<Carried>>>,
}

/// The options of `Acquire`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) way: Option<Way>,
    pub(crate) direction: Option<Direction>,
}

impl Options {
    /// Reads `a{sv}`.
    ///
    /// # Errors
    /// `InvalidArgs` for an unknown option, or one that is not of its type.
    pub(crate) fn understand(options: Option<&Variant<'_>>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let Some(Variant::Dict(options)) = options else {
            return Ok(read);
        };
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                continue;
            };
            let text = match &**value {
                Variant::Str(text) => text.as_str(),
                _ => "",
            };
            match key.as_str() {
                "Way" => read.way = Some(Way::named(text).ok_or_else(|| unknown(key, text))?),
                "Direction" => {
                    read.direction =
                        Some(Direction::named(text).ok_or_else(|| unknown(key, text))?);
                }
                key => return Err(unknown(key, text)),
            }
        }
        Ok(read)
    }
}

fn unknown(key: &str, text: &str) -> Refusal {
    let known = "Way is direct, multicast or relay, and Direction is source or sink";
    Refusal::InvalidArgs(format!("\"{key}\" = \"{text}\" is not an option: {known}"))
}

/// Opens a stream of a peer, whose name is `name`.
///
/// # Errors
/// See `interfaces/org.z25.Zocp1.Streams.xml`.
pub(crate) async fn acquire(
    node: &Node,
    peer: PeerId,
    name: &str,
    wanted: Wanted,
) -> Result<Acquired, Refusal> {
    let what = wanted.path.to_string();
    let gone = || Refusal::NodeGone(name.to_owned());
    let info = node.peer(peer).await.map_err(|_| gone())?;
    let info = info.ok_or_else(gone)?;
    let address = info.endpoint.trim_start_matches("tcp://").parse();
    let reach = Reach {
        address: address.ok().map(|it: std::net::SocketAddrV4| *it.ip()),
        is_secure: info.is_secure(),
        channels: info.channels,
        is_here: LocalName::of(&info).is_some(),
    };
    let mut failure = None;
    for attempt in plan(&wanted.stream, wanted.way, reach)? {
        match open(node, peer, attempt, &wanted, reach).await {
            Ok(opened) => return Ok(opened),
            // A peer that does not pass a socket may relay.
            Err(Failure::Node(error)) if attempt == Attempt::Passed => {
                failure = Some(io::Error::other(error));
            }
            // The relay is tried last, and its errors have names.
            Err(Failure::Node(error)) => return Err(refusal(error, name, &what)),
            Err(Failure::Socket(error)) => failure = Some(error),
        }
    }
    let failure = failure.map_or_else(String::new, |error| error.to_string());
    Err(Refusal::Failed(format!("{what}: {failure}")))
}

enum Failure {
    Node(zocp_node::NodeError),
    Socket(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

async fn open(
    node: &Node,
    peer: PeerId,
    attempt: Attempt,
    wanted: &Wanted,
    reach: Reach,
) -> Result<Acquired, Failure> {
    let direction = wanted.direction;
    let fd = match attempt {
        Attempt::Tcp(address) => sockets::tcp(address).await?,
        Attempt::Udp(address) => sockets::udp(address, direction)?,
        Attempt::Group(group) => sockets::group(group, direction, reach.address)?,
        Attempt::Passed => return passed(node, peer, wanted).await,
        Attempt::Relay => {
            let purpose = offers::purpose(&wanted.path, direction);
            let channel = node.request_channel(peer, purpose).await;
            return relayed(node, channel.map_err(Failure::Node)?, &wanted.stream);
        }
    };
    let info = described(&wanted.stream, attempt);
    Ok(Acquired {
        fd,
        info,
        over: None,
    })
}

/// A socket that a peer of this machine has connected; or a channel, if it does not pass one.
async fn passed(node: &Node, peer: PeerId, wanted: &Wanted) -> Result<Acquired, Failure> {
    let purpose = offers::purpose(&wanted.path, wanted.direction);
    let redeemed = node.request_stream(peer, purpose).await;
    let fd = match redeemed.map_err(Failure::Node)? {
        Redeemed::Handover(handover) => handover.take().await?,
        Redeemed::Channel(_) if wanted.way.is_some() => {
            return Err(io::Error::other("the peer passes no socket").into());
        }
        Redeemed::Channel(channel) => return relayed(node, *channel, &wanted.stream),
    };
    let has_packets = match DescriptorKind::of(&fd)? {
        DescriptorKind::StreamSocket => false,
        DescriptorKind::PacketSocket => true,
        other => {
            let text = format!("the peer passed {} and no socket", other.name());
            return Err(io::Error::other(text).into());
        }
    };
    Ok(Acquired {
        fd,
        info: told(&wanted.stream, has_packets, Way::Direct),
        over: None,
    })
}

fn relayed(node: &Node, channel: Channel, stream: &Stream) -> Result<Acquired, Failure> {
    let has_packets = stream.framing.has_packets();
    let (local, fd) = LocalEnd::pair(has_packets)?;
    let over = node.carry(channel, local)?;
    Ok(Acquired {
        fd,
        info: told(stream, has_packets, Way::Relay),
        over: Some(over.boxed()),
    })
}

/// Tells the bus that a relayed stream is over.
pub(crate) fn released(table: &ObjectTable, path: &str, name: &str, carried: &Carried) {
    let arguments = [name, &carried.why()].map(|text| Variant::from(Text::new(text)));
    // The object may be gone with its node.
    let emitted =
        table.with(|objects| objects.emit(path, STREAMS_INTERFACE, "Released", arguments.into()));
    if let Err(error) = emitted {
        tracing::debug!(%error, path, "a stream was released whose object is gone");
    }
}

/// What a program is told of a stream of its own machine.
pub(crate) fn described_here(stream: &Stream, has_packets: bool) -> Variant<'static> {
    told(stream, has_packets, Way::Direct)
}

/// What the program is told of it.
fn described(stream: &Stream, attempt: Attempt) -> Variant<'static> {
    let is_packet = match attempt {
        Attempt::Tcp(_) => false,
        Attempt::Udp(_) | Attempt::Group(_) => true,
        Attempt::Passed | Attempt::Relay => stream.framing.has_packets(),
    };
    told(stream, is_packet, attempt.way())
}

fn told(stream: &Stream, is_packet: bool, way: Way) -> Variant<'static> {
    let text =
        |text: &Option<String>| types::natural(&Value::from(text.as_deref().unwrap_or_default()));
    let plain = |text: &'static str| Variant::new(text);
    types::dictionary([
        ("Kind", plain(if is_packet { "packet" } else { "stream" })),
        ("Way", plain(way.name())),
        ("Framing", plain(stream.framing.name())),
        ("Mtu", Variant::new(stream.mtu.unwrap_or_default())),
        ("Type", text(&stream.kind)),
        ("Sdp", text(&stream.sdp)),
    ])
}
