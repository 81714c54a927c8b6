//! What is answered from memory, and what is not.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures_util::StreamExt;
use zbus::{Connection, Message, MessageStream, Variant, connection::Builder, message::Type};

use super::stage::{Client, Stage};
use zocp_dbus::testbus::TestBus;

const THERE: &str = "org.example.Props.stage";
const INTERFACE: &str = "org.example.Props1";
const XML: &str = r#"<node><interface name="org.example.Props1">
  <property name="Told" type="u" access="readwrite">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></property>
  <property name="Untold" type="u" access="read"/></interface></node>"#;

const ROOT: &str = r#"<node><node name="p"/></node>"#;

/// A service with two properties that counts how often it was asked.
struct Props {
    connection: Connection,
    asked: Arc<AtomicU32>,
}

impl Props {
    async fn start(bus: &TestBus) -> Self {
        Self::start_curt(bus, u32::MAX).await
    }

    /// One that says so many times only what it is.
    async fn start_curt(bus: &TestBus, times: u32) -> Self {
        let mut stream = Builder::address(&*bus.address)
            .name("org.example.Props")
            .build_message_stream()
            .await
            .unwrap();
        let connection = Connection::from(&stream);
        let (asked, answering) = (Arc::new(AtomicU32::new(0)), connection.clone());
        let count = asked.clone();
        tokio::spawn(async move { serve(&answering, &mut stream, &count, times).await });
        Self { connection, asked }
    }

    async fn change(&self, value: u32) {
        let changed: std::collections::HashMap<&str, Variant<'_>> =
            [("Told", Variant::new(value))].into();
        let signal = Message::signal("/p", "org.freedesktop.DBus.Properties", "PropertiesChanged")
            .build(&(INTERFACE, changed, Vec::<&str>::new()))
            .unwrap();
        self.connection.send(&signal).await.unwrap();
    }

    fn count(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(
    connection: &Connection,
    stream: &mut MessageStream,
    asked: &AtomicU32,
    mut left: u32,
) {
    while let Some(Ok(call)) = stream.next().await {
        if call.message_type() != Type::MethodCall {
            continue;
        }
        let header = call.header();
        let reply = Message::method_return(&header);
        let answer = match header.member().unwrap().as_str() {
            "Introspect" if header.path().unwrap() == "/" => reply.build(&ROOT),
            "Introspect" if left > 0 => {
                left -= 1;
                reply.build(&XML)
            }
            "Introspect" => Message::error(&header, "org.example.Error.Curt").build(&()),
            "GetAll" => {
                let values: std::collections::HashMap<&str, Variant<'_>> =
                    [("Told", Variant::new(1u32)), ("Untold", Variant::new(2u32))].into();
                reply.build(&values)
            }
            "Get" => {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                reply.build(&Variant::new(100 + number))
            }
            _ => reply.build(&()),
        };
        connection.send(&answer.unwrap()).await.unwrap();
    }
}

async fn get(client: &mut Client, property: &str) -> u32 {
    let call = Message::method_call("/p", "Get")
        .destination(THERE)
        .interface("org.freedesktop.DBus.Properties")
        .build(&(INTERFACE, property))
        .unwrap();
    let answer = client.ask(&call).await;
    match answer.body().deserialize::<Variant<'_>>().unwrap() {
        Variant::U32(value) => value,
        other => panic!("{other:?}"),
    }
}

/// Asks until the answer comes from memory: at first the memory is filled beside.
async fn until_known(foh: &mut Client, props: &Props) -> u32 {
    loop {
        let before = props.count();
        let value = get(foh, "Told").await;
        if props.count() == before {
            return value;
        }
    }
}

#[tokio::test]
async fn a_property_that_tells_its_changes_is_answered_from_memory() {
    let rules = "[[export]]\nservice = 'org.example.*'\ntalk = true";
    let stage = Stage::start(rules, "").await;
    let props = Props::start(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    foh.listen(THERE).await;
    assert_eq!(until_known(&mut foh, &props).await, 1);
    props.change(5).await;
    foh.signal("PropertiesChanged").await;
    assert_eq!(get(&mut foh, "Told").await, 5, "renewed by the signal");
    let before = props.count();
    get(&mut foh, "Untold").await;
    get(&mut foh, "Untold").await;
    assert_eq!(props.count(), before + 2, "what tells nothing is asked for");
    let set = Message::method_call("/p", "Set")
        .destination(THERE)
        .interface("org.freedesktop.DBus.Properties")
        .build(&(INTERFACE, "Told", Variant::new(9u32)))
        .unwrap();
    foh.ask(&set).await;
    let before = props.count();
    get(&mut foh, "Told").await;
    assert_eq!(props.count(), before + 1, "asked for after a Set");
}

#[tokio::test]
async fn introspection_data_are_answered_from_what_the_tree_announces() {
    let rules = "[[export]]\nservice = 'org.example.*'\ntalk = true";
    let stage = Stage::start(rules, "").await;
    // The bridge beside it is the one that asks.
    let _props = Props::start_curt(&stage.stage, 1).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let introspect = || {
        Message::method_call("/p", "Introspect")
            .destination(THERE)
            .interface("org.freedesktop.DBus.Introspectable")
            .build(&())
            .unwrap()
    };
    let mut answer = foh.ask(&introspect()).await;
    // The announcement may come after the name.
    while answer.message_type() == Type::Error {
        answer = foh.ask(&introspect()).await;
    }
    assert_eq!(answer.body().deserialize::<&str>().unwrap(), XML);
}

#[tokio::test]
async fn a_get_after_a_call_is_not_stale_though_the_service_tells_the_change_later() {
    let rules = "[[export]]\nservice = 'org.example.*'\ntalk = true";
    let stage = Stage::start(rules, "").await;
    let props = Props::start(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    assert_eq!(until_known(&mut foh, &props).await, 1);
    let raise = Message::method_call("/p", "Raise")
        .destination(THERE)
        .interface(INTERFACE)
        .build(&())
        .unwrap();
    foh.ask(&raise).await;
    let asked = props.count();
    assert_eq!(get(&mut foh, "Told").await, 100 + asked, "from the service");
}

#[tokio::test]
async fn nothing_is_answered_from_memory_where_a_rule_says_so() {
    let rules = "[[export]]\nservice = 'org.example.*'\ntalk = true";
    let no_cache = "[[import]]\nservice = '*'\ncache = false";
    let call_only = "[[export]]\nservice = 'org.example.*'\ncall = ['*']";
    for (exports, imports) in [(rules, no_cache), (call_only, "")] {
        let stage = Stage::start(exports, imports).await;
        let props = Props::start(&stage.stage).await;
        let mut foh = Client::on(&stage.foh).await;
        foh.wait_until_owned(THERE).await;
        for count in 0..4 {
            assert_eq!(get(&mut foh, "Told").await, 100 + count);
        }
        assert_eq!(props.count(), 4);
    }
}
