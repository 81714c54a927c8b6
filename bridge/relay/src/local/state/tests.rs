//! What is let in, offered, called and refused.

use super::*;
use crate::local::LOCAL_CALLERS_MAX;

fn call(sender: &str) -> Message {
    let call = Message::method_call("/a", "Do").sender(sender.to_owned());
    call.build(&()).expect("a call")
}

fn state(pattern: ServicePattern) -> State {
    State::new(vec![pattern], OwnNames::default(), Connection::default(), 2)
}

#[test]
fn what_is_ours_on_the_own_bus_is_not_let_in() {
    let mut state = state(ServicePattern::parse("org.*").expect("a pattern"));
    state.own_names.add(":1.8".into());
    state.handle_owner("org.example.Imported", Some(":1.8"));
    state.handle_owner("org.z25.Zocp1.Node.lamp", Some(":1.9"));
    state.handle_owner("org.example.Local", Some(":1.7"));
    let names: Vec<&str> = state.services.keys().map(|name| &**name).collect();
    assert_eq!(names, ["org.example.Local"]);
}

#[test]
fn there_are_no_more_services_and_callers_than_a_view_may_have() {
    let pattern = ServicePattern::parse("org.example.*").expect("a pattern");
    let mut state = state(pattern);
    for number in 0..=LOCAL_SERVICES_MAX {
        let name = format!("org.example.N{number}");
        state.handle_owner(&name, Some(":1.7"));
    }
    assert_eq!(state.services.len(), LOCAL_SERVICES_MAX);
    state.handle_owner("org.other.Name", Some(":1.7"));
    state.handle_owner(":1.7", Some(":1.7"));
    assert_eq!(state.services.len(), LOCAL_SERVICES_MAX);
    let name: Arc<str> = "org.example.N0".into();
    for number in 0..LOCAL_CALLERS_MAX {
        assert_eq!(state.pass_on(&name, &call(&format!(":2.{number}"))), Ok(()));
    }
    let refused = state.pass_on(&name, &call(":2.4711"));
    assert!(
        matches!(refused, Err(Refusal::LimitsExceeded(_))),
        "{refused:?}"
    );
    assert_eq!(state.pass_on(&name, &call(":2.0")), Ok(()));
    let refused = state.pass_on(&name, &call(":2.0"));
    assert!(matches!(refused, Err(Refusal::Busy(_))), "{refused:?}");
    state.handle_program_gone(":2.1");
    assert_eq!(state.pass_on(&name, &call(":2.4711")), Ok(()));
}

#[test]
fn a_call_ends_with_its_service() {
    let pattern = ServicePattern::parse("org.example.*").expect("a pattern");
    let mut state = state(pattern);
    for name in ["org.example.Stays", "org.example.Goes"] {
        state.handle_owner(name, Some(":1.7"));
        state.pass_on(&name.into(), &call(":2.1")).expect("room");
    }
    state.handle_owner("org.example.Goes", None);
    let names: Vec<&str> = state.services.keys().map(|name| &**name).collect();
    assert_eq!(names, ["org.example.Stays"]);
    let caller = &state.callers[":2.1"];
    assert_eq!(caller.pending.len(), 1, "that of the service that stays");
}

/// What is done about names that can be started.
fn done(state: &mut State) -> Vec<String> {
    let actions = state.take_actions().into_iter();
    let done = actions.filter_map(|action| match action {
        Action::Offer(name) => Some(format!("offer {name}")),
        Action::Withdraw(name) => Some(format!("withdraw {name}")),
        Action::Start(name) => Some(format!("start {name}")),
        Action::FailStart(name, error, _) => Some(format!("fail {name} {error}")),
        _ => None,
    });
    done.collect()
}

#[test]
fn what_can_be_started_is_offered_and_started_when_it_is_called() {
    let pattern = ServicePattern::parse("org.example.*").expect("a pattern");
    let mut state = state(pattern);
    let names = ["org.example.A", "org.example.B", "org.other.C"].map(str::to_owned);
    state.handle_names(&names, true);
    assert!(
        state.services.is_empty(),
        "nothing is shown that does not run"
    );
    assert_eq!(
        done(&mut state),
        ["offer org.example.A", "offer org.example.B"]
    );
    state.handle_start("org.example.A");
    state.handle_start("org.other.C");
    assert_eq!(done(&mut state), ["start org.example.A"]);
    state.handle_owner("org.example.A", Some(":1.7"));
    state.handle_started(&"org.example.A".into(), None);
    assert_eq!(
        done(&mut state),
        [""; 0],
        "its name is asked for in the view"
    );
    state.handle_start("org.example.A");
    assert_eq!(done(&mut state), [""; 0]);
    // It leaves before it has its name in the view.
    state.handle_owner("org.example.A", None);
    assert_eq!(
        done(&mut state),
        ["fail org.example.A org.freedesktop.DBus.Error.Failed"]
    );
    let error = ("org.example.Broken".to_owned(), "broken".to_owned());
    state.handle_started(&"org.example.B".into(), Some(error));
    assert_eq!(done(&mut state), ["fail org.example.B org.example.Broken"]);
    state.handle_names(&names[1..], true);
    assert_eq!(done(&mut state), ["withdraw org.example.A"]);
    state.handle_own_bus_lost();
    assert_eq!(done(&mut state), ["withdraw org.example.B"]);
}
