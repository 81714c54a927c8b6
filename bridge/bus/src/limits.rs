//! Every bound of a bus, with its default.

use std::time::Duration;

/// What a bus takes from its clients, and how much it keeps for them.
///
/// The defaults are those of a session bus, except where they would let one client fill the memory of the program
/// that the bus is a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message. Above that its sender's connection ends. Default 128 MiB.
    pub message_len_max: usize,
    /// Descriptors of one message. Above that its sender's connection ends. Default 253, which is the kernel's.
    pub message_descriptors_max: usize,
    /// Connections that have said `Hello`. Above that `Hello` is refused. Default 100 000.
    pub connections_max: usize,
    /// Connections of one user that have said `Hello`. Above that `Hello` is refused. Default 100 000.
    pub user_connections_max: usize,
    /// Connections that have not said `Hello`. At that no others are accepted until one has, or has left. Default 1024.
    pub incomplete_max: usize,
    /// The time until `Hello`. After that a connection ends. Default 30 s.
    pub hello_time_max: Duration,
    /// Names that one connection owns or waits for, its unique name among them. Above that `RequestName` is refused.
    /// Default 50 000.
    pub names_max: usize,
    /// Match rules of one connection. Above that `AddMatch` is refused. Default 50 000.
    pub rules_max: usize,
    /// Calls of one connection that are not answered. Above that a call is refused. Default 50 000.
    pub pending_calls_max: usize,
    /// Octets that wait for one connection when one more message is queued, so what waits is at most this and one
    /// message. At that a call to it is refused, and what cannot be refused ends it. Default 128 MiB.
    pub queued_octets_max: usize,
    /// Descriptors that wait for one connection when one more message is queued. As above. Default 4096.
    pub queued_descriptors_max: usize,
    /// Messages that wait for services that are being started. Above that a call is refused, and a signal dropped.
    /// Default 10 000.
    pub starting_messages_max: usize,
    /// Octets of these messages. As above. Default 16 MiB.
    pub starting_octets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_len_max: 128 << 20,
            message_descriptors_max: 253,
            connections_max: 100_000,
            user_connections_max: 100_000,
            incomplete_max: 1024,
            hello_time_max: Duration::from_secs(30),
            names_max: 50_000,
            rules_max: 50_000,
            pending_calls_max: 50_000,
            queued_octets_max: 128 << 20,
            queued_descriptors_max: 4096,
            starting_messages_max: 10_000,
            starting_octets_max: 16 << 20,
        }
    }
}
