//! Authorization, with the test in the place of polkit.

use std::{collections::BTreeSet, fs, path::Path};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use zbus::{Connection, MessageStream, Structure};

use super::*;
use crate::{
    interface::{Annotation, Interface, Method},
    introspection::parse_interfaces,
    server::{
        Answer, BusContext, BusScope, CallRequest, ObjectHandler, Presence, Server, ServerOptions,
        SetRequest,
    },
    testbus::{TestBus, soon},
};
use zocp_interfaces::ACTION_ANNOTATION;

const NAME: &str = "org.example.Lamp";
const PATH: &str = "/org/example/Lamp";
const INTERFACE: &str = "org.example.Lamp1";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";
const REQUIRED: &str = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired";

/// Records that it was called.
struct Lamp(mpsc::Sender<String>);

impl ObjectHandler for Lamp {
    async fn call(&self, call: CallRequest) -> Answer {
        self.0.send(call.member.to_string()).await.unwrap();
        Ok(Vec::new())
    }

    async fn set(&self, _set: SetRequest) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A check of authorization: the caller, the action and the flags.
type Question = (String, String, u32);

/// A bus with a lamp, an authority and a caller.
struct Stage {
    bus: TestBus,
    client: Connection,
    called: mpsc::Receiver<String>,
    _served: Server,
}

impl Stage {
    async fn start(kind: BusScope) -> Self {
        let bus = TestBus::start();
        let site = BusContext::new(&bus.address, kind);
        let mut lamp = Interface::new(INTERFACE);
        for (name, action) in [("Look", None), ("Open", Some("org.example.open"))] {
            let annotation = action.map(|action: &str| Annotation {
                name: ACTION_ANNOTATION.into(),
                value: action.into(),
            });
            lamp.add_method(Method {
                name: name.into(),
                inputs: vec![],
                outputs: vec![],
                annotations: annotation.into_iter().collect(),
            });
        }
        let table = site.table();
        table.with(|objects| objects.insert(PATH, [lamp])).unwrap();
        let (calls, called) = mpsc::channel(16);
        let (presence, mut presences) = mpsc::channel(16);
        let order = ServerOptions {
            site,
            table,
            names: vec![NAME.into()],
            takes_descriptors: None,
            after: None,
            on_presence: Box::new(move |told| presence.try_send(told).unwrap()),
        };
        let served = Server::spawn(&TaskTracker::new(), order, Lamp(calls));
        let named = soon(presences.recv()).await;
        assert!(matches!(named, Some(Presence::Named(_))), "{named:?}");
        Self {
            client: bus.client().await,
            bus,
            called,
            _served: served,
        }
    }

    /// A polkit that answers every check with the same decision, and records the checks.
    async fn authority(&self, says: (bool, bool)) -> mpsc::Receiver<Question> {
        let connection = self.bus.client().await;
        let mut stream = MessageStream::from(&connection);
        connection.request_name(POLKIT).await.unwrap();
        let (questions, asked) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let header = message.header();
                let is_question = header.member().is_some_and(|it| it == "CheckAuthorization");
                if message.message_type() != Type::MethodCall || !is_question {
                    continue;
                }
                let body = message.body();
                type Subject = (String, HashMap<String, zbus::OwnedVariant>);
                let (subject, action, _, flags, _): (
                    Subject,
                    String,
                    HashMap<String, String>,
                    u32,
                    String,
                ) = body.deserialize().unwrap();
                assert_eq!(subject.0, "system-bus-name");
                let name = String::try_from(subject.1["name"].clone()).unwrap();
                questions.send((name, action, flags)).await.unwrap();
                let result = (says.0, says.1, HashMap::<String, String>::new());
                // polkit returns one structure.
                let result = Structure::from((result,));
                let answer = Message::method_return(&header).build(&result).unwrap();
                connection.send(&answer).await.unwrap();
            }
        });
        asked
    }

    /// The name of the error that answers a call.
    async fn call(&self, member: &str, may_ask: bool) -> Option<String> {
        let mut call = Message::method_call(PATH, member)
            .destination(NAME)
            .interface(INTERFACE);
        if may_ask {
            call = call.with_flags(zbus::message::Flags::ALLOW_INTERACTIVE_AUTH);
        }
        let call = call.build(&()).unwrap();
        let serial = call.primary_header().serial_num();
        let mut stream = MessageStream::from(&self.client);
        self.client.send(&call).await.unwrap();
        let answer = soon(async {
            loop {
                let message = stream.next().await.unwrap().unwrap();
                if message.header().reply_serial() == Some(serial) {
                    break message;
                }
            }
        });
        let answer = answer.await;
        answer.header().error_name().map(ToString::to_string)
    }

    fn own_name(&self) -> String {
        self.client.unique_name().unwrap().to_string()
    }
}

