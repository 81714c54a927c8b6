//! The same scenario on `dbus-daemon` and on this bus, and the two transcripts.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use zocp_bus::{Limits, Server, ServerConfig};

pub use super::client::Client;
use super::message::{Draft, Read};

/// Small limits, so that tests reach them; the same for both.
pub fn limits() -> Limits {
    Limits {
        names_max: 5,
        rules_max: 6,
        pending_calls_max: 4,
        message_len_max: 1 << 20,
        ..Limits::default()
    }
}

const DBUS_DAEMON: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=PATH</listen>
  <servicedir>SERVICES</servicedir>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
  <limit name="max_names_per_connection">5</limit>
  <limit name="max_match_rules_per_connection">6</limit>
  <limit name="max_replies_per_connection">4</limit>
  <limit name="max_message_size">1048576</limit>
</busconfig>
"#;

/// A bus that runs.
pub struct Bus {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
    _runs: Runs,
}

enum Runs {
    Reference(Child),
    Ours {
        stop: Option<tokio::sync::oneshot::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
    },
}

impl Drop for Runs {
    fn drop(&mut self) {
        match self {
            Self::Reference(child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Self::Ours { stop, thread } => {
                stop.take().unwrap().send(()).unwrap();
                thread.take().unwrap().join().unwrap();
            }
        }
    }
}

impl Bus {
    /// A bus that can start services of these names: programs that do not take them. Clients do.
    pub fn reference(offered: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let config = directory.path().join("bus.conf");
        let services = directory.path().join("services");
        std::fs::create_dir(&services).unwrap();
        for name in offered {
            let text = format!("[D-BUS Service]\nName={name}\nExec=/bin/sleep 10\n");
            std::fs::write(services.join(format!("{name}.service")), text).unwrap();
        }
        let text = DBUS_DAEMON.replace("PATH", path.to_str().unwrap());
        std::fs::write(
            &config,
            text.replace("SERVICES", services.to_str().unwrap()),
        )
        .unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed (Debian: dbus)");
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        assert!(BufReader::new(stdout).read_line(&mut line).unwrap() > 0);
        Self {
            path,
            _directory: directory,
            _runs: Runs::Reference(child),
        }
    }

    pub fn ours(limits: Limits, offered: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, listening) = std::sync::mpsc::channel();
        let at = path.clone();
        let offered: Vec<String> = offered.iter().map(ToString::to_string).collect();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let config = ServerConfig {
                    limits,
                    ..ServerConfig::for_user()
                };
                let server = Server::bind(&at, config).unwrap();
                offered.iter().for_each(|name| server.handle().offer(name));
                ready.send(()).unwrap();
                stopped.await.unwrap();
            });
        });
        listening.recv().unwrap();
        Self {
            path,
            _directory: directory,
            _runs: Runs::Ours {
                stop: Some(stop),
                thread: Some(thread),
            },
        }
    }
}

/// A scenario on one bus, and what was seen.
pub struct Stage {
    pub bus: Bus,
    /// The unique names, and what they are called in the transcript.
    names: Vec<(String, String)>,
    pub transcript: Vec<String>,
}

/// Runs a scenario on both buses: what is seen is the same.
pub fn same(scenario: impl Fn(&mut Stage)) {
    same_with(&[], scenario);
}

/// The same, on buses that can start services of these names.
pub fn same_with(offered: &[&str], scenario: impl Fn(&mut Stage)) {
    let buses = [Bus::reference(offered), Bus::ours(limits(), offered)];
    let [reference, ours] = buses.map(|bus| {
        let mut stage = Stage::on(bus);
        scenario(&mut stage);
        stage.transcript
    });
    let differ: Vec<String> = reference
        .iter()
        .zip(&ours)
        .filter(|(reference, ours)| reference != ours)
        .map(|(reference, ours)| format!("dbus-daemon: {reference}\n       ours: {ours}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!(ours, reference);
    assert!(!reference.is_empty(), "the scenario has seen something");
}

impl Stage {
    pub fn on(bus: Bus) -> Self {
        Self {
            bus,
            names: Vec::new(),
            transcript: Vec::new(),
        }
    }

    /// A connection that has said Hello.
    pub fn client(&mut self, name: &str) -> Client {
        let mut client = self.connect(name, true);
        let answer = client.ask(Draft::bus("Hello"));
        self.names.push((
            answer.body.trim_matches('"').to_owned(),
            format!("{{{name}}}"),
        ));
        client.unique = answer.body.trim_matches('"').to_owned();
        client.drain();
        client
    }

    /// A connection that has a name already and wants no rules.
    pub fn connect(&self, name: &str, with_descriptors: bool) -> Client {
        let mut client = Client::open(&self.bus, name);
        client.authenticate(with_descriptors);
        client
    }

    pub fn say(&mut self, line: impl Into<String>) {
        let line = self.names.iter().fold(line.into(), |line, (unique, name)| {
            let quoted = line.replace(&format!("\"{unique}\""), &format!("\"{name}\""));
            quoted.replace(&format!(" {unique} "), &format!(" {name} "))
        });
        self.transcript.push(line);
    }

    /// Calls, and says the answer.
    pub fn ask(&mut self, client: &mut Client, what: &str, draft: Draft) -> Read {
        let answer = client.ask(draft);
        self.say(format!("{}: {what} -> {}", client.name, show(&answer)));
        answer
    }

    /// Says what else came to a client until now.
    pub fn drain(&mut self, client: &mut Client) -> Vec<Read> {
        let came = client.drain();
        for message in &came {
            self.say(format!("{} < {}", client.name, show(message)));
        }
        if client.is_closed {
            self.say(format!("{} is closed", client.name));
        }
        came
    }
}

/// A message as a line. The texts of errors and serials of the bus are its own affair.
fn show(message: &Read) -> String {
    let [path, interface, member, error, destination, sender] =
        [1, 2, 3, 4, 6, 7].map(|code| message.field(code));
    let unknown: Vec<u8> = message
        .fields
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| *code > 9)
        .collect();
    let unknown = if unknown.is_empty() {
        String::new()
    } else {
        format!(" unknown {unknown:?}")
    };
    let head = format!("from {sender} to {destination} {path} {interface} {member}{unknown}");
    match message.kind {
        3 if error.starts_with("org.freedesktop.DBus.Error.") => format!("error {error} {head}"),
        kind => format!(
            "{kind} {error} flags {} {head} ({})",
            message.flags, message.body
        ),
    }
}
