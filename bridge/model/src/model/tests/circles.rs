//! Circles of wires, simulated: virtual time, links with latency and jitter that keep their order, nodes of ours
//! and models of pyZOCP.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::*;

/// A pyZOCP node, as its source has it: what a sensor receives is emitted if it is another value; what is set
/// is told to everybody but who set it.
struct Python {
    id: NodeId,
    values: BTreeMap<String, Value>,
    listed: BTreeMap<String, Vec<(String, Option<String>)>>,
    /// By receiving node and emitter.
    subscribers: BTreeMap<(NodeId, Option<String>), Vec<Option<String>>>,
    /// By emitting node and emitter.
    subscriptions: BTreeMap<(NodeId, Option<String>), Vec<Option<String>>>,
    output: VecDeque<(NodeId, String)>,
}

impl Python {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            values: BTreeMap::from([("x".to_owned(), Value::from(0))]),
            listed: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            output: VecDeque::new(),
        }
    }

    fn tree(&self) -> Value {
        let tree = self.values.iter().map(|(name, value)| {
            let listed = self.listed.get(name).cloned().unwrap_or_default();
            let entry =
                json!({"value": value, "typeHint": "int", "access": "rwes", "subscribers": listed});
            (name.clone(), entry)
        });
        Value::Object(tree.collect())
    }

    fn emit_signal(&mut self, emitter: &str, value: &Value) {
        self.values.insert(emitter.to_owned(), value.clone());
        self.signal(emitter, value, None);
    }

    fn signal(&mut self, emitter: &str, value: &Value, except: Option<NodeId>) {
        let mut to: Vec<NodeId> = self
            .subscribers
            .keys()
            .filter(|(node, of)| {
                Some(*node) != except && of.as_deref().is_none_or(|of| of == emitter)
            })
            .map(|(node, _)| *node)
            .collect();
        to.dedup();
        for node in to {
            let text = json!({"SIG": [emitter, value]}).to_string();
            self.output.push_back((node, text));
        }
    }

    fn handle(&mut self, peer: NodeId, text: &str) {
        let message: Value = serde_json::from_str(text).unwrap();
        for (verb, data) in message.as_object().unwrap() {
            match verb.as_str() {
                "GET" => {
                    let answer = json!({"MOD": self.tree()}).to_string();
                    self.output.push_back((peer, answer));
                }
                "SET" => {
                    for (name, part) in data.as_object().unwrap() {
                        self.values.insert(name.clone(), part["value"].clone());
                        self.signal(name, &part["value"], Some(peer));
                    }
                }
                "SUB" => self.subscribed(peer, data),
                "SIG" => self.signaled(peer, data),
                "MOD" => {}
                other => panic!("pyZOCP ends at {other}"),
            }
        }
    }

    fn subscribed(&mut self, peer: NodeId, data: &Value) {
        let node = |at: usize| data[at].as_str().unwrap().parse::<NodeId>().unwrap();
        let name = |at: usize| data[at].as_str().map(str::to_owned);
        let (emitting, emitter, receiving, receiver) = (node(0), name(1), node(2), name(3));
        if receiving != peer {
            if receiving == self.id {
                let known = self.subscriptions.entry((emitting, emitter)).or_default();
                known.push(receiver);
                return;
            }
            self.output
                .push_back((receiving, json!({ "SUB": data }).to_string()));
        }
        if let Some(emitter) = &emitter {
            let listed = self.listed.entry(emitter.clone()).or_default();
            let entry = (receiving.to_string(), receiver.clone());
            if !listed.contains(&entry) {
                listed.push(entry);
                let told = json!({"MOD": {emitter: {"subscribers": listed}}}).to_string();
                let all: Vec<NodeId> = self.subscribers.keys().map(|(node, _)| *node).collect();
                self.output
                    .extend(all.into_iter().map(|node| (node, told.clone())));
            }
        }
        let known = self.subscribers.entry((receiving, emitter)).or_default();
        known.push(receiver);
    }

    fn signaled(&mut self, peer: NodeId, data: &Value) {
        let (emitter, value) = (data[0].as_str().unwrap(), &data[1]);
        let wired = self.subscriptions.get(&(peer, Some(emitter.to_owned())));
        for receiver in wired.cloned().into_iter().flatten().flatten() {
            if self.values[&receiver] != *value {
                self.emit_signal(&receiver, value);
            }
        }
    }
}

