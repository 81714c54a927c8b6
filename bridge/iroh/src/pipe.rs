//! One connection of TCP on this machine, joined to one stream of QUIC.

use std::io;

use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::{
    io::{copy_bidirectional_with_sizes, join},
    net::TcpStream,
};

/// Copies both ways until both have ended, either fails, or the connection ends; then both are closed.
pub(crate) async fn copy(
    mut local: TcpStream,
    connection: Connection,
    (send, receive): (SendStream, RecvStream),
) -> io::Result<()> {
    local.set_nodelay(true)?;
    let mut far = join(receive, send);
    let copied = tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut local, &mut far, BUFFER_LEN, BUFFER_LEN) => copied.map(|_| ()),
        error = connection.closed() => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
    };
    if copied.is_err() {
        // The reader at the other end must not take what came so far for all.
        let (_, mut send) = far.into_inner();
        let _ = send.reset(CUT.into());
    }
    copied
}

/// The code of a stream that did not end by itself.
const CUT: u32 = 1;
/// Octets that are copied at once, each way.
const BUFFER_LEN: usize = 32 * 1024;
