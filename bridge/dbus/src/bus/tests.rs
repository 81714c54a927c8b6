//! Real buses: the embedded ones, and what cannot be reached.

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn the_words_for_a_bus_are_understood() {
    assert_eq!("session".parse(), Ok(BusChoice::Session));
    assert_eq!("system".parse(), Ok(BusChoice::System));
    assert_eq!("embedded".parse(), Ok(BusChoice::Embedded));
    assert_eq!("auto".parse(), Ok(BusChoice::Auto));
    let address = "unix:path=/run/user/1000/bus";
    assert_eq!(address.parse(), Ok(BusChoice::Address(address.to_owned())));
}

#[test]
fn a_word_that_is_no_bus_is_refused_with_those_that_are() {
    let error = "sesion".parse::<BusChoice>().unwrap_err().to_string();
    assert!(
        error.contains("\"sesion\"") && error.contains("embedded"),
        "{error}"
    );
}

#[test]
fn a_bus_that_is_not_there_is_named_once_in_the_error() {
    runtime().block_on(async {
        let choice = BusChoice::Address(String::from("unix:path=/nonexistent/bus"));
        let error = Bus::open(&choice).await.unwrap_err().to_string();
        assert_eq!(error.matches("/nonexistent/bus").count(), 1, "{error}");
    });
}

#[test]
fn an_embedded_bus_answers_and_leaves_nothing_behind() {
    runtime().block_on(async {
        let embedded = Embedded::start().unwrap();
        let socket = socket_of(&embedded);
        say_hello(embedded.address()).await.unwrap();
        drop(embedded);
        assert!(!socket.parent().unwrap().exists());
    });
}

#[test]
fn a_call_to_a_name_that_nobody_has_on_an_embedded_bus_is_answered() {
    runtime().block_on(async {
        let embedded = Embedded::start().unwrap();
        let address = embedded.address();
        let connection = zbus::connection::Builder::address(address);
        let connection = connection.build().await.unwrap();
        let call = connection.call_method(Some("org.example.Nobody"), "/", None::<&str>, "Do", &());
        let error = call.await.unwrap_err();
        assert!(error.to_string().contains("ServiceUnknown"), "{error}");
        connection.close().await.unwrap();
    });
}

#[test]
fn what_a_killed_bridge_has_left_is_removed_and_what_runs_is_not() {
    runtime().block_on(async {
        let running = Embedded::start().unwrap();
        let place = socket_of(&running)
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .to_owned();
        let left = tempfile::Builder::new()
            .prefix("zocp-")
            .tempdir_in(&place)
            .unwrap()
            .keep();
        let starting = tempfile::Builder::new()
            .prefix("zocp-")
            .tempdir_in(&place)
            .unwrap();
        std::os::unix::net::UnixListener::bind(left.join("bus")).unwrap();
        let next = Embedded::start().unwrap();
        assert!(!left.exists());
        assert!(socket_of(&running).exists() && socket_of(&next).exists());
        assert!(starting.path().exists(), "it has no socket yet");
    });
}

fn socket_of(embedded: &Embedded) -> std::path::PathBuf {
    embedded
        .address()
        .strip_prefix("unix:path=")
        .unwrap()
        .into()
}

#[test]
fn the_soft_limit_of_open_files_becomes_the_hard_one() {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    assert_eq!(raise_descriptor_limit(), hard);
}
