//! One connection: the conversation, then what it says.
//!
//! Invariants: CONNECTION-1. what a connection says is carried out before its end is. CONNECTION-2. descriptors belong to
//! the messages that announce them, in the order in which both came.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    os::fd::OwnedFd,
    sync::Arc,
};

use tokio::{
    io::unix::AsyncFd,
    net::UnixStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    Link, PIECE_LEN_MAX, Shared, TURN_LEN_MAX, TURN_LOCAL_MESSAGES_MAX, TURN_MESSAGES_MAX,
    due::Due, outbox::SocketLink, piece::Piece, socket,
};
use crate::{
    ConnectionId,
    auth::Auth,
    core::Bus,
    message::{Incoming, Invalid, Message},
};

/// Serves a connection until its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: UnixStream,
    permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    let deadline = Instant::now() + shared.limits.hello_time_max;
    let fd: Arc<OwnedFd> = Arc::new(stream.into_std()?.into());
    let credentials = socket::credentials(&fd)?;
    let followed = socket::follow(fd.clone())?;
    let mut auth = Auth::new(&shared.guid, &credentials, shared.admitted.clone());
    let rest = timeout_at(deadline, converse(&followed, &mut auth)).await??;
    let takes_descriptors = auth.may_send_descriptors();
    let mut link = None;
    let (id, _) = shared.connect(credentials, takes_descriptors, |backlog| {
        let new = link.insert(Arc::new(SocketLink::new(fd, backlog)));
        Link::Socket(new.clone())
    });
    let Some(link) = link else { return Ok(()) };
    let mut connection = Connection {
        shared,
        id,
        link,
        fd: followed,
        takes_descriptors,
        incoming: Incoming::default(),
        descriptors: VecDeque::new(),
    };
    connection.take(&rest).await;
    let mut incomplete = Some(permit);
    while incomplete.is_some() {
        if connection.shared.lock().bus.is_complete(id) {
            // Others may come now.
            incomplete = None;
        } else if !timeout_at(deadline, connection.turn()).await?? {
            return Ok(());
        }
    }
    while connection.turn().await? {}
    Ok(())
}

/// The conversation; what came behind it.
async fn converse(fd: &AsyncFd<Arc<OwnedFd>>, auth: &mut Auth) -> io::Result<Vec<u8>> {
    let mut buffer = [0; CONVERSATION_LEN_MAX];
    loop {
        let mut guard = fd.readable().await?;
        let mut descriptors = Vec::new();
        let Some(received) = socket::receive(fd.get_ref(), &mut buffer, &mut descriptors)? else {
            guard.clear_ready();
            continue;
        };
        if received.len == 0 || received.has_descriptors {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut input = &buffer[..received.len];
        let begun = auth.input(&mut input).map_err(io::Error::other);
        write_all(fd.get_ref(), &auth.take_output()).await?;
        if begun? {
            return Ok(input.to_vec());
        }
    }
}

async fn write_all(fd: &OwnedFd, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        match socket::send(fd, &[IoSlice::new(octets)], None)? {
            Some(len) => octets = &octets[len..],
            None => socket::writable(fd).await?,
        }
    }
    Ok(())
}

/// A connection behind its conversation.
struct Connection {
    shared: Arc<Shared>,
    id: ConnectionId,
    link: Arc<SocketLink>,
    fd: AsyncFd<Arc<OwnedFd>>,
    takes_descriptors: bool,
    incoming: Incoming,
    /// Those that came and that no message has announced yet.
    descriptors: VecDeque<OwnedFd>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.disconnect(self.id);
    }
}

impl Connection {
    /// Waits for octets and carries them out; `false` at the end. Cancelled, what was read is lost, so that is the end
    /// too.
    async fn turn(&mut self) -> io::Result<bool> {
        let mut guard = self.fd.readable().await?;
        if self.link.is_closed() {
            return Ok(false);
        }
        let fd = self.fd.get_ref();
        let (received, piece) = match self.incoming.room(&self.shared.limits) {
            Some(mut room) => {
                let received = socket::receive(fd, room.octets(), &mut self.descriptors)?;
                room.fill(received.as_ref().map_or(0, |received| received.len));
                (received, None)
            }
            None => {
                let mut piece = Piece::take();
                let received = socket::receive(fd, &mut piece.octets, &mut self.descriptors)?;
                (received, Some(piece))
            }
        };
        let Some(received) = received else {
            guard.clear_ready();
            return Ok(true);
        };
        // SERVER-3.
        let is_drained =
            piece.is_some() && received.len < PIECE_LEN_MAX && !received.has_descriptors;
        if is_drained {
            guard.clear_ready();
        }
        drop(guard);
        if received.len == 0 {
            return Ok(false);
        }
        let octets = piece.as_ref().map(|piece| &piece.octets[..received.len]);
        self.take(octets.unwrap_or_default()).await;
        if !is_drained {
            // It may have more; it is the turn of others.
            tokio::task::yield_now().await;
        }
        Ok(!self.link.is_closed())
    }

    /// Carries out what came: a few messages in each turn, or all in one if that is little, as of a client that waits for
    /// the replies to its calls.
    async fn take(&mut self, mut input: &[u8]) {
        let shared = self.shared.clone();
        let mut due = shared.due();
        let is_short = input.len() <= TURN_LEN_MAX;
        while !self.carry_out_some(&mut input, &mut due, is_short) {
            due.pass().await;
        }
    }

    /// One turn; whether nothing is left to be carried out.
    fn carry_out_some(&mut self, input: &mut &[u8], due: &mut Due<'_>, is_short: bool) -> bool {
        let mut count = 0;
        loop {
            let is_over = due.carry_out(|bus| self.carry_out_one(bus, input));
            if is_over || input.is_empty() {
                return true;
            }
            count += 1;
            let max = match due.is_local() {
                true => TURN_LOCAL_MESSAGES_MAX,
                false => TURN_MESSAGES_MAX,
            };
            if count >= max && !is_short {
                return false;
            }
        }
    }

    /// Carries out the next message; whether none is there as a whole, or none will be.
    fn carry_out_one(&mut self, bus: &mut Bus, input: &mut &[u8]) -> bool {
        let outcome = self.check_descriptors();
        match outcome.and_then(|()| self.next(bus, input)) {
            Ok(is_carried_out) => !is_carried_out,
            Err(invalid) => {
                bus.reject(self.id, invalid);
                true
            }
        }
    }

    /// Carries out the next message; `false` if none is there as a whole.
    fn next(&mut self, bus: &mut Bus, input: &mut &[u8]) -> Result<bool, Invalid> {
        let limits = &self.shared.limits;
        let Some(frame) = self.incoming.next(input, limits)? else {
            return Ok(false);
        };
        let mut message = Message::parse(&frame, limits)?;
        let announced = message.descriptors_announced();
        if announced > 0 {
            if announced > self.descriptors.len() || announced > limits.message_descriptors_max {
                return Err(Invalid("its descriptors are not there, or are too many"));
            }
            message.attach(self.descriptors.drain(..announced).collect());
        }
        bus.receive(self.id, &message);
        Ok(true)
    }

    fn check_descriptors(&self) -> Result<(), Invalid> {
        let count = self.descriptors.len();
        if count > 0 && !self.takes_descriptors {
            return Err(Invalid("it has descriptors, which were not agreed upon"));
        }
        // What one message may have, and what may come along with the next.
        if count > 2 * self.shared.limits.message_descriptors_max {
            return Err(Invalid("there are more descriptors than messages announce"));
        }
        Ok(())
    }
}

/// Octets that are read at once before BEGIN.
const CONVERSATION_LEN_MAX: usize = 4 << 10;