enum Node {
    Ours(Box<Model>),
    Python(Python),
}

/// Nodes with links between all of them.
struct World {
    now: Instant,
    nodes: Vec<Node>,
    latency: Duration,
    jitter: u64,
    random: u64,
    arrivals: HashMap<(NodeId, NodeId), Instant>,
    under_way: BTreeMap<(Instant, u64), (NodeId, NodeId, String)>,
    number: u64,
    signals: usize,
    last_signal: Instant,
    /// What node 1's capability became, one after the other.
    shown: Vec<Value>,
    label: String,
}

impl World {
    /// `o` is a node of ours, `p` pyZOCP. All have met.
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new(kinds: &str, latency: u64, jitter: u64, seed: u64) -> Self {
        let now = Instant::now();
        let nodes = kinds.chars().zip(1..).map(|(kind, n)| match kind {
            'o' => {
                let mut model = Model::new(id(n), Limits::default());
                model.publish(root("x"), int("rwes", 0)).unwrap();
                Node::Ours(Box::new(model))
            }
            _ => Node::Python(Python::new(id(n))),
        });
        let mut world = Self {
            now,
            nodes: nodes.collect(),
            latency: Duration::from_millis(latency),
            jitter,
            random: seed.wrapping_mul(2).wrapping_add(1),
            arrivals: HashMap::new(),
            under_way: BTreeMap::new(),
            number: 0,
            signals: 0,
            last_signal: now,
            shown: Vec::new(),
            label: format!("{kinds} at {latency} ms, seed {seed}"),
        };
        world.meet(kinds);
        world
    }

    fn meet(&mut self, kinds: &str) {
        let now = self.now;
        for (to, n) in kinds.chars().zip(1..) {
            for (node, me) in self.nodes.iter_mut().zip(1..) {
                let kind = if to == 'o' { EXTENDED } else { OLD };
                if let Node::Ours(model) = node
                    && me != n
                {
                    model.peer_entered(now, id(n), kind);
                }
            }
        }
        self.run(Duration::from_secs(10));
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    fn wire(&mut self, from: u8, to: u8) {
        let makers = [from, to].into_iter().chain(1..);
        let maker = makers.into_iter().find_map(|n| {
            let node = self.nodes.get(usize::from(n) - 1)?;
            matches!(node, Node::Ours(_)).then_some(n)
        });
        let Node::Ours(model) = &mut self.nodes[usize::from(maker.unwrap()) - 1] else {
            unreachable!()
        };
        model
            .subscribe(id(from), Some("x"), id(to), Some("x"))
            .unwrap();
        self.run(Duration::from_secs(10));
    }

    fn ring(mut self) -> Self {
        let count = u8::try_from(self.nodes.len()).unwrap();
        for n in 1..=count {
            self.wire(n, n % count + 1);
        }
        self.started()
    }

    /// Two-way wires from one to the next.
    fn chain(mut self) -> Self {
        let count = u8::try_from(self.nodes.len()).unwrap();
        for n in 1..count {
            self.wire(n, n + 1);
            self.wire(n + 1, n);
        }
        self.started()
    }

    fn started(mut self) -> Self {
        self.run(Duration::from_secs(10));
        (self.signals, self.last_signal) = (0, self.now);
        self.shown.clear();
        self
    }

    fn touch(&mut self, n: u8, value: i64) {
        let now = self.now;
        match &mut self.nodes[usize::from(n) - 1] {
            Node::Ours(model) => {
                model.handle_timeout(now);
                model.emit(&root("x"), value.into()).unwrap();
            }
            Node::Python(python) => python.emit_signal("x", &value.into()),
        }
        self.collect();
    }

    fn collect(&mut self) {
        for at in 0..self.nodes.len() {
            let mut whispers = Vec::new();
            let me = match &mut self.nodes[at] {
                Node::Ours(model) => {
                    while let Some(output) = model.poll_output() {
                        if let Output::Whisper { peer, octets } = output {
                            whispers.push((peer, String::from_utf8(octets).unwrap()));
                        }
                    }
                    model.id()
                }
                Node::Python(python) => {
                    whispers.extend(python.output.drain(..));
                    python.id
                }
            };
            for (peer, text) in whispers {
                self.send(me, peer, text);
            }
        }
        let value = self.values().remove(0);
        if self.shown.last() != Some(&value) {
            self.shown.push(value);
        }
    }

    fn send(&mut self, from: NodeId, to: NodeId, text: String) {
        if text.starts_with("{\"SIG\"") {
            self.signals += 1;
            assert!(
                self.signals < 50_000,
                "a storm: {}: {:?}",
                self.label,
                self.values()
            );
            self.last_signal = self.now;
        }
        let jitter = Duration::from_micros(self.random(self.jitter * 1000));
        let mut at = self.now + self.latency + jitter;
        // A link keeps its order.
        let last = self.arrivals.entry((from, to)).or_insert(at);
        at = at.max(*last);
        *last = at;
        self.number += 1;
        self.under_way.insert((at, self.number), (from, to, text));
    }

    /// Lets so much time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.collect();
        loop {
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let alarms = self.nodes.iter().filter_map(|node| match node {
                Node::Ours(model) => model.poll_timeout(),
                Node::Python(_) => None,
            });
            let Some(next) = alarms.chain(arrival).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next)
                && let Some((_, (from, to, text))) = self.under_way.pop_first()
            {
                self.arrive(from, to, &text);
            } else {
                for node in &mut self.nodes {
                    if let Node::Ours(model) = node {
                        model.handle_timeout(next);
                    }
                }
            }
            self.collect();
        }
        self.now = end;
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, text: &str) {
        let now = self.now;
        for node in &mut self.nodes {
            match node {
                Node::Ours(model) if model.id() == to => {
                    assert_eq!(model.handle_message(now, from, text.as_bytes()), Ok(true));
                }
                Node::Python(python) if python.id == to => {
                    assert!(!text.contains("CAUSE"), "{text}");
                    python.handle(from, text);
                }
                _ => {}
            }
        }
    }

    fn values(&self) -> Vec<Value> {
        let value = |node: &Node| match node {
            Node::Ours(model) => model.local().root().capabilities["x"].value.clone(),
            Node::Python(python) => python.values.get("x").cloned(),
        };
        self.nodes.iter().map(|node| value(node).unwrap()).collect()
    }

    /// Nothing is said any more so long after now, and all have a value; how many signals there were.
    fn rests(&mut self, within: u64, label: &str) -> (Vec<Value>, usize) {
        let touched = self.now;
        self.run(Duration::from_secs(30));
        let rest = self.last_signal.saturating_duration_since(touched);
        let within = Duration::from_millis(within);
        assert!(
            rest <= within,
            "{label}: rests after {rest:?}, {:?}",
            self.values()
        );
        (self.values(), self.signals)
    }
}

