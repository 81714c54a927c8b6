//! The controls of a device as capabilities, without JACK and clocks.
//!
//! Model: each control is a capability, by the [`Map`]; one that is not in it is learned when it is moved first. What is
//! moved is emitted; what is set or arrives over a wire is sent, to lights and motors.
//! Invariants: MIDI-1. A device is not told what it sent, see `outbox`. MIDI-2. Of controllers, bends and pressures the
//! newest value is told last; notes and programs are all told.
//! Limits: [`ENTRIES_MAX`] controls, further ones are refused; those of `sets` and `outbox`.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    map::{ENTRIES_MAX, Entry, Map},
    message::{Control, Kind, LOW, decode, encode},
};
use crate::{
    counts::Counts,
    mesh::{Access, CapPath, Capability, Value, number},
    osc::{outbox::Outbox, packet::Arg},
    sets::{Due, Sets},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    learns: bool,
    known: BTreeMap<Arc<str>, Known>,
    names: HashMap<Control, Arc<str>>,
    /// The upper bits of controllers of 14 bits.
    high: HashMap<Control, i32>,
    outbox: Outbox,
    sets: Sets<Value>,
    publications: VecDeque<(CapPath, Capability)>,
    pub(crate) counts: Counts,
    /// Something was learned since this was looked at.
    pub(crate) has_learned: bool,
}

#[derive(Debug)]
struct Known {
    control: Control,
    path: CapPath,
    entry: Entry,
    is_learned: bool,
}

impl Controls {
    /// Those of a map, and those that were learned before.
    pub(crate) fn new(map: Map, learned: Map) -> Self {
        let mut controls = Self {
            learns: map.learn,
            ..Self::default()
        };
        for entry in map.capability {
            controls.know(entry, 0, false);
        }
        for entry in learned.capability {
            if controls.learns {
                controls.know(entry, 0, true);
            }
        }
        controls
    }

    /// What was learned, for the next time.
    pub(crate) fn learned(&self) -> Map {
        let learned = self.known.values().filter(|known| known.is_learned);
        Map {
            learn: true,
            capability: learned.map(|known| known.entry.clone()).collect(),
        }
    }

    fn know(&mut self, entry: Entry, value: i32, is_learned: bool) -> bool {
        let (Ok(control), Some(path)) = (entry.control(), entry.path()) else {
            return false;
        };
        let name: Arc<str> = path.to_string().into();
        if self.known.len() == ENTRIES_MAX
            || self.known.contains_key(&name)
            || self.names.contains_key(&control)
        {
            return false;
        }
        let (least, greatest) = control.kind.range();
        let access = Access::READ | Access::WRITE | Access::EMIT | Access::SENSE;
        let capability = Capability::new(access, value.clamp(least, greatest)).with_hint("int");
        let capability = capability.with_range(least, greatest).with_step(1);
        self.publications.push_back((path.clone(), capability));
        self.names.insert(control, Arc::clone(&name));
        let known = Known {
            control,
            path,
            entry,
            is_learned,
        };
        self.known.insert(name, known);
        true
    }

    /// The device sent a message.
    pub(crate) fn message(&mut self, now: Instant, octets: &[u8]) {
        let Some((control, value)) = decode(octets) else {
            // Clocks and the like are no fault.
            return;
        };
        self.counts.received += 1;
        let (control, value) = self.widened(control, value);
        if let Some(name) = self.names.get(&control).cloned() {
            self.tell(now, &name, control, value);
        } else if !self.learns {
            self.counts.refuse(&format!(
                "{} of channel {}: it is not in the map",
                control.kind,
                control.channel + 1
            ));
        } else if self.know(Entry::of(control), value, true) {
            self.has_learned = true;
            if let Some(name) = self.names.get(&control) {
                self.outbox.touched(now, name, vec![Arg::Int(value)]);
            }
        } else {
            self.counts
                .refuse("there are too many controls, or two of one name");
        }
    }

    /// Both halves of a controller that the map has with 14 bits are that one.
    fn widened(&mut self, control: Control, value: i32) -> (Control, i32) {
        let Kind::Controller(number) = control.kind else {
            return (control, value);
        };
        let wide = |number| Control {
            kind: Kind::Wide(number),
            ..control
        };
        if self.names.contains_key(&wide(number)) {
            // The lower bits follow; until then they are 0.
            self.high.insert(wide(number), value);
            return (wide(number), value << 7);
        }
        let upper = number.checked_sub(LOW).map(wide);
        match upper.filter(|upper| self.names.contains_key(upper)) {
            Some(upper) => (
                upper,
                self.high.get(&upper).copied().unwrap_or(0) << 7 | value,
            ),
            None => (control, value),
        }
    }

    fn tell(&mut self, now: Instant, name: &Arc<str>, control: Control, value: i32) {
        self.outbox.touched(now, name, vec![Arg::Int(value)]);
        if control.kind.is_event() {
            self.sets.event(name, Value::from(value));
        } else {
            self.sets.state(now, name, Value::from(value));
        }
    }

