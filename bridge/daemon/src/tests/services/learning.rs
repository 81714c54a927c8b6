//! What is asked, learned by a program on the exporter's bus.

use std::collections::HashMap;

use zbus::{Message, OwnedVariant, Variant};
use zocp_interfaces::ExporterProxy;

use super::{
    service::{INTERFACE, Service, error_name, plain},
    stage::{Client, Stage},
};

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Word, rule and whether it was allowed, of each thing that was asked.
fn told(notes: &[HashMap<String, OwnedVariant>]) -> Vec<(String, String, bool)> {
    let text = |note: &HashMap<String, OwnedVariant>, key: &str| match note.get(key).map(|it| &**it)
    {
        Some(Variant::Str(text)) => text.to_string(),
        _ => String::new(),
    };
    let entry = |note| {
        assert_eq!(
            (&*text(note, "service"), &*text(note, "peer")),
            (NAME, "foh")
        );
        let is_allowed = matches!(&*note["allowed"], Variant::Bool(true));
        (text(note, "word"), text(note, "rule"), is_allowed)
    };
    notes.iter().map(entry).collect()
}

fn get(service: &str) -> Message {
    Message::method_call("/one", "Get")
        .destination(service.to_owned())
        .interface(PROPERTIES)
        .build(&(INTERFACE, "Level"))
        .unwrap()
}

#[tokio::test]
async fn who_learns_is_told_what_peers_asked_and_heard_and_nothing_else() {
    let stage = Stage::start("", "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let program = stage.stage.client().await;
    let exporter = ExporterProxy::new(&program).await.unwrap();
    let rules = HashMap::from([("talk", Variant::new(true)), ("learn", Variant::new(true))]);
    exporter.export("org.example.*", rules).await.unwrap();
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let burst = Message::method_call("/one", "Burst")
        .destination(THERE)
        .interface(INTERFACE)
        .build(&3u32)
        .unwrap();
    foh.ask(&burst).await;
    for _ in 0..2 {
        foh.ask(&get(THERE)).await;
    }
    let (notes, is_complete) = exporter.learned("org.example.*").await.unwrap();
    let note = |word: &str, rule: String| (word.to_owned(), rule, true);
    assert_eq!(
        told(&notes),
        [
            note("see", String::new()),
            note("call", format!("{INTERFACE}.Burst@/one")),
            note("call", format!("{PROPERTIES}.Get@/one")),
            note("broadcast", format!("{INTERFACE}.Tick@/one")),
        ]
    );
    let property = notes[2]["property"].try_clone().unwrap();
    assert_eq!(
        String::try_from(property).unwrap(),
        format!("{INTERFACE}.Level")
    );
    assert!(is_complete);
    // Nobody is told what another learned.
    let other = stage.stage.client().await;
    let other = ExporterProxy::new(&other).await.unwrap();
    assert!(other.learned("org.example.*").await.is_err());
}

#[tokio::test]
async fn what_is_refused_is_learned_too() {
    let stage = Stage::start("", "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let program = stage.stage.client().await;
    let exporter = ExporterProxy::new(&program).await.unwrap();
    let rules = HashMap::from([("see", Variant::new(true)), ("learn", Variant::new(true))]);
    exporter.export(NAME, rules).await.unwrap();
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let denied = foh.ask(&plain(THERE, "Echo")).await;
    assert_eq!(
        error_name(&denied),
        "org.freedesktop.DBus.Error.AccessDenied"
    );
    let (notes, _) = exporter.learned(NAME).await.unwrap();
    let call = ("call".to_owned(), format!("{INTERFACE}.Echo@/one"), false);
    assert_eq!(
        told(&notes),
        [("see".to_owned(), String::new(), true), call]
    );
}
