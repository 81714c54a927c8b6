//! What is bridged is what is direct, octet by octet: answers, errors and signals of every type, in either
//! byte order.

use zbus::{Message, Structure, wire::Endian};
use zocp_testkit::{Client, Lab, Program, Venue, error_name, isolated, message};

use super::{EXAMPLES, ZOCP};

const HERE: &str = "org.example.Every";
const THERE: &str = "org.example.Every.stage";
const INTERFACE: &str = "org.example.Every1";
const PATH: &str = "/a/path";
const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];
/// zbus, with which the test sends, cannot write these.
const NOT_OURS_TO_SEND: &str = "signatures of several types";
/// Fewer than the service has, more than it would have by mistake.
const CASES_MIN: usize = 25;

/// The service on stage, a client beside it, a client at front of house.
struct Two {
    cases: Vec<String>,
    direct: Client,
    bridged: Client,
    venue: Venue,
    _service: Program,
}

impl Two {
    async fn start(lab: &Lab) -> Self {
        let venue = Venue::open(lab, ZOCP, EXAMPLES, "").await;
        let service = venue.stage.bus.serve("every_service.py", HERE).await;
        venue.foh.bus.appears(THERE).await;
        let mut direct = Client::on(&venue.stage.bus).await;
        let cases = direct.call((HERE, PATH, INTERFACE), "Cases", &()).await;
        let cases: Vec<String> = cases.body().deserialize().expect("names");
        assert!(cases.len() >= CASES_MIN, "{cases:?}");
        Self {
            cases,
            direct,
            bridged: Client::on(&venue.foh.bus).await,
            venue,
            _service: service,
        }
    }

    /// The answers to one call, made directly and through the bridges.
    async fn answers<B>(&mut self, method: &str, endian: Endian, body: &B) -> (Message, Message)
    where
        B: zbus::export::serde::Serialize + zbus::DynamicType,
    {
        let direct = self.direct.ask(&call(HERE, method, endian, body)).await;
        let bridged = self.bridged.ask(&call(THERE, method, endian, body)).await;
        (direct, bridged)
    }
}

fn call<B>(service: &str, method: &str, endian: Endian, body: &B) -> Message
where
    B: zbus::export::serde::Serialize + zbus::DynamicType,
{
    let call = message(service, PATH, INTERFACE, method).endian(endian);
    call.build(body).expect("a call")
}

/// That two messages say the same in the same octets.
fn assert_same(what: &str, (direct, bridged): (&Message, &Message)) {
    assert_eq!(direct.message_type(), bridged.message_type(), "{what}");
    assert_eq!(error_name(direct), error_name(bridged), "{what}");
    assert_eq!(direct.header().member(), bridged.header().member());
    assert_eq!(direct.header().path(), bridged.header().path());
    assert_eq!(direct.header().interface(), bridged.header().interface());
    assert_same_body(what, (direct, bridged));
}

fn assert_same_body(what: &str, (direct, bridged): (&Message, &Message)) {
    let (one, other) = (direct.body(), bridged.body());
    let signature = |message: &Message| message.header().signature().to_string();
    assert_eq!(signature(direct), signature(bridged), "{what}");
    let order = |message: &Message| message.primary_header().endian_sig();
    assert_eq!(order(direct), order(bridged), "{what}");
    assert!(
        one.data().bytes() == other.data().bytes(),
        "{what}: other octets"
    );
}

#[test]
fn every_answer_is_the_service_s_octet_by_octet() {
    isolated(async |lab: Lab| {
        let mut two = Two::start(&lab).await;
        for case in two.cases.clone() {
            for endian in ORDERS {
                let (direct, bridged) = two.answers("Give", endian, &case).await;
                assert_eq!(error_name(&direct), None, "{case}");
                assert_same(&case, (&direct, &bridged));
            }
        }
    });
}

