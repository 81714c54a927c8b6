use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::{
    Connection, Message, MessageStream, OwnedVariant, Signature,
    fdo::{DBusProxy, PropertiesProxy},
    message::{Flags, Type},
    names::InterfaceName,
};

use super::*;
use crate::{
    interface::{Access, Argument, Content, Emits, Interface, Method, Property, Signal},
    testbus::{TestBus, soon, unlawful_message},
};

const NAME: &str = "org.example.Lamp";
const PATH: &str = "/org/example/Lamp";
const VALUES: &str = "org.example.Values";

/// Sets each value, answers `blink` with its argument and never answers `never`.
#[derive(Clone)]
struct Lamp(ObjectTable);

impl ObjectHandler for Lamp {
    async fn call(&self, call: CallRequest) -> Answer {
        match &*call.member {
            "blink" => Ok(call.arguments),
            _ => std::future::pending().await,
        }
    }

    async fn set(&self, set: SetRequest) -> Result<(), Refusal> {
        self.0
            .with(|objects| objects.set(&set.path, &set.interface, &set.property, set.value))
            .map(|_| ())
            .map_err(|error| Refusal::InvalidArgs(error.to_string()))
    }
}

fn lamp(site: &BusContext) -> ObjectTable {
    let argument = |name: &'static str, signature| Argument {
        name: name.into(),
        signature,
    };
    let mut values = Interface::new(VALUES);
    let level = Property {
        name: "level".into(),
        signature: Signature::I64,
        access: Access::ReadWrite,
        emits: Emits::Value,
        annotations: vec![],
    };
    values
        .add_property(level, Content::Plain(Variant::I64(0)))
        .unwrap();
    for name in ["blink", "never"] {
        values.add_method(Method {
            name: name.into(),
            inputs: vec![argument("times", Signature::I64)],
            outputs: vec![argument("times", Signature::I64)],
            annotations: vec![],
        });
    }
    values.add_signal(Signal {
        name: "level".into(),
        arguments: vec![argument("value", Signature::I64)],
        annotations: vec![],
    });
    let table = site.table();
    table.with(|objects| {
        objects.add_manager("/org/example").unwrap();
        objects.insert(PATH, [values.clone()]).unwrap();
        objects.insert(&format!("{PATH}/pan"), [values]).unwrap();
    });
    table
}

struct Fixture {
    served: Server,
    presence: watch::Receiver<Presence>,
}

impl Fixture {
    fn build(bus: &TestBus, names: &[&str], after: Option<CancellationToken>) -> Self {
        let site = BusContext::new(&bus.address, BusScope::Session);
        let table = lamp(&site);
        let (told, presence) = watch::channel(Presence::Closed);
        let order = ServerOptions {
            site,
            table: table.clone(),
            names: names.iter().map(|name| (*name).into()).collect(),
            takes_descriptors: None,
            after,
            on_presence: Box::new(move |presence| {
                told.send_replace(presence);
            }),
        };
        let served = Server::spawn(&TaskTracker::new(), order, Lamp(table));
        Self { served, presence }
    }

    async fn until(&mut self, wanted: impl Fn(&Presence) -> bool) -> Presence {
        soon(self.presence.wait_for(wanted)).await.unwrap().clone()
    }

    async fn named(bus: &TestBus) -> Self {
        let mut task = Self::build(bus, &[NAME], None);
        task.until(|it| *it == Presence::Named(NAME.into())).await;
        task
    }
}

async fn call<B>(client: &Connection, member: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    soon(client.call_method(Some(NAME), PATH, Some(VALUES), member, body)).await
}

