//! The lamp of the demo: what it can do, and what it prints.
//!
//! Model: others set its values; it prints each, and blinks when its method is called. A wire sets its brightness many
//! times a second, so of values of one capability that come in quick succession the newest is printed: on a terminal
//! in place, elsewhere on a new line.
//! Invariants: LAMP-1. the last value that was set is always printed.
//! Limits: [`BLINKS_MAX`].

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use zocp_node::{
    Access, Call, CapPath, Capability, Event, Events, Node, NodeError, RemoteError, Value, json,
    model::{Argument, Method},
};

use crate::output::printable;

/// Publishes what the lamp can do.
pub(super) async fn publish(lamp: &Node) -> Result<(), NodeError> {
    let adjustable = || Access::READ | Access::WRITE | Access::EMIT;
    let brightness = Capability::new(adjustable(), 0.2).with_range(0.0, 1.0);
    lamp.publish("brightness", brightness).await?;
    lamp.publish("on", Capability::new(adjustable(), true))
        .await?;
    let label = Capability::new(Access::READ | Access::WRITE, "front of house");
    lamp.publish("label", label).await?;
    let colour = Capability::new(adjustable(), vec![1.0, 0.9, 0.8]).with_hint("vec3f");
    lamp.publish("colour", colour).await?;
    let times = Argument::new("times", "int");
    let done = Argument::new("done", "bool");
    let doc = String::from("Switches the lamp off and on again, this many times.");
    let blink = Method::new(vec![times], vec![done], Some(doc));
    lamp.publish_method("blink", blink).await
}

/// Runs the lamp until its node ends.
pub(super) async fn run(lamp: &Node, mut events: Events) {
    let mut screen = Screen::default();
    let (mut steps, mut next_step) = (0, Instant::now());
    loop {
        // Cancel safe: an event stays in its queue until it is taken.
        tokio::select! {
            event = events.next() => match event {
                Some(Event::LocalSet { path, value, .. }) => screen.set(&path, &value),
                Some(Event::Called(call)) => {
                    let asked = times(&call);
                    if let Ok(times) = asked {
                        screen.line(&format!("lamp: blinks {times} times"));
                        (steps, next_step) = (2 * times, Instant::now());
                    }
                    // A caller that has left in the meantime is no reason to end.
                    lamp.reply(call, asked.map(|_| vec![json!(true)])).await.ok();
                }
                Some(_) => {}
                None => return,
            },
            () = sleep_until(next_step), if steps > 0 => {
                steps -= 1;
                next_step += BLINK_STEP;
                if lamp.emit("on", steps % 2 == 0).await.is_err() {
                    return;
                }
            }
            () = sleep_until(screen.due()), if screen.waiting.is_some() => screen.print_waiting(),
        }
    }
}

/// How often to blink.
fn times(call: &Call) -> Result<u64, RemoteError> {
    let times = match &call.args[..] {
        [times] => times.as_u64(),
        _ => None,
    };
    times
        .filter(|times| (1..=BLINKS_MAX).contains(times))
        .ok_or_else(|| {
            let message = format!("blink takes a number from 1 to {BLINKS_MAX}");
            RemoteError::new("org.freedesktop.DBus.Error.InvalidArgs", message)
        })
}

/// Where values are printed.
#[derive(Default)]
struct Screen {
    /// The capability of the last line, and when it was printed.
    last: Option<(String, Instant)>,
    /// A value that came too soon to be printed.
    waiting: Option<(String, Value)>,
    /// Whether the last line can be written over.
    is_open: bool,
}

impl Screen {
    fn set(&mut self, path: &CapPath, value: &Value) {
        let path = path.to_string();
        let is_quick = self
            .last
            .as_ref()
            .is_some_and(|(last, at)| *last == path && at.elapsed() < INTERVAL);
        if self.waiting.as_ref().is_some_and(|(name, _)| *name != path) {
            self.print_waiting();
        }
        self.waiting = Some((path, value.clone()));
        if !is_quick {
            self.print_waiting();
        }
    }

    /// When the waiting value is to be printed.
    fn due(&self) -> Instant {
        self.last
            .as_ref()
            .map_or_else(Instant::now, |(_, at)| *at + INTERVAL)
    }

    fn print_waiting(&mut self) {
        let Some((path, value)) = self.waiting.take() else {
            return;
        };
        let text = format!("lamp: {path} was set to {value}");
        let text = match (path.as_str(), value.as_f64()) {
            ("brightness", Some(level)) => format!("{text:<40} {}", bar(level)),
            _ => text,
        };
        let is_same = self.last.as_ref().is_some_and(|(last, _)| *last == path);
        let mut stdout = io::stdout();
        // A terminal that is gone ends the demo by its signal.
        let printable = printable(&text);
        let _ = match (stdout.is_terminal(), self.is_open && is_same) {
            (true, true) => write!(stdout, "\r\x1b[K{printable}"),
            (true, false) if self.is_open => write!(stdout, "\n{printable}"),
            (true, false) => write!(stdout, "{printable}"),
            (false, _) => writeln!(stdout, "{printable}"),
        };
        let _ = stdout.flush();
        self.is_open = stdout.is_terminal();
        self.last = Some((path, Instant::now()));
    }

    fn line(&mut self, text: &str) {
        self.print_waiting();
        let mut stdout = io::stdout();
        if self.is_open {
            let _ = writeln!(stdout);
        }
        let _ = writeln!(stdout, "{text}");
        self.is_open = false;
        self.last = None;
    }
}

/// A level from 0 to 1 as a picture.
fn bar(level: f64) -> String {
    let level = level.clamp(0.0, 1.0);
    (1..=BAR_LENGTH)
        .map(|step| {
            if f64::from(step) <= level * f64::from(BAR_LENGTH) + 0.5 {
                '#'
            } else {
                '.'
            }
        })
        .collect()
}

/// Characters of a bar.
const BAR_LENGTH: u8 = 30;
/// Values of one capability are printed at most this often.
const INTERVAL: Duration = Duration::from_millis(200);
const BLINK_STEP: Duration = Duration::from_millis(300);
const BLINKS_MAX: u64 = 20;
