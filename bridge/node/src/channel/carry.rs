//! Carries a channel to and from a local end, until both directions are over.
//!
//! Model: two loops in one task, one for each direction. The end of one direction ends that direction at the other
//! machine; a local end that takes no more, or fails, resets the channel when what it wrote before is sent. The other end
//! has [`CLOSE_TIME_MAX`] to take that.
//! Invariants: CARRY-1. The local end is closed when the carrying returns. CARRY-2. A slow end holds up its own channel
//! and nothing else: nothing is read that cannot be written.
//! Limits: those of `pipe`; a packet in RFC 4571 framing is at most 64 KiB.
//! Spec: docs/reference/protocol.md §9.5 to §9.8

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use super::local::{LocalEnd, LocalKind};
use super::pipe::{Channel, ChannelError, Received};
use super::registered::{Read, Registered};
use crate::connection::with_scratch;

/// How a carried channel came to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Carried {
    /// Both directions came to their ends.
    Ended,
    /// The local end was closed: nobody takes what comes.
    ClosedHere,
    /// The local end failed.
    FailedHere(io::Error),
    /// The channel failed: the other end was closed or failed, or its node left.
    Failed(ChannelError),
}

impl Carried {
    /// Why, for people.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Ended => "ended".to_owned(),
            Self::ClosedHere => "closed".to_owned(),
            Self::FailedHere(error) => error.to_string(),
            Self::Failed(ChannelError::Reset(why)) => format!("the other end: {why}"),
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// Why a direction stopped.
enum Stop {
    Local(io::Error),
    Channel(ChannelError),
}

/// What became of the direction from the channel.
enum Inward {
    Ended,
    /// Nobody reads any more.
    Closed,
}

/// See the [module](self).
pub(super) async fn carry(channel: Channel, local: LocalEnd) -> Carried {
    let local = match Registered::new(local) {
        Ok(local) => local,
        Err(error) => {
            close(&channel, &error.to_string()).await;
            return Carried::FailedHere(error);
        }
    };
    match both(&channel, &local).await {
        Ok(Inward::Ended) => Carried::Ended,
        Ok(Inward::Closed) => {
            drop(local);
            close(&channel, "closed").await;
            Carried::ClosedHere
        }
        Err(Stop::Local(error)) => {
            drop(local);
            close(&channel, &error.to_string()).await;
            Carried::FailedHere(error)
        }
        Err(Stop::Channel(error)) => {
            drop(local);
            if let ChannelError::Malformed(_) = error {
                close(&channel, "malformed").await;
            }
            Carried::Failed(error)
        }
    }
}

/// Runs both directions until both are over, or one fails.
async fn both(channel: &Channel, local: &Registered) -> Result<Inward, Stop> {
    let mut outward = pin!(outward(channel, local));
    let mut inward = pin!(inward(channel, local));
    let inward = tokio::select! {
        ended = &mut inward => ended?,
        ended = &mut outward => {
            ended?;
            return inward.await;
        }
    };
    // The other end may still reset the channel, as when nobody reads there any more. Cancel-safe: what is lost is what
    // nobody takes.
    tokio::select! {
        biased;
        ended = outward => ended.map(|()| inward),
        error = failure(channel, &inward) => Err(Stop::Channel(error)),
    }
}

/// Waits until the channel fails, when nothing more is taken from it.
async fn failure(channel: &Channel, inward: &Inward) -> ChannelError {
    let mut may_send = matches!(inward, Inward::Closed);
    loop {
        match channel.receive().await {
            Ok(Received::Piece(_)) if may_send => {}
            Ok(Received::End) if may_send => may_send = false,
            Ok(_) => return ChannelError::Malformed("a piece behind the end".to_owned()),
            Err(error) => return error,
        }
    }
}

async fn outward(channel: &Channel, local: &Registered) -> Result<(), Stop> {
    if local.reads() {
        let mut partial = Vec::new();
        loop {
            let step = local.read(|fd| {
                with_scratch(|scratch| {
                    Ok(match local.read_now(fd, scratch)? {
                        Read::Octets(len) => {
                            Some(queue(channel, local, &mut partial, &scratch[..len]))
                        }
                        Read::End => None,
                    })
                })
            });
            match step.await {
                Ok(Some(queued)) => queued.map_err(Stop::Channel)?,
                Ok(None) => break,
                // The other program is gone with what it had not read.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(Stop::Local(error)),
            }
            channel.flush(0).await.map_err(Stop::Channel)?;
        }
    }
    channel.end().await.map_err(Stop::Channel)
}

/// Queues what was read: a piece, a packet, or the packets that are whole now.
fn queue(
    channel: &Channel,
    local: &Registered,
    partial: &mut Vec<u8>,
    octets: &[u8],
) -> Result<(), ChannelError> {
    if local.kind != LocalKind::Rtp {
        return channel.queue(octets);
    }
    partial.extend_from_slice(octets);
    let mut rest = &partial[..];
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len));
        let Some((packet, behind)) = behind.split_at_checked(len) else {
            break;
        };
        channel.queue(packet)?;
        rest = behind;
    }
    let taken = partial.len() - rest.len();
    partial.drain(..taken);
    Ok(())
}

async fn inward(channel: &Channel, local: &Registered) -> Result<Inward, Stop> {
    loop {
        // Cancel-safe: both only wait.
        let received = tokio::select! {
            received = channel.receive() => received.map_err(Stop::Channel)?,
            closed = local.write_closed() => {
                closed.map_err(Stop::Local)?;
                return Ok(Inward::Closed);
            }
        };
        match received {
            Received::Piece(_) if !local.writes() => {}
            Received::Piece(piece) => match local.write(&piece).await {
                Ok(()) => {}
                Err(error) if is_closed(&error) => return Ok(Inward::Closed),
                Err(error) => return Err(Stop::Local(error)),
            },
            Received::End => {
                local.end_write();
                // The reader of a pipe sees the end when its writer is closed, which is when both directions are over.
                return Ok(Inward::Ended);
            }
        }
    }
}

/// Resets the channel, and takes what still comes until the other end closes it, so that closing the socket here does not
/// discard what the other end has not read yet.
async fn close(channel: &Channel, why: &str) {
    channel.reset(why);
    let reading = async { while channel.receive().await.is_ok() {} };
    let closing = async { tokio::join!(channel.flush(0), reading) };
    // The other end may be gone, or take nothing.
    let _ = timeout(CLOSE_TIME_MAX, closing).await;
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

/// For the other end to take a reset, and to close the connection.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
