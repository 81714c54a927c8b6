//! The socket to a bus: octets in both directions, and descriptors, without waiting.
//!
//! Model: the kernel tells of octets that came, and of room only while somebody waits for it: a bus that
//! takes a message else wakes its sender each time for nothing.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net,
    },
    task::{Context, Poll, ready},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendFlags, recvmsg,
    sendmsg,
};
use tokio::{
    io::{AsyncWriteExt, Interest, unix::AsyncFd},
    net::{TcpStream, UnixStream},
};
use zbus::{
    Address,
    address::transport::{Tcp, Transport, UnixSocket},
};

use super::followed::followed;

/// A connected socket. See the [module](self).
#[derive(Debug)]
pub(super) struct Socket {
    fd: AsyncFd<OwnedFd>,
}

/// What a read brought.
#[derive(Debug)]
pub(super) struct Received {
    /// 0 at the end.
    pub(super) len: usize,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Socket {
    /// Connects to a D-Bus address.
    pub(super) async fn connect(address: &Address) -> io::Result<Self> {
        let fd: OwnedFd = match address.transport() {
            Transport::Unix(unix) => unix_stream(unix.path()).await?.into_std()?.into(),
            Transport::Tcp(tcp) => tcp_stream(tcp).await?.into_std()?.into(),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let fd = followed(fd, Interest::READABLE)?;
        Ok(Self { fd })
    }

    /// Reads what is there, or waits for it. Less than there is room for is all that there was.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        octets: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(context))?;
            match receive(self.fd.get_ref(), octets) {
                Ok(received) => {
                    if received.len < octets.len() && received.len > 0 {
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

    /// Writes what the socket takes; `None` where it takes nothing at the moment.
    pub(super) fn try_write(&self, octets: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        loop {
            let mut none = SendAncillaryBuffer::default();
            match sendmsg(self.fd.get_ref(), octets, &mut none, SendFlags::NOSIGNAL) {
                Ok(len) => return Ok(Some(len)),
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until it takes something. Cancel safe.
    pub(super) fn writable(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        // A registration of its own, so that the other tells nothing of this.
        let fd = rustix::io::dup(self.fd.get_ref());
        async move {
            let fd = followed(fd?, Interest::WRITABLE)?;
            fd.writable().await?.retain_ready();
            Ok(())
        }
    }

    /// How much the kernel has for us.
    pub(super) fn waiting(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self.fd.get_ref())?)
    }

    /// The name of the program at the other end, as far as the kernel knows it.
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
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(Received {
        len: received.bytes,
        descriptors,
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

/// The kernel's limit for one message.
const DESCRIPTORS_MAX: usize = 253;
