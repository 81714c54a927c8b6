//! A message bus of the test's own.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use futures_util::StreamExt;
use rustix::process::Signal;
use zbus::{Connection, fdo::DBusProxy, names::BusName};

use crate::{Cmd, Program, in_time, lab::HOME, tools};

/// A `dbus-daemon` with the configuration of a session bus and nothing to activate from the user's home.
pub struct Bus {
    name: String,
    address: String,
    connection: Connection,
    daemon: Program,
    /// The names that the test has found owned.
    seen: Mutex<BTreeSet<String>>,
}

impl Bus {
    /// Starts a bus; `name` tells it from others of the test.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(name: &str) -> Self {
        let address = format!("unix:path={HOME}/bus-{name}");
        let daemon = launch(name, &address).await;
        Self {
            connection: connect(&address).await,
            name: name.to_owned(),
            address,
            daemon,
            seen: Mutex::default(),
        }
    }

    /// Its address, for `DBUS_SESSION_BUS_ADDRESS`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The test's own connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One more connection, with a unique name of its own.
    ///
    /// # Panics
    /// When the bus refuses.
    pub async fn connect(&self) -> Connection {
        connect(&self.address).await
    }

    /// Waits until somebody owns `name`.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn appears(&self, name: &str) {
        self.owner_becomes(name, Owner::Somebody).await;
    }

    /// Waits until nobody owns `name` any more. The test must have found it owned before: of a name that is yet
    /// to come, nothing would be waited for.
    ///
    /// # Panics
    /// At the deadline, and when the name was neither awaited nor there when the test looked.
    pub async fn vanishes(&self, name: &str) {
        let was_seen = self.seen().remove(name);
        assert!(
            was_seen,
            "{name} was not found owned: it may be yet to come"
        );
        self.owner_becomes(name, Owner::Nobody).await;
    }

    /// Whether somebody owns `name` now. That nobody does proves something only behind an event that follows
    /// the one that would have brought the name.
    ///
    /// # Panics
    /// When the bus is gone.
    pub async fn has(&self, name: &str) -> bool {
        let is_owned = owned(&self.proxy().await, name).await;
        if is_owned {
            self.seen().insert(name.to_owned());
        }
        is_owned
    }

    /// A command of this bus's session, outside all hosts.
    #[must_use]
    pub fn command(&self, program: &str) -> Cmd {
        Cmd::new(program).on(self)
    }

    /// Runs `busctl --user` with the arguments and gives back what it says.
    ///
    /// # Panics
    /// When it fails.
    pub async fn busctl(&self, args: &[&str]) -> String {
        self.command("busctl")
            .args(["--user", "--no-pager"])
            .args(args)
            .run()
            .await
    }

    /// Has the bus start a service in Python, a script of `tests/peers`, when `name` is called. dbus-broker cannot, since
    /// it has systemd do that.
    ///
    /// # Panics
    /// When it does not take the service file.
    pub async fn can_start(&self, script: &str, name: &str) {
        let script = tools::peers().join(script);
        let command = format!("{} {} {name}", tools::SYSTEM_PYTHON, script.display());
        self.can_run(&command, name).await;
    }

    /// The same, with a command.
    ///
    /// # Panics
    /// When it does not take the service file.
    pub async fn can_run(&self, command: &str, name: &str) {
        let text = format!("[D-BUS Service]\nName={name}\nExec={command}\n");
        let file = self.service_file(name);
        let written = file
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&file, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.reload().await;
    }

    /// Has the bus start it no more.
    ///
    /// # Panics
    /// When it could not before.
    pub async fn cannot_start(&self, name: &str) {
        let file = self.service_file(name);
        let removed = std::fs::remove_file(&file);
        removed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.reload().await;
    }

    fn service_file(&self, name: &str) -> PathBuf {
        let directory = PathBuf::from(data_of(&self.name)).join("dbus-1/services");
        directory.join(format!("{name}.service"))
    }

    async fn reload(&self) {
        let done = self.proxy().await.reload_config().await;
        done.unwrap_or_else(|error| panic!("the bus does not read its files: {error}"));
    }

    /// Kills the bus.
    pub async fn kill(&mut self) {
        self.daemon.kill().await;
    }

    /// Starts it at its address once more, after its end. It is another bus, which knows nobody.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_again(&mut self) {
        self.daemon = launch(&self.name, &self.address).await;
        self.connection = connect(&self.address).await;
    }

    /// Stops it as it is: it has all its connections, and takes and gives nothing.
    pub fn freeze(&self) {
        self.daemon.signal_all(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.daemon.signal_all(Signal::CONT);
    }

    async fn owner_becomes(&self, name: &str, wanted: Owner) {
        let what = format!("{wanted:?} to own {name}");
        let proxy = self.proxy().await;
        let changes = proxy
            .receive_name_owner_changed_with_args(&[(0, name)])
            .await;
        let mut changes = changes.unwrap_or_else(|error| panic!("{what}: {error}"));
        in_time(&what, async {
            while owned(&proxy, name).await != (wanted == Owner::Somebody) {
                changes.next().await;
            }
        })
        .await;
        if wanted == Owner::Somebody {
            self.seen().insert(name.to_owned());
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn proxy(&self) -> DBusProxy<'_> {
        let proxy = DBusProxy::new(&self.connection).await;
        proxy.unwrap_or_else(|error| panic!("the bus does not answer: {error}"))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Somebody,
    Nobody,
}

async fn owned(proxy: &DBusProxy<'_>, name: &str) -> bool {
    let name = BusName::try_from(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    proxy
        .name_has_owner(name)
        .await
        .unwrap_or_else(|error| panic!("the bus does not answer: {error}"))
}

/// Starts the program at an address that, like the one of a session under systemd, is also that of the next
/// bus there.
async fn launch(name: &str, address: &str) -> Program {
    let program = std::env::var(PROGRAM);
    let daemon = Cmd::new(program.as_deref().unwrap_or("dbus-daemon"))
        .args(["--session", "--nofork", "--print-address"])
        .arg(format!("--address={address}"))
        .env("XDG_DATA_HOME", data_of(name))
        .label(&format!("bus {name}"))
        .start();
    daemon.says("unix:path=").await;
    daemon
}

/// The directory for what this bus alone can start.
fn data_of(bus: &str) -> String {
    format!("{HOME}/data-{bus}")
}

async fn connect(address: &str) -> Connection {
    let connection = zbus::connection::Builder::address(address).build();
    let connection = in_time("a bus connection", connection).await;
    connection.unwrap_or_else(|error| panic!("no connection to {address}: {error}"))
}

/// Names another program than `dbus-daemon`, with the options that [`Bus::start`] gives it.
const PROGRAM: &str = "ZOCP_TEST_BUS";
