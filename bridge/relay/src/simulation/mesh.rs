//! The mesh in the simulation: packets that are on their way, in order on each stream.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::transport::Stream;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Mesh {
    /// By the numbers of sender and receiver.
    packets: BTreeMap<(usize, usize), Vec<Packet>>,
    last: u64,
}

#[derive(Debug)]
struct Packet {
    stream: Stream,
    octets: Bytes,
    place: u64,
    /// Not before what is on this stream up to this place.
    behind: Option<(Stream, u64)>,
}

impl Mesh {
    pub(super) fn push(
        &mut self,
        way: (usize, usize),
        stream: Stream,
        octets: Bytes,
        behind: Option<Stream>,
    ) {
        let behind = behind.map(|stream| (stream, self.last));
        self.last += 1;
        self.packets.entry(way).or_default().push(Packet {
            stream,
            octets,
            place: self.last,
            behind,
        });
    }

    /// Whether so much is on its way that calls are refused.
    pub(super) fn is_full(&self, way: (usize, usize)) -> bool {
        self.packets.get(&way).is_some_and(|it| it.len() >= FULL_AT)
    }

    /// From whom to whom packets are on their way.
    pub(super) fn ways(&self) -> Vec<(usize, usize)> {
        let used = self
            .packets
            .iter()
            .filter(|(_, packets)| !packets.is_empty());
        used.map(|(way, _)| *way).collect()
    }

    /// Takes one of the packets that may arrive next.
    pub(super) fn take(&mut self, way: (usize, usize), choice: usize) -> Option<Bytes> {
        let packets = self.packets.get_mut(&way)?;
        let may_arrive = |index: usize| {
            let packet = &packets[index];
            let is_first = |stream: &Stream| packets[..index].iter().all(|it| it.stream != *stream);
            let behind = packet.behind.as_ref();
            let is_free = behind.is_none_or(|(stream, place)| {
                let mut before = packets.iter().filter(|it| it.place <= *place);
                before.all(|it| it.stream != *stream)
            });
            is_first(&packet.stream) && is_free
        };
        let next: Vec<usize> = (0..packets.len()).filter(|it| may_arrive(*it)).collect();
        let index = *next.get(choice % next.len().max(1))?;
        Some(packets.remove(index).octets)
    }

    /// A connection between two bridges is gone, and with it what is on its way.
    pub(super) fn cut(&mut self, one: usize, other: usize) {
        self.packets.remove(&(one, other));
        self.packets.remove(&(other, one));
    }
}

/// Above that calls are refused.
const FULL_AT: usize = 12;
