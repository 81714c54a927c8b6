//! The socket to a bus: non-blocking reads and writes of octets and file descriptors.
//!
//! Model: the runtime is always registered for readability, but for writability only while a writer waits for it.
//! Otherwise every message that the bus reads would wake this process for nothing.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net,
    },
    task::{Context, Poll, ready},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncWriteExt, Interest, unix::AsyncFd},
    net::{TcpStream, UnixStream},
};
use zbus::{
    Address,
    address::transport::{Tcp, Transport, UnixSocket},
};

use super::registration::register;

/// A connected socket. See the [module](self).
#[derive(Debug)]
pub(super) struct Socket {
    fd: AsyncFd<OwnedFd>,
}

/// The result of a read.
#[derive(Debug)]
pub(super) struct Received {
    /// Number of octets; 0 at the end of the stream.
    pub(super) len: usize,
    pub(super) descriptors: Vec<OwnedFd>,
    /// The read ended at descriptors, so the socket may have more octets.
    ends_early: bool,
}

impl Socket {
    /// Connects to a D-Bus address.
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        let fd: OwnedFd = match address.transport() {
            Transport::Unix(unix) => unix_stream(unix.path()).await?.into_std()?.into(),
            Transport::Tcp(tcp) => tcp_stream(tcp).await?.into_std()?.into(),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let fd = register(fd, Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Reads, or waits for octets. The kernel reports readability only once (edge triggered), so the socket stays marked
    /// as ready until it is drained. A read shorter than `octets` has drained it, which saves a read that would return
    /// `EWOULDBLOCK`. A read that received or lost descriptors has not: the kernel ends it there, even if more octets
    /// follow.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        octets: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(context))?;
            match receive(self.fd.get_ref(), octets) {
                Ok(received) => {
                    if received.len > 0 && received.len < octets.len() && !received.ends_early {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(received));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes as much as the socket accepts; `None` if it accepts nothing at the moment.
    pub(super) fn try_write(&self, octets: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        self.try_write_with(octets, &[])
    }

    /// Like [`Self::try_write`], with file descriptors, which are sent with the first octet.
    pub(super) fn try_write_with(
        &self,
        octets: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Option<usize>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty()
                && !control.push(SendAncillaryMessage::ScmRights(descriptors))
            {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            match sendmsg(self.fd.get_ref(), octets, &mut control, SendFlags::NOSIGNAL) {
                Ok(len) => return Ok(Some(len)),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until the socket is writable. Cancel safe.
    pub(super) fn writable(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        // A separate registration, so that the registration for reading does not report writability.
        let fd = rustix::io::dup(self.fd.get_ref());
        async move {
            let fd = register(fd?, Interest::WRITABLE)?;
            fd.writable().await?.retain_ready();
            Ok(())
        }
    }

    /// Shuts down both directions; a pending read returns the end of the stream.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self.fd.get_ref(), Shutdown::Both)?)
    }

    /// The number of octets in the receive buffer of the kernel.
    pub(super) fn waiting(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self.fd.get_ref())?)
    }

    /// The name of the process at the other end, if the kernel knows it.
    pub(super) fn program(&self) -> Option<String> {
        let peer = rustix::net::sockopt::socket_peercred(self.fd.get_ref()).ok()?;
        let process = peer.pid.as_raw_nonzero();
        let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
        Some(name.trim_end().to_owned())
    }
}

fn receive(fd: impl AsFd, octets: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let octets = &mut [IoSliceMut::new(octets)];
    let received = recvmsg(fd, octets, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    let mut ends_early = received.flags.contains(ReturnFlags::CTRUNC);
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            ends_early = true;
            descriptors.extend(rights);
        }
    }
    Ok(Received {
        len: received.bytes,
        descriptors,
        ends_early,
    })
}

async fn unix_stream(socket: &UnixSocket) -> io::Result<UnixStream> {
    match socket {
        UnixSocket::File(path) => UnixStream::connect(path).await,
        UnixSocket::Abstract(name) => {
            let name = name.as_encoded_bytes();
            let address = net::SocketAddr::from_abstract_name(name)?;
            let stream = net::UnixStream::connect_addr(&address)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn tcp_stream(tcp: &Tcp) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((tcp.host(), tcp.port())).await?;
    stream.set_nodelay(true)?;
    if let Some(file) = tcp.nonce_file() {
        let file = String::from_utf8(file.to_vec()).map_err(io::Error::other)?;
        stream.write_all(&fs::read(file)?).await?;
    }
    Ok(stream)
}

/// File descriptors of one message: the limit of the kernel.
pub(super) const DESCRIPTORS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Read, os::fd::AsRawFd};

    use super::*;
    use crate::testbus::soon;

    /// A connected socket and its other end.
    async fn pair() -> (Socket, net::UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = net::UnixListener::bind(&path).unwrap();
        let address = format!("unix:path={}", path.display());
        let address: Address = address.parse().unwrap();
        let socket = Socket::connect(&address).await.unwrap();
        (socket, listener.accept().unwrap().0)
    }

    fn send(to: &net::UnixStream, octets: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        let octets = &[IoSlice::new(octets)];
        sendmsg(to, octets, &mut control, SendFlags::NOSIGNAL).unwrap();
    }

    async fn read(socket: &Socket) -> Received {
        let mut octets = [0; 4096];
        let read = soon(poll_fn(|context| socket.poll_read(context, &mut octets)));
        read.await.unwrap()
    }

    #[tokio::test]
    async fn what_comes_behind_descriptors_is_read_without_anything_else_coming() {
        let (socket, end) = pair().await;
        let file = std::fs::File::open("/dev/null").unwrap();
        let all = [file.as_fd(); DESCRIPTORS_MAX];
        for count in [1, 2, DESCRIPTORS_MAX, 1] {
            send(&end, b"brings", &all[..count]);
        }
        rustix::io::write(&end, b"plain").unwrap();
        // A read ends at the descriptors of a message, so each message needs its own read.
        for count in [1, 2, DESCRIPTORS_MAX, 1] {
            let received = read(&socket).await;
            assert_eq!((received.len, received.descriptors.len()), (6, count));
        }
        let received = read(&socket).await;
        assert_eq!((received.len, received.descriptors.len()), (5, 0));
        drop(end);
        assert_eq!(read(&socket).await.len, 0);
    }

    #[tokio::test]
    async fn descriptors_go_with_the_first_octet() {
        let (socket, mut end) = pair().await;
        let (mut out, into) = io::pipe().unwrap();
        let sent = socket.try_write_with(&[IoSlice::new(b"message")], &[into.as_fd()]);
        assert_eq!(sent.unwrap(), Some(7));
        drop(into);
        let mut octets = [0; 16];
        let received = receive(&end, &mut octets).unwrap();
        assert_eq!(
            (&octets[..received.len], received.descriptors.len()),
            (&b"message"[..], 1)
        );
        assert!(received.descriptors[0].as_raw_fd() > 2);
        drop(received);
        assert_eq!(out.read(&mut octets).unwrap(), 0, "closed at both ends");
        socket.shut_down().unwrap();
        assert_eq!(end.read(&mut octets).unwrap(), 0);
    }
}
