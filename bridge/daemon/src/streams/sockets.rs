//! Sockets that are connected to where streams are.
//!
//! Model: each function makes one socket of its own, so its flags are nobody else's; what is handed over is blocking, as
//! programs expect it.
//! Limits: [`CONNECT_TIME_MAX`] for a TCP connection. [`SILENCE_MAX`] until a TCP connection whose other end is silent ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zocp_node::model::stream::Direction;

/// A TCP connection, which ends when the other machine is gone.
pub(super) async fn tcp(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let connected = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, SILENCE_MAX / 3)?;
    sockopt::set_tcp_keepintvl(&stream, SILENCE_MAX / 6)?;
    sockopt::set_tcp_keepcnt(&stream, 3)?;
    let silence = u32::try_from(SILENCE_MAX.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&stream, silence)?;
    Ok(stream.into())
}

/// A UDP socket. A source gets an empty datagram, so that it knows where to send.
pub(super) fn udp(address: SocketAddrV4, direction: Direction) -> io::Result<OwnedFd> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    if direction == Direction::Source {
        socket.send(&[])?;
    }
    Ok(socket.into())
}

/// A UDP socket that has joined the group of a source, or that sends to the group of a sink, on the network by which
/// `peer` is reached.
pub(super) fn group(
    group: SocketAddrV4,
    direction: Direction,
    peer: Option<Ipv4Addr>,
) -> io::Result<OwnedFd> {
    let own = own_address(peer)?;
    if direction == Direction::Sink {
        let socket = UdpSocket::bind((own, 0))?;
        sockopt::set_ip_multicast_if(&socket, &own)?;
        socket.connect(group)?;
        return Ok(socket.into());
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Bound to the group, it gets nothing that was sent to another address.
    bind(&socket, &group)?;
    sockopt::set_ip_add_membership(&socket, group.ip(), &own)?;
    Ok(socket)
}

/// A connection to a server on this machine.
pub(super) fn unix(path: &str, packets: bool) -> io::Result<OwnedFd> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(path)?,
    };
    let kind = match packets {
        true => SocketType::SEQPACKET,
        false => SocketType::STREAM,
    };
    // It does not wait for a server whose queue is full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    connect(&socket, &address)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

/// The address of this machine on the network by which a peer is reached.
fn own_address(peer: Option<Ipv4Addr>) -> io::Result<Ipv4Addr> {
    let Some(peer) = peer else {
        return Ok(Ipv4Addr::UNSPECIFIED);
    };
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Nothing is sent by this.
    probe.connect((peer, 9))?;
    match probe.local_addr()?.ip() {
        std::net::IpAddr::V4(own) => Ok(own),
        std::net::IpAddr::V6(_) => Ok(Ipv4Addr::UNSPECIFIED),
    }
}

const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
const SILENCE_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_direct_connection_has_its_probes() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = server.local_addr().unwrap() else {
            panic!("it is of IPv4");
        };
        let fd = tcp(address).await.unwrap();
        assert!(sockopt::socket_keepalive(&fd).unwrap());
        let silence = sockopt::tcp_user_timeout(&fd).unwrap();
        assert_eq!(u128::from(silence), SILENCE_MAX.as_millis());
        let flags = rustix::io::fcntl_getfd(&fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    /// A server whose queue is full does not answer.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_nobody_answers_ends_in_time() {
        let flags = SocketFlags::CLOEXEC;
        let server = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&server, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&server, 0).unwrap();
        let server = std::net::TcpListener::from(server);
        let address = server.local_addr().unwrap();
        let std::net::SocketAddr::V4(v4) = address else {
            panic!("it is of IPv4");
        };
        let _full: Vec<_> = (0..4)
            .map(|_| {
                let fd = socket_with(
                    AddressFamily::INET,
                    SocketType::STREAM,
                    flags | SocketFlags::NONBLOCK,
                    None,
                );
                let fd = fd.unwrap();
                // It is under way, or waits for the queue.
                let _ = connect(&fd, &v4);
                fd
            })
            .collect();
        let began = tokio::time::Instant::now();
        let refused = tcp(v4).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), CONNECT_TIME_MAX);
    }
}