#[test]
fn every_argument_is_the_caller_s_octet_by_octet() {
    isolated(async |lab: Lab| {
        let mut two = Two::start(&lab).await;
        let stage = &two.venue.stage.bus;
        let calls = "type='method_call',member='Echo'";
        let mut monitor = Client::watching(stage, calls).await;
        let cases = two.cases.clone().into_iter();
        for case in cases.filter(|case| case != NOT_OURS_TO_SEND) {
            let given = two.direct.call((HERE, PATH, INTERFACE), "Give", &case);
            let given = given.await;
            for endian in ORDERS {
                let call = echo(&given, endian);
                let answer = two.bridged.ask(&call).await;
                assert_eq!(error_name(&answer), None, "{case}: {answer:?}");
                assert_same_body(&case, (&call, &answer));
                let heard = monitor.find("the call", is_echo).await;
                assert_same_body(&case, (&call, &heard));
                assert_eq!(heard.header().path(), call.header().path());
                assert_eq!(heard.header().interface(), call.header().interface());
            }
        }
    });
}

fn is_echo(message: &Message) -> bool {
    message.header().member().is_some_and(|name| name == "Echo")
}

/// A call of `Echo` with what was given.
fn echo(given: &Message, endian: Endian) -> Message {
    if given.body().is_empty() {
        return call(THERE, "Echo", endian, &());
    }
    let body = given.body();
    let body: Structure<'_> = body.deserialize().expect("arguments");
    call(THERE, "Echo", endian, &body)
}

#[test]
fn every_error_is_the_service_s_with_its_name_and_its_body() {
    isolated(async |lab: Lab| {
        let mut two = Two::start(&lab).await;
        let longest = format!("org.example.{}", "E".repeat(255 - 12));
        let names = [
            "org.example.Error.Broken",
            "org.freedesktop.DBus.Error.Failed",
            "org.freedesktop.DBus.Error.UnknownMethod",
            &longest,
        ];
        for (at, case) in two.cases.clone().into_iter().enumerate() {
            for endian in ORDERS {
                let name = names[at % names.len()];
                let (direct, bridged) = two.answers("Fail", endian, &(name, &case)).await;
                assert_eq!(error_name(&direct).as_deref(), Some(name), "{case}");
                assert_same(&case, (&direct, &bridged));
            }
        }
        let (direct, bridged) = two.answers("Nothing", Endian::Little, &()).await;
        assert_same("a method that is none", (&direct, &bridged));
    });
}

#[test]
fn every_signal_is_the_service_s_and_before_the_answer() {
    isolated(async |lab: Lab| {
        let mut two = Two::start(&lab).await;
        two.direct.hear(HERE).await;
        two.bridged.hear(THERE).await;
        for case in two.cases.clone() {
            for endian in ORDERS {
                let tell = call(THERE, "Tell", endian, &case);
                two.bridged.send(&tell).await;
                let next = two.bridged.find("the next", is_ours).await;
                assert_same(&case, (&two.direct.signal("Told").await, &next));
                assert_eq!(error_name(&two.bridged.answer(&tell).await), None);
            }
        }
    });
}

/// Not one of the bus itself.
fn is_ours(message: &Message) -> bool {
    message
        .header()
        .sender()
        .is_some_and(|sender| sender != "org.freedesktop.DBus")
}

#[test]
fn every_directed_signal_reaches_the_one_that_it_is_for_and_nobody_else() {
    isolated(async |lab: Lab| {
        let mut two = Two::start(&lab).await;
        let mut other = Client::on(&two.venue.foh.bus).await;
        other.hear(THERE).await;
        other.call((THERE, PATH, INTERFACE), "Cases", &()).await;
        for case in two.cases.clone() {
            for endian in ORDERS {
                let (_, answer) = two.answers("Whisper", endian, &case).await;
                assert_eq!(error_name(&answer), None);
                let direct = two.direct.signal("Told").await;
                assert_same(&case, (&direct, &two.bridged.signal("Told").await));
            }
        }
        let heard = other.heard_before((THERE, PATH, INTERFACE), "Cases").await;
        assert!(
            heard
                .iter()
                .all(|message| !zocp_testkit::is_signal(message, "Told")),
            "it hears what is for another"
        );
    });
}