/// In steps of 4 ms, as fast as programs send a fader.
fn fade(world: &mut World, by: &[u8], steps: i64) -> i64 {
    let mut value = 0;
    for step in 0..steps {
        for n in by {
            value = step * 10 + i64::from(*n);
            world.touch(*n, value);
        }
        world.run(Duration::from_millis(4));
    }
    value
}

const CIRCLES: [&str; 12] = [
    "oo", "ooo", "ooooo", "op", "po", "oop", "opo", "poo", "opp", "pop", "ooopo", "opopo",
];

#[test]
fn who_touches_alone_has_the_last_word_in_every_circle() {
    for kinds in CIRCLES {
        for is_ring in [true, false]
            .into_iter()
            .filter(|is_ring| *is_ring || !kinds.contains("pp"))
        {
            for (latency, jitter) in [(0, 0), (10, 5), (200, 100)] {
                for by in [1, u8::try_from(kinds.len()).unwrap()] {
                    let world = World::new(kinds, latency, jitter, u64::from(by));
                    let mut world = if is_ring { world.ring() } else { world.chain() };
                    let last = fade(&mut world, &[by], STEPS);
                    let label = format!("{kinds} ring {is_ring} at {latency} ms, touched at {by}");
                    let rounds = 2 * (latency + jitter) * kinds.len() as u64;
                    let (values, signals) = world.rests(rounds + 600, &label);
                    assert_eq!(values, vec![Value::from(last); kinds.len()], "{label}");
                    let bound = 4 * usize::try_from(STEPS).unwrap() * kinds.len() * kinds.len();
                    assert!(signals <= bound, "{label}: {signals} signals");
                }
            }
        }
    }
}

#[test]
fn a_fader_does_not_jump_back_while_it_is_moved() {
    for kinds in ["oo", "ooo", "ooooo", "op", "oop"] {
        let mut world = World::new(kinds, 50, 20, 1).ring();
        fade(&mut world, &[1], STEPS);
        world.rests(5000, kinds);
        let numbers: Vec<i64> = world.shown.iter().filter_map(Value::as_i64).collect();
        assert!(numbers.is_sorted(), "{kinds}: {numbers:?}");
    }
}

