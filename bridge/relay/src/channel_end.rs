//! The end of a channel over which something whole was sent.

use zocp_node::{Channel, ChannelError, Received};

/// Says that nothing more comes, and waits until the other end says so too: a connection that is closed before it has
/// read everything may lose some of it.
pub(crate) async fn finish(channel: &Channel) -> Result<(), ChannelError> {
    channel.end().await?;
    while let Received::Piece(_) = channel.receive().await? {}
    Ok(())
}
