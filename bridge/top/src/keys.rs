//! What a key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};
use zocp_client::{Model, model::node_of, tree::Capability, value::plain};

use crate::view::{Page, Typing, View};

/// What is to be done at the bridge, or the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
    End,
    Set(String, Value),
    Wire(String, String),
    Unwire(u32),
}

/// Takes a key.
pub(crate) fn key(view: &mut View, model: &Model, key: KeyEvent) -> Option<Wish> {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Some(Wish::End);
    }
    match view.typing.clone() {
        Typing::Nothing => pressed(view, model, key.code),
        Typing::Help => {
            view.typing = Typing::Nothing;
            None
        }
        Typing::Filter(text) => {
            match typed(text, key.code) {
                Typed::Text(text) => {
                    view.filter.clone_from(&text);
                    view.typing = Typing::Filter(text);
                }
                Typed::Done(_) => view.typing = Typing::Nothing,
                Typed::Nothing => {
                    view.filter.clear();
                    view.typing = Typing::Nothing;
                }
            }
            None
        }
        Typing::Value(id, text) => match typed(text, key.code) {
            Typed::Text(text) => {
                view.typing = Typing::Value(id, text);
                None
            }
            Typed::Done(text) => {
                view.typing = Typing::Nothing;
                let is_text = capability(model, &id).is_some_and(|it| it.signature == "s");
                let value = if is_text {
                    None
                } else {
                    serde_json::from_str(&text).ok()
                };
                Some(Wish::Set(id, value.unwrap_or(Value::String(text))))
            }
            Typed::Nothing => {
                view.typing = Typing::Nothing;
                None
            }
        },
    }
}

/// What came of a key while text is typed.
enum Typed {
    Text(String),
    Done(String),
    Nothing,
}

fn typed(mut text: String, code: KeyCode) -> Typed {
    match code {
        KeyCode::Char(letter) => text.push(letter),
        KeyCode::Backspace => {
            text.pop();
        }
        KeyCode::Enter => return Typed::Done(text),
        KeyCode::Esc => return Typed::Nothing,
        _ => {}
    }
    Typed::Text(text)
}

fn pressed(view: &mut View, model: &Model, code: KeyCode) -> Option<Wish> {
    view.said.clear();
    let lines = view.lines(model);
    let chosen = view.place(&lines).map(|at| lines[at].key.clone());
    match code {
        KeyCode::Char('q') => return Some(Wish::End),
        KeyCode::Char('?' | 'h') => view.typing = Typing::Help,
        KeyCode::Char('/') => view.typing = Typing::Filter(view.filter.clone()),
        KeyCode::Char('1') => turn(view, Page::Values),
        KeyCode::Char('2') => turn(view, Page::Wires),
        KeyCode::Char('3') => turn(view, Page::Traffic),
        KeyCode::Tab => {
            let next = match view.page {
                Page::Values => Page::Wires,
                Page::Wires => Page::Traffic,
                Page::Traffic => Page::Values,
            };
            turn(view, next);
        }
        KeyCode::Up | KeyCode::Char('k') => view.go(&lines, -1),
        KeyCode::Down | KeyCode::Char('j') => view.go(&lines, 1),
        KeyCode::PageUp => view.go(&lines, -SCREEN),
        KeyCode::PageDown => view.go(&lines, SCREEN),
        KeyCode::Home | KeyCode::Char('g') => view.go(&lines, isize::MIN / 2),
        KeyCode::End | KeyCode::Char('G') => view.go(&lines, isize::MAX / 2),
        // One thing after the other: what a wire begins at may have been found with a filter.
        KeyCode::Esc if view.filter.is_empty() => view.from = None,
        KeyCode::Esc => view.filter.clear(),
        code => return act(view, model, code, chosen?),
    }
    None
}

fn turn(view: &mut View, page: Page) {
    view.page = page;
    view.chosen = None;
}

/// What is done with the chosen line.
fn act(view: &mut View, model: &Model, code: KeyCode, chosen: String) -> Option<Wish> {
    if view.page == Page::Wires {
        let is_removal = matches!(code, KeyCode::Delete | KeyCode::Char('d'));
        return is_removal
            .then(|| chosen.parse().ok().map(Wish::Unwire))
            .flatten();
    }
    let known = capability(model, &chosen)?;
    match code {
        KeyCode::Enter | KeyCode::Char('s') if known.is_writable() => {
            let text = model.value(&chosen).map(plain).unwrap_or_default();
            view.typing = Typing::Value(chosen, text);
        }
        KeyCode::Enter | KeyCode::Char('s') => {
            view.say("it cannot be set: its access has no w".to_owned())
        }
        KeyCode::Char(' ') => match model.value(&chosen)? {
            Value::Bool(truth) => return Some(Wish::Set(chosen, Value::Bool(!truth))),
            _ => view.say("only what is true or false is switched".to_owned()),
        },
        KeyCode::Left | KeyCode::Char('-') => return step(model, chosen, -1.0),
        KeyCode::Right | KeyCode::Char('+') => return step(model, chosen, 1.0),
        KeyCode::Char('w') => match view.from.take() {
            Some(from) if known.is_target() => return Some(Wish::Wire(from, chosen)),
            Some(_) => {
                view.say("a wire cannot end here: its access has neither s nor w".to_owned())
            }
            None if known.is_emitter() => {
                view.say(
                    "now choose where the wire ends, and press w again; Esc lets go".to_owned(),
                );
                view.from = Some(chosen);
            }
            None => view.say("a wire cannot begin here: its access has no e".to_owned()),
        },
        _ => {}
    }
    None
}

/// A step up or down: the capability's own, else a twentieth of its range, else 1.
fn step(model: &Model, id: String, sign: f64) -> Option<Wish> {
    let known = capability(model, &id).filter(|it| it.is_writable())?;
    let part = |key: &str| known.more.get(key).and_then(Value::as_f64);
    let (min, max) = (part("Min"), part("Max"));
    let is_whole = known.signature == "x";
    // Nodes of pyZOCP leave out a minimum of 0.
    let range = max
        .map(|max| max - min.unwrap_or(0.0))
        .filter(|range| *range > 0.0);
    let step = part("Step")
        .or_else(|| range.map(|range| range / 20.0))
        .unwrap_or(1.0);
    let step = if is_whole {
        step.max(1.0).round()
    } else {
        step
    };
    let wanted = model.value(&id)?.as_f64()? + sign * step;
    let wanted = wanted
        .max(min.unwrap_or(f64::MIN))
        .min(max.unwrap_or(f64::MAX));
    // A step of a decimal fraction ends on one.
    let wanted = (wanted * 1e9).round() / 1e9;
    let value = if is_whole {
        json!(wanted as i64)
    } else {
        json!(wanted)
    };
    Some(Wish::Set(id, value))
}

fn capability<'a>(model: &'a Model, wanted: &str) -> Option<&'a Capability> {
    let label = node_of(wanted);
    let node = model
        .nodes()
        .get(label)
        .filter(|node| node.left.is_none())?;
    let mut all = node.tree.capabilities();
    let found =
        all.find(|(labels, _, it)| zocp_client::tree::id(label, labels, &it.member) == wanted);
    found.map(|(.., capability)| capability)
}

/// Lines that a page key goes.
const SCREEN: isize = 15;
