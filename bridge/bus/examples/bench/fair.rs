//! How long a call takes while another client has 10,000 calls under way; `FAIR=1 tests/bench/services.sh` runs it.
//!
//! Model: a *target* is something that can be called on some bus: `LABEL|SOCKET|NAME|PATH|INTERFACE|MEMBER|TEXT…`; with
//! only `LABEL|SOCKET`, each of the two clients has a service of its own there. One client makes one call after the
//! other; it is timed alone and beside the other, in turn. The other writes with one thread and reads with another.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::Client,
    message::{call, find_reply_serial, message},
};

/// Measures each target, and prints a table.
pub(super) fn main(targets: &[String]) {
    println!(
        "{:<24}{:>9}{:>9}{:>11}{:>9}{:>9}{:>14}",
        "", "alone", "p99", "beside", "p99", "times", "the other's/s"
    );
    for text in targets {
        let target = Target::new(text);
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        let mut rate = Vec::new();
        let modest = target.destination();
        let mut client = Client::open(&target.socket);
        timed(&mut client, &modest);
        for _ in 0..ROUNDS {
            alone.extend(timed(&mut client, &modest));
            let flood = Flood::start(&target.socket, target.destination());
            let (before, since) = (flood.answered(), Instant::now());
            beside.extend(timed(&mut client, &modest));
            let answered = u32::try_from(flood.answered() - before).unwrap();
            rate.push(f64::from(answered) / since.elapsed().as_secs_f64());
            flood.stop();
        }
        let [(alone, alone_tail), (beside, beside_tail)] = [alone, beside].map(middle_and_tail);
        rate.sort_by(f64::total_cmp);
        println!(
            "{:<24}{alone:>6.0} µs{alone_tail:>6.0} µs{beside:>8.0} µs{beside_tail:>6.0} µs{:>9.2}{:>14.0}",
            target.label,
            beside / alone,
            rate[rate.len() / 2]
        );
    }
}

/// Something that can be called on a bus.
struct Target {
    label: String,
    socket: PathBuf,
    call: Option<Vec<u8>>,
}

impl Target {
    fn new(text: &str) -> Self {
        let parts: Vec<&str> = text.split('|').collect();
        let call = match parts[..] {
            [_, _] => None,
            [_, _, name, path, interface, member, ref texts @ ..] => {
                Some(call(name, path, interface, member, texts))
            }
            _ => panic!("a target is LABEL|SOCKET|NAME|PATH|INTERFACE|MEMBER|TEXT…, not {text}"),
        };
        Self {
            label: parts[0].to_owned(),
            socket: parts[1].into(),
            call,
        }
    }

    /// The call; to a service that is started for it, if the target has none.
    fn destination(&self) -> Vec<u8> {
        self.call.clone().unwrap_or_else(|| {
            let service = serve(&self.socket);
            call(&service, "/", "x.z", "Do", &["0123456789abcdef"])
        })
    }
}

/// Starts a service that answers until the end of the program; its name.
fn serve(socket: &Path) -> String {
    let mut service = Client::open(socket);
    let name = service.name.clone();
    thread::spawn(move || {
        loop {
            let calls = service.next_calls();
            if calls.is_empty() {
                return;
            }
            let mut batch = Vec::new();
            for (caller, serial) in calls {
                let mut answer = message(2, 7, 1, &caller, "", "", "0123456789abcdef");
                let at = find_reply_serial(&answer);
                answer[at..at + 4].copy_from_slice(&serial.to_le_bytes());
                batch.extend(answer);
            }
            service.write(&batch);
        }
    });
    name
}

/// The time of each of so many calls, in microseconds.
fn timed(client: &mut Client, call: &[u8]) -> Vec<f64> {
    let mut call = call.to_vec();
    let mut times = Vec::new();
    for serial in 1000..1000 + CALLS {
        call[8..12].copy_from_slice(&serial.to_le_bytes());
        let start = Instant::now();
        client.write(&call);
        while !client.next_many().contains(&serial) {}
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times
}

fn middle_and_tail(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// A client that keeps calls under way.
struct Flood {
    stream: UnixStream,
    shared: Arc<Shared>,
    threads: [thread::JoinHandle<()>; 2],
}

#[derive(Default)]
struct Shared {
    answered: AtomicU64,
    is_over: AtomicBool,
    /// Calls that are to be written.
    due: Mutex<usize>,
    more: Condvar,
}

impl Flood {
    /// Returns once as many calls are answered as are under way.
    fn start(socket: &Path, call: Vec<u8>) -> Self {
        let mut client = Client::open(socket);
        let stream = client.stream.try_clone().unwrap();
        let mut writing = client.stream.try_clone().unwrap();
        let shared = Arc::new(Shared::default());
        *shared.due.lock().unwrap() = IN_FLIGHT;
        let (reader, writer) = (shared.clone(), shared.clone());
        let write = move || {
            let mut serial = 1000_u32;
            loop {
                let mut due = writer.due.lock().unwrap();
                while *due == 0 && !writer.is_over.load(Ordering::Relaxed) {
                    due = writer.more.wait(due).unwrap();
                }
                let count = std::mem::take(&mut *due);
                drop(due);
                let mut batch = call.repeat(count);
                for one in batch.chunks_mut(call.len()) {
                    serial += 1;
                    one[8..12].copy_from_slice(&serial.to_le_bytes());
                }
                if count == 0 || writing.write_all(&batch).is_err() {
                    return;
                }
            }
        };
        let read = move || {
            while let Some(serials) = client.try_next_many() {
                let count = serials.iter().filter(|serial| **serial > 1000).count();
                reader.answered.fetch_add(count as u64, Ordering::Relaxed);
                *reader.due.lock().unwrap() += count;
                reader.more.notify_one();
            }
        };
        let flood = Self {
            stream,
            shared,
            threads: [thread::spawn(write), thread::spawn(read)],
        };
        while flood.answered() < IN_FLIGHT as u64 {
            thread::sleep(Duration::from_millis(1));
        }
        flood
    }

    fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.shared.more.notify_all();
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

const IN_FLIGHT: usize = 10_000;
const CALLS: u32 = 1000;
const ROUNDS: usize = 5;
