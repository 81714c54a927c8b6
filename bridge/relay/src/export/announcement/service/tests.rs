use serde_json::json;
use zbus::Variant;

use super::*;
use crate::export::announcement::{emissions::Audience, limits::SETTINGS_MAX};

const XML: &str = r#"<node><interface name="org.example.Lamp1">
  <property name="Level" type="y" access="readwrite"/>
  <signal name="Struck"><arg type="x"/></signal></interface></node>"#;
const ROOM: Room = Room {
    members: 1000,
    octets: 1 << 20,
};

fn place() -> Place {
    Place::new("/", "org.example.Lamp1")
}

fn path(member: &str) -> CapPath {
    place().object("org.example.Lamp").capability(member)
}

fn returned<B>(body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    let call = Message::method_call("/", "M").build(&()).unwrap();
    Message::method_return(&call.header()).build(body).unwrap()
}

fn refused() -> Message {
    let call = Message::method_call("/", "M").build(&()).unwrap();
    Message::error(&call.header(), "org.example.Error")
        .build(&())
        .unwrap()
}

fn levels(level: u8) -> BTreeMap<&'static str, Variant<'static>> {
    [("Level", Variant::from(level))].into()
}

/// A service that was asked what it has: its level is 1.
fn crawled() -> Service {
    let name: Arc<str> = "org.example.Lamp".into();
    let grant = Arc::new(Grant::all());
    let mut service = Service::new(name, ":1.7".into(), 1, grant);
    service.begin(&Arc::default(), ROOM);
    ask(&mut service, &returned(&XML));
    ask(&mut service, &returned(&levels(1)));
    service
}

/// Answers the question that is the only step.
fn ask(service: &mut Service, answer: &Message) {
    let steps = service.steps();
    let [Step::Ask(question, _)] = &steps[..] else {
        panic!("{steps:?}");
    };
    service.answered(&question.clone(), Some(answer), ROOM);
}

fn changed(level: u8, invalidated: &[&str]) -> Message {
    let changed = match invalidated {
        [] => levels(level),
        _ => BTreeMap::new(),
    };
    Message::signal("/", "org.freedesktop.DBus.Properties", "PropertiesChanged")
        .build(&("org.example.Lamp1", changed, invalidated))
        .unwrap()
}

fn set(service: &mut Service, level: u16) {
    service.set(&place(), &"Level".into(), json!(level));
}

fn set_answered(service: &mut Service, answer: Option<&Message>) {
    service.answered(&Question::Set(place(), "Level".into()), answer, ROOM);
}

fn value_answered(service: &mut Service, level: u8) {
    let answer = returned(&Variant::from(level));
    service.answered(
        &Question::Value(place(), "Level".into()),
        Some(&answer),
        ROOM,
    );
}

/// The steps, shortly.
fn steps_of(service: &mut Service) -> Vec<String> {
    let steps = service.steps().into_iter();
    let told = steps.map(|step| match step {
        Step::Ask(Question::Set(..), _) => "set".to_owned(),
        Step::Ask(Question::Value(..), _) => "get".to_owned(),
        Step::Ask(Question::Values(_), _) => "get all".to_owned(),
        Step::Ask(Question::Introspect(_), _) => "introspect".to_owned(),
        Step::Describe(object, entries) => {
            let names: Vec<&str> = entries.iter().map(|(name, _)| &**name).collect();
            format!("{} {}", object.name().unwrap(), names.join(" "))
        }
        Step::Publish(path, it) => format!("+{} {}", path.name, it.info.access),
        Step::Unpublish(path) => format!("-{}", path.name),
        Step::Remove(object) => format!("-{}", object.name().unwrap()),
        Step::Value(path, value) => format!("{} = {value}", path.name),
        Step::Emit(path, value) => format!("{} ! {value}", path.name),
        Step::Methods(_) => "methods".to_owned(),
    });
    told.collect()
}

#[tokio::test]
async fn a_survey_ends_in_a_description_in_the_tree() {
    let mut service = crawled();
    let steps = [
        "org.example.Lamp introspection",
        "/ type",
        "org.example.Lamp1 type",
        "+Level rwe",
        "+Struck e",
    ];
    assert_eq!(steps_of(&mut service), steps);
    assert_eq!(service.used().members, 2);
    service.clear();
    assert_eq!(
        steps_of(&mut service),
        ["-/", "org.example.Lamp introspection"]
    );
}

#[tokio::test]
async fn another_revision_takes_from_the_tree_only_what_it_does_not_have() {
    let mut service = crawled();
    service.steps();
    service.renew(":1.8".into(), 2, Arc::new(Grant::all()));
    assert_eq!(steps_of(&mut service), ["org.example.Lamp introspection"]);
    service.begin(&Arc::default(), ROOM);
    let other = XML.replace("Struck", "Fallen");
    ask(&mut service, &returned(&other));
    ask(&mut service, &returned(&levels(2)));
    let steps = steps_of(&mut service);
    assert_eq!(steps[3..], ["-Struck", "+Level rwe", "+Fallen e"]);
    service.renew(":1.9".into(), 3, Arc::new(Grant::all()));
    service.steps();
    service.begin(&Arc::default(), ROOM);
    ask(&mut service, &refused());
    assert_eq!(steps_of(&mut service), ["-/"]);
}

