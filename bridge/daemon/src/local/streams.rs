//! Streams that programs of this bus offer.
//!
//! Model: `PublishStream` makes an [`Offer`], which says where the stream is, and an entry of the tree, which says what
//! it is. A peer that wants it asks for a channel.
//! Spec: docs/reference/dbus.md, "Streams"

use std::os::fd::AsFd;
use std::sync::Arc;

use zbus::Variant;
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, strings},
};
use zocp_node::{
    CapPath, ChannelRequest, NodeError, Value,
    model::{
        Map, json,
        stream::{Direction, Endpoint, Framing},
    },
};

use super::{
    Local,
    options::{entries, located, text, undeclared, unknown},
    place::{Kind, Place},
    registry::What,
};
use crate::{
    streams::{
        self, Options, Wanted,
        offers::{self, Offer, OfferedDescriptor},
    },
    view::metadata,
};

/// A stream that a program offers.
struct Publication {
    path: CapPath,
    direction: Direction,
    offer: Offer,
    /// Its entry in the tree.
    entry: Map<String, Value>,
}

impl Publication {
    /// `ssa{sv}`: name, direction, options.
    fn understand(arguments: &[Variant<'static>]) -> Result<Self, Refusal> {
        let [name, direction, options] = arguments else {
            return Err(undeclared());
        };
        let direction = text(direction)?;
        let direction = Direction::named(&direction).ok_or_else(|| {
            Refusal::InvalidArgs(format!("\"{direction}\" is neither source nor sink"))
        })?;
        let (mut endpoints, mut descriptor, mut framing, mut object) = (None, None, None, None);
        // What an earlier description had is not to be left in it.
        let mut entry: Map<String, Value> = OPTIONAL
            .map(|name| (name.to_owned(), Value::Null))
            .into_iter()
            .collect();
        for (key, value) in entries(options)? {
            match (key, value) {
                ("Endpoint", list) => endpoints = Some(read_endpoints(list)?),
                ("Descriptor", Variant::Fd(fd)) => {
                    let fd = fd.as_fd().try_clone_to_owned();
                    let fd = fd.map_err(|error| Refusal::Failed(error.to_string()))?;
                    descriptor = Some(OfferedDescriptor::new(fd, direction)?);
                }
                ("Framing", Variant::Str(name)) => framing = Some(read_framing(name.as_str())?),
                ("Type", Variant::Str(text)) => set(&mut entry, "type", text.as_str()),
                ("Sdp", Variant::Str(text)) => set(&mut entry, "sdp", text.as_str()),
                ("Mtu", Variant::U32(0)) => {
                    let text = "Mtu is the longest packet in octets: at least 1";
                    return Err(Refusal::InvalidArgs(text.to_owned()));
                }
                ("Mtu", Variant::U32(mtu)) => set(&mut entry, "mtu", *mtu),
                ("Srtp", Variant::Bool(srtp)) => set(&mut entry, "srtp", *srtp),
                ("Object", Variant::Str(path)) => object = Some(path.to_string()),
                (key, value) => return Err(unknown(key, value)),
            }
        }
        let natural = match (&descriptor, endpoints.as_deref()) {
            (Some(descriptor), _) => descriptor.framing(),
            (None, Some([Endpoint::Udp(_), ..])) => Framing::Packets,
            _ => Framing::Octets,
        };
        let framing = framing.unwrap_or(natural);
        set(&mut entry, "framing", framing.name());
        let offer = match (endpoints, descriptor) {
            (Some(endpoints), None) => {
                let shown: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
                set(&mut entry, "endpoint", shown);
                Offer::Endpoints { endpoints, framing }
            }
            (None, Some(descriptor)) => Offer::Descriptor(Arc::new(descriptor)),
            _ => {
                let text = "a stream needs either Endpoint (as) or Descriptor (h)";
                return Err(Refusal::InvalidArgs(text.to_owned()));
            }
        };
        Ok(Self {
            path: located(text(name)?, object.as_deref())?,
            direction,
            offer,
            entry,
        })
    }
}

impl Local {
    /// A program offers a stream, or changes what it offered.
    pub(super) async fn publish_stream(
        &self,
        program: &str,
        arguments: &[Variant<'static>],
    ) -> Answer {
        let Publication {
            path,
            direction,
            offer,
            mut entry,
        } = Publication::understand(arguments)?;
        if self.registry().offer(&path, direction).is_none() {
            entry.retain(|_, value| !value.is_null());
        }
        let place = Place::new(Kind::Stream(direction), path.clone());
        let node = &self.shared.node;
        let (name, object) = (path.name.to_string(), path.object.clone());
        let work = async move {
            let streams = Map::from_iter([(name, Value::Object(entry))]);
            let entries = vec![(direction.key().to_owned(), Value::Object(streams))];
            node.describe(object, entries).await
        };
        self.put(program, place, What::Stream(Arc::new(offer)), work)
            .await
    }

    /// Takes a stream out of the tree.
    pub(super) async fn withdraw_stream(
        &self,
        path: &CapPath,
        direction: Direction,
    ) -> Result<(), NodeError> {
        let rest = match self.registry().has_streams(&path.object, direction) {
            true => json!({ &*path.name: null }),
            false => Value::Null,
        };
        let entries = vec![(direction.key().to_owned(), rest)];
        self.shared
            .node
            .describe(path.object.clone(), entries)
            .await
    }

    /// A peer asks for a channel.
    pub(super) fn requested(&self, request: ChannelRequest) {
        let offer = offers::wanted(&request.purpose).and_then(|(path, direction)| {
            let offer = self.registry().offer(&path, direction)?;
            Some((offer, direction))
        });
        let node = self.shared.node.clone();
        let tasks = &self.shared.tasks;
        tasks.spawn(offers::serve(node, request, offer));
    }

    /// A program of this bus opens a stream of another one of this bus.
    pub(super) async fn acquire(&self, call: &CallRequest) -> Answer {
        let name = call.text(0)?;
        let options = Options::understand(call.arguments.get(1))?;
        let unknown = || Refusal::InvalidArgs(format!("{} has no stream \"{name}\"", call.path));
        let (object, shared) = self.view().at(&call.path).ok_or_else(unknown)?;
        let wanted = {
            let metadata = metadata::lock(&shared);
            Wanted::of(&object, &metadata, name, options).ok_or_else(unknown)?
        };
        let offer = self.registry().offer(&wanted.path, wanted.direction);
        match offer.as_deref() {
            Some(Offer::Endpoints { endpoints, framing }) => {
                let connected = offers::connect(endpoints, *framing, wanted.direction).await;
                let (fd, has_packets) = connected?;
                Ok(vec![
                    Variant::Fd(fd.into()),
                    streams::described_here(&wanted.stream, has_packets),
                ])
            }
            _ => {
                let text = format!(
                    "{name} is a pipe or socket of a program of this machine: only other machines can open it"
                );
                Err(Refusal::NotSupported(text))
            }
        }
    }
}

/// What an entry need not have.
const OPTIONAL: [&str; 5] = ["type", "sdp", "mtu", "srtp", "endpoint"];

fn set(entry: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    entry.insert(name.to_owned(), value.into());
}

fn read_endpoints(list: &Variant<'_>) -> Result<Vec<Endpoint>, Refusal> {
    let wrong = |why: String| Refusal::InvalidArgs(format!("Endpoint: {why}"));
    let texts = strings(list).ok_or_else(|| wrong("it is of type \"as\"".to_owned()))?;
    if texts.is_empty() {
        return Err(wrong("there is none".to_owned()));
    }
    let endpoints = texts.iter().map(|text| {
        let endpoint = text.parse::<Endpoint>();
        endpoint.map_err(|error| wrong(format!("\"{text}\": {error}")))
    });
    endpoints.collect()
}

fn read_framing(name: &str) -> Result<Framing, Refusal> {
    Framing::named(name).ok_or_else(|| {
        Refusal::InvalidArgs(format!("Framing \"{name}\" is not octets, packets or rtp"))
    })
}
