//! Streams that programs of this bus offer, and peers that ask for them.
//!
//! Model: an [`Offer`] is where a stream is: endpoints at which a program of this machine listens, or a descriptor that a
//! program gave. [`serve`] answers one request of a peer: it opens the stream, then the channel, and connects the two. To
//! a peer of this machine it passes the socket that it connected; a descriptor that a program gave is always relayed,
//! since nobody could see when its holder closes it.
//! Invariants: STREAMOFFER-1. A descriptor has one holder at a time; it is free again when the channel of its holder is
//! over, however that came. STREAMOFFER-2. What the program itself does with its descriptor is not changed: it is not
//! shut down, and
//! does not become non-blocking.
//! Spec: docs/reference/protocol.md §9.7

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zocp_dbus::errors::Refusal;
use zocp_node::model::json;
use zocp_node::model::stream::{Direction, Endpoint, Framing};
use zocp_node::{
    CapPath, ChannelRequest, DescriptorKind, LocalEnd, LocalKind, Node, ObjectPath, RemoteError,
    Value,
};

use super::sockets;

/// Where a stream is. See the [module](self).
#[derive(Debug)]
pub(crate) enum Offer {
    Endpoints {
        endpoints: Vec<Endpoint>,
        framing: Framing,
    },
    Descriptor(Arc<OfferedDescriptor>),
}

/// A descriptor that a program gave.
#[derive(Debug)]
pub(crate) struct OfferedDescriptor {
    fd: OwnedFd,
    kind: DescriptorKind,
    is_held: AtomicBool,
}