#[tokio::test]
async fn changes_are_shown_and_what_is_invalid_is_asked_for() {
    let mut service = crawled();
    service.steps();
    service.handle_signal(&changed(2, &[]), Audience::Nobody);
    assert_eq!(steps_of(&mut service), ["Level = 2"]);
    service.handle_signal(&changed(0, &["Level"]), Audience::Nobody);
    service.handle_signal(&changed(0, &["Level"]), Audience::Nobody);
    assert_eq!(steps_of(&mut service), ["get all"], "once");
    service.answered(
        &Question::Values(place()),
        Some(&returned(&levels(3))),
        ROOM,
    );
    assert_eq!(steps_of(&mut service), ["Level = 3"]);
    service.missed();
    assert_eq!(steps_of(&mut service), ["get all"]);
}

#[tokio::test]
async fn signals_are_emissions_where_somebody_hears_them() {
    let mut service = crawled();
    service.steps();
    let struck = Message::signal("/", "org.example.Lamp1", "Struck")
        .build(&7i64)
        .unwrap();
    service.handle_signal(&struck, Audience::Somebody);
    service.handle_signal(&struck, Audience::Somebody);
    assert_eq!(steps_of(&mut service), ["Struck ! 7", "Struck ! 7"]);
    service.handle_signal(&struck, Audience::Nobody);
    let other = Message::signal("/", "org.example.Lamp1", "Struck")
        .build(&())
        .unwrap();
    service.handle_signal(&other, Audience::Somebody);
    assert!(steps_of(&mut service).is_empty());
    assert_eq!(path("Struck").object.segments().len(), 4);
}

#[tokio::test]
async fn what_the_service_made_of_a_value_is_shown_when_nothing_is_under_way() {
    let mut service = crawled();
    service.steps();
    set(&mut service, 4);
    set(&mut service, 5);
    assert_eq!(steps_of(&mut service), ["set", "set"]);
    set_answered(&mut service, Some(&returned(&())));
    service.handle_signal(&changed(4, &[]), Audience::Nobody);
    assert!(steps_of(&mut service).is_empty(), "4 is not the newest");
    set_answered(&mut service, Some(&returned(&())));
    assert_eq!(steps_of(&mut service), ["get"]);
    set(&mut service, 6);
    set_answered(&mut service, Some(&returned(&())));
    assert_eq!(steps_of(&mut service), ["set", "get"]);
    value_answered(&mut service, 5);
    assert!(steps_of(&mut service).is_empty(), "of before 6");
    value_answered(&mut service, 6);
    assert_eq!(steps_of(&mut service), ["Level = 6"]);
}

#[tokio::test]
async fn a_value_that_is_refused_does_not_stay() {
    let mut service = crawled();
    service.steps();
    for answer in [Some(refused()), None] {
        set(&mut service, 9);
        set_answered(&mut service, answer.as_ref());
        assert_eq!(steps_of(&mut service), ["set", "get"]);
        value_answered(&mut service, 1);
        assert_eq!(steps_of(&mut service), ["Level = 1"]);
    }
    set(&mut service, 256);
    assert_eq!(steps_of(&mut service), ["get"], "no value of its type");
    let gone = Question::Value(place(), "Level".into());
    service.answered(&gone, Some(&refused()), ROOM);
    assert_eq!(
        steps_of(&mut service),
        ["Level = 1"],
        "the last that it told"
    );
}

#[tokio::test]
async fn of_too_many_values_the_newest_waits() {
    let mut service = crawled();
    service.steps();
    for level in 0..SETTINGS_MAX as u16 + 3 {
        set(&mut service, level);
    }
    assert_eq!(steps_of(&mut service).len(), SETTINGS_MAX);
    set_answered(&mut service, Some(&returned(&())));
    let steps = service.steps();
    let [Step::Ask(_, call)] = &steps[..] else {
        panic!("{steps:?}");
    };
    let body = call.body();
    let (_, _, value): (&str, &str, Variant<'_>) = body.deserialize().unwrap();
    assert_eq!(value, Variant::from(SETTINGS_MAX as u8 + 2));
    set_answered(&mut service, Some(&returned(&())));
    assert!(steps_of(&mut service).is_empty(), "others are under way");
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_objects_come_and_go_is_asked_again_after_a_pause() {
    let mut service = crawled();
    service.steps();
    let added = Message::signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
    service.handle_signal(&added.build(&()).unwrap(), Audience::Nobody);
    assert_eq!(service.due(), Some(Instant::now() + CRAWL_PAUSE));
    service.begin(&Arc::default(), ROOM);
    assert_eq!(service.due(), None);
    service.is_wanted();
    tokio::time::advance(CRAWL_AGE_MAX).await;
    service.is_wanted();
    assert_eq!(service.due(), None, "it is being asked");
}
