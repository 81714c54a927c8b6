//! A mesh in a terminal: nodes, values with their course, wires, traffic.
//!
//! Model: `View` is what is shown and chosen, plain data that keys change; `draw` makes a
//! picture of it and of the model; [`run`] is the loop around both, with the terminal.
//! Invariants: TOP-1. text of peers reaches the terminal without what steers it. TOP-2. the terminal is as it was when the
//! program ends, however it ends.
//! Limits: a picture at most every `FRAME`; `view::COURSES_MAX` values have a course.

mod draw;
mod keys;
mod view;

use std::{io, time::Duration};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use zocp_client::{Actions, Followed};

use self::{
    keys::{Wish, key},
    view::View,
};

/// Why it ended before somebody wanted it to.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The terminal is none, or is gone.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether there are colours.
    pub has_colour: bool,
}

/// Shows the mesh until somebody wants no more.
///
/// # Errors
/// When the terminal is none.
pub async fn run(options: Options, followed: Followed, actions: Actions) -> Result<(), TopError> {
    let mut screen = Screen(ratatui::try_init()?);
    show(&mut screen.0, options, followed, actions).await
}

/// The terminal, which is as it was when this is dropped.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    options: Options,
    followed: Followed,
    actions: Actions,
) -> Result<(), TopError> {
    let mut view = View::new(options.has_colour);
    let mut events = events();
    let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    loop {
        tokio::select! {
            // Each is cancel safe: what is not taken stays in the channel or the interval.
            event = events.recv() => match event {
                Some(Event::Key(pressed)) if pressed.kind != KeyEventKind::Release => {
                    let wish = key(&mut view, &followed.model(), pressed);
                    match wish {
                        None => {}
                        Some(Wish::End) => return Ok(()),
                        Some(wish) => {
                            let (actions, answers) = (actions.clone(), answers.clone());
                            tokio::spawn(async move {
                                // Nobody waits for the answer when the program ends.
                                answers.send(done(&actions, wish).await).await.ok();
                            });
                        }
                    }
                }
                Some(_) => {}
                None => return Ok(()),
            },
            Some(answer) = answered.recv() => view.say(answer),
            _ = frames.tick() => {}
        }
        let model = followed.model();
        view.look(&model, started.elapsed());
        terminal.draw(|frame| draw::draw(frame, &view, &model))?;
    }
}

/// What came of a wish, in words.
async fn done(actions: &Actions, wish: Wish) -> String {
    let (result, word) = match wish {
        Wish::End => return String::new(),
        Wish::Set(id, value) => (actions.set(&id, &value).await, format!("{id} is set")),
        Wish::Wire(from, to) => {
            let options = serde_json::Map::new();
            (
                actions.wire(&from, &to, &options).await,
                format!("{from} -> {to} is wired"),
            )
        }
        Wish::Unwire(number) => (
            actions.unwire(number).await,
            "the wire is removed".to_owned(),
        ),
    };
    match result {
        Ok(()) => word,
        Err(refused) => refused.to_string(),
    }
}

/// The events of the terminal, read by a thread, since they come from no socket.
fn events() -> mpsc::Receiver<Event> {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            // A program that is slow lets the terminal keep what is typed.
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A picture at most so often.
const FRAME: Duration = Duration::from_millis(100);
/// Keys that wait to be taken; the terminal keeps further ones.
const EVENTS_MAX: usize = 64;
/// Answers that wait to be shown; further ones wait.
const ANSWERS_MAX: usize = 16;
