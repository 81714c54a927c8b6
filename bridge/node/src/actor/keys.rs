//! The keys of a secure mesh: which peers are admitted, and what handles change.

use std::net::SocketAddr;
use std::time::Instant;

use tracing::{info, warn};
use zocp_zmtp::PublicKey;
use zocp_zre::{Endpoint, FirstUse, NodeKey, PeerId};

use super::Actor;
use crate::connection::PendingAuthorization;
use crate::error::{Invalid, NodeError};
use crate::event::Event;
use crate::security::{Stranger, node_key, public_key, split_endpoint};
use crate::trace::TraceEvent;
use crate::traffic_kinds::Rejection;
use crate::wanted_links::{Entry, LinkState};

impl Actor {
    /// Decides about a peer that proved its key.
    pub(super) fn authorize(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        pending: PendingAuthorization,
    ) {
        let key = node_key(pending.key);
        let admitted = self.zre.may_enter(now, remote, key, &pending.identity);
        if !admitted {
            self.traffic.reject(Rejection::Untrusted, Some(remote), || {
                pending.key.to_string()
            });
        }
        // The connection may be closed already.
        let _ = pending.decision.send(admitted);
    }

    pub(super) fn stranger_heard(&mut self, now: Instant, stranger: &zocp_zre::Stranger) {
        if let Some(stranger) = describe(now, stranger) {
            info!(from = %stranger.address, key = %stranger.key, "a node whose key is not trusted");
            self.traffic.trace_hook().record(|| TraceEvent::Rejected {
                from: Some(stranger.address),
                kind: Rejection::Untrusted,
                why: format!("heard with the key {}", stranger.key),
            });
            self.events.push(Event::Stranger(stranger));
        }
    }

    pub(super) fn key_learned(&mut self, peer: PeerId, key: NodeKey, name: &str) {
        let Some(key) = public_key(key) else { return };
        warn!(peer = %peer.short(), name, %key, "a key is trusted on first use");
        let name = name.to_owned();
        self.events.push(Event::KeyLearned { peer, key, name });
    }

    /// Connects to the peer at an endpoint, which on a secure mesh has the key behind `|`.
    pub(crate) fn connect(&mut self, now: Instant, endpoint: &str) -> Result<(), NodeError> {
        let (endpoint, key) = split_endpoint(endpoint);
        let met = match key {
            None => self.zre.connect(now, endpoint),
            Some(key) => {
                let key: PublicKey = key.parse().map_err(Invalid::Key)?;
                self.zre.connect_securely(now, endpoint, node_key(key))
            }
        };
        met.map_err(|error| Invalid::Connect(error).into())
    }

    /// Takes back a wish for the peer at an endpoint, as [`Self::connect`] takes it.
    pub(crate) fn disconnect(&mut self, now: Instant, text: &str) -> Result<bool, NodeError> {
        let (endpoint, key) = split_endpoint(text);
        let key: Option<PublicKey> = key.map(str::parse).transpose().map_err(Invalid::Key)?;
        let left = self.zre.disconnect(now, endpoint, key.map(node_key));
        left.map_err(|error| Invalid::Connect(error).into())
    }

    /// Connects to the peer at an endpoint with a key, which is trusted from now on; the peer answers on that connection.
    pub(crate) fn link(&mut self, now: Instant, text: &str) -> Result<(), NodeError> {
        self.only_secure()?;
        let (endpoint, key) = split_endpoint(text);
        let key: PublicKey = key.unwrap_or_default().parse().map_err(Invalid::Key)?;
        self.zre.trust(node_key(key));
        let met = self.zre.connect_both_ways(now, endpoint, node_key(key));
        met.map_err(Invalid::Connect)?;
        let peer = self.linked(key);
        self.wanted_links.add(now, text, key, peer);
        Ok(())
    }

