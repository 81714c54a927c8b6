//! Messages into packets: several go into one, as far as its length allows.

use super::{AT_ONCE, BUNDLE, HEADER_LEN, Message, encode};

/// Messages as packets: a single one as it is, several as bundles of at most `len_max` octets that take effect at
/// once. A message that is longer alone has a packet of its own.
pub fn packets<'a>(
    messages: impl IntoIterator<Item = &'a Message>,
    len_max: usize,
) -> Vec<Vec<u8>> {
    let mut packing = Packing::new(len_max, usize::MAX);
    for message in messages {
        packing.put(message);
    }
    packing.finish()
}

/// Messages on their way into packets: several go into one, as far as its length allows.
pub(crate) struct Packing {
    len_max: usize,
    packets_max: usize,
    packets: Vec<Vec<u8>>,
    /// The messages of the packet that is not complete, and its length.
    elements: Vec<Vec<u8>>,
    len: usize,
}

impl Packing {
    /// For at most so many packets of at most this length.
    pub(crate) fn new(len_max: usize, packets_max: usize) -> Self {
        Self {
            len_max,
            packets_max,
            packets: Vec::new(),
            elements: Vec::new(),
            len: HEADER_LEN,
        }
    }

    /// Puts a message into a packet; `false` if there is no more room.
    pub(crate) fn put(&mut self, message: &Message) -> bool {
        let mut element = Vec::new();
        encode(message, &mut element);
        let is_full = self.len + 4 + element.len() > self.len_max && !self.elements.is_empty();
        if self.packets.len() + 1 + usize::from(is_full) > self.packets_max {
            return false;
        }
        if is_full {
            self.complete();
        }
        self.len += 4 + element.len();
        self.elements.push(element);
        true
    }

    /// The packets.
    pub(crate) fn finish(mut self) -> Vec<Vec<u8>> {
        if !self.elements.is_empty() {
            self.complete();
        }
        self.packets
    }

    fn complete(&mut self) {
        self.packets.push(packet_of(&mut self.elements));
        self.len = HEADER_LEN;
    }
}

fn packet_of(elements: &mut Vec<Vec<u8>>) -> Vec<u8> {
    if elements.len() == 1
        && let Some(only) = elements.pop()
    {
        return only;
    }
    let mut packet = BUNDLE.to_vec();
    packet.extend(AT_ONCE.to_be_bytes());
    for element in elements.drain(..) {
        let len = u32::try_from(element.len()).unwrap_or(u32::MAX);
        packet.extend(len.to_be_bytes());
        packet.extend(element);
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::osc::packet::Arg;

    #[test]
    fn so_many_packets_take_so_many_messages_and_no_more() {
        let message = Message {
            address: "/a".to_owned(),
            args: vec![Arg::Int(1)],
        };
        // 12 octets each, with 4 for the length, behind 16 of the bundle: two in one.
        let mut packing = Packing::new(50, 2);
        let taken = std::iter::repeat_n(&message, 10).take_while(|message| packing.put(message));
        assert_eq!(taken.count(), 4);
        assert_eq!(packing.finish().len(), 2);
        let mut none = Packing::new(50, 0);
        assert!(!none.put(&message));
        assert_eq!(packets([&message; 5], 50).len(), 3);
    }
}
