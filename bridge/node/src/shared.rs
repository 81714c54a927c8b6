//! What all handles of a node share with its actor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zocp_zmtp::{Limits, PublicKey};
use zocp_zre::PeerId;

use crate::actor::Actor;
use crate::channel::Channels;
use crate::command::Command;
use crate::credit::SendCredits;
use crate::security::Keys;
use crate::traffic::Traffic;

/// A queue of commands.
pub(crate) type Commands = mpsc::Sender<Command<Actor>>;

/// The handles' side of a running node.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: PeerId,
    pub(crate) key: Option<PublicKey>,
    pub(crate) name: String,
    pub(crate) venue: Option<String>,
    pub(crate) port: u16,
    pub(crate) link_port: u16,
    /// Commands that make events.
    pub(crate) commands: Commands,
    /// All others.
    pub(crate) requests: Commands,
    pub(crate) credits: Arc<SendCredits>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) channel_context: ChannelContext,
    pub(crate) traffic: Arc<Traffic>,
    /// Cancelled to end the node.
    pub(crate) stop: CancellationToken,
}

/// What opening a channel needs of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct ChannelContext {
    pub(crate) keys: Keys,
    pub(crate) limits: Limits,
    pub(crate) handshake_max: Duration,
    pub(crate) silence_max: Duration,
}
