//! Services that nobody runs yet: the bus starts them when they are called.

use std::{env, fs};

use tempfile::TempDir;
use tokio::time::timeout;
use zbus::Message;

use super::{
    service::{Service, error_name, plain},
    stage::{Client, Stage, bus_call},
};
use zocp_dbus::testbus::TestBus;

const NAME: &str = "org.example.Started";
const THERE: &str = "org.example.Started.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";
const PLAYER: &str = "org.mpris.MediaPlayer2.started";
const PLAYER_THERE: &str = "org.mpris.MediaPlayer2.stage.started";
const PLAYERS: &str = "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true";
/// The test that is the service's program.
const PROGRAM: &str = "tests::services::activation::the_program_that_a_bus_starts";

/// A bus that starts this test's program for the name.
fn bus() -> (TestBus, TempDir) {
    bus_of(NAME)
}

/// The same for another name.
fn bus_of(name: &str) -> (TestBus, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let services = data.path().join("dbus-1/services");
    fs::create_dir_all(&services).unwrap();
    let program = env::current_exe().unwrap();
    let text = format!(
        "[D-BUS Service]\nName={name}\n\
         Exec=/bin/sh -c \"ZOCP_STARTED={name} exec {} --ignored --exact {PROGRAM} >/dev/null\"\n",
        program.display()
    );
    fs::write(services.join("started.service"), text).unwrap();
    (TestBus::with_services(data.path()), data)
}

/// Serves until its bus ends, or it is told to end.
#[tokio::test]
#[ignore = "the bus of another test starts it"]
async fn the_program_that_a_bus_starts() {
    let Ok(address) = env::var("DBUS_STARTER_ADDRESS") else {
        return;
    };
    let name = env::var("ZOCP_STARTED").unwrap();
    let service = Service::at(&address, &name).await;
    timeout(std::time::Duration::from_secs(30), service.ended())
        .await
        .ok();
}

/// Who owns a name; empty if nobody does.
async fn owner(client: &mut Client, name: &str) -> String {
    let answer = client.ask(&bus_call("GetNameOwner", name)).await;
    match error_name(&answer).is_empty() {
        true => answer.body().deserialize().unwrap(),
        false => String::new(),
    }
}

#[tokio::test]
async fn a_service_that_the_bus_can_start_is_shown_and_started_by_the_first_call() {
    let (bus, _data) = bus();
    let stage = Stage::with(bus, TestBus::start(), TALK, "").await;
    let mut there = Client::on(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    assert_eq!(owner(&mut there, NAME).await, "", "showing starts nothing");
    let ping = Message::method_call("/one", "Ping")
        .destination(THERE)
        .interface("org.freedesktop.DBus.Peer")
        .build(&())
        .unwrap();
    foh.ask(&ping).await;
    assert_ne!(owner(&mut there, NAME).await, "", "a call starts it");
    let shown = owner(&mut foh, THERE).await;
    // The owner that came with the call does not end what is shown, nor the call.
    for _ in 0..3 {
        assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    }
    assert_ne!(owner(&mut there, NAME).await, "");
    assert_eq!(owner(&mut foh, THERE).await, shown);
}

#[tokio::test]
async fn a_started_service_that_ends_stays_shown_and_is_started_again() {
    let (bus, _data) = bus();
    let stage = Stage::with(bus, TestBus::start(), TALK, "").await;
    let mut there = Client::on(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    for _ in 0..2 {
        let shown = owner(&mut foh, THERE).await;
        assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
        there.wait_until_owned(NAME).await;
        foh.ask(&plain(THERE, "Leave")).await;
        there.wait_until_gone(NAME).await;
        // What was known belonged to the owner that left; it is shown anew.
        foh.owner_other_than(THERE, &shown).await;
    }
}

#[tokio::test]
async fn a_player_is_shown_while_it_runs_unless_a_rule_says_otherwise() {
    let (bus, _data) = bus_of(PLAYER);
    let stage = Stage::with(bus, TestBus::start(), PLAYERS, "").await;
    let mut there = Client::on(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    let _marker = Service::start(&stage.stage, "org.mpris.MediaPlayer2.zz").await;
    foh.assert_never(PLAYER_THERE, "org.mpris.MediaPlayer2.stage.zz")
        .await;
    assert_eq!(owner(&mut there, PLAYER).await, "", "nobody has started it");
    for _ in 0..2 {
        let player = Service::start(&stage.stage, PLAYER).await;
        foh.wait_until_owned(PLAYER_THERE).await;
        assert_eq!(error_name(&foh.ask(&plain(PLAYER_THERE, "Echo")).await), "");
        player.stop().await;
        foh.wait_until_gone(PLAYER_THERE).await;
    }
}

#[tokio::test]
async fn a_rule_says_whether_what_does_not_run_is_shown_also_while_the_bridge_runs() {
    let (bus, _data) = bus_of(PLAYER);
    let rule = |activate| format!("[[import]]\nservice = '*'\nactivate = {activate}\n");
    let mut stage = Stage::with(bus, TestBus::start(), PLAYERS, &rule(true)).await;
    let mut there = Client::on(&stage.stage).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(PLAYER_THERE).await;
    stage.importer.reload(&rule(false)).await;
    foh.wait_until_gone(PLAYER_THERE).await;
    stage.importer.reload(&rule(true)).await;
    foh.wait_until_owned(PLAYER_THERE).await;
    assert_eq!(owner(&mut there, PLAYER).await, "");
    assert_eq!(error_name(&foh.ask(&plain(PLAYER_THERE, "Echo")).await), "");
    there.wait_until_owned(PLAYER).await;
}