/// A descriptor that somebody holds. Dropping it makes it free.
#[derive(Debug)]
struct Hold(Arc<OfferedDescriptor>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

/// The request for a stream, in a request for a channel.
pub(crate) fn purpose(path: &CapPath, direction: Direction) -> Value {
    let object = path.object.to_string();
    json!({"stream": &*path.name, "object": object, "direction": direction.name()})
}

/// The stream that a request for a channel is for.
pub(crate) fn wanted(purpose: &Value) -> Option<(CapPath, Direction)> {
    let text = |name| purpose.get(name).and_then(Value::as_str);
    let object: ObjectPath = match text("object") {
        None | Some("") => ObjectPath::root(),
        Some(dotted) => dotted.parse().ok()?,
    };
    let direction = text("direction").and_then(Direction::named)?;
    Some((object.capability(text("stream")?), direction))
}

impl OfferedDescriptor {
    /// A descriptor for a stream of this direction.
    ///
    /// # Errors
    /// It is of a kind that cannot be offered, or the wrong end of a pipe.
    pub(crate) fn new(fd: OwnedFd, direction: Direction) -> Result<Self, Refusal> {
        let kind = DescriptorKind::of(&fd).map_err(|error| Refusal::Failed(error.to_string()))?;
        match (&kind, direction) {
            (DescriptorKind::PipeReader, Direction::Source)
            | (DescriptorKind::PipeWriter, Direction::Sink)
            | (DescriptorKind::StreamSocket | DescriptorKind::PacketSocket, _) => Ok(Self {
                fd,
                kind,
                is_held: AtomicBool::new(false),
            }),
            (DescriptorKind::PipeReader | DescriptorKind::PipeWriter, _) => {
                let (is, needs) = (kind.name(), direction.name());
                let text = format!("Descriptor is {is}, of no use for a {needs}");
                Err(Refusal::InvalidArgs(text))
            }
            _ => Err(Refusal::NoFileDescriptors(kind.name().to_owned())),
        }
    }

    /// The framing that follows from its kind.
    pub(crate) fn framing(&self) -> Framing {
        match self.kind {
            DescriptorKind::PacketSocket => Framing::Packets,
            _ => Framing::Octets,
        }
    }

    fn open(&self) -> io::Result<LocalEnd> {
        let local = match self.kind {
            DescriptorKind::PipeReader => LocalEnd::pipe(&self.fd, LocalKind::PipeReader)?,
            DescriptorKind::PipeWriter => LocalEnd::pipe(&self.fd, LocalKind::PipeWriter)?,
            _ => LocalEnd::socket(self.fd.try_clone()?)?,
        };
        Ok(local.shared())
    }
}

/// A stream that is open for a peer.
enum Opened {
    /// A socket of its own, and whether packets have their lengths in it if it is one of octets.
    Socket(OwnedFd, Framing),
    Held(LocalEnd, Hold),
}

impl Offer {
    async fn open(&self, direction: Direction) -> Result<Opened, Refusal> {
        match self {
            Self::Endpoints { endpoints, framing } => {
                let (fd, _) = connect(endpoints, *framing, direction).await?;
                Ok(Opened::Socket(fd, *framing))
            }
            Self::Descriptor(offered) => {
                if offered.is_held.swap(true, Ordering::AcqRel) {
                    let text = "another program holds the stream, and only one can at a time";
                    return Err(Refusal::Busy(text.to_owned()));
                }
                let hold = Hold(offered.clone());
                let local = offered.open().map_err(failed)?;
                Ok(Opened::Held(local, hold))
            }
        }
    }
}

fn failed(error: io::Error) -> Refusal {
    Refusal::Failed(error.to_string())
}

/// A socket that is connected to the first endpoint of this machine that answers, and whether it has packets.
///
/// # Errors
/// `Failed`, with the reason of the last one.
pub(crate) async fn connect(
    endpoints: &[Endpoint],
    framing: Framing,
    direction: Direction,
) -> Result<(OwnedFd, bool), Refusal> {
    let mut failure = "it has no endpoint on its own machine".to_owned();
    for endpoint in endpoints {
        let connected = match endpoint {
            Endpoint::Tcp(address) => sockets::tcp(here(*address)).await,
            Endpoint::Udp(address) if address.ip().is_multicast() => {
                sockets::group(*address, direction, None)
            }
            Endpoint::Udp(address) => sockets::udp(here(*address), direction),
            // Packets have a socket of packets; those of RTP, their lengths before them.
            Endpoint::Unix(path) => sockets::unix(path, framing == Framing::Packets),
        };
        match connected {
            Ok(fd) => {
                let has_packets = match endpoint {
                    Endpoint::Tcp(_) => false,
                    Endpoint::Udp(_) => true,
                    Endpoint::Unix(_) => framing == Framing::Packets,
                };
                return Ok((fd, has_packets));
            }
            Err(error) => failure = format!("{endpoint}: {error}"),
        }
    }
    Err(Refusal::Failed(failure))
}

fn here(address: SocketAddrV4) -> SocketAddrV4 {
    match address.ip().is_unspecified() {
        true => SocketAddrV4::new(Ipv4Addr::LOCALHOST, address.port()),
        false => address,
    }
}

/// Answers a peer that asks for a channel; `offer` is the stream that it wants, if there is one.
pub(crate) async fn serve(
    node: Node,
    request: ChannelRequest,
    offer: Option<(Arc<Offer>, Direction)>,
) {
    let opened = match &offer {
        Some((offer, direction)) => offer.open(*direction).await,
        None => Err(Refusal::NotSupported("there is no such stream".to_owned())),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => return refuse(&node, &request, &refusal).await,
    };
    let (local, hold) = match opened {
        Opened::Held(local, hold) => (local, Some(hold)),
        Opened::Socket(fd, framing) => {
            match node.give_descriptor(&request, &fd).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return tracing::info!(%error, "a stream was not passed"),
            }
            let local = match framing.has_packets() {
                true => LocalEnd::packets(fd),
                false => LocalEnd::socket(fd),
            };
            match local {
                Ok(local) => (local, None),
                Err(error) => return refuse(&node, &request, &failed(error)).await,
            }
        }
    };
    let carried = match node.accept_channel(&request).await {
        Ok(channel) => node.carry(channel, local),
        Err(error) => return tracing::info!(%error, "a stream was not handed over"),
    };
    match carried {
        Ok(carried) => {
            carried.await;
        }
        Err(error) => tracing::error!(%error, "a stream cannot be carried"),
    }
    drop(hold);
}

async fn refuse(node: &Node, request: &ChannelRequest, refusal: &Refusal) {
    let error = RemoteError::new(refusal.raw_name(), refusal.to_string());
    // The peer may have left.
    let _ = node.refuse_channel(request, error).await;
}
