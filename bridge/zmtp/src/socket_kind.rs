//! The kinds of ZMTP socket.
//!
//! Spec: 23/ZMTP "Socket Type Property"; 28/REQREP.

/// The kinds of ZMTP socket that a DEALER or a ROUTER can talk to. The local end is always one of these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Sends to all peers that it is connected to. In a ZRE mesh it opens the connection and sends.
    Dealer,
    /// Tells its peers apart by their identities. In a ZRE mesh it accepts connections and receives.
    Router,
    /// Sends requests, and waits for the reply to each.
    Req,
    /// Receives requests, and replies to each.
    Rep,
}

impl SocketKind {
    /// Whether the specification lets the two kinds talk to each other.
    pub(crate) fn talks_to(self, peer: Self) -> bool {
        match self {
            Self::Dealer => matches!(peer, Self::Router | Self::Rep | Self::Dealer),
            Self::Router => matches!(peer, Self::Dealer | Self::Req | Self::Router),
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Dealer, Self::Router, Self::Req, Self::Rep]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Req => "REQ",
            Self::Rep => "REP",
        }
    }
}

/// The name in READY.
impl std::fmt::Display for SocketKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
