//! Files of messages: read on one side, and copied into memory on the other.
//!
//! Model: the bridge of the sender reads the whole file and sends it over a channel. The bridge of the receiver has a
//! memfd for the program from the beginning, fills it, and seals it; its message waits until then (`super::waiting`).
//! Invariants: RELAYFILE-1. Only threads for that wait for a file system. RELAYFILE-2. The position of the sender's
//! program in its file does not change; the copy is at the same position.
//! Limits: [`FILE_LEN_MAX`] octets of a file, [`FILES_KIB_MAX`] of all that are being copied, [`FILE_TIME_MAX`].
//! Spec: docs/reference/protocol.md §9.8, memfd_create(2)

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create, seek};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use zocp_node::{Channel, ChannelError, PIECE_MAX, Received};

use crate::channel_end::finish;

/// Why a file was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("{0}")]
    Channel(#[from] ChannelError),
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("it is longer than {0} octets")]
    TooLong(u64),
    #[error("too many files are being copied at once")]
    TooMany,
    #[error("it took longer than {} s", .0.as_secs_f32())]
    TooSlow(Duration),
}

/// What files may have and take.
#[derive(Debug, Clone)]
pub(super) struct FileLimits {
    len_max: u64,
    time_max: Duration,
    /// Room for all that are being copied to this machine, in KiB.
    room: Arc<Semaphore>,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self {
            len_max: FILE_LEN_MAX,
            time_max: FILE_TIME_MAX,
            room: Arc::new(Semaphore::new(FILES_KIB_MAX)),
        }
    }
}

/// Where a program is in its file.
pub(super) fn position(file: &OwnedFd) -> u64 {
    seek(file, rustix::fs::SeekFrom::Current(0)).unwrap_or(0)
}

/// Sends a whole file.
pub(super) async fn send(
    channel: Channel,
    file: OwnedFd,
    limits: &FileLimits,
) -> Result<(), CopyError> {
    let copying = send_pieces(&channel, file.into(), limits.len_max);
    in_time(&channel, copying, limits).await
}

/// Gives up what fails or takes too long.
async fn in_time(
    channel: &Channel,
    copying: impl Future<Output = Result<(), CopyError>>,
    limits: &FileLimits,
) -> Result<(), CopyError> {
    let copied = timeout(limits.time_max, copying).await;
    let copied = copied.unwrap_or(Err(CopyError::TooSlow(limits.time_max)));
    copied.inspect_err(|error| channel.reset(&error.to_string()))
}

async fn send_pieces(channel: &Channel, file: File, len_max: u64) -> Result<(), CopyError> {
    let file = Arc::new(file);
    let mut at = 0;
    loop {
        let source = file.clone();
        let piece = spawn_blocking(move || read_at(&source, at)).await;
        let piece = piece.map_err(io::Error::other)??;
        if piece.is_empty() {
            break;
        }
        at += piece.len() as u64;
        if at > len_max {
            return Err(CopyError::TooLong(len_max));
        }
        channel.send(&piece).await?;
    }
    Ok(finish(channel).await?)
}

