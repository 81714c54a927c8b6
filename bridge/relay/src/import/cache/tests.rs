use std::collections::HashMap;

use tokio::time::advance;
use zbus::Variant;

use super::*;

const PATH: &str = "/p";
const PROPS: &str = "org.freedesktop.DBus.Properties";
const INTERFACE: &str = "org.example.Props1";
const XML: &str = r#"<node><interface name="org.example.Props1">
  <property name="Told" type="u" access="readwrite">
    <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></property>
  </interface></node>"#;

fn call<B>(interface: &str, member: &str, body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    Message::method_call(PATH, member.to_owned())
        .interface(interface.to_owned())
        .build(body)
        .unwrap()
}

fn get() -> Message {
    call(PROPS, "Get", &(INTERFACE, "Told"))
}

fn introspect() -> Message {
    call("org.freedesktop.DBus.Introspectable", "Introspect", &())
}

fn values(value: u32) -> HashMap<&'static str, Variant<'static>> {
    [("Told", Variant::new(value))].into()
}

/// What a call is answered from memory.
fn recall(cache: &mut Cache, call: &Message) -> Option<Outgoing> {
    let key = Key::of(call)?;
    cache.passes(&key, Instant::now());
    cache.answer(&key, call, Instant::now())
}

/// The service answers a call.
fn answer<B>(cache: &mut Cache, call: &Message, body: &B)
where
    B: serde::Serialize + zbus::DynamicType,
{
    let answer = Message::method_return(&call.header()).build(body).unwrap();
    let asked = cache.now();
    cache.learn(Key::of(call).unwrap(), asked, &answer, Instant::now());
}

/// A memory that knows the object and that its property is 1.
fn filled() -> Cache {
    let mut cache = Cache::default();
    answer(&mut cache, &introspect(), &XML);
    answer(&mut cache, &call(PROPS, "GetAll", &INTERFACE), &values(1));
    assert!(recall(&mut cache, &get()).is_some());
    cache
}

#[tokio::test(start_paused = true)]
async fn a_call_makes_values_unsettled_until_some_time_after_its_answer() {
    let mut cache = filled();
    let method = call(INTERFACE, "Raise", &());
    assert!(recall(&mut cache, &method).is_none());
    assert!(
        recall(&mut cache, &get()).is_none(),
        "the call is under way"
    );
    advance(SETTLING * 3).await;
    answer(&mut cache, &method, &());
    assert!(
        recall(&mut cache, &get()).is_none(),
        "what it changed may not be told yet"
    );
    let changed = Message::signal(PATH, PROPS, "PropertiesChanged")
        .build(&(INTERFACE, values(2), Vec::<&str>::new()))
        .unwrap();
    cache.follow(&changed);
    advance(SETTLING).await;
    let told = recall(&mut cache, &get()).unwrap();
    let told: zbus::OwnedVariant = told.body().deserialize().unwrap();
    assert_eq!(*told, Variant::U32(2));
}

#[tokio::test(start_paused = true)]
async fn what_only_asks_leaves_the_memory_settled() {
    let mut cache = filled();
    let objects = "org.freedesktop.DBus.ObjectManager";
    for question in [call(objects, "GetManagedObjects", &()), introspect(), get()] {
        recall(&mut cache, &question);
        assert!(recall(&mut cache, &get()).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn introspection_data_from_before_a_call_are_asked_for_anew() {
    let mut cache = filled();
    assert!(recall(&mut cache, &introspect()).is_some());
    advance(SETTLING).await;
    recall(&mut cache, &call(INTERFACE, "AddChild", &()));
    advance(SETTLING).await;
    assert!(recall(&mut cache, &introspect()).is_none());
    answer(&mut cache, &introspect(), &XML);
    assert!(recall(&mut cache, &introspect()).is_some());
    advance(AGE_MAX).await;
    assert!(recall(&mut cache, &introspect()).is_none(), "too old");
}

#[test]
fn what_would_come_out_otherwise_than_it_came_is_not_kept() {
    let longest = zbus::Signature::try_from("y".repeat(255).as_str()).unwrap();
    let held = Variant::new(vec![
        (1u8, Variant::new("a")),
        (2, Variant::Signature(longest)),
    ]);
    assert!(holds_signature(&held));
    assert!(!holds_signature(&Variant::new(vec![(
        1u8,
        Variant::new("a")
    )])));
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_known_and_what_is_supplied_does_not_grow_old() {
    let text = |text: &str| [(PATH.into(), text.into())].into();
    let mut cache = Cache::default();
    let own = Announcement {
        own: text(XML),
        supplied: std::collections::BTreeMap::new(),
    };
    cache.announced(&own, Instant::now());
    assert!(recall(&mut cache, &introspect()).is_some());
    assert_eq!(
        cache.missing(&Key::of(&get()).unwrap()),
        [Key::GetAll(PATH.to_owned(), INTERFACE.to_owned())],
        "which properties tell their changes is known"
    );
    advance(AGE_MAX).await;
    assert!(recall(&mut cache, &introspect()).is_none());

    let supplied = Announcement {
        supplied: text("<node/>"),
        ..own
    };
    cache.announced(&supplied, Instant::now());
    recall(&mut cache, &call(INTERFACE, "Raise", &()));
    let objects = "org.freedesktop.DBus.ObjectManager";
    let added = Message::signal(PATH, objects, "InterfacesAdded");
    cache.follow(&added.build(&()).unwrap());
    advance(AGE_MAX).await;
    let answer = recall(&mut cache, &introspect()).unwrap();
    assert_eq!(answer.body().deserialize::<&str>().unwrap(), "<node/>");
    cache.announced(&Announcement::default(), Instant::now());
    assert!(recall(&mut cache, &introspect()).is_none());
}
