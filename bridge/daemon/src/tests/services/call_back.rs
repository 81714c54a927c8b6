//! Services that call those that called them: agents.

use zbus::{Message, message::Type};

use super::{
    service::{AGENT, INTERFACE, Service, error_name, plain},
    stage::{Client, Stage, bus_call},
};

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";
const OPEN: &str = "[[import]]\nservice = '*'\ncall_back = ['org.example.Agent1.Confirm@/agent']";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

async fn staged(exports: &str, imports: &str) -> (Stage, Service, Client) {
    let stage = Stage::start(exports, imports).await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    (stage, service, foh)
}

/// The call of the service.
async fn asked(client: &mut Client) -> Message {
    client
        .find(|message| message.message_type() == Type::MethodCall)
        .await
}

#[tokio::test]
async fn a_service_calls_who_called_it_and_hears_the_answer() {
    let (_stage, _service, mut foh) = staged(TALK, OPEN).await;
    let call = plain(THERE, "Register");
    foh.connection.send(&call).await.unwrap();
    let question = asked(&mut foh).await;
    let header = question.header();
    assert_eq!(header.interface().unwrap().as_str(), AGENT);
    assert_eq!(header.path().unwrap().as_str(), "/agent");
    let text: String = question.body().deserialize().unwrap();
    assert_eq!(text, "really?");
    let owner = foh.ask(&bus_call("GetNameOwner", THERE)).await;
    let owner: String = owner.body().deserialize().unwrap();
    assert_eq!(header.sender().unwrap().as_str(), owner);
    let yes = Message::method_return(&header)
        .build(&("yes", 7u32))
        .unwrap();
    foh.connection.send(&yes).await.unwrap();
    let answer = foh.answer(&call).await;
    let answer: (String, u32) = answer.body().deserialize().unwrap();
    assert_eq!(answer, ("yes".to_owned(), 7));
}

#[tokio::test]
async fn an_error_of_who_is_called_arrives_as_it_is() {
    let (_stage, _service, mut foh) = staged(TALK, OPEN).await;
    let call = plain(THERE, "Register");
    foh.connection.send(&call).await.unwrap();
    let question = asked(&mut foh).await;
    let no = Message::error(&question.header(), "org.example.Agent1.Error.Canceled");
    foh.connection
        .send(&no.build(&"no").unwrap())
        .await
        .unwrap();
    let answer = foh.answer(&call).await;
    assert_eq!(error_name(&answer), "org.example.Agent1.Error.Canceled");
}

#[tokio::test]
async fn nobody_is_called_whom_no_rule_here_opens() {
    let other = "[[import]]\nservice = '*'\ncall_back = ['org.example.Agent1.Other']";
    for imports in ["", other] {
        let (_stage, _service, mut foh) = staged(TALK, imports).await;
        let answer = foh.ask(&plain(THERE, "Register")).await;
        assert_eq!(error_name(&answer), DENIED);
        // A call would come before the answer to what was asked after it.
        let rest = foh.heard_before(&plain(THERE, "Echo")).await;
        let is_call = |message: &Message| message.message_type() == Type::MethodCall;
        assert!(!rest.iter().any(is_call));
    }
}

#[tokio::test]
async fn the_exporter_lets_a_service_call_back_only_by_talk_or_a_rule_of_its_own() {
    let rule = |more: &str| {
        format!("[[export]]\nservice = 'org.example.*'\ncall = ['{INTERFACE}.*']\n{more}")
    };
    let (_stage, _service, mut foh) = staged(&rule(""), OPEN).await;
    let answer = foh.ask(&plain(THERE, "Register")).await;
    assert_eq!(error_name(&answer), DENIED);
    let open = rule("call_back = ['org.example.Agent1.*']");
    let (_stage, _service, mut foh) = staged(&open, OPEN).await;
    foh.connection
        .send(&plain(THERE, "Register"))
        .await
        .unwrap();
    asked(&mut foh).await;
}

#[tokio::test]
async fn a_program_that_the_caller_did_not_call_does_not_reach_it() {
    let (stage, _service, mut foh) = staged(TALK, OPEN).await;
    let answer = foh.ask(&plain(THERE, "Sender")).await;
    let caller: String = answer.body().deserialize().unwrap();
    let mut stranger = Client::on(&stage.stage).await;
    let question = |interface: &'static str, member: &'static str| {
        Message::method_call("/agent", member)
            .destination(caller.clone())
            .interface(interface)
            .build(&"really?")
            .unwrap()
    };
    let answer = stranger.ask(&question(AGENT, "Confirm")).await;
    assert_eq!(error_name(&answer), DENIED);
    let pong = question("org.freedesktop.DBus.Peer", "Ping");
    assert_eq!(error_name(&stranger.ask(&pong).await), "");
}

#[tokio::test]
async fn a_service_whose_caller_leaves_hears_an_error() {
    let (stage, service, mut foh) = staged(TALK, OPEN).await;
    foh.connection
        .send(&plain(THERE, "Register"))
        .await
        .unwrap();
    asked(&mut foh).await;
    drop(foh);
    let error = service.refused().await;
    assert!(!error.is_empty());
    drop(stage);
}