    /// Takes back what [`Self::link`] took, and closes the connection. The key stays trusted.
    pub(crate) fn unlink(&mut self, now: Instant, text: &str) -> Result<bool, NodeError> {
        self.only_secure()?;
        let (endpoint, key) = split_endpoint(text);
        let key: PublicKey = key.unwrap_or_default().parse().map_err(Invalid::Key)?;
        let left = self.zre.disconnect_both_ways(now, endpoint, node_key(key));
        let was_wanted = left.map_err(Invalid::Connect)?;
        self.wanted_links.remove(text);
        Ok(was_wanted)
    }

    /// The links that a user wants.
    pub(crate) fn links(&self, now: Instant) -> Vec<LinkState> {
        let state = |entry: &Entry| {
            let (endpoint, _) = split_endpoint(&entry.to);
            let next = self.zre.next_dial(endpoint, Some(node_key(entry.key)));
            LinkState {
                to: entry.to.clone(),
                peer: entry.peer,
                since: now.saturating_duration_since(entry.since),
                why: entry.why.clone(),
                next: next
                    .filter(|_| entry.peer.is_none())
                    .map(|next| next.saturating_duration_since(now)),
            }
        };
        self.wanted_links.iter().map(state).collect()
    }

    /// The present peer that has a key.
    fn linked(&self, key: PublicKey) -> Option<PeerId> {
        let mut peers = self.zre.peers();
        let peer = peers.find(|peer| peer.key() == Some(node_key(key)));
        peer.map(|peer| peer.id())
    }

    /// A gossip says which peer is at an endpoint.
    pub(crate) fn introduce(&mut self, now: Instant, id: PeerId, endpoint: Endpoint) {
        self.zre.introduce(now, id, endpoint);
    }

    pub(crate) fn trust(&mut self, key: PublicKey) -> Result<bool, NodeError> {
        self.only_secure()?;
        let is_new = self.zre.trust(node_key(key));
        if is_new {
            info!(%key, "a key is trusted from now on");
        }
        Ok(is_new)
    }

    pub(crate) fn distrust(&mut self, now: Instant, key: PublicKey) -> Result<bool, NodeError> {
        self.only_secure()?;
        let was_trusted = self.zre.distrust(now, node_key(key));
        if was_trusted {
            warn!(%key, "a key is trusted no longer");
        }
        Ok(was_trusted)
    }

    pub(crate) fn set_first_use(&mut self, first_use: FirstUse) -> Result<(), NodeError> {
        self.only_secure()?;
        self.zre.set_first_use(first_use);
        Ok(())
    }

    pub(crate) fn trusted(&self) -> Vec<PublicKey> {
        self.zre.trusted().filter_map(public_key).collect()
    }

    pub(crate) fn strangers(&self, now: Instant) -> Vec<Stranger> {
        let strangers = self.zre.strangers().iter();
        strangers.filter_map(|s| describe(now, s)).collect()
    }

    fn only_secure(&self) -> Result<(), NodeError> {
        if self.zre.is_secure() {
            Ok(())
        } else {
            Err(Invalid::NotSecure.into())
        }
    }
}

/// Logs that a node is refused, since its name belongs to the node with the key `holder`.
pub(super) fn name_refused(remote: SocketAddr, name: &str, key: NodeKey, holder: NodeKey) {
    let fingerprint = |key| public_key(key).map(|key| key.fingerprint());
    let (Some(key), Some(holder)) = (fingerprint(key), fingerprint(holder)) else {
        return;
    };
    warn!(
        %remote, name, key, holder,
        "a node calls itself as one with another key does, and is not let in; if its machine has a new \
         key, trust that one"
    );
}

fn describe(now: Instant, stranger: &zocp_zre::Stranger) -> Option<Stranger> {
    Some(Stranger {
        key: public_key(stranger.key)?,
        id: stranger.id,
        address: stranger.from,
        silent: now.saturating_duration_since(stranger.heard),
        times: stranger.times,
    })
}
