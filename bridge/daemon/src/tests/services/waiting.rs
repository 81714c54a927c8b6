//! Calls that take long: who ends them, and what is kept of them.

use std::time::Duration;

use zbus::Message;

use super::{
    service::{INTERFACE, Service, error_name, plain},
    stage::{Client, Stage},
};

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
const OPEN: &str = "[[import]]\nservice = '*'\ncall_back = ['*']\n";
const BUSY: &str = "org.z25.Zocp1.Error.Busy";
const TIMEOUT: &str = "org.freedesktop.DBus.Error.Timeout";

async fn staged(exports: &str, imports: &str) -> (Stage, Service, Client) {
    let stage = Stage::start(exports, imports).await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    (stage, service, foh)
}

/// A call that the service has and does not answer.
async fn under_way(client: &mut Client, service: &str, member: &str) -> Message {
    let call = plain(service, member);
    client.connection.send(&call).await.unwrap();
    // Behind it in the same row: when this one is answered, the service has the first.
    assert_eq!(error_name(&client.ask(&plain(service, "Echo")).await), "");
    call
}

/// Lets more time pass than any answer of a bridge takes, and less than silence on the mesh may.
async fn time_passes() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(25)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn without_a_rule_a_call_waits_as_long_as_its_service_takes() {
    let (_stage, service, mut foh) = staged(TALK, "").await;
    let later = under_way(&mut foh, THERE, "Later").await;
    time_passes().await;
    // Both bridges have looked at what is due by now.
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    service.answer_now().await;
    assert_eq!(error_name(&foh.answer(&later).await), "");
}

#[tokio::test]
async fn without_a_rule_an_agent_may_think_as_long_as_it_wants() {
    let (_stage, _service, mut foh) = staged(TALK, OPEN).await;
    let register = plain(THERE, "Register");
    foh.connection.send(&register).await.unwrap();
    let question = foh
        .find(|message| {
            message
                .header()
                .member()
                .is_some_and(|name| name == "Confirm")
        })
        .await;
    time_passes().await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    let yes = Message::method_return(&question.header())
        .build(&("yes", 7u32))
        .unwrap();
    foh.connection.send(&yes).await.unwrap();
    let answer = foh.answer(&register).await;
    assert_eq!(error_name(&answer), "");
}

#[tokio::test]
async fn a_rule_at_either_end_says_how_long_a_call_waits() {
    let (short, long) = ("timeout = 0.2\n", "timeout = 3600\n");
    let import = "[[import]]\nservice = 'org.example.Every'\n";
    for (exports, imports) in [
        (format!("{TALK}{short}"), String::new()),
        (TALK.to_owned(), format!("{import}{short}")),
        // A rule goes before the bound for all.
        (
            format!("{TALK}{short}[limits]\nanswer_max = 3600\n"),
            String::new(),
        ),
        // Of several rules the shortest counts.
        (format!("{TALK}{long}{TALK}{short}"), String::new()),
    ] {
        let (_stage, _service, mut foh) = staged(&exports, &imports).await;
        let never = foh.ask(&plain(THERE, "Never")).await;
        assert_eq!(error_name(&never), TIMEOUT, "{exports}{imports}");
        assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    }
    // The bound for all is not that of a rule.
    let (_stage, service, mut foh) =
        staged(&format!("{TALK}{long}[limits]\nanswer_max = 0.2\n"), "").await;
    let later = under_way(&mut foh, THERE, "Later").await;
    time_passes().await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    service.answer_now().await;
    assert_eq!(error_name(&foh.answer(&later).await), "");
}

#[tokio::test]
async fn calls_of_a_program_that_leaves_are_kept_no_longer() {
    let (stage, _service, mut one) = staged(TALK, "[limits]\nservice_calls_max = 3\n").await;
    let mut other = Client::on(&stage.foh).await;
    for _ in 0..5 {
        under_way(&mut one, THERE, "Never").await;
        let sender = one.ask(&plain(THERE, "Sender")).await;
        let sender: String = sender.body().deserialize().unwrap();
        let mut watcher = Client::on(&stage.stage).await;
        watcher.wait_until_owned(&sender).await;
        one.connection.close().await.unwrap();
        watcher.wait_until_gone(&sender).await;
        assert_eq!(error_name(&other.ask(&plain(THERE, "Echo")).await), "");
        one = Client::on(&stage.foh).await;
    }
}

#[tokio::test]
async fn calls_of_one_program_leave_room_for_those_of_another() {
    let imports = "[limits]\ncaller_calls_max = 2\n";
    let (stage, _service, mut one) = staged(TALK, imports).await;
    let calls = [plain(THERE, "Never"), plain(THERE, "Never")];
    one.connection.send_all(&calls).await.unwrap();
    assert_eq!(error_name(&one.ask(&plain(THERE, "Echo")).await), BUSY);
    let mut other = Client::on(&stage.foh).await;
    assert_eq!(error_name(&other.ask(&plain(THERE, "Echo")).await), "");
}

#[tokio::test]
async fn calls_of_a_service_that_gives_up_its_name_are_answered_and_kept_no_longer() {
    let exports = format!("{TALK}[limits]\ncaller_calls_max = 2\n");
    let (stage, service, mut foh) = staged(&exports, "").await;
    let _other = Service::start(&stage.stage, "org.example.Other").await;
    foh.wait_until_owned("org.example.Other.stage").await;
    // With it the caller's connection stays.
    foh.ask(&plain("org.example.Other.stage", "Echo")).await;
    let never = under_way(&mut foh, THERE, "Never").await;
    service.connection.release_name(NAME).await.unwrap();
    let answer = foh.answer(&never).await;
    assert_eq!(
        error_name(&answer),
        "org.freedesktop.DBus.Error.ServiceUnknown"
    );
    foh.wait_until_gone(THERE).await;
    let other = [plain("org.example.Other.stage", "Never")];
    foh.connection.send_all(&other).await.unwrap();
    let room = foh.ask(&plain("org.example.Other.stage", "Echo")).await;
    assert_eq!(error_name(&room), "");
}

#[tokio::test]
async fn calls_under_way_are_answered_when_the_importing_bridge_stops() {
    let (stage, _service, mut foh) = staged(TALK, "").await;
    let never = under_way(&mut foh, THERE, "Never").await;
    stage.importer.stop().await;
    let answer = foh.answer(&never).await;
    assert_eq!(error_name(&answer), "org.z25.Zocp1.Error.NodeGone");
}

#[tokio::test]
async fn a_packet_that_is_too_long_for_who_takes_it_is_answered() {
    let call = |member: &str, octets: u32| {
        let call = Message::method_call("/one", member.to_owned())
            .destination(THERE)
            .interface(INTERFACE);
        match member {
            "Echo" => call.build(&vec![0u8; octets as usize]),
            _ => call.build(&octets),
        }
        .unwrap()
    };
    // The exporter takes less than the importer sends, or the other way round; whole and in pieces.
    for (exporter, importer, member) in
        [("20000", "48000000", "Echo"), ("48000000", "20000", "Long")]
    {
        let exports = format!("{TALK}[limits]\npacket_len_max = {exporter}\n");
        let imports = format!("[limits]\npacket_len_max = {importer}\n");
        let (_stage, _service, mut foh) = staged(&exports, &imports).await;
        for octets in [30_000, 400_000] {
            let answer = foh.ask(&call(member, octets)).await;
            assert_eq!(
                error_name(&answer),
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "{member} {octets}"
            );
            assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
        }
    }
}
