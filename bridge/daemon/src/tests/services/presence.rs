//! Who comes and goes: services, bridges, links, buses.

use std::collections::HashMap;

use zbus::{Message, Variant};

use super::{
    service::{Service, error_name, plain},
    stage::{Bridge, Client, Stage},
};
use zocp_dbus::testbus::TestBus;

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";

#[tokio::test]
async fn a_service_that_restarts_is_back() {
    let stage = Stage::start(TALK, "").await;
    let mut foh = Client::on(&stage.foh).await;
    for _ in 0..3 {
        let service = Service::start(&stage.stage, NAME).await;
        foh.wait_until_owned(THERE).await;
        assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
        service.stop().await;
        foh.wait_until_gone(THERE).await;
    }
}

#[tokio::test]
async fn calls_in_flight_end_with_the_service() {
    let stage = Stage::start(TALK, "").await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let never = plain(THERE, "Never");
    foh.connection.send(&never).await.unwrap();
    foh.ask(&plain(THERE, "Echo")).await;
    service.stop().await;
    let answer = foh.answer(&never).await;
    assert!(
        [
            "org.freedesktop.DBus.Error.NoReply",
            "org.freedesktop.DBus.Error.ServiceUnknown"
        ]
        .contains(&error_name(&answer).as_str())
    );
}

#[tokio::test]
async fn calls_in_flight_end_with_the_bridge_and_so_does_the_name() {
    let stage = Stage::start(TALK, "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let never = plain(THERE, "Never");
    foh.connection.send(&never).await.unwrap();
    foh.ask(&plain(THERE, "Echo")).await;
    stage.exporter.stop().await;
    let answer = foh.answer(&never).await;
    assert_eq!(error_name(&answer), "org.z25.Zocp1.Error.NodeGone");
    foh.wait_until_gone(THERE).await;
    stage.importer.stop().await;
}

#[tokio::test]
async fn a_peer_shows_the_names_of_its_services() {
    let stage = Stage::start(TALK, "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let get = || {
        Message::method_call("/org/z25/Zocp1/nodes/stage", "Get")
            .destination("org.z25.Zocp1")
            .interface("org.freedesktop.DBus.Properties")
            .build(&("org.z25.Zocp1.Peer", "Services"))
            .unwrap()
    };
    foh.listen("org.z25.Zocp1").await;
    loop {
        let answer = foh.ask(&get()).await;
        let services = format!("{:?}", answer.body().deserialize::<Variant<'_>>());
        if services.contains(THERE) {
            return;
        }
        foh.signal("PropertiesChanged").await;
    }
}

#[tokio::test]
async fn names_stay_bounded_when_both_export_everything() {
    let all = "[[export]]\nservice = '*'\ntalk = true";
    let stage = Stage::start(all, all).await;
    let _one = Service::start(&stage.stage, "org.example.One").await;
    let _two = Service::start(&stage.foh, "org.example.Two").await;
    let (mut there, mut here) = (Client::on(&stage.stage).await, Client::on(&stage.foh).await);
    here.wait_until_owned("org.example.One.stage").await;
    there.wait_until_owned("org.example.Two.foh").await;
    // What is shown at a bus would be exported from it again before what comes there later.
    let _three = Service::start(&stage.stage, "org.example.Three").await;
    let _four = Service::start(&stage.foh, "org.example.Four").await;
    here.assert_never("org.example.Two.foh.stage", "org.example.Three.stage")
        .await;
    there
        .assert_never("org.example.One.stage.foh", "org.example.Four.foh")
        .await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_ours_when_it_is_let_go_of() {
    let rules = "[[import]]\nservice = 'org.example.*'\nname = '{service}'";
    let stage = Stage::start(TALK, rules).await;
    let local = Service::start(&stage.foh, NAME).await;
    let _service = Service::start(&stage.stage, NAME).await;
    let _marker = Service::start(&stage.stage, "org.example.Marker").await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned("org.example.Marker").await;
    local.stop().await;
    foh.wait_until_owned(NAME).await;
    assert_eq!(error_name(&foh.ask(&plain(NAME, "Echo")).await), "");
}

#[tokio::test]
async fn a_bridge_that_comes_later_sees_what_is_there() {
    let (stage, foh) = (TestBus::start(), TestBus::start());
    let _service = Service::start(&stage, NAME).await;
    let exporter = Bridge::start(&stage, "stage", TALK, None).await;
    let importer = Bridge::start(&foh, "foh", "", Some(exporter.port)).await;
    let mut client = Client::on(&foh).await;
    client.wait_until_owned(THERE).await;
    importer.stop().await;
    client.wait_until_gone(THERE).await;
    let _again = Bridge::start(&foh, "foh", "", Some(exporter.port)).await;
    client.wait_until_owned(THERE).await;
    assert_eq!(error_name(&client.ask(&plain(THERE, "Echo")).await), "");
}

fn exporter(member: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Message {
    Message::method_call("/org/z25/Zocp1", member)
        .destination("org.z25.Zocp1")
        .interface("org.z25.Zocp1.Exporter")
        .build(body)
        .unwrap()
}

#[tokio::test]
async fn what_a_program_exports_is_there_as_long_as_the_program() {
    let stage = Stage::start("", "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let (mut foh, mut lender) = (Client::on(&stage.foh).await, Client::on(&stage.stage).await);
    let nothing: HashMap<&str, Variant<'_>> = HashMap::new();
    let refused = lender.ask(&exporter("Export", &(NAME, &nothing))).await;
    let invalid = "org.freedesktop.DBus.Error.InvalidArgs";
    assert_eq!(error_name(&refused), invalid, "it allows nothing");

    let echo = Variant::new(vec!["org.example.Every1.Echo"]);
    let rules: HashMap<&str, Variant<'_>> = [("call", echo)].into();
    let done = lender.ask(&exporter("Export", &(NAME, &rules))).await;
    assert_eq!(error_name(&done), "");
    foh.wait_until_owned(THERE).await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    let denied = error_name(&foh.ask(&plain(THERE, "Sender")).await);
    assert_eq!(denied, "org.freedesktop.DBus.Error.AccessDenied");

    lender.ask(&exporter("Unexport", &NAME)).await;
    foh.wait_until_gone(THERE).await;
    let again = lender.ask(&exporter("Unexport", &NAME)).await;
    assert_eq!(error_name(&again), invalid);
    lender.ask(&exporter("Export", &(NAME, &rules))).await;
    foh.wait_until_owned(THERE).await;
    lender.connection.close().await.unwrap();
    foh.wait_until_gone(THERE).await;
}
