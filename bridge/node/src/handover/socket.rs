//! Octets and one descriptor over a Unix socket.
//!
//! Invariants: HANDOVERSOCKET-1. A descriptor that nobody asked for is closed: there is room for one, and the kernel
//! closes what has none.
//! Spec: unix(7), recvmsg(2)

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::geteuid;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Whether the other end is a process of this user or of root.
pub(super) fn is_trusted(socket: &UnixStream) -> io::Result<bool> {
    let uid = socket.peer_cred()?.uid();
    Ok(uid == 0 || uid == geteuid().as_raw())
}

/// Sends a few octets, which fit into an empty socket, and a descriptor with them.
pub(super) async fn send(
    socket: &UnixStream,
    octets: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let sent = socket.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: &[BorrowedFd<'_>] = fd.as_slice();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(sendmsg(
            socket,
            &[IoSlice::new(octets)],
            &mut control,
            flags,
        )?)
    });
    match sent.await? == octets.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Receives at least one octet, and the descriptor that comes with it.
pub(super) async fn receive(
    socket: &UnixStream,
    octets: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let received = socket.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(socket, &mut [IoSliceMut::new(octets)], &mut control, flags)?;
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let mut fds: Vec<OwnedFd> = rights.flatten().collect();
        let is_whole = !received.flags.contains(ReturnFlags::CTRUNC) && fds.len() < 2;
        Ok((received.bytes, fds.pop(), is_whole))
    });
    match received.await? {
        (0, ..) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, _, false) => Err(io::ErrorKind::InvalidData.into()),
        (len, fd, true) => Ok((len, fd)),
    }
}

/// Receives these octets, and no descriptor.
pub(super) async fn receive_exactly<const N: usize>(
    socket: &UnixStream,
    expected: [u8; N],
) -> io::Result<()> {
    match receive_all(socket).await? == expected {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Receives so many octets, and no descriptor.
pub(super) async fn receive_all<const N: usize>(socket: &UnixStream) -> io::Result<[u8; N]> {
    let mut octets = [0; N];
    let mut len = 0;
    while len < N {
        let (more, fd) = receive(socket, &mut octets[len..]).await?;
        if fd.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        len += more;
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn a_descriptor_comes_with_its_octets() {
        let (one, other) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&one, b"x", Some(writer.as_fd())).await.unwrap();
        let mut octet = [0];
        let (len, fd) = receive(&other, &mut octet).await.unwrap();
        assert_eq!((len, &octet), (1, b"x"));
        drop(writer);
        let mut writer = std::fs::File::from(fd.unwrap());
        io::Write::write_all(&mut writer, b"here").unwrap();
        drop(writer);
        assert_eq!(io::read_to_string(reader).unwrap(), "here");
        assert!(is_trusted(&one).unwrap());
    }

    #[tokio::test]
    async fn descriptors_that_nobody_asked_for_are_an_error_and_closed() {
        let (one, other) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        send(&one, b"ab", Some(writer.as_fd())).await.unwrap();
        let refused = receive_exactly(&other, *b"ab").await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Two at once, where there is room for one.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [writer.as_fd(), writer.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let octets = [IoSlice::new(b"c")];
        sendmsg(&one, &octets, &mut control, SendFlags::empty()).unwrap();
        let refused = receive(&other, &mut [0]).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(writer);
        // All copies are closed: the end comes.
        assert_eq!(io::read_to_string(reader).unwrap(), "");
    }

    #[tokio::test]
    async fn the_end_is_an_error() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        let ended = receive_all::<17>(&other).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
