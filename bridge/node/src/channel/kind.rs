//! What kind of thing a descriptor is.
//!
//! Model: [`DescriptorKind::of`] asks the kernel, and reads nothing of what the descriptor has.
//! Spec: fstat(2), fcntl(2), memfd_create(2)

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{FileType, OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::net::{AddressFamily, SocketType, getpeername, sockopt};

/// A kind of descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DescriptorKind {
    /// The reading end of a pipe or a FIFO.
    PipeReader,
    /// The writing end of a pipe or a FIFO.
    PipeWriter,
    /// A connected socket of octets.
    StreamSocket,
    /// A connected socket of packets.
    PacketSocket,
    /// A regular file that was opened for reading alone, or a memfd that nobody can write any more.
    File,
    /// Anything else: what it is, for people.
    Other(String),
}

impl DescriptorKind {
    /// The kind of this descriptor.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn of(fd: &impl AsFd) -> io::Result<Self> {
        let flags = fcntl_getfl(fd)?;
        if flags.contains(OFlags::PATH) {
            return Ok(other("a path (O_PATH)"));
        }
        Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
            FileType::Fifo => match flags & OFlags::ACCMODE {
                OFlags::RDONLY => Self::PipeReader,
                OFlags::WRONLY => Self::PipeWriter,
                _ => other("a FIFO that was opened for reading and writing"),
            },
            FileType::Socket => socket(fd)?,
            FileType::RegularFile => file(fd, flags),
            FileType::Directory => other("a directory"),
            FileType::CharacterDevice => other("a device"),
            FileType::BlockDevice => other("a block device"),
            _ => anonymous(fd),
        })
    }

    /// What it is, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::PipeReader => "the reading end of a pipe",
            Self::PipeWriter => "the writing end of a pipe",
            Self::StreamSocket | Self::PacketSocket => "a socket",
            Self::File => "a file",
            Self::Other(name) => name,
        }
    }
}

fn other(name: &str) -> DescriptorKind {
    DescriptorKind::Other(name.to_owned())
}

fn socket(fd: &impl AsFd) -> io::Result<DescriptorKind> {
    let family = sockopt::socket_domain(fd)?;
    if ![
        AddressFamily::UNIX,
        AddressFamily::INET,
        AddressFamily::INET6,
    ]
    .contains(&family)
    {
        return Ok(other("a socket of another family than Unix and IP"));
    }
    if sockopt::socket_acceptconn(fd)? {
        return Ok(other("a listening socket"));
    }
    if getpeername(fd).is_err() {
        return Ok(other("a socket that is not connected"));
    }
    Ok(match sockopt::socket_type(fd)? {
        SocketType::STREAM => DescriptorKind::StreamSocket,
        SocketType::DGRAM | SocketType::SEQPACKET => DescriptorKind::PacketSocket,
        _ => other("a raw socket"),
    })
}

fn file(fd: &impl AsFd, flags: OFlags) -> DescriptorKind {
    let is_sealed = || fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::WRITE));
    match flags & OFlags::ACCMODE {
        OFlags::RDONLY => DescriptorKind::File,
        _ if is_sealed() => DescriptorKind::File,
        _ => other("a file that was opened for writing"),
    }
}

/// An eventfd, a pidfd, an epoll: the kernel tells by the name of the link.
fn anonymous(fd: &impl AsFd) -> DescriptorKind {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()));
    let name = link.unwrap_or_default();
    let name = name.to_string_lossy();
    let name = name
        .trim_start_matches("anon_inode:")
        .trim_matches(['[', ']']);
    match name {
        "" => other("of an unknown kind"),
        name => DescriptorKind::Other(format!("an {name}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use rustix::fs::{MemfdFlags, Mode, memfd_create, open};

    use super::*;

    fn kind(fd: impl Into<OwnedFd>) -> DescriptorKind {
        DescriptorKind::of(&fd.into()).unwrap()
    }

    #[test]
    fn each_kind_is_told_by_what_the_kernel_says() {
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(kind(reader), DescriptorKind::PipeReader);
        assert_eq!(kind(writer), DescriptorKind::PipeWriter);
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(kind(one), DescriptorKind::StreamSocket);
        let (one, _other) = UnixDatagram::pair().unwrap();
        assert_eq!(kind(one), DescriptorKind::PacketSocket);
        assert_eq!(
            kind(File::open("/proc/self/exe").unwrap()),
            DescriptorKind::File
        );
    }

    #[test]
    fn what_cannot_be_carried_says_what_it_is() {
        let unbound = UnixDatagram::unbound().unwrap();
        let writable = tempfile();
        let path = open("/", OFlags::PATH, Mode::empty()).unwrap();
        let eventfd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let cases: [(OwnedFd, &str); 7] = [
            (unbound.into(), "not connected"),
            (
                TcpListener::bind("127.0.0.1:0").unwrap().into(),
                "listening",
            ),
            (writable, "for writing"),
            (File::open("/").unwrap().into(), "directory"),
            (File::open("/dev/null").unwrap().into(), "device"),
            (path, "O_PATH"),
            (eventfd, "eventfd"),
        ];
        for (fd, said) in cases {
            let DescriptorKind::Other(name) = kind(fd) else {
                panic!("{said}");
            };
            assert!(name.contains(said), "{name}");
        }
    }

    #[test]
    fn a_memfd_is_a_file_when_nobody_can_write_it() {
        let memfd = tempfile();
        rustix::fs::fcntl_add_seals(&memfd, SealFlags::WRITE).unwrap();
        assert_eq!(kind(memfd), DescriptorKind::File);
    }

    fn tempfile() -> OwnedFd {
        memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap()
    }
}
