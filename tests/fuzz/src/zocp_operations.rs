//! Three nodes that publish, set, wire and call, on a network that delays as it likes.
//!
//! Input: operations (`arbitrary`). Two nodes are ours, the third is old: it has no header `X-ZOCP-DBUS`.
//! Messages between two nodes keep their order; which pair is delivered next is part of the input.
//! Holds: whatever a node says the other takes; an old node gets nothing that it does not bear; when all
//! is delivered, each of ours has the other's tree as it is; every call ends exactly once (M1).

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Result, Unstructured};
use zocp_model::{
    Access, CallId, CapPath, Capability, Event, Limits, Method, Model, NodeId, Output, PeerKind,
    RequestId, Value,
};

use crate::{json, zocp_message::assert_well_formed};

/// Runs the target.
pub fn run(data: &[u8]) {
    let mut stage = Stage::new();
    // An input that ends early has been enough.
    let _ = stage.play(&mut Unstructured::new(data));
    stage.finish();
}

const NODES: usize = 3;
/// The node that is old, and to which the others are.
const OLD: usize = 2;

fn id(node: usize) -> NodeId {
    NodeId::new([1 + node as u8; 16])
}

/// As what `of` shows itself to the node at `at`.
fn kind(of: usize, at: usize) -> PeerKind {
    PeerKind {
        zocp: true,
        extended: of != OLD && at != OLD,
    }
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Publish(Place, u8),
    Unpublish(Place),
    SetObject(Place, bool),
    Data(Place),
    Method(Place, bool),
    SetValue(Place),
    Emit(Place),
    Set(Place, u8),
    Wire([u8; 4], bool),
    Call(Place, u8),
    Reply(u8, bool),
    Deliver(u8),
    Settle,
    Pass(u8),
    Meet(u8),
    Renew(u8),
}

/// A node, and a name in its tree.
#[derive(Debug, Arbitrary, Clone, Copy)]
struct Place {
    node: u8,
    name: u8,
}

impl Place {
    fn node(self) -> usize {
        usize::from(self.node) % NODES
    }

    fn path(self) -> CapPath {
        PATHS[usize::from(self.name) % PATHS.len()]
            .parse()
            .expect("a path")
    }
}

const PATHS: [&str; 5] = ["a", "b", "o.c", "o.d", "o.p.e"];
const ACCESS: [&str; 6] = ["rwes", "rw", "re", "r", "e", "ws"];

struct Stage {
    now: Instant,
    nodes: Vec<Model>,
    /// What is on its way, by sender and receiver.
    ways: [[VecDeque<Vec<u8>>; NODES]; NODES],
    open: BTreeSet<(usize, CallId)>,
    asked: Vec<(usize, NodeId, RequestId)>,
}