    /// A value for a capability of this node.
    pub(crate) fn received(&mut self, now: Instant, path: &CapPath, value: &Value) {
        let name = path.to_string();
        let Some((name, known)) = self.known.get_key_value(&*name) else {
            return;
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "kept in 14 bits when it is written"
        )]
        let value = number(value).unwrap_or_default().round() as i32;
        self.counts.taken += 1;
        let args = vec![Arg::Int(value)];
        if known.control.kind.is_event() {
            self.outbox.event(now, name, args, true);
        } else {
            self.outbox.state(now, name, args);
        }
    }

    /// What the device is to be sent now.
    pub(crate) fn messages(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        for message in self.outbox.take(now) {
            let known = self.known.get(&*message.address);
            if let (Some(known), [Arg::Int(value)]) = (known, &message.args[..]) {
                messages.extend(encode(known.control, *value));
            }
        }
        self.counts.sent += messages.len() as u64;
        self.counts.dropped += self.outbox.take_dropped() + std::mem::take(&mut self.sets.dropped);
        self.counts.replaced = self.sets.replaced;
        messages
    }

    /// The next capability that is to be published, before any value is told.
    pub(crate) fn next_publication(&mut self) -> Option<(CapPath, Capability)> {
        self.publications.pop_front()
    }

    /// The next value that is to be emitted now.
    pub(crate) fn next_value(&mut self, now: Instant) -> Option<(CapPath, Value)> {
        loop {
            let Due { address, value, .. } = self.sets.take(now)?;
            if let Some(known) = self.known.get(&address) {
                return Some((known.path.clone(), value));
            }
        }
    }

    /// When there is something to be sent next, and when for the node.
    pub(crate) fn poll_timeout(&self, now: Instant) -> (Option<Instant>, Option<Instant>) {
        let publication = (!self.publications.is_empty()).then_some(now);
        let to_node = publication.or_else(|| self.sets.poll_timeout(now));
        (self.outbox.poll_timeout(now), to_node)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{mesh::ObjectPath, osc::outbox::HOLD};

    fn emitted(controls: &mut Controls, now: Instant) -> Vec<(String, Value)> {
        let all = std::iter::from_fn(|| controls.next_value(now));
        all.map(|(path, value)| (path.to_string(), value)).collect()
    }

    fn published(controls: &mut Controls) -> Vec<String> {
        let all = std::iter::from_fn(|| controls.next_publication());
        all.map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn what_is_moved_is_learned_and_emitted_and_known_the_next_time() {
        let (mut controls, now) = (
            Controls::new(Map::default(), Map::default()),
            Instant::now(),
        );
        controls.message(now, &[0xb0, 7, 64]);
        controls.message(now, &[0x99, 36, 100]);
        controls.message(now, &[0xf8]);
        assert_eq!(
            published(&mut controls),
            ["channel1.cc7", "channel10.note36"]
        );
        controls.message(now, &[0xb0, 7, 65]);
        controls.message(now, &[0xb0, 7, 66]);
        controls.message(now, &[0x89, 36, 0]);
        controls.message(now, &[0x99, 36, 90]);
        assert_eq!(
            emitted(&mut controls, now),
            [
                ("channel1.cc7".into(), json!(66)),
                ("channel10.note36".into(), json!(0)),
                ("channel10.note36".into(), json!(90))
            ]
        );
        let mut again = Controls::new(Map::default(), controls.learned());
        assert_eq!(published(&mut again).len(), 2);
    }

    #[test]
    fn both_halves_of_a_wide_controller_are_one_value() {
        let map = Map::parse(
            "m",
            "learn = false\n[[capability]]\nname = \"wheel\"\nchannel = 1\ncontroller = 1\nbits = 14\n",
        );
        let (mut controls, now) = (Controls::new(map.unwrap(), Map::default()), Instant::now());
        published(&mut controls);
        controls.message(now, &[0xb0, 1, 64]);
        controls.message(now, &[0xb0, 33, 5]);
        assert_eq!(emitted(&mut controls, now), [("wheel".into(), json!(8197))]);
        controls.message(now, &[0xb0, 2, 5]);
        assert_eq!(controls.counts.refused, 1);
        controls.received(now + HOLD, &CapPath::root("wheel"), &json!(16_383));
        assert_eq!(
            controls.messages(now + HOLD),
            [vec![0xb0, 1, 127], vec![0xb0, 33, 127]]
        );
    }

    #[test]
    fn a_device_is_not_told_what_it_sent() {
        let (mut controls, now) = (
            Controls::new(Map::default(), Map::default()),
            Instant::now(),
        );
        controls.message(now, &[0xb0, 7, 64]);
        controls.message(now, &[0xb0, 7, 65]);
        let path = ObjectPath::root().child("channel1").capability("cc7");
        controls.received(now, &path, &json!(65));
        assert!(controls.messages(now).is_empty());
        assert!(controls.messages(now + HOLD).is_empty());
        controls.received(now + HOLD, &path, &json!(80.4));
        assert_eq!(controls.messages(now + HOLD), [vec![0xb0, 7, 80]]);
    }

    #[test]
    fn a_light_that_is_set_while_its_key_is_held_is_sent_when_the_hand_rests() {
        let (mut controls, now) = (
            Controls::new(Map::default(), Map::default()),
            Instant::now(),
        );
        controls.message(now, &[0x90, 36, 100]);
        let path = ObjectPath::root().child("channel1").capability("note36");
        let soon = now + HOLD / 6;
        controls.received(soon, &path, &json!(100));
        controls.received(soon, &path, &json!(5));
        assert!(controls.messages(soon).is_empty());
        assert_eq!(controls.messages(now + HOLD), [vec![0x90, 36, 5]]);
    }

    #[test]
    fn what_is_moved_has_a_bound() {
        let (mut controls, now) = (Controls::default(), Instant::now());
        controls.learns = true;
        for channel in 0..16 {
            for number in 0..128 {
                controls.message(now, &[0xb0 | channel, number, 1]);
                controls.message(now, &[0x90 | channel, number, 1]);
            }
        }
        assert_eq!(
            (published(&mut controls).len(), controls.counts.refused),
            (ENTRIES_MAX, 0)
        );
        controls.message(now, &[0xe0, 0, 1]);
        assert_eq!(controls.counts.refused, 1);
    }
}
