use std::time::Duration;

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent},
};
use serde_json::{Map, Value, json};
use zocp_client::tree::{Capability, Object, Tree};

use super::*;
use crate::keys::{Wish, key};

fn model() -> Model {
    let mut model = Model::default();
    let text = |pairs: &[(&str, &str)]| -> Map<String, Value> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect()
    };
    model.set_bridge(text(&[("Name", "foh")]));
    let nodes = [
        ("fader", "level", "re", json!(0.5)),
        ("lamp", "brightness", "rws", json!(0.2)),
        ("evil_1b", "a\u{1b}[31m\u{202e}b", "re", json!("x\u{7}y")),
    ];
    for (label, name, access, value) in nodes {
        model.set_peer(
            label,
            text(&[("Name", label), ("BusName", "b"), ("State", "ready")]),
        );
        let capability = Capability {
            member: "m".to_owned(),
            access: access.to_owned(),
            signature: "d".to_owned(),
            more: [
                ("Min".to_owned(), json!(0.0)),
                ("Max".to_owned(), json!(1.0)),
            ]
            .into_iter()
            .collect(),
            ..Capability::default()
        };
        let object = Object {
            capabilities: [(name.to_owned(), capability)].into(),
            ..Object::default()
        };
        let tree = Tree {
            objects: [(vec![], object)].into(),
        };
        model.set_tree(label, tree, vec![(format!("{label}/m"), value)]);
    }
    model.set_wire(
        4,
        text(&[
            ("From", "fader:level"),
            ("To", "lamp:brightness"),
            ("State", "active"),
        ]),
    );
    model
}

fn picture(view: &View, model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, model)).unwrap();
    terminal.backend().to_string()
}

fn press(view: &mut View, model: &Model, codes: &[KeyCode]) -> Option<Wish> {
    let mut wish = None;
    for code in codes {
        wish = key(view, model, KeyEvent::from(*code));
    }
    wish
}

#[test]
fn values_are_shown_with_their_course() {
    let (model, mut view) = (model(), View::new(false));
    view.look(&model, Duration::from_secs(1));
    let picture = picture(&view, &model, 80, 12);
    for wanted in [
        "foh",
        "fader",
        "level",
        "0.5",
        "▁",
        "0.0..1.0",
        "lamp",
        "brightness",
    ] {
        assert!(picture.contains(wanted), "{wanted}\n{picture}");
    }
}

#[test]
fn nothing_of_a_peer_steers_the_terminal() {
    let picture = picture(&View::new(true), &model(), 100, 20);
    assert!(picture.contains("a\u{fffd}[31m\u{fffd}b"), "{picture}");
    assert!(
        !picture.contains(['\u{1b}', '\u{202e}', '\u{7}']),
        "{picture}"
    );
}

#[test]
fn every_size_has_a_picture() {
    let (model, mut view) = (model(), View::new(true));
    for typing in [Typing::Nothing, Typing::Help] {
        view.typing = typing;
        for (width, height) in [(1, 1), (3, 2), (20, 5), (80, 24), (200, 60)] {
            for page in [Page::Values, Page::Wires, Page::Traffic] {
                view.page = page;
                picture(&view, &model, width, height);
            }
        }
    }
}

#[test]
fn a_value_is_set_stepped_and_wired_with_keys() {
    let (model, mut view) = (model(), View::new(false));
    // evil_1b comes first, then fader, then lamp.
    let down = KeyCode::Down;
    let letter = KeyCode::Char;
    press(&mut view, &model, &[down, letter('w'), down]);
    assert_eq!(
        press(&mut view, &model, &[letter('w')]),
        Some(Wish::Wire("fader/m".into(), "lamp/m".into()))
    );
    assert_eq!(
        press(&mut view, &model, &[letter('+')]),
        Some(Wish::Set("lamp/m".into(), json!(0.25)))
    );
    let typed = [
        KeyCode::Enter,
        KeyCode::Backspace,
        letter('7'),
        KeyCode::Enter,
    ];
    assert_eq!(
        press(&mut view, &model, &typed),
        Some(Wish::Set("lamp/m".into(), json!(0.7)))
    );
    assert_eq!(
        press(&mut view, &model, &[letter('2'), letter('d')]),
        Some(Wish::Unwire(4))
    );
    assert_eq!(press(&mut view, &model, &[letter('q')]), Some(Wish::End));
}

#[test]
fn a_filter_leaves_what_fits_and_the_chosen_line_stays() {
    let (mut model, mut view) = (model(), View::new(false));
    press(
        &mut view,
        &model,
        &[
            KeyCode::Char('/'),
            KeyCode::Char('l'),
            KeyCode::Char('a'),
            KeyCode::Char('m'),
            KeyCode::Enter,
        ],
    );
    let shown = picture(&view, &model, 80, 12);
    assert!(
        shown.contains("brightness") && !shown.contains("level"),
        "{shown}"
    );
    press(&mut view, &model, &[KeyCode::Esc, KeyCode::Down]);
    assert_eq!(view.chosen.as_deref(), Some("fader/m"));
    model.lose_node("evil_1b", Duration::ZERO);
    let lines = view.lines(&model);
    assert_eq!(lines[view.place(&lines).unwrap()].key, "fader/m");
}

#[test]
fn long_text_is_cut_to_its_column() {
    assert_eq!(fitted("abcdef", 4), "abc…");
    assert_eq!(fitted("abcd", 4), "abcd");
    assert_eq!(fitted("日本語", 4), "日…");
    assert_eq!(padded(&"x".repeat(10_000), 5), "xxxx…");
}
