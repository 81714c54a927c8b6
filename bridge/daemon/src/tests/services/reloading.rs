//! Rules that become others while calls are made.

use super::{
    service::{INTERFACE, Service, error_name, plain},
    stage::{Client, Stage},
};

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

#[tokio::test]
async fn a_service_that_is_no_longer_allowed_vanishes_and_is_refused_to_who_calls_it() {
    let mut stage = Stage::start(TALK, "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let _other = Service::start(&stage.stage, "org.other.Every").await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let never = plain(THERE, "Never");
    foh.connection.send(&never).await.unwrap();
    foh.ask(&plain(THERE, "Echo")).await;
    let other = "[[export]]\nservice = 'org.other.Every'\ntalk = true";
    stage.exporter.reload(other).await;
    let refused = error_name(&foh.answer(&never).await);
    let gone = "org.freedesktop.DBus.Error.ServiceUnknown";
    assert!(refused == DENIED || refused == gone, "{refused}");
    foh.wait_until_gone(THERE).await;
    foh.wait_until_owned("org.other.Every.stage").await;
    stage.exporter.reload(TALK).await;
    foh.wait_until_owned(THERE).await;
    foh.wait_until_gone("org.other.Every.stage").await;
}

#[tokio::test]
async fn a_narrower_rule_holds_from_the_next_call_and_calls_in_flight_finish() {
    let mut stage = Stage::start(TALK, "").await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let later = plain(THERE, "Later");
    foh.connection.send(&later).await.unwrap();
    foh.ask(&plain(THERE, "Echo")).await;
    let only = format!(
        "[[export]]\nservice = 'org.example.*'\ncall = ['{INTERFACE}.Echo', '{INTERFACE}.Later']"
    );
    stage.exporter.reload(&only).await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Sender")).await), DENIED);
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    service.answer_now().await;
    assert_eq!(error_name(&foh.answer(&later).await), "");
}

#[tokio::test]
async fn rules_here_rename_hide_and_narrow_at_once() {
    let mut stage = Stage::start(TALK, "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let rule = |name: &str| format!("[[import]]\nservice = '*'\nname = {name}");
    stage.importer.reload(&rule("'org.renamed.{tail}'")).await;
    foh.wait_until_gone(THERE).await;
    let renamed = "org.renamed.org.example.Every";
    foh.wait_until_owned(renamed).await;
    let narrower = format!(
        "{}\ncall = ['{INTERFACE}.Echo']",
        rule("'org.renamed.{tail}'")
    );
    stage.importer.reload(&narrower).await;
    assert_eq!(
        error_name(&foh.ask(&plain(renamed, "Sender")).await),
        DENIED
    );
    assert_eq!(error_name(&foh.ask(&plain(renamed, "Echo")).await), "");
    stage.importer.reload(&rule("false")).await;
    foh.wait_until_gone(renamed).await;
    stage.importer.reload("").await;
    foh.wait_until_owned(THERE).await;
}

#[tokio::test]
async fn a_peer_that_is_allowed_later_gets_what_others_have_without_a_break_for_them() {
    let only = |peer: &str| {
        format!("[[export]]\nservice = 'org.example.*'\ntalk = true\npeers = ['{peer}']")
    };
    let mut stage = Stage::start(&only("foh"), "").await;
    let bus = zocp_dbus::testbus::TestBus::start();
    let port = Some(stage.exporter.port);
    let other = super::stage::Bridge::start(&bus, "booth", "", port).await;
    let service = Service::start(&stage.stage, NAME).await;
    let (mut foh, mut booth) = (Client::on(&stage.foh).await, Client::on(&bus).await);
    foh.wait_until_owned(THERE).await;
    let later = plain(THERE, "Later");
    foh.connection.send(&later).await.unwrap();
    foh.ask(&plain(THERE, "Echo")).await;
    let both = format!("{}\n{}", only("foh"), only("booth"));
    stage.exporter.reload(&both).await;
    booth.wait_until_owned(THERE).await;
    assert_eq!(error_name(&booth.ask(&plain(THERE, "Echo")).await), "");
    service.answer_now().await;
    assert_eq!(error_name(&foh.answer(&later).await), "");
    stage.exporter.reload(&only("foh")).await;
    booth.wait_until_gone(THERE).await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    other.stop().await;
}
