//! Every bound of a connection, with its default.

/// What a connection takes from its peer, and how much it keeps for it.
///
/// At a limit on input the connection fails with [`Error::Limit`](crate::Error::Limit); at a limit on
/// output [`Connection::send`](crate::Connection::send) refuses and nothing has changed.
///
/// A connection holds at most one unfinished message (`message_len_max` octets, `frames_max` frames),
/// one unfinished command, the output, and the events of the input that it was given last: these are
/// bounded by the caller's reads, at worst (nothing but empty messages) by 60 octets for each octet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one frame of a message, in both directions. Default 64 MiB.
    pub frame_len_max: usize,
    /// Octets of all frames of one message, in both directions. Default 64 MiB; never more than
    /// 4 GiB less one octet, whatever is set.
    pub message_len_max: usize,
    /// Frames of one message, in both directions. Default 1024.
    pub frames_max: usize,
    /// Octets of one command of the peer: READY, ERROR, PING and those that are ignored. It is the
    /// only limit that counts before the handshake is over. Default 4 KiB.
    pub command_len_max: usize,
    /// Octets of output that may wait when one more message is taken; so what waits is at most this
    /// and one message. Default 64 MiB.
    pub output_len_max: usize,
}

impl Limits {
    /// With `message_len_max` inside what the ends of frames in a message can count.
    pub(crate) fn clamped(mut self) -> Self {
        let countable = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        self.message_len_max = self.message_len_max.min(countable);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_len_max: 64 << 20,
            message_len_max: 64 << 20,
            frames_max: 1024,
            command_len_max: 4 << 10,
            output_len_max: 64 << 20,
        }
    }
}