#[test]
fn touches_that_cross_end_equal() {
    for kinds in CIRCLES {
        for seed in 0..5 {
            for is_ring in [true, false]
                .into_iter()
                .filter(|is_ring| *is_ring || !kinds.contains("pp"))
            {
                let latency = [0, 2, 10, 50, 200][usize::try_from(seed % 5).unwrap()];
                let world = World::new(kinds, latency, latency / 2, seed);
                let mut world = if is_ring { world.ring() } else { world.chain() };
                let all: Vec<u8> = (1..=u8::try_from(kinds.len()).unwrap()).collect();
                let (first, last) = (all[0], all[all.len() - 1]);
                fade(&mut world, &[first, last], STEPS);
                let label = format!("{kinds} ring {is_ring} at {latency} ms, seed {seed}");
                let (values, _) = world.rests(20_000, &label);
                assert!(is_one(kinds, &values), "{label}: {values:?}");
                // A touch that is made after all have heard of the others is the last one.
                let by = all[usize::try_from(seed).unwrap() % all.len()];
                world.touch(by, 7);
                let (values, _) = world.rests(5000, &label);
                assert_eq!(values, vec![Value::from(7); all.len()], "{label}, at rest");
            }
        }
    }
}

#[test]
fn touches_at_random_are_never_lost() {
    for kinds in CIRCLES {
        for seed in 0..10 {
            let latency = [0, 2, 10, 50, 200][usize::try_from(seed % 5).unwrap()];
            let world = World::new(kinds, latency, latency / 2, seed);
            let is_ring = seed % 2 == 0 || kinds.contains("pp");
            let mut world = if is_ring { world.ring() } else { world.chain() };
            let count = kinds.len() as u64;
            // Few values, as of a button, so that new ones are equal to those that are under way.
            let mut last = 0;
            for _ in 0..40 {
                let by = u8::try_from(world.random(count) + 1).unwrap();
                last = i64::try_from(world.random(3)).unwrap();
                world.touch(by, last);
                let pause = world.random(2 * (latency + 5));
                world.run(Duration::from_millis(pause));
            }
            let label = format!("{kinds} ring {is_ring} at {latency} ms, seed {seed}");
            let (values, _) = world.rests(20_000, &label);
            assert!(is_one(kinds, &values), "{label}: {values:?}");
            let by = u8::try_from(seed % count + 1).unwrap();
            last = if kinds == "opopo" { 7 } else { (last + 1) % 3 };
            world.touch(by, last);
            let (values, _) = world.rests(5000, &label);
            assert_eq!(
                values,
                vec![Value::from(last); kinds.len()],
                "{label}, at rest"
            );
        }
    }
}

#[test]
fn a_knob_outside_of_a_circle_is_heard_whatever_the_circle_has_had() {
    // 1 and 2 are a pair; 3 leads into it and hears nothing.
    for kinds in ["ooo", "oop", "opo", "poo"] {
        let mut world = World::new(kinds, 10, 5, 3);
        for (from, to) in [(1, 2), (2, 1), (3, 1)] {
            world.wire(from, to);
        }
        fade(&mut world, &[1], 50);
        world.run(Duration::from_secs(1));
        for value in [5, 3, 5, 3] {
            world.touch(3, value);
            let (values, _) = world.rests(2000, kinds);
            assert_eq!(values, vec![Value::from(value); 3], "{kinds}");
        }
    }
}

#[test]
fn a_button_that_is_pressed_twice_is_two_events() {
    let mut world = World::new("ooo", 10, 0, 1);
    world.wire(1, 2);
    world.wire(2, 3);
    world.run(Duration::from_secs(1));
    world.signals = 0;
    for _ in 0..2 {
        world.touch(1, 1);
        world.run(Duration::from_secs(1));
    }
    // Each of the three tells the two others of each press.
    assert_eq!(world.signals, 12);
}

/// As many as are under way at once on a slow link, and more.
const STEPS: i64 = 80;

/// Whether all have one value. Where touches cross in a circle that leads through several old nodes, each of
/// which hides who touched, they may not, but still rest.
fn is_one(kinds: &str, values: &[Value]) -> bool {
    kinds == "opopo" || values.iter().all(|value| *value == values[0])
}