#[tokio::test]
async fn polkit_is_asked_about_the_caller_before_the_owner_hears_of_the_call() {
    let mut stage = Stage::start(BusScope::System).await;
    let mut asked = stage.authority((true, false)).await;
    assert_eq!(stage.call("Open", false).await, None);
    let question = (stage.own_name(), "org.example.open".to_owned(), 0);
    assert_eq!(asked.recv().await, Some(question));
    assert_eq!(stage.called.recv().await.as_deref(), Some("Open"));
    assert_eq!(stage.call("Look", false).await, None);
    assert!(asked.try_recv().is_err(), "looking needs no right");
}

#[tokio::test]
async fn whoever_is_not_authorized_is_refused_and_nothing_happens() {
    for (says, error) in [((false, false), DENIED), ((false, true), REQUIRED)] {
        let mut stage = Stage::start(BusScope::System).await;
        let _asked = stage.authority(says).await;
        assert_eq!(stage.call("Open", false).await.as_deref(), Some(error));
        assert_eq!(stage.call("Look", false).await, None);
        assert_eq!(stage.called.recv().await.as_deref(), Some("Look"));
    }
}

#[tokio::test]
async fn a_caller_that_lets_its_user_be_asked_has_it_asked() {
    let stage = Stage::start(BusScope::System).await;
    let mut asked = stage.authority((true, false)).await;
    assert_eq!(stage.call("Open", true).await, None);
    let (_, _, flags) = asked.recv().await.unwrap();
    assert_eq!(flags, ALLOW_USER_INTERACTION);
}

#[tokio::test]
async fn where_polkit_is_not_there_root_alone_may() {
    let stage = Stage::start(BusScope::System).await;
    let is_root = rustix::process::getuid().is_root();
    let expected = (!is_root).then(|| DENIED.to_owned());
    assert_eq!(stage.call("Open", false).await, expected);
}

#[tokio::test]
async fn on_a_bus_of_one_user_nobody_is_asked() {
    for kind in [BusScope::Session, BusScope::Unknown] {
        let stage = Stage::start(kind).await;
        let mut asked = stage.authority((false, false)).await;
        assert_eq!(stage.call("Open", false).await, None);
        assert!(asked.try_recv().is_err());
    }
}

/// The fixed interfaces, parsed from their files.
fn declared() -> Vec<Interface> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interfaces");
    let files = fs::read_dir(place)
        .unwrap()
        .map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|it| it == "xml"));
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| parse_interfaces(&text).unwrap())
        .collect()
}

/// Methods that need no authorization: they read, open what a node offers to all, make or remove objects of the caller
/// itself, or send a message to peers, which the policy of the bus restricts to a group.
const HARMLESS: [&str; 12] = [
    "Acquire",
    "Close",
    "FindNode",
    "Learned",
    "List",
    "Open",
    "Origin",
    "Ping",
    "Shout",
    "Strangers",
    "Unexport",
    "Whisper",
];

#[test]
fn every_method_takes_an_action_of_the_policy_or_is_known_to_be_harmless() {
    let policy = include_str!("../../../../../dbus-policy/system/org.z25.Zocp1.policy");
    let known = policy.split("<action id=\"").skip(1);
    let known: BTreeSet<&str> = known.filter_map(|rest| rest.split('"').next()).collect();
    for interface in declared() {
        for method in interface.methods() {
            let name = format!("{}.{}", interface.name(), method.name);
            match method.annotation(ACTION_ANNOTATION) {
                Some(action) => assert!(known.contains(action), "{name} takes {action}"),
                None => assert!(HARMLESS.contains(&&*method.name), "{name} takes no action"),
            }
        }
    }
}
