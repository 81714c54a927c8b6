//! What is exchanged between the greetings and the first message, for each mechanism.
//!
//! Model: a [`Handshake`] takes the commands of the peer and appends ours. It is driven to its end, and then
//! gives what was learned of the peer, and the keys of what follows.
//!
//! ```text
//! NULL             READY out ---------------------------------------------> READY in: done
//! CURVE, client    HELLO out --> WELCOME in, INITIATE out ----------------> READY in: done
//! CURVE, server    HELLO in, WELCOME out --> INITIATE in --> accept: READY out: done
//! ```
//!
//! Invariants: a state holds only what the next step needs; a command out of its turn ends the
//! handshake.
//!
//! Spec: 23/ZMTP "The NULL Security Mechanism"; 25/ZMTP-CURVE, 26/CURVEZMQ.

use bytes::Bytes;

use crate::command::{self, Command};
use crate::curve::{Client, Hailed, Initiated, Introduced, Server, Session, Welcomed};
use crate::error::{Error, Misbehaved};
use crate::greeting::End;
use crate::keys::PublicKey;
use crate::mechanism::Mechanism;
use crate::metadata::{self, Peer};
use crate::socket_kind::SocketKind;

/// A handshake that is not over.
#[derive(Debug)]
pub(crate) struct Handshake {
    ours: SocketKind,
    /// Our properties.
    metadata: Vec<u8>,
    state: State,
}

enum State {
    Null,
    Client(Box<Client>),
    Hailed(Box<Hailed>),
    Initiated(Box<Initiated>),
    Server(Box<Server>),
    Welcomed(Box<Welcomed>),
    /// The owner is to say whether the client is let in.
    Introduced(Box<Introduced>, Peer),
    /// Over, or failed.
    Over,
}

/// How far a command has brought us.
#[derive(Debug)]
pub(crate) enum Step {
    /// The peer's next command is awaited.
    Waiting,
    /// The owner is to decide about this key, and whoever calls itself so.
    Ask(PublicKey, Bytes),
    /// It is over.
    Done(Peer, Option<Box<Session>>),
}

impl Handshake {
    pub(crate) fn null(ours: SocketKind, identity: &[u8]) -> Self {
        Self::new(ours, identity, State::Null)
    }

    pub(crate) fn client(ours: SocketKind, identity: &[u8], client: Client) -> Self {
        Self::new(ours, identity, State::Client(Box::new(client)))
    }

    pub(crate) fn server(ours: SocketKind, identity: &[u8], server: Server) -> Self {
        Self::new(ours, identity, State::Server(Box::new(server)))
    }

    fn new(ours: SocketKind, identity: &[u8], state: State) -> Self {
        Self {
            ours,
            metadata: metadata::encode(ours, identity),
            state,
        }
    }

    /// What the greeting says.
    pub(crate) fn mechanism(&self) -> (Mechanism, End) {
        match self.state {
            State::Null => (Mechanism::Null, End::Peer),
            State::Server(_) => (Mechanism::Curve, End::Server),
            _ => (Mechanism::Curve, End::Peer),
        }
    }

    /// Appends what follows our greeting unasked.
    pub(crate) fn open(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Null => {
                command::encode(command::READY, &self.metadata, out);
                self.state = State::Null;
            }
            State::Client(client) => self.state = State::Hailed(Box::new(client.hello(out))),
            other => self.state = other,
        }
    }

    /// Takes a command of the peer.
    pub(crate) fn take(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<Step, Error> {
        let command = Command::parse(body)?;
        match (std::mem::replace(&mut self.state, State::Over), command) {
            (_, Command::Refused(refusal)) => Err(refusal.into()),
            (State::Null, Command::Ready(properties)) => {
                let peer = metadata::parse(self.ours, properties)?;
                Ok(Step::Done(peer, None))
            }
            (State::Hailed(hailed), Command::Other(command::WELCOME, data)) => {
                let initiated = hailed.welcome(data, &self.metadata, out)?;
                self.state = State::Initiated(Box::new(initiated));
                Ok(Step::Waiting)
            }
            (State::Initiated(initiated), Command::Ready(data)) => {
                let (properties, session) = initiated.ready(data)?;
                let peer = metadata::parse(self.ours, &properties)?;
                Ok(Step::Done(peer, Some(Box::new(session))))
            }
            (State::Server(server), Command::Other(command::HELLO, data)) => {
                let welcomed = server.hello(data, out)?;
                self.state = State::Welcomed(Box::new(welcomed));
                Ok(Step::Waiting)
            }
            (State::Welcomed(welcomed), Command::Other(command::INITIATE, data)) => {
                let introduced = welcomed.initiate(data)?;
                let peer = metadata::parse(self.ours, &introduced.metadata)?;
                let ask = Step::Ask(introduced.client, peer.identity.clone());
                self.state = State::Introduced(Box::new(introduced), peer);
                Ok(ask)
            }
            _ => Err(Misbehaved::CommandBeforeReady.into()),
        }
    }

    /// Whether the owner is to decide.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.state, State::Introduced(..))
    }

    /// Lets the client in: appends READY. `None` if there is nothing to decide.
    pub(crate) fn accept(&mut self, out: &mut Vec<u8>) -> Option<(Peer, Session)> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Introduced(introduced, peer) => {
                let session = introduced.ready(&self.metadata, out);
                Some((peer, session))
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}

/// Which state it is, without the keys in it.
impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Client(_) => "Client",
            Self::Hailed(_) => "Hailed",
            Self::Initiated(_) => "Initiated",
            Self::Server(_) => "Server",
            Self::Welcomed(_) => "Welcomed",
            Self::Introduced(..) => "Introduced",
            Self::Over => "Over",
        })
    }
}
