//! `org.z25.Zocp1.Peer`: what is asked of one peer.
//!
//! Invariants: HUBPEER-1. each call has one reply, `Ping` at the latest after [`PING_MAX`].

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::timeout;
use zbus::Variant;
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, unknown_method},
};
use zocp_mapping::directory::Directory;
use zocp_node::{Content, Node, PeerId};

use crate::node_error::refusal;

/// Answers the calls of the interface.
pub(super) struct PeerHandler {
    pub(super) node: Node,
    pub(super) directory: Directory,
}

impl InterfaceHandler for PeerHandler {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            let (peer, label) = self.peer(&call.path)?;
            match &*call.member {
                "Ping" => self.ping(peer, label).await,
                "Whisper" => {
                    let octets = bytes::Bytes::from(call.octets(0)?);
                    let sent = self.node.try_whisper(peer, Content::from_iter([octets]));
                    sent.map_err(|error| refusal(error, label, "Whisper"))?;
                    Ok(Vec::new())
                }
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

impl PeerHandler {
    /// The peer whose object is at a path, and its label.
    fn peer<'p>(&self, path: &'p str) -> Result<(PeerId, &'p str), Refusal> {
        let label = path.rsplit('/').next().unwrap_or_default();
        let found = self.directory.labelled(label);
        let peer = found.ok_or_else(|| Refusal::NodeGone(format!("\"{label}\"")))?;
        Ok((peer, label))
    }

    async fn ping(&self, peer: PeerId, label: &str) -> Answer {
        match timeout(PING_MAX, self.node.ping(peer)).await {
            Ok(Ok(time)) => {
                let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                Ok(vec![Variant::U64(microseconds)])
            }
            Ok(Err(error)) => Err(refusal(error, label, "Ping")),
            Err(_) => {
                let seconds = PING_MAX.as_secs();
                Err(Refusal::Timeout(format!("no answer within {seconds} s")))
            }
        }
    }
}

/// Below the customary 25 s of D-Bus clients.
const PING_MAX: Duration = Duration::from_secs(20);
