//! Calls, answers, errors and signals: what is bridged is what is direct.

use std::collections::HashMap;

use zbus::{Message, Variant, message::Flags, wire::Endian};

use super::{
    service::{INTERFACE, Service},
    stage::{Client, Stage},
};
use zocp_dbus::testbus::soon;

const NAME: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const TALK: &str = "[[export]]\nservice = 'org.example.*'\ntalk = true";

fn call<B>(service: &str, member: &str, endian: Endian, body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    Message::method_call("/one", member)
        .destination(service.to_owned())
        .interface(INTERFACE)
        .endian(endian)
        .build(body)
        .unwrap()
}

fn plain(service: &str, member: &str) -> Message {
    call(service, member, Endian::Little, &())
}

fn error_name(answer: &Message) -> String {
    let header = answer.header();
    header
        .error_name()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// A stage with the service, seen at the front of house.
async fn staged() -> (Stage, Service, Client) {
    let stage = Stage::start(TALK, "").await;
    let service = Service::start(&stage.stage, NAME).await;
    let mut client = Client::on(&stage.foh).await;
    client.wait_until_owned(THERE).await;
    (stage, service, client)
}

/// Bodies of every type, in the given byte order, as calls of `Echo`.
fn bodies(service: &str, endian: Endian) -> Vec<Message> {
    let nested: HashMap<String, Vec<(u8, Variant<'_>)>> =
        [("k".to_owned(), vec![(1, Variant::new(vec![2i16, 3]))])].into();
    let path = zbus::ObjectPath::try_from("/a/b").unwrap();
    let signature = zbus::Signature::try_from("a{sv}").unwrap();
    let echo = "Echo";
    vec![
        call(service, echo, endian, &()),
        call(
            service,
            echo,
            endian,
            &(true, 1u8, -2i16, 3u16, -4i32, 5u32, -6i64, 7u64, 8.5f64),
        ),
        call(service, echo, endian, &("ä", path, signature)),
        call(service, echo, endian, &nested),
        call(
            service,
            echo,
            endian,
            &Variant::new(Variant::new(("x", 1u8))),
        ),
        call(service, echo, endian, &Vec::<(u64, String)>::new()),
        call(service, echo, endian, &vec![0xabu8; 100_000]),
    ]
}

#[tokio::test]
async fn every_type_in_either_byte_order_is_answered_octet_by_octet() {
    let (stage, _service, mut foh) = staged().await;
    let mut direct = Client::on(&stage.stage).await;
    for endian in [Endian::Little, Endian::Big] {
        let pairs = bodies(NAME, endian).into_iter().zip(bodies(THERE, endian));
        for (here, there) in pairs {
            let (here, there) = (direct.ask(&here).await, foh.ask(&there).await);
            assert_eq!(here.body().signature(), there.body().signature());
            assert_eq!(here.body().data().bytes(), there.body().data().bytes());
            assert_eq!(
                here.primary_header().endian_sig(),
                there.primary_header().endian_sig()
            );
        }
    }
}

#[tokio::test]
async fn an_error_arrives_with_its_name_and_its_whole_body() {
    let (stage, _service, mut foh) = staged().await;
    let mut direct = Client::on(&stage.stage).await;
    let here = direct.ask(&plain(NAME, "Fail")).await;
    let there = foh.ask(&plain(THERE, "Fail")).await;
    assert_eq!(error_name(&there), "org.example.Error.Broken");
    assert_eq!(here.body().signature(), there.body().signature());
    assert_eq!(here.body().data().bytes(), there.body().data().bytes());
    assert_eq!(
        error_name(&foh.ask(&plain(THERE, "Nothing")).await),
        "org.freedesktop.DBus.Error.UnknownMethod"
    );
}

#[tokio::test]
async fn signals_come_before_the_answer_that_was_sent_after_them() {
    let (_stage, _service, mut foh) = staged().await;
    foh.listen(THERE).await;
    for _ in 0..20 {
        let burst = call(THERE, "Burst", Endian::Little, &50u32);
        foh.connection.send(&burst).await.unwrap();
        let mut ticks = 0u32;
        loop {
            let next = foh
                .find(|message| {
                    let header = message.header();
                    header.reply_serial() == Some(burst.primary_header().serial_num())
                        || header.member().is_some_and(|name| name == "Tick")
                })
                .await;
            if next.header().member().is_none() {
                break;
            }
            assert_eq!(next.body().deserialize::<u32>().unwrap(), ticks);
            ticks += 1;
        }
        assert_eq!(ticks, 50, "all signals, then the answer");
    }
}

#[tokio::test]
async fn a_directed_signal_reaches_the_one_that_it_is_for() {
    let (stage, _service, mut one) = staged().await;
    let mut other = Client::on(&stage.foh).await;
    other.ask(&plain(THERE, "Echo")).await;
    one.ask(&plain(THERE, "Whisper")).await;
    let psst = one.signal("Psst").await;
    assert_eq!(psst.body().deserialize::<&str>().unwrap(), "for you");
    // It would have come before what the service says later.
    let heard = other.heard_before(&plain(THERE, "Echo")).await;
    assert!(
        heard
            .iter()
            .all(|message| message.header().member().is_none_or(|name| name != "Psst"))
    );
}

#[tokio::test]
async fn every_remote_caller_is_a_connection_of_its_own_and_gone_with_it() {
    let (stage, _service, mut one) = staged().await;
    let mut two = Client::on(&stage.foh).await;
    let sender = |answer: Message| answer.body().deserialize::<String>().unwrap();
    let first = sender(one.ask(&plain(THERE, "Sender")).await);
    assert_eq!(sender(one.ask(&plain(THERE, "Sender")).await), first);
    let second = sender(two.ask(&plain(THERE, "Sender")).await);
    assert_ne!(first, second);
    let mut watcher = Client::on(&stage.stage).await;
    watcher.wait_until_owned(&first).await;
    one.connection.close().await.unwrap();
    watcher.wait_until_gone(&first).await;
    watcher.wait_until_owned(&second).await;
}

#[tokio::test]
async fn calls_that_are_read_after_their_caller_has_left_leave_nothing_behind() {
    let (stage, _service, mut one) = staged().await;
    let mut watcher = Client::on(&stage.stage).await;
    one.ask(&plain(THERE, "Sender")).await;
    let sender: String = {
        let answer = one.ask(&plain(THERE, "Sender")).await;
        answer.body().deserialize().unwrap()
    };
    watcher.wait_until_owned(&sender).await;
    let before = watcher.names().await.len();
    let calls: Vec<Message> = (0..3000).map(|_| plain(THERE, "Never")).collect();
    one.connection.send_all(&calls).await.unwrap();
    one.connection.close().await.unwrap();
    watcher.wait_until_gone(&sender).await;
    // What was read late has had its connection by now, and it is gone too.
    let mut other = Client::on(&stage.foh).await;
    other.ask(&plain(THERE, "Echo")).await;
    soon(async { while watcher.names().await.len() > before {} }).await;
}

#[tokio::test]
async fn five_hundred_calls_at_once_are_answered_once_each() {
    let (_stage, _service, mut foh) = staged().await;
    let lengths = [0usize, 10, 1000, 70_000, 300_000];
    let calls: Vec<Message> = (0..500)
        .map(|at| {
            call(
                THERE,
                "Echo",
                Endian::Little,
                &vec![at as u8; lengths[at % 5]],
            )
        })
        .collect();
    foh.connection.send_all(&calls).await.unwrap();
    for call in &calls {
        let answer = foh.answer(call).await;
        assert_eq!(answer.body().data().bytes(), call.body().data().bytes());
    }
    let more = foh.heard_before(&plain(THERE, "Echo")).await;
    assert!(
        more.iter()
            .all(|message| message.header().reply_serial().is_none())
    );
}

#[tokio::test]
async fn short_calls_go_on_beside_a_long_one() {
    let (stage, _service, mut long) = staged().await;
    let mut short = Client::on(&stage.foh).await;
    short.ask(&plain(THERE, "Echo")).await;
    let octets = vec![7u8; 16 << 20];
    let huge = call(THERE, "Echo", Endian::Little, &octets);
    long.connection.send(&huge).await.unwrap();
    let small = async {
        let mut count = 0;
        while count < 10 {
            short.ask(&plain(THERE, "Echo")).await;
            count += 1;
        }
    };
    soon(small).await;
    let answer = long.answer(&huge).await;
    assert_eq!(answer.body().len(), huge.body().len());
}

#[tokio::test]
async fn a_call_that_wants_no_answer_gets_none() {
    let (_stage, _service, mut foh) = staged().await;
    for member in ["Echo", "Fail"] {
        let quiet = Message::method_call("/one", member)
            .destination(THERE)
            .interface(INTERFACE)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&())
            .unwrap();
        foh.connection.send(&quiet).await.unwrap();
    }
    let heard = foh.heard_before(&plain(THERE, "Echo")).await;
    assert!(
        heard
            .iter()
            .all(|message| message.header().reply_serial().is_none())
    );
}

#[tokio::test]
async fn what_no_rule_allows_is_denied_by_the_exporter() {
    let rules = "[[export]]\nservice = 'org.example.Every'\ncall = ['org.example.Every1.Echo@/one']\n\
                 [[export]]\nservice = 'org.example.Marker'\ntalk = true";
    let stage = Stage::start(rules, "").await;
    let service = Service::start(&stage.stage, NAME).await;
    let _hidden = Service::start(&stage.stage, "org.example.Hidden").await;
    let _marker = Service::start(&stage.stage, "org.example.Marker").await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    foh.listen(THERE).await;
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
    let denied = error_name(&foh.ask(&plain(THERE, "Burst")).await);
    assert_eq!(denied, "org.freedesktop.DBus.Error.AccessDenied");
    let (hidden, marker) = ("org.example.Hidden.stage", "org.example.Marker.stage");
    foh.assert_never(hidden, marker).await;
    let tick = Message::signal("/one", INTERFACE, "Tick")
        .build(&1u32)
        .unwrap();
    service.connection.send(&tick).await.unwrap();
    // A signal comes before the answer that the service gave after it.
    let heard = foh.heard_before(&plain(THERE, "Echo")).await;
    assert!(
        heard
            .iter()
            .all(|message| message.header().member().is_none_or(|name| name != "Tick"))
    );
}

#[tokio::test]
async fn the_importer_enforces_its_rules_too() {
    let rules = "[[import]]\nservice = 'org.example.*'\nname = 'org.example.There'\n\
                 call = ['org.example.Every1.Echo']";
    let stage = Stage::start(TALK, rules).await;
    let _service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned("org.example.There").await;
    assert_eq!(
        error_name(&foh.ask(&plain("org.example.There", "Echo")).await),
        ""
    );
    let denied = error_name(&foh.ask(&plain("org.example.There", "Sender")).await);
    assert_eq!(denied, "org.freedesktop.DBus.Error.AccessDenied");
}

#[tokio::test]
async fn descriptors_are_refused_with_their_own_error() {
    let (_stage, _service, mut foh) = staged().await;
    let file = std::fs::File::open("/dev/null").unwrap();
    let with_file = Message::method_call("/one", "Echo")
        .destination(THERE)
        .interface(INTERFACE)
        .build(&zbus::Fd::from(std::os::fd::OwnedFd::from(file)))
        .unwrap();
    let answer = foh.ask(&with_file).await;
    assert_eq!(error_name(&answer), "org.z25.Zocp1.Error.NoFileDescriptors");
}

/// A message that buses pass on: they take the index of a descriptor for a number.
fn without_its_descriptor(message: zbus::message::Builder<'_>) -> Message {
    // SAFETY: malformed for its reader alone.
    #[expect(unsafe_code, reason = "a safe builder refuses it")]
    unsafe { message.build_raw_body(&[0; 4], "h", Vec::new()) }.unwrap()
}

#[tokio::test]
async fn who_calls_with_a_descriptor_that_is_not_there_is_refused() {
    let (_stage, _service, mut foh) = staged().await;
    let call = Message::method_call("/one", "Echo");
    let call = without_its_descriptor(call.destination(THERE).interface(INTERFACE));
    let answer = foh.ask(&call).await;
    assert_eq!(
        error_name(&answer),
        "org.freedesktop.DBus.Error.InvalidArgs"
    );
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
}

#[tokio::test]
async fn an_answer_with_a_descriptor_that_is_not_there_is_an_error_for_its_caller() {
    let stage = Stage::start(TALK, "").await;
    let mut service = Client::on(&stage.stage).await;
    service
        .ask(&super::stage::bus_call_with("RequestName", &(NAME, 4u32)))
        .await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    let call = plain(THERE, "Give");
    foh.connection.send(&call).await.unwrap();
    let asked = service
        .find(|it| it.header().member().is_some_and(|it| it == "Give"))
        .await;
    let answer = without_its_descriptor(Message::method_return(&asked.header()));
    service.connection.send(&answer).await.unwrap();
    let answer = foh.answer(&call).await;
    assert_eq!(error_name(&answer), "org.freedesktop.DBus.Error.Failed");
}

#[tokio::test]
async fn what_is_longer_than_a_packet_is_refused() {
    let (_stage, _service, mut foh) = staged().await;
    let huge = call(THERE, "Echo", Endian::Little, &vec![0u8; 50 << 20]);
    let answer = foh.ask(&huge).await;
    assert_eq!(
        error_name(&answer),
        "org.freedesktop.DBus.Error.LimitsExceeded"
    );
    assert_eq!(error_name(&foh.ask(&plain(THERE, "Echo")).await), "");
}

/// A call that does not say of which interface it is.
fn bare(service: &str, member: &str) -> Message {
    Message::method_call("/one", member)
        .destination(service.to_owned())
        .build(&())
        .unwrap()
}

#[tokio::test]
async fn a_call_without_interface_is_one_of_the_interface_that_the_rules_allow() {
    let denied = "org.freedesktop.DBus.Error.AccessDenied";
    let imports = "[[import]]\nservice = '*'\ncall = ['org.example.Every1.*@/one']";
    for (exports, imports) in [
        ("call = ['org.example.Every1.*']", ""),
        (
            "call = ['org.example.Every1.*', 'org.freedesktop.DBus.Properties.*']",
            "",
        ),
        ("talk = true", imports),
    ] {
        let exports = format!("[[export]]\nservice = 'org.example.*'\n{exports}");
        let stage = Stage::start(&exports, imports).await;
        let _service = Service::start(&stage.stage, NAME).await;
        let mut foh = Client::on(&stage.foh).await;
        foh.wait_until_owned(THERE).await;
        // What the service is called with names the interface.
        let interface = foh.ask(&bare(THERE, "Interface")).await;
        assert_eq!(interface.body().deserialize::<&str>().unwrap(), INTERFACE);
        assert_eq!(error_name(&foh.ask(&bare(THERE, "Introspect")).await), "");
        assert_eq!(
            error_name(&foh.ask(&bare(THERE, "GetManagedObjects")).await),
            "org.freedesktop.DBus.Error.UnknownMethod"
        );
    }
    let exports = "[[export]]\nservice = 'org.example.*'\ncall = ['org.example.Every1.Echo']";
    let stage = Stage::start(exports, "").await;
    let _service = Service::start(&stage.stage, NAME).await;
    let mut foh = Client::on(&stage.foh).await;
    foh.wait_until_owned(THERE).await;
    assert_eq!(error_name(&foh.ask(&bare(THERE, "Echo")).await), "");
    assert_eq!(error_name(&foh.ask(&bare(THERE, "Sender")).await), denied);
}

#[tokio::test]
async fn a_service_may_ask_who_calls_it() {
    let (stage, _service, mut foh) = staged().await;
    let sender = foh.ask(&plain(THERE, "Sender")).await;
    let sender: String = sender.body().deserialize().unwrap();
    let all = Message::method_call("/org/z25/Zocp1/Caller", "GetAll")
        .destination(sender)
        .interface("org.freedesktop.DBus.Properties")
        .build(&"org.z25.Zocp1.Caller")
        .unwrap();
    let all = Client::on(&stage.stage).await.ask(&all).await;
    let body = all.body();
    let told: HashMap<String, Variant<'_>> = body.deserialize().unwrap();
    let program = foh.connection.unique_name().unwrap().to_string();
    assert_eq!(told["Peer"], Variant::from("foh"));
    assert_eq!(told["Program"], Variant::from(program));
    assert!(matches!(&told["Uuid"], Variant::Str(uuid) if uuid.len() == 32));
    assert_eq!(told["Key"], Variant::from(""), "the mesh is not secure");
}