fn read_at(file: &File, at: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE_MAX];
    loop {
        match file.read_at(&mut piece, at) {
            Ok(len) => {
                piece.truncate(len);
                return Ok(piece);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file in memory that is still empty.
pub(super) fn empty() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(memfd_create("zocp", flags)?)
}

/// Fills such a file from a channel. From then on nobody can change it, and it is at this position.
pub(super) async fn fill(
    channel: Channel,
    (file, position): (OwnedFd, u64),
    limits: &FileLimits,
) -> Result<(), CopyError> {
    let mut file = File::from(file);
    in_time(&channel, fill_pieces(&channel, &file, limits), limits).await?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(io::Error::from)?;
    file.seek(SeekFrom::Start(position))?;
    Ok(())
}

async fn fill_pieces(channel: &Channel, file: &File, limits: &FileLimits) -> Result<(), CopyError> {
    let mut at = 0;
    let mut permits: Vec<OwnedSemaphorePermit> = Vec::new();
    while let Received::Piece(piece) = channel.receive().await? {
        if at + piece.len() as u64 > limits.len_max {
            return Err(CopyError::TooLong(limits.len_max));
        }
        let kib = u32::try_from(piece.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let permit = limits.room.clone().try_acquire_many_owned(kib);
        let permit = permit.map_err(|_| CopyError::TooMany)?;
        match permits.first_mut() {
            Some(first) => first.merge(permit),
            None => permits.push(permit),
        }
        file.write_all_at(&piece, at)?;
        at += piece.len() as u64;
    }
    channel.end().await?;
    Ok(())
}

/// Octets of one file.
const FILE_LEN_MAX: u64 = 64 << 20;
/// KiB of all files that are being copied to this machine.
const FILES_KIB_MAX: usize = 256 << 10;
/// How long the copying of one file may take.
const FILE_TIME_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use std::io::Read;

    use zocp_node::Node;

    use super::*;
    use crate::test_nodes::two_nodes;

    /// Both ends of a channel between two nodes, which live as long as the nodes do.
    async fn channel() -> (Channel, Channel, [Node; 2]) {
        let [(lamp, _), (desk, _)] = two_nodes().await;
        let offered = desk.offer_channel(lamp.id()).await.unwrap();
        let opening = lamp.open_channel(desk.id(), offered.ticket());
        let (there, here) = tokio::join!(offered.opened(), opening);
        (there.unwrap(), here.unwrap(), [lamp, desk])
    }

    fn limits(len_max: u64, kib: usize) -> FileLimits {
        FileLimits {
            len_max,
            room: Arc::new(Semaphore::new(kib)),
            ..FileLimits::default()
        }
    }

    fn file(octets: &[u8]) -> OwnedFd {
        let file = File::from(empty().unwrap());
        file.write_all_at(octets, 0).unwrap();
        file.into()
    }

    async fn copied(
        octets: &[u8],
        (there, here): (&FileLimits, &FileLimits),
    ) -> (Result<(), CopyError>, Result<(), CopyError>, File) {
        let (source, target, _nodes) = channel().await;
        let copy = empty().unwrap();
        let filling = fill(target, (copy.try_clone().unwrap(), 3), here);
        let sending = send(source, file(octets), there);
        let (sent, filled) = tokio::join!(sending, filling);
        (sent, filled, copy.into())
    }

    #[tokio::test]
    async fn a_copy_has_the_octets_and_the_position_and_cannot_be_changed() {
        let octets: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let limits = FileLimits::default();
        let (sent, filled, mut copy) = copied(&octets, (&limits, &limits)).await;
        assert!(sent.is_ok() && filled.is_ok(), "{sent:?} {filled:?}");
        let mut read = Vec::new();
        copy.read_to_end(&mut read).unwrap();
        assert!(read == octets[3..]);
        assert!(copy.write_all_at(b"x", 0).is_err());
        assert!(copy.set_len(0).is_err());
        assert_eq!(limits.room.available_permits(), FILES_KIB_MAX);
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_is_not_copied() {
        let octets = vec![7; 200_000];
        let (short, long) = (limits(100_000, 1000), limits(1_000_000, 1000));
        for limits in [(&short, &long), (&long, &short)] {
            let (sent, filled, _) = copied(&octets, limits).await;
            assert!(sent.is_err() && filled.is_err(), "{sent:?} {filled:?}");
        }
    }

    #[tokio::test]
    async fn so_much_of_all_files_is_copied_at_once() {
        let octets = vec![7; 200_000];
        let limits = limits(1_000_000, 150);
        let (_, filled, _) = copied(&octets, (&limits, &limits)).await;
        assert!(matches!(filled, Err(CopyError::TooMany)), "{filled:?}");
        assert_eq!(limits.room.available_permits(), 150);
    }

    #[tokio::test]
    async fn a_file_that_does_not_come_ends_its_waiting() {
        let (_source, target, _nodes) = channel().await;
        let limits = FileLimits {
            time_max: Duration::from_millis(20),
            ..FileLimits::default()
        };
        let filled = fill(target, (empty().unwrap(), 0), &limits).await;
        assert!(matches!(filled, Err(CopyError::TooSlow(_))), "{filled:?}");
    }
}