impl Stage {
    fn new() -> Self {
        let mut stage = Self {
            now: Instant::now(),
            nodes: (0..NODES)
                .map(|node| Model::new(id(node), Limits::default()))
                .collect(),
            ways: Default::default(),
            open: BTreeSet::new(),
            asked: Vec::new(),
        };
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            stage.meet(a, b);
        }
        stage
    }

    fn play(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        while !input.is_empty() {
            let operation = Operation::arbitrary(input)?;
            crate::show(&operation);
            self.operate(operation, input)?;
            self.collect();
        }
        Ok(())
    }

    fn operate(&mut self, operation: Operation, input: &mut Unstructured<'_>) -> Result<()> {
        use Operation::{
            Call, Data, Deliver, Emit, Meet, Method, Pass, Publish, Renew, Reply, Set, SetObject,
            SetValue, Settle, Unpublish, Wire,
        };
        // What is refused has changed nothing, which the trees show in the end.
        match operation {
            Publish(place, access) => {
                let mut capability = Capability::new(
                    Access::from_wire(ACCESS[usize::from(access) % ACCESS.len()]),
                    json::value(input)?,
                );
                if access >= 128 {
                    capability = capability.with_range(-100, 100);
                }
                let _ = self.nodes[place.node()].publish(place.path(), capability);
            }
            Unpublish(place) => {
                self.nodes[place.node()].unpublish(&place.path());
            }
            SetObject(place, is_there) => self.set_object(place, is_there),
            Data(place) => {
                let (object, value) = (place.path().object, json::value(input)?);
                let _ = self.nodes[place.node()].set_data(&object, json::name(input)?, value);
            }
            Method(place, is_there) => self.method(place, is_there),
            SetValue(place) => {
                let value = json::value(input)?;
                let _ = self.nodes[place.node()].set_value(&place.path(), value);
            }
            Emit(place) => {
                let value = json::value(input)?;
                let _ = self.nodes[place.node()].emit(&place.path(), value);
            }
            Set(place, at) => {
                let at = usize::from(at) % NODES;
                let value = json::value(input)?;
                let _ = self.nodes[at].set(id(place.node()), &place.path(), value);
            }
            Wire(words, is_there) => self.wire(words, is_there),
            Call(place, at) => self.call(place, usize::from(at) % NODES, json::value(input)?),
            Reply(which, is_result) => self.reply(which, is_result),
            Deliver(way) => self.deliver(usize::from(way)),
            Settle => self.settle(),
            Pass(tenths) => self.pass(Duration::from_millis(100 * u64::from(tenths))),
            Meet(pair) => self.meet_again(pair),
            Renew(pair) => {
                let (a, b) = pair_of(pair);
                self.nodes[a].peer_renewed(id(b));
            }
        }
        Ok(())
    }

    fn set_object(&mut self, place: Place, is_there: bool) {
        let (node, object) = (&mut self.nodes[place.node()], place.path().object);
        if is_there {
            let _ = node.set_object(&object, "camera");
        } else {
            node.remove_object(&object);
        }
    }

    fn method(&mut self, place: Place, is_there: bool) {
        let (node, object) = (&mut self.nodes[place.node()], place.path().object);
        if is_there {
            let _ = node.publish_method(&object, "m", &Method::default());
        } else {
            node.unpublish_method(&object, "m");
        }
    }

    fn wire(&mut self, [at, emitter, receiver, names]: [u8; 4], is_there: bool) {
        let node = &mut self.nodes[usize::from(at) % NODES];
        let name = |which: u8| PATHS.get(usize::from(which) % (PATHS.len() + 1)).copied();
        let ends = [emitter, receiver].map(|end| id(usize::from(end) % NODES));
        let (from, to) = (name(names >> 4), name(names & 15));
        let _ = if is_there {
            node.subscribe(ends[0], from, ends[1], to)
        } else {
            node.unsubscribe(ends[0], from, ends[1], to)
        };
    }

    fn call(&mut self, place: Place, at: usize, argument: Value) {
        let deadline = self.now + Duration::from_secs(5);
        let arguments = if place.name.is_multiple_of(4) {
            vec![argument]
        } else {
            Vec::new()
        };
        let made = self.nodes[at].call(
            self.now,
            id(place.node()),
            &place.path().object,
            "m",
            arguments,
            deadline,
        );
        if let Ok(call) = made {
            assert!(kind(place.node(), at).extended);
            assert!(self.open.insert((at, call)), "numbers are not used again");
        }
    }

    fn reply(&mut self, which: u8, is_result: bool) {
        if self.asked.is_empty() {
            return;
        }
        let (at, caller, request) = self.asked.remove(usize::from(which) % self.asked.len());
        let result = if is_result {
            Ok(vec![Value::from(1)])
        } else {
            Err(("org.a.Error".to_owned(), "no".to_owned()))
        };
        let _ = self.nodes[at].reply(caller, request, result);
    }

    /// Both see the other for the first time.
    fn meet(&mut self, a: usize, b: usize) {
        for (a, b) in [(a, b), (b, a)] {
            self.ways[a][b].clear();
            self.nodes[a].peer_entered(self.now, id(b), kind(b, a));
        }
        self.collect();
    }

    /// A link breaks and is there again; what was under way is lost.
    fn meet_again(&mut self, pair: u8) {
        let (a, b) = pair_of(pair);
        for (a, b) in [(a, b), (b, a)] {
            self.nodes[a].peer_left(self.now, id(b));
            self.asked
                .retain(|(at, caller, _)| (*at, *caller) != (a, id(b)));
        }
        self.collect();
        self.meet(a, b);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for node in &mut self.nodes {
            node.handle_timeout(self.now);
            assert!(node.poll_timeout().is_none_or(|at| at > self.now));
        }
    }

    fn deliver(&mut self, way: usize) {
        let (from, to) = (way / NODES % NODES, way % NODES);
        let Some(octets) = self.ways[from][to].pop_front() else {
            return;
        };
        let heard = self.nodes[to].handle_message(self.now, id(from), &octets);
        let text = String::from_utf8_lossy(&octets);
        crate::show(&(from, to, &text));
        assert_eq!(heard, Ok(true), "{text}");
        self.collect();
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.ways.iter().flatten().all(VecDeque::is_empty) {
                return;
            }
            (0..NODES * NODES).for_each(|way| self.deliver(way));
        }
        panic!("the nodes do not come to rest");
    }

    /// Puts what the nodes say on its way.
    fn collect(&mut self) {
        for at in 0..NODES {
            while let Some(output) = self.nodes[at].poll_output() {
                match output {
                    Output::Whisper { peer, octets } => {
                        let to = (0..NODES).find(|to| id(*to) == peer);
                        let to = to.expect("to somebody who is here");
                        assert_well_formed(&octets, kind(to, at));
                        self.ways[at][to].push_back(octets);
                    }
                    Output::Event(event) => self.happened(at, event),
                }
            }
        }
    }

    fn happened(&mut self, at: usize, event: Event) {
        match event {
            Event::CallDone { id, .. } => {
                assert!(self.open.remove(&(at, id)), "ends once, after it began");
            }
            Event::Called {
                peer, id: Some(id), ..
            } => self.asked.push((at, peer, id)),
            _ => {}
        }
    }

    fn finish(&mut self) {
        self.settle();
        for (a, b) in [(0, 1), (1, 0)] {
            let seen = self.nodes[a].remote(id(b)).expect("it was told");
            assert_eq!(seen, self.nodes[b].local(), "{a} sees {b}");
        }
        for (a, b) in [(0, OLD), (1, OLD)] {
            assert!(self.nodes[a].remote(id(b)).is_some());
        }
        self.pass(Duration::from_secs(5));
        self.collect();
        assert!(self.open.is_empty(), "{:?} did not end", self.open);
    }
}

fn pair_of(pair: u8) -> (usize, usize) {
    [(0, 1), (0, 2), (1, 2)][usize::from(pair) % 3]
}

/// An emission goes over each wire once; a circle of wires is three long.
const ROUNDS_MAX: usize = 2000;
