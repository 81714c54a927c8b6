//! Calls and signals over this bus and others, in batches that alternate; `tests/bench/bus.sh`.
//!
//! Model: two threads with a socket each, which write octets that were made before and read answers: what is measured is
//! the bus. Each round has a batch of each kind on each bus; what is printed are medians of the rounds, and their ratios
//! to `dbus-daemon` of the same round. `bench fair` measures one client beside another (`fair`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark ends at its first error"
)]

mod client;
mod fair;
mod message;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use client::Client;
use message::{find_reply_serial, message};

fn main() {
    let ours = std::env::args().nth(1).expect("the program of this bus");
    if ours == "fair" {
        let targets: Vec<String> = std::env::args().skip(2).collect();
        return fair::main(&targets);
    }
    let rounds: usize = std::env::args()
        .nth(2)
        .map_or(15, |rounds| rounds.parse().expect("rounds"));
    let directory = std::env::temp_dir().join(format!("zocp-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut buses = vec![
        Bus::dbus_daemon(&directory),
        Bus::start("ours", Command::new(ours), &directory),
    ];
    buses.extend(Bus::dbus_broker(&directory));
    let mut rigs: Vec<Rig> = buses.iter().map(Rig::new).collect();
    println!("{:<28}{:>12}{:>28}", "", "dbus-daemon", names(&buses));
    for (what, kind) in KINDS {
        let mut figures: Vec<Vec<f64>> = vec![Vec::new(); rigs.len()];
        for round in 0..=rounds {
            for (rig, figures) in rigs.iter_mut().zip(&mut figures) {
                let figure = rig.measure(kind);
                // The first warms up.
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        let mut line = format!("{what:<28}{:>12.1}", median(figures[0].clone()));
        for other in &figures[1..] {
            let ratios = other
                .iter()
                .zip(&figures[0])
                .map(|(one, reference)| one / reference);
            line += &format!(
                "{:>18.1} ({:.2})",
                median(other.clone()),
                median(ratios.collect())
            );
        }
        println!("{line}");
    }
    drop(buses);
    std::fs::remove_dir_all(directory).unwrap();
}

#[derive(Clone, Copy)]
enum Kind {
    /// Octets of a call, calls under way; microseconds of one.
    Latency(usize),
    /// Octets, calls under way; thousands a second.
    Rate(usize, u32),
    /// Signals to one receiver; thousands a second.
    Signals(usize),
}

const KINDS: [(&str, Kind); 7] = [
    ("call, 16 octets, µs", Kind::Latency(16)),
    ("call, 1 KiB, µs", Kind::Latency(1 << 10)),
    ("call, 64 KiB, µs", Kind::Latency(64 << 10)),
    ("16 at once, 16 octets, k/s", Kind::Rate(16, 16)),
    ("16 at once, 1 KiB, k/s", Kind::Rate(1 << 10, 16)),
    ("16 at once, 64 KiB, k/s", Kind::Rate(64 << 10, 16)),
    ("signals, 16 octets, k/s", Kind::Signals(16)),
];

fn names(buses: &[Bus]) -> String {
    buses[1..]
        .iter()
        .map(|bus| bus.name)
        .collect::<Vec<_>>()
        .join(", ")
        + " (ratio)"
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Bus {
    name: &'static str,
    path: PathBuf,
    child: Child,
}

impl Drop for Bus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bus {
    fn start(name: &'static str, mut command: Command, directory: &Path) -> Self {
        let path = directory.join(name);
        command.arg(format!("--address=unix:path={}", path.display()));
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(name);
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&path).is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { name, path, child }
    }

    fn dbus_daemon(directory: &Path) -> Self {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--nopidfile"]);
        Self::start("dbus-daemon", command, directory)
    }

    /// Through the program of the tests that starts it as `dbus-daemon` is started; `None` where it is not installed.
    fn dbus_broker(directory: &Path) -> Option<Self> {
        let path = directory.join("dbus-broker");
        let starter = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tools/broker.py");
        let mut command = Command::new(starter);
        command.args(["--session", "--nofork", "--print-address"]);
        command.arg(format!("--address=unix:path={}", path.display()));
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let bus = Self {
            name: "dbus-broker",
            path,
            child,
        };
        match bus.answers() {
            true => Some(bus),
            false => {
                eprintln!("dbus-broker does not run here: it is left out");
                None
            }
        }
    }

    /// Whether it takes a client in, within ten seconds.
    fn answers(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let Ok(mut stream) = UnixStream::connect(&self.path) else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let is_sent = stream.write_all(b"\0AUTH EXTERNAL\r\n").is_ok();
            return is_sent && stream.read(&mut [0; 64]).is_ok_and(|len| len > 0);
        }
        false
    }
}

/// A caller and a service on a bus.
struct Rig {
    caller: Client,
    service: Client,
}

impl Rig {
    fn new(bus: &Bus) -> Self {
        let (caller, mut service) = (Client::open(&bus.path), Client::open(&bus.path));
        let rule = "interface='x.y'".to_owned();
        service.write(&message(
            1,
            9,
            0,
            "org.freedesktop.DBus",
            "org.freedesktop.DBus",
            "AddMatch",
            &rule,
        ));
        while service.next() != 9 {}
        Self { caller, service }
    }

    fn measure(&mut self, kind: Kind) -> f64 {
        let (len, at_once, count) = match kind {
            Kind::Latency(len) => (len, 1, if len > 10_000 { 200 } else { 1000 }),
            Kind::Rate(len, at_once) => (len, at_once, if len > 10_000 { 400 } else { 4000 }),
            Kind::Signals(len) => return self.signals(len, 20_000),
        };
        let text = "x".repeat(len);
        let call = message(1, 100, 0, &self.service.name, "x.z", "Do", &text);
        let answer = message(2, 7, 100, &self.caller.name, "", "", &text);
        let (caller, service) = (&mut self.caller, &mut self.service);
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut answered = 0_u32;
                let mut batch = Vec::new();
                while answered < count {
                    batch.clear();
                    for serial in service.next_many() {
                        let mut answer = answer.clone();
                        let at = find_reply_serial(&answer);
                        answer[at..at + 4].copy_from_slice(&serial.to_le_bytes());
                        batch.extend(answer);
                        answered += 1;
                    }
                    service.write(&batch);
                }
            });
            let mut sent = 0_u32;
            let mut done = 0_u32;
            let mut batch = Vec::new();
            while done < count {
                batch.clear();
                while sent < count && sent - done < at_once {
                    let mut call = call.clone();
                    call[8..12].copy_from_slice(&(1000 + sent).to_le_bytes());
                    batch.extend(call);
                    sent += 1;
                }
                caller.write(&batch);
                done += u32::try_from(caller.next_many().len()).unwrap();
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        match kind {
            Kind::Latency(_) => seconds * 1e6 / f64::from(count),
            _ => f64::from(count) / seconds / 1e3,
        }
    }

    fn signals(&mut self, len: usize, count: u32) -> f64 {
        let signal = message(4, 5, 0, "", "x.y", "S", &"x".repeat(len));
        let (caller, service) = (&mut self.caller, &mut self.service);
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let batch = signal.repeat(20);
                (0..count / 20).for_each(|_| caller.write(&batch));
            });
            let mut came = 0;
            while came < count {
                came += u32::try_from(service.next_many().len()).unwrap();
            }
        });
        f64::from(count) / started.elapsed().as_secs_f64() / 1e3
    }
}
