//! The errors of a connection, by cause and by whose fault they are.
//!
//! "More octets are needed" is no error: nothing happens until they come.

use thiserror::Error;

/// Why a connection failed. All are the peer's fault except [`Error::Failed`] and [`Error::NoncesSpent`].
///
/// Whatever it was, the connection takes no more input and sends no more: the caller closes it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The octets are not ZMTP.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The octets are ZMTP of a version, mechanism or socket type that is not supported.
    #[error("unsupported: {0}")]
    Unsupported(#[from] Unsupported),
    /// The octets are well formed, but out of turn.
    #[error("misbehaved: {0}")]
    Misbehaved(#[from] Misbehaved),
    /// The peer announced more than [`Limits`](crate::Limits) allow. Nothing was reserved for it.
    #[error("over the limit: {0}")]
    Limit(#[from] LimitExceeded),
    /// The octets do not come from the owner of the key, or were changed on the way.
    #[error("not proved: {0}")]
    Forged(#[from] Forged),
    /// The peer refused the connection with an ERROR command. With CURVE it is not proved that the peer sent it.
    #[error("refused by the peer: {reason:?}")]
    Refused {
        /// The peer's reason, at most 255 octets, those outside of printable ASCII escaped.
        reason: String,
    },
    /// Nobody's fault: a new connection is needed.
    #[error(transparent)]
    NoncesSpent(#[from] NoncesSpent),
    /// The caller's fault: the connection had failed before. The input was ignored.
    #[error("the connection has failed before")]
    Failed,
}

/// Octets that are not ZMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The connection does not begin with the signature of ZMTP 2 and later: another protocol, or ZMTP 1.
    #[error("no ZMTP signature")]
    Signature,
    /// A frame has flags that are not defined.
    #[error("reserved bits in the frame flags {flags:#04x}")]
    ReservedFlags {
        /// The flags octet.
        flags: u8,
    },
    /// A command is announced as one of several frames.
    #[error("a command in more than one frame")]
    CommandWithMore,
    /// A command's name is empty or longer than its frame.
    #[error("a command without a whole name")]
    CommandName,
    /// A property of READY is cut off, or its name is empty.
    #[error("a READY property that is cut off or has no name")]
    Property,
    /// READY names a property twice that may be there once.
    #[error("the property {name} twice in READY")]
    PropertyTwice {
        /// Which one.
        name: &'static str,
    },
    /// READY does not say the socket type.
    #[error("READY without Socket-Type")]
    SocketTypeMissing,
    /// The identity is longer than 255 octets.
    #[error("an identity of {len} octets")]
    Identity {
        /// Its length.
        len: usize,
    },
    /// The reason in an ERROR command has not the length that it says.
    #[error("an ERROR command with a wrong length")]
    Reason,
    /// A command of CURVE does not have its fields, its length, its version or its padding.
    #[error("a {command} that is not laid out as one")]
    Curve {
        /// Which one.
        command: &'static str,
    },
    /// A key that the peer sent cannot be used.
    #[error("a key that cannot be used: {0}")]
    Key(#[from] crate::KeyError),
    /// A PING has no whole TTL or a context of over 16 octets.
    #[error("a PING with a body of {len} octets")]
    Ping {
        /// Length of what follows its name.
        len: usize,
    },
}

/// ZMTP of a version, mechanism or socket type that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// The peer's ZMTP is older than 3.
    #[error("the peer's ZMTP revision is {major}, at least 3 is needed")]
    Version {
        /// The octet behind the signature: major version, or revision before 3.
        major: u8,
    },
    /// The peer wants another security mechanism than ours.
    #[error("the peer's security mechanism is {name:?}, ours is {ours}")]
    Mechanism {
        /// Its name, octets outside of printable ASCII escaped.
        name: String,
        /// What we want.
        ours: crate::Mechanism,
    },
    /// The peer's socket type cannot talk to ours.
    #[error("the peer's socket type is {name:?}, which does not go with our {ours}")]
    SocketType {
        /// Its name, octets outside of printable ASCII escaped.
        name: String,
        /// What we are.
        ours: crate::SocketKind,
    },
}

/// Well-formed octets out of turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misbehaved {
    /// A message came before READY.
    #[error("a message before READY")]
    MessageBeforeReady,
    /// A command other than ERROR and the next one of the handshake came before it was over.
    #[error("another command before READY")]
    CommandBeforeReady,
    /// READY came a second time.
    #[error("READY a second time")]
    ReadyTwice,
    /// A number of CURVE is not above the one before: something is sent again or out of its order.
    #[error("a nonce that is not above the last one")]
    NonceNotRising,
    /// What is no MESSAGE came where all is sealed.
    #[error("plain traffic on a sealed connection")]
    Plain,
}

/// A box of CURVE that does not open, or that does not have in it what proves its sender: it was made
/// with another key or for another, belongs to another connection, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Forged {
    /// Not made for our key; most often the client has an outdated or a wrong one.
    #[error("a HELLO that is not for our key")]
    Hello,
    /// Not made by the server whose key we know.
    #[error("a WELCOME that is not from the key that we know")]
    Welcome,
    /// No cookie of this connection.
    #[error("a cookie that is not of this connection")]
    Cookie,
    /// Not made by who said HELLO.
    #[error("an INITIATE that is not from who said HELLO")]
    Initiate,
    /// The client does not have the key that it names.
    #[error("a vouch that does not prove the client's key")]
    Vouch,
    /// Not made by who said WELCOME.
    #[error("a READY that is not from who said WELCOME")]
    Ready,
    /// Not made by the peer, or changed.
    #[error("a MESSAGE that does not open")]
    Message,
}

/// More than was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// Over [`Limits::frame_len_max`](crate::Limits::frame_len_max).
    #[error("a frame of {len} octets, {max} are allowed")]
    Frame {
        /// Its length as announced.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// Over [`Limits::message_len_max`](crate::Limits::message_len_max).
    #[error("a message of at least {len} octets, {max} are allowed")]
    Message {
        /// Its length so far, with the frame announced last.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// Over [`Limits::frames_max`](crate::Limits::frames_max).
    #[error("a message of more than {max} frames")]
    Frames {
        /// The limit.
        max: usize,
    },
    /// Over [`Limits::command_len_max`](crate::Limits::command_len_max).
    #[error("a command of {len} octets, {max} are allowed")]
    Command {
        /// Its length as announced.
        len: u64,
        /// The limit.
        max: usize,
    },
}

/// All 2^64 - 1 numbers of a sealed connection were used, and none is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the numbers of this connection are spent")]
pub struct NoncesSpent;

/// Why a message was not taken. All are for the caller to handle; the connection is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer's READY has not come yet.
    #[error("the handshake is not over")]
    NotReady,
    /// Nobody's fault: a new connection is needed.
    #[error(transparent)]
    NoncesSpent(#[from] NoncesSpent),
    /// The connection has failed and is to be closed.
    #[error("the connection has failed")]
    Failed,
    /// A message has at least one frame.
    #[error("a message without frames")]
    NoFrames,
    /// The message is over a limit.
    #[error("over the limit: {0}")]
    Limit(#[from] LimitExceeded),
    /// [`Limits::output_len_max`](crate::Limits::output_len_max) octets are waiting: the peer reads
    /// slower than we send. Write first, or give the peer up.
    #[error("{len} octets of output are waiting")]
    Full {
        /// How many are waiting.
        len: usize,
    },
}

/// Octets of the peer for an error text, with nothing in them that a terminal or a log would obey.
pub(crate) fn printable(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
