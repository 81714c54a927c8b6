//! Real buses: the embedded ones, and what cannot be reached.

use std::{path::Path, time::Duration};

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
        let embedded = Embedded::start().await.unwrap();
        let socket = embedded
            .address()
            .strip_prefix("unix:path=")
            .unwrap()
            .to_owned();
        say_hello(embedded.address()).await.unwrap();
        embedded.stop().await;
        assert!(!Path::new(&socket).parent().unwrap().exists());
    });
}

#[test]
fn an_embedded_bus_that_is_dropped_ends_too() {
    runtime().block_on(async {
        let embedded = Embedded::start().await.unwrap();
        assert_eq!(embedded.broker(), "dbus-daemon");
        let socket = embedded
            .address()
            .strip_prefix("unix:path=")
            .unwrap()
            .to_owned();
        let directory = Path::new(&socket).parent().unwrap().to_owned();
        drop(embedded);
        await_absence(&directory).await;
    });
}

#[test]
fn an_embedded_bus_that_dies_comes_back_at_its_address() {
    runtime().block_on(async {
        let mut bus = Bus::open(&BusChoice::Embedded).await.unwrap();
        let address = bus.address().to_owned();
        let connection = zbus::connection::Builder::address(address.as_str())
            .build()
            .await
            .unwrap();
        let dbus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let name = zbus::names::BusName::try_from("org.freedesktop.DBus").unwrap();
        let process = dbus.get_connection_unix_process_id(name).await.unwrap();
        let process = rustix::process::Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        let back = async {
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
            connection.closed().await;
            while say_hello(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let outcome = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! { () = bus.keep() => {}, () = back => {} }
        });
        outcome.await.expect("the bus is back");
        bus.close().await;
    });
}

#[test]
fn the_built_in_bus_answers_and_ends() {
    runtime().block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let busd = super::busd::Busd::start(&address).await.unwrap();
        say_hello(&address).await.unwrap();
        busd.stop().await;
        assert!(!socket.exists());
        assert!(say_hello(&address).await.is_err());
    });
}

#[test]
fn the_soft_limit_of_open_files_becomes_the_hard_one() {
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    assert_eq!(raise_descriptor_limit(), hard);
}

async fn await_absence(directory: &Path) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while directory.exists() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{} is still there",
            directory.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
