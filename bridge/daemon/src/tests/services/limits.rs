//! Every bound of services, reached. What waits for a peer is in the tests of `zocp_relay::transport`.

use std::collections::HashMap;

use zbus::{Message, Variant, message::Type};
use zocp_interfaces::ExporterProxy;

use super::{
    service::{INTERFACE, Service, error_name, plain},
    stage::{Client, Stage},
};

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true\n";
const LIMITS_EXCEEDED: &str = "org.freedesktop.DBus.Error.LimitsExceeded";
const BUSY: &str = "org.z25.Zocp1.Error.Busy";
const TIMEOUT: &str = "org.freedesktop.DBus.Error.Timeout";

/// A stage whose exporter and importer have these bounds.
async fn staged(exporter: &str, importer: &str) -> (Stage, Service, Client) {
    let exports = format!("{TALK}[limits]\n{exporter}");
    let imports = format!(
        "[limits]\n{importer}\n[[import]]\nservice = '*'\ncall_back = ['*']\ncache = false"
    );
    let stage = Stage::start(&exports, &imports).await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    (stage, service, foh)
}

fn echo(octets: usize) -> Message {
    Message::method_call("/one", "Echo")
        .destination(THERE)
        .interface(INTERFACE)
        .build(&vec![0u8; octets])
        .unwrap()
}

/// Sends calls that are not answered, then one; the name of its error.
async fn after(client: &mut Client, unanswered: usize) -> String {
    for _ in 0..unanswered {
        client
            .connection
            .send(&plain(THERE, "Never"))
            .await
            .unwrap();
    }
    error_name(&client.ask(&plain(THERE, "Echo")).await)
}

#[tokio::test]
async fn callers_of_one_peer() {
    let (mut stage, _service, mut foh) = staged("callers_max = 1", "").await;
    assert_eq!(after(&mut foh, 0).await, "");
    let mut second = Client::on(&stage.foh).await;
    assert_eq!(after(&mut second, 0).await, LIMITS_EXCEEDED);
    // A bound is followed while the bridge runs.
    stage
        .exporter
        .reload(&format!("{TALK}[limits]\ncallers_max = 2"))
        .await;
    assert_eq!(after(&mut second, 0).await, "");
    let mut third = Client::on(&stage.foh).await;
    assert_eq!(after(&mut third, 0).await, LIMITS_EXCEEDED);
}

#[tokio::test]
async fn calls_of_one_caller_at_the_exporter() {
    let (stage, _service, mut foh) = staged("caller_calls_max = 2", "").await;
    assert_eq!(after(&mut foh, 2).await, BUSY);
    let mut other = Client::on(&stage.foh).await;
    assert_eq!(after(&mut other, 0).await, "", "each has its own");
}

#[tokio::test]
async fn calls_that_wait_for_one_peer_at_the_importer() {
    let (_stage, _service, mut foh) = staged("", "service_calls_max = 2").await;
    assert_eq!(after(&mut foh, 2).await, BUSY);
}

#[tokio::test]
async fn octets_that_the_bus_of_the_exporter_has_not_taken() {
    let (stage, _service, mut foh) = staged("caller_queue_max = 1000", "").await;
    assert_eq!(after(&mut foh, 0).await, "");
    stage.stage.pause();
    // More than a socket holds.
    let long = echo(4 << 20);
    foh.connection.send(&long).await.unwrap();
    assert_eq!(after(&mut foh, 0).await, BUSY);
    stage.stage.resume();
    assert_eq!(error_name(&foh.answer(&long).await), "");
}

#[tokio::test]
async fn a_packet_at_either_end() {
    let (_stage, _service, mut foh) = staged("", "packet_len_max = 20000").await;
    assert_eq!(error_name(&foh.ask(&echo(30_000)).await), LIMITS_EXCEEDED);
    assert_eq!(error_name(&foh.ask(&echo(10_000)).await), "");
    let (_stage, _service, mut foh) = staged("packet_len_max = 20000", "").await;
    // Taken as it comes, but the answer is longer than the mesh may have it here.
    assert_eq!(error_name(&foh.ask(&echo(18_000)).await), LIMITS_EXCEEDED);
}

#[tokio::test]
async fn a_packet_that_is_too_long_for_who_takes_it_is_dropped_and_its_call_refused() {
    let (_stage, _service, mut foh) = staged("packet_len_max = 20000", "").await;
    assert_eq!(error_name(&foh.ask(&echo(30_000)).await), LIMITS_EXCEEDED);
    assert_eq!(after(&mut foh, 0).await, "");
}

#[tokio::test]
async fn time_at_either_end() {
    for (exporter, importer) in [("answer_max = 0.2", ""), ("", "answer_max = 0.2")] {
        let (_stage, _service, mut foh) = staged(exporter, importer).await;
        let never = foh.ask(&plain(THERE, "Never")).await;
        assert_eq!(error_name(&never), TIMEOUT);
        assert_eq!(after(&mut foh, 0).await, "");
    }
}

#[tokio::test]
async fn time_for_an_agent_to_answer() {
    let (_stage, service, foh) = staged("answer_max = 0.2", "").await;
    foh.connection
        .send(&plain(THERE, "Register"))
        .await
        .unwrap();
    assert_eq!(service.refused().await, TIMEOUT);
}

#[tokio::test]
async fn calls_of_services_to_one_caller() {
    for (exporter, importer) in [("calls_back_max = 1", ""), ("", "calls_back_max = 1")] {
        let (_stage, service, mut foh) = staged(exporter, importer).await;
        for _ in 0..2 {
            foh.connection
                .send(&plain(THERE, "Register"))
                .await
                .unwrap();
        }
        assert_eq!(service.refused().await, BUSY);
        foh.find(|message| message.message_type() == Type::MethodCall)
            .await;
    }
}

#[tokio::test]
async fn services_of_one_peer() {
    let (stage, _service, mut foh) = staged("", "imports_max = 1").await;
    let _more = Service::start(&stage.stage, "org.example.More").await;
    // The first by name is the one; it is there again when the other goes.
    let _before = Service::start(&stage.stage, "org.example.Before").await;
    let (more, before) = ("org.example.More.stage", "org.example.Before.stage");
    foh.assert_never(more, before).await;
    foh.wait_until_gone(THERE).await;
}

#[tokio::test]
async fn rules_of_programs() {
    let (stage, _service, _foh) = staged("exports_max = 1", "").await;
    let program = stage.stage.client().await;
    let exporter = ExporterProxy::new(&program).await.unwrap();
    let talk = || HashMap::from([("talk", Variant::new(true))]);
    exporter.export("org.a.A", talk()).await.unwrap();
    let error = exporter.export("org.a.B", talk()).await.unwrap_err();
    assert!(error.to_string().contains("LimitsExceeded"), "{error}");
    exporter.unexport("org.a.A").await.unwrap();
    exporter.export("org.a.B", talk()).await.unwrap();
}

#[tokio::test]
async fn programs_that_learn() {
    let (stage, _service, _foh) = staged("", "").await;
    let program = stage.stage.client().await;
    let exporter = ExporterProxy::new(&program).await.unwrap();
    let learn = || HashMap::from([("learn", Variant::new(true))]);
    for number in 0..16 {
        let service = format!("org.a.A{number}");
        exporter.export(&service, learn()).await.unwrap();
    }
    let error = exporter.export("org.a.B", learn()).await.unwrap_err();
    assert!(error.to_string().contains("LimitsExceeded"), "{error}");
}
