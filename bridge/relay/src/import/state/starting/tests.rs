//! What is offered, and what follows when it is called.

use zbus::Message;
use zocp_node::PeerId;

use super::*;
use crate::{
    descriptors::NoDepartures,
    import::{
        announcement::{Announcement, Export},
        state::{ViewScope, import::Request},
    },
    limits::ServiceLimits,
    remote::Remote,
    transport::Offer,
};

const VIEW: BusId = BusId(1);
const SERVICE: &str = "org.example.Lamp";

struct Rig {
    state: State,
    peer: PeerId,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let limits = ServiceLimits::default();
        let mut state = State::new(Vec::new(), limits, 1 << 20, Arc::new(NoDepartures));
        let peer = PeerId::new([1; 16]);
        let remote = Remote {
            id: peer,
            uuid: peer.to_string(),
            name: "stage".to_owned(),
            venue: None,
            key: None,
            channels: false,
            is_here: false,
        };
        state.handle_peer(Arc::new(remote), "stage".into());
        let scope = ViewScope {
            nodes: vec!["stage".to_owned()],
            reserved: Vec::new(),
        };
        let now = Instant::now();
        state.handle_view(VIEW, scope, now);
        Self { state, peer, now }
    }

    /// The peer exports the service, and its bridge agrees to what it is asked.
    fn exports(&mut self, revision: u64, runs: bool) {
        let export = Export {
            revision,
            runs,
            is_activatable: true,
            announcement: Announcement::default(),
        };
        let exports = [(SERVICE.into(), export)].into();
        self.state.handle_exports(self.peer, exports, self.now);
    }

    fn agrees(&mut self) {
        for import in self.state.imports.values_mut() {
            import.set_offer(Offer { hears_all: true }, self.now);
        }
        let ids: Vec<ImportId> = self.state.imports.keys().copied().collect();
        ids.into_iter().for_each(|id| self.state.appear(id));
    }

    /// What happens on the view, in words.
    fn done(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while let Some(output) = self.state.poll_output() {
            done.extend(match output {
                Output::Offer(VIEW, name) => Some(format!("offer {name}")),
                Output::Withdraw(VIEW, name) => Some(format!("withdraw {name}")),
                Output::FailStart(VIEW, name, _) => Some(format!("fail {name}")),
                Output::Connect(_, VIEW) => Some("connect".to_owned()),
                _ => None,
            });
        }
        done
    }

    fn on_view(&self) -> ImportId {
        let mut imports = self.state.imports.iter();
        *imports.find(|(_, it)| it.bus == VIEW).expect("one").0
    }

    /// The connection to the view has its name.
    fn is_named(&mut self, id: ImportId) {
        self.state.handle_connected(id, ":1.9".into());
        let import = self.state.imports.get_mut(&id).expect("one");
        assert!(import.naming.handle_owned(SERVICE, true));
    }
}

#[test]
fn what_does_not_run_is_offered_and_connects_when_it_is_called() {
    let mut rig = Rig::new();
    rig.exports(1, false);
    assert_eq!(rig.done(), [""; 0], "its bridge has not agreed");
    rig.agrees();
    assert_eq!(rig.done(), ["offer org.example.Lamp"]);
    assert!(rig.state.is_settled(VIEW));
    assert_eq!(rig.state.services_of(VIEW).len(), 1);
    rig.state.handle_start(VIEW, "org.example.Other", rig.now);
    rig.state.handle_start(OWN_BUS, SERVICE, rig.now);
    assert_eq!(rig.done(), [""; 0]);
    rig.state.handle_start(VIEW, SERVICE, rig.now);
    rig.state.handle_start(VIEW, SERVICE, rig.now);
    assert_eq!(rig.done(), ["connect"]);
    // It runs now, and ends: it is offered all the time, and connects no more.
    let id = rig.on_view();
    rig.is_named(id);
    rig.exports(1, true);
    assert_eq!(rig.done(), [""; 0]);
    rig.exports(2, false);
    assert_eq!(
        rig.done(),
        ["withdraw org.example.Lamp", "offer org.example.Lamp"]
    );
    rig.agrees();
    assert_eq!(rig.done(), [""; 0]);
}

#[test]
fn what_runs_connects_at_once_and_is_offered_as_well() {
    let mut rig = Rig::new();
    rig.exports(1, true);
    rig.agrees();
    assert_eq!(rig.done(), ["connect", "offer org.example.Lamp"]);
    rig.state.handle_exports(rig.peer, BTreeMap::new(), rig.now);
    let done = rig.done();
    assert_eq!(done, ["fail org.example.Lamp", "withdraw org.example.Lamp"]);
}

#[test]
fn a_service_that_ends_before_it_has_its_name_fails_what_waits() {
    let mut rig = Rig::new();
    rig.exports(1, false);
    rig.agrees();
    rig.state.handle_start(VIEW, SERVICE, rig.now);
    rig.done();
    rig.exports(2, false);
    assert_eq!(
        rig.done(),
        [
            "fail org.example.Lamp",
            "withdraw org.example.Lamp",
            "offer org.example.Lamp"
        ]
    );
    // Called again before its bridge agreed: it connects when that agrees.
    rig.state.handle_start(VIEW, SERVICE, rig.now);
    assert_eq!(rig.done(), [""; 0]);
    rig.agrees();
    assert_eq!(rig.done(), ["connect"]);
}

#[test]
fn a_service_that_was_called_and_does_not_run_gives_its_name_up_unless_a_call_waits() {
    let mut rig = Rig::new();
    rig.exports(1, false);
    rig.agrees();
    rig.state.handle_start(VIEW, SERVICE, rig.now);
    let id = rig.on_view();
    rig.is_named(id);
    rig.done();
    let due = rig.state.handle_timeout(id, rig.now);
    assert_eq!(due, Some(rig.now + STARTED_MAX));
    let call = Message::method_call("/", "Do").build(&()).expect("a call");
    let request = Request::Call {
        import: id,
        program: ":2.1".into(),
        call,
        question: None,
    };
    let limits = ServiceLimits::default();
    let known = rig.state.peers.get_mut(&rig.peer).expect("one");
    let number = known
        .requests
        .open(request, &limits, "stage")
        .expect("room");
    rig.now += STARTED_MAX;
    let due = rig.state.handle_timeout(id, rig.now);
    assert_eq!(due, Some(rig.now + STARTED_MAX), "a call waits");
    let known = rig.state.peers.get_mut(&rig.peer).expect("one");
    assert!(known.requests.close(number).is_some());
    rig.now += STARTED_MAX;
    assert_eq!(rig.state.handle_timeout(id, rig.now), None);
    assert_ne!(rig.on_view(), id);
    rig.agrees();
    assert_eq!(
        rig.done(),
        ["withdraw org.example.Lamp", "offer org.example.Lamp"]
    );
}

#[test]
fn a_name_is_offered_as_long_as_one_service_has_it() {
    let mut offered = Offered::default();
    let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
    let names = || BTreeSet::from([Arc::from("n")]);
    assert_eq!(offered.set(VIEW, &a, names()).len(), 1);
    assert_eq!(offered.set(VIEW, &b, names()).len(), 0);
    assert_eq!(offered.set(VIEW, &a, BTreeSet::new()).len(), 0);
    assert_eq!(offered.set(VIEW, &b, BTreeSet::new()).len(), 1);
    assert!(offered.names.is_empty() && offered.counts.is_empty());
}