/// The signals that a new client of the bus receives.
async fn signals(bus: &TestBus) -> MessageStream {
    let client = bus.client().await;
    let rule = zbus::MatchRule::builder()
        .msg_type(Type::Signal)
        .build()
        .unwrap();
    MessageStream::for_match_rule(rule, &client, std::num::NonZeroUsize::new(65536))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_table_is_served_under_its_name() {
    let bus = TestBus::start();
    let task = Fixture::named(&bus).await;
    let client = bus.client().await;
    let properties = PropertiesProxy::builder(&client)
        .destination(NAME)
        .path(PATH)
        .build()
        .await
        .unwrap();
    let values = InterfaceName::try_from(VALUES).unwrap();
    soon(properties.set(values.clone(), "level", &Variant::I64(5)))
        .await
        .unwrap();
    let level = soon(properties.get(values, "level")).await.unwrap();
    assert_eq!(level, OwnedVariant::from(5i64));
    let answer = call(&client, "blink", &3i64).await.unwrap();
    assert_eq!(answer.body().deserialize::<i64>().unwrap(), 3);
    let error = call(&client, "nope", &3i64).await.unwrap_err();
    assert!(error.to_string().contains("UnknownMethod"), "{error}");

    let xml = bus
        .run(&[
            "busctl",
            "--user",
            "introspect",
            "--xml-interface",
            NAME,
            PATH,
        ])
        .await;
    assert!(xml.contains("<signal name=\"level\">"));
    let gone = task.served.close();
    soon(gone.cancelled()).await;
}

#[tokio::test]
async fn ten_thousand_events_arrive_in_order_and_the_state_ends_on_the_last() {
    let bus = TestBus::start();
    let mut seen = signals(&bus).await;
    let task = Fixture::named(&bus).await;
    let table = task.served.table().clone();
    tokio::spawn(async move {
        for level in 1..=10_000i64 {
            table.room().await;
            table.with(|objects| {
                objects.set(PATH, VALUES, "level", level).unwrap();
                let value = vec![Variant::I64(level)];
                objects.emit(PATH, VALUES, "level", value).unwrap();
            });
        }
    });
    let (mut expected, mut last, mut changes) = (1, 0, 0);
    while expected <= 10_000 || last < 10_000 {
        let message = soon(seen.next()).await.unwrap().unwrap();
        let header = message.header();
        match header.member().unwrap().as_str() {
            "level" => {
                assert_eq!(message.body().deserialize::<i64>().unwrap(), expected);
                expected += 1;
            }
            "PropertiesChanged" => {
                let body = message.body();
                let (_, changed, _): (
                    &str,
                    std::collections::HashMap<&str, Variant<'_>>,
                    Vec<&str>,
                ) = body.deserialize().unwrap();
                let level = i64::try_from(&changed["level"]).unwrap();
                assert!(level > last, "in order");
                last = level;
                changes += 1;
            }
            _ => {}
        }
    }
    assert!(changes < 10_000, "state is coalesced");
    soon(task.served.close().cancelled()).await;
}

#[tokio::test]
async fn closing_goes_from_the_leaves_to_the_name() {
    let bus = TestBus::start();
    let task = Fixture::named(&bus).await;
    let mut seen = signals(&bus).await;
    let gone = task.served.close();
    soon(gone.cancelled()).await;
    let mut order = Vec::new();
    while order.len() < 3 {
        let message = soon(seen.next()).await.unwrap().unwrap();
        let body = message.body();
        match message.header().member().unwrap().as_str() {
            "InterfacesRemoved" => {
                let (path, _): (zbus::ObjectPath<'_>, Vec<&str>) = body.deserialize().unwrap();
                order.push(path.to_string());
            }
            "NameOwnerChanged" => {
                let (name, _, new): (&str, &str, &str) = body.deserialize().unwrap();
                if name == NAME && new.is_empty() {
                    order.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    assert_eq!(
        order,
        [format!("{PATH}/pan"), PATH.to_owned(), NAME.to_owned()]
    );
}

#[tokio::test]
async fn a_name_that_is_taken_leaves_the_next() {
    let bus = TestBus::start();
    let other = bus.client().await;
    other.request_name(NAME).await.unwrap();
    let mut second = Fixture::build(&bus, &[NAME, "org.example.Second"], None);
    second
        .until(|it| *it == Presence::Named("org.example.Second".into()))
        .await;
    let mut third = Fixture::build(&bus, &[NAME], None);
    third.until(|it| *it == Presence::Taken(NAME.into())).await;
    other.release_name(NAME).await.unwrap();
    third.until(|it| *it == Presence::Named(NAME.into())).await;
}

#[tokio::test]
async fn a_successor_waits_for_the_name() {
    let bus = TestBus::start();
    let first = Fixture::named(&bus).await;
    let gone = first.served.close();
    let mut second = Fixture::build(&bus, &[NAME, "org.example.Second"], Some(gone));
    second.until(|it| matches!(it, Presence::Named(_))).await;
    assert_eq!(*second.presence.borrow(), Presence::Named(NAME.into()));
}

#[tokio::test]
async fn calls_that_want_no_answer_and_calls_without_one_hold_nothing_up() {
    let bus = TestBus::start();
    let _house = Fixture::named(&bus).await;
    let client = bus.client().await;
    for member in ["blink", "never", "nope"] {
        let message = Message::method_call(PATH, member)
            .destination(NAME)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&1i64)
            .unwrap();
        client.send(&message).await.unwrap();
    }
    let mut stream = MessageStream::from(&client);
    call(&client, "blink", &1i64).await.unwrap();
    let answer = loop {
        let message = soon(stream.next()).await.unwrap().unwrap();
        if message.message_type() != Type::Signal {
            break message;
        }
    };
    let value = answer.body().deserialize::<i64>();
    assert_eq!(value.unwrap(), 1, "the only answer");
}

#[tokio::test]
async fn more_calls_than_can_wait_are_refused_as_busy() {
    let bus = TestBus::start();
    let _house = Fixture::named(&bus).await;
    let client = bus.client().await;
    for _ in 0..PENDING_PER_CALLER_MAX {
        let never = Message::method_call(PATH, "never")
            .destination(NAME)
            .build(&1i64)
            .unwrap();
        client.send(&never).await.unwrap();
    }
    let error = call(&client, "never", &1i64).await.unwrap_err();
    assert!(error.to_string().contains("Busy"), "{error}");
    soon(client.call_method(
        Some(NAME),
        PATH,
        Some("org.freedesktop.DBus.Peer"),
        "Ping",
        &(),
    ))
    .await
    .unwrap();
}

#[tokio::test]
async fn who_leaves_many_calls_unanswered_holds_nobody_else_up() {
    let bus = TestBus::start();
    let _house = Fixture::named(&bus).await;
    let (greedy, modest) = (bus.client().await, bus.client().await);
    for _ in 0..=PENDING_PER_CALLER_MAX {
        let never = Message::method_call(PATH, "never")
            .destination(NAME)
            .build(&1i64)
            .unwrap();
        greedy.send(&never).await.unwrap();
    }
    let error = call(&greedy, "blink", &1i64).await.unwrap_err();
    assert!(error.to_string().contains("Busy"), "{error}");
    call(&modest, "blink", &1i64).await.unwrap();
}

#[tokio::test]
async fn many_callers_together_wait_no_more_than_there_may() {
    let bus = TestBus::start();
    let _house = Fixture::named(&bus).await;
    for _ in 0..PENDING_MAX / PENDING_PER_CALLER_MAX {
        let client = bus.client().await;
        for _ in 0..PENDING_PER_CALLER_MAX {
            let never = Message::method_call(PATH, "never")
                .destination(NAME)
                .build(&1i64)
                .unwrap();
            client.send(&never).await.unwrap();
        }
        // Sent after them, so that they have arrived when it is answered.
        let ping = client.call_method(
            Some(NAME),
            PATH,
            Some("org.freedesktop.DBus.Peer"),
            "Ping",
            &(),
        );
        soon(ping).await.unwrap();
    }
    let last = bus.client().await;
    let error = call(&last, "blink", &1i64).await.unwrap_err();
    assert!(error.to_string().contains("Busy"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let bus = TestBus::start();
    let mut task = Fixture::named(&bus).await;
    let client = bus.client().await;
    let owner = DBusProxy::new(&client)
        .await
        .unwrap()
        .get_name_owner(NAME.try_into().unwrap())
        .await
        .unwrap();
    // A message that the bus rejects ends the connection.
    let bad = unlawful_message();
    task.served.table().with(|objects| objects.push_raw(bad));
    task.until(|it| matches!(it, Presence::Unreachable(_)))
        .await;
    task.until(|it| matches!(it, Presence::Named(_))).await;
    let dbus = DBusProxy::new(&client).await.unwrap();
    let again = dbus.get_name_owner(NAME.try_into().unwrap()).await.unwrap();
    assert_ne!(owner, again);
    call(&client, "blink", &3i64).await.unwrap();
}

#[tokio::test]
async fn the_loss_of_the_bus_is_told_and_closing_still_ends() {
    let mut bus = TestBus::start();
    let mut task = Fixture::named(&bus).await;
    bus.kill();
    task.until(|it| matches!(it, Presence::Unreachable(_)))
        .await;
    soon(task.served.close().cancelled()).await;
    assert_eq!(*task.presence.borrow(), Presence::Closed);
}

#[test]
fn an_address_is_of_a_place_not_of_one_bus() {
    for (given, kept) in [
        ("unix:path=/run/bus,guid=0123", "unix:path=/run/bus"),
        ("unix:guid=0123,path=/run/bus", "unix:path=/run/bus"),
        ("tcp:host=a,port=1", "tcp:host=a,port=1"),
    ] {
        assert_eq!(without_guid(given), kept);
    }
}
