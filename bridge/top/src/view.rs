//! What is shown and chosen.
//!
//! Model: a *page* is a list of lines, of which one is chosen. Values have a *course*, their numbers at each look.
//! Invariants: TOPVIEW-1. what is chosen is named by id or number, not by its place: it stays chosen when others come and go.
//! Limits: [`COURSES_MAX`] courses of [`COURSE_LEN`] numbers; a further value is shown without.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::Value;
use zocp_client::{
    Model,
    model::{Node, OWN_LABEL},
    text::printable,
    tree::{Capability, id},
    value::plain,
};

/// A list that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Values,
    Wires,
    Traffic,
}

/// What is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typing {
    Nothing,
    /// What lines have to contain.
    Filter(String),
    /// The new value of a capability.
    Value(String, String),
    Help,
}

/// What is shown and chosen.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) page: Page,
    pub(crate) filter: String,
    pub(crate) typing: Typing,
    /// The key of the chosen line.
    pub(crate) chosen: Option<String>,
    /// Where a wire begins that is being made.
    pub(crate) from: Option<String>,
    pub(crate) said: String,
    pub(crate) has_colour: bool,
    pub(crate) courses: HashMap<String, VecDeque<f64>>,
    /// Messages in and out a second.
    pub(crate) rates: (u64, u64),
    counted: Option<(Duration, u64, u64)>,
    looked: Duration,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// What it is: the id of a capability, the number of a wire; empty for a heading.
    pub(crate) key: String,
    pub(crate) cells: Vec<String>,
    pub(crate) kind: Kind,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Heading,
    Plain,
    /// Of a node that left, or of a wire that waits.
    Dim,
    Bad,
}

impl View {
    pub(crate) fn new(has_colour: bool) -> Self {
        Self {
            page: Page::Values,
            filter: String::new(),
            typing: Typing::Nothing,
            chosen: None,
            from: None,
            said: String::new(),
            has_colour,
            courses: HashMap::new(),
            rates: (0, 0),
            counted: None,
            looked: Duration::ZERO,
        }
    }

    /// Takes something to be said, for one line.
    pub(crate) fn say(&mut self, text: String) {
        self.said = printable(&text);
    }

    /// Notes what is so now.
    pub(crate) fn look(&mut self, model: &Model, now: Duration) {
        if now < self.looked + COURSE_STEP {
            return;
        }
        self.looked = now;
        self.courses.retain(|id, _| model.value(id).is_some());
        for (id, value) in model.nodes().values().flat_map(|node| &node.values) {
            let Some(number) = number(value) else {
                continue;
            };
            if self.courses.len() >= COURSES_MAX && !self.courses.contains_key(id) {
                continue;
            }
            let course = self.courses.entry(id.clone()).or_default();
            if course.len() >= COURSE_LEN {
                course.pop_front();
            }
            course.push_back(number);
        }
        self.count(model, now);
    }

    fn count(&mut self, model: &Model, now: Duration) {
        let sum = |key: &str| {
            let all = model.statistics().get(key).and_then(Value::as_object);
            let counts = all.into_iter().flat_map(|it| it.values());
            counts.filter_map(|it| it.get(0)?.as_u64()).sum::<u64>()
        };
        let (received, sent) = (sum("Received"), sum("Sent"));
        match self.counted {
            Some((_, before, also))
                if (before, also) == (received, sent) && self.counted_lately(now) => {}
            Some((then, before, also)) if now > then => {
                let rate = |count: u64, before: u64| {
                    (count.saturating_sub(before) as f64 / (now - then).as_secs_f64()).round()
                        as u64
                };
                self.rates = (rate(received, before), rate(sent, also));
                self.counted = Some((now, received, sent));
            }
            _ => self.counted = Some((now, received, sent)),
        }
    }

    /// Counters are read every 2 s: that they are the same for a moment says nothing.
    fn counted_lately(&self, now: Duration) -> bool {
        self.counted
            .is_some_and(|(then, ..)| now < then + COUNT_STEP)
    }

    /// The lines of the page.
    pub(crate) fn lines(&self, model: &Model) -> Vec<Line> {
        let lines = match self.page {
            Page::Values => self.values(model),
            Page::Wires => wires(model),
            Page::Traffic => traffic(model),
        };
        let filter = self.filter.to_lowercase();
        let fits = |line: &Line| {
            let text = line.cells.join(" ").to_lowercase();
            filter.is_empty() || text.contains(&filter) || line.key.to_lowercase().contains(&filter)
        };
        if self.page == Page::Values {
            return lines;
        }
        lines.into_iter().filter(fits).collect()
    }

    fn values(&self, model: &Model) -> Vec<Line> {
        let filter = self.filter.to_lowercase();
        let mut nodes: Vec<(&String, &Node)> = model.nodes().iter().collect();
        nodes.sort_by_key(|(label, node)| {
            (node.left.is_some(), *label == OWN_LABEL, &node.name, *label)
        });
        let mut lines = Vec::new();
        for (label, node) in nodes {
            let fits_node = node.name.to_lowercase().contains(&filter);
            let found = node
                .tree
                .capabilities()
                .filter_map(|(labels, name, capability)| {
                    let dotted = node.tree.dotted(labels, name);
                    let fits =
                        filter.is_empty() || fits_node || dotted.to_lowercase().contains(&filter);
                    fits.then(|| {
                        value(
                            node,
                            id(label, labels, &capability.member),
                            &dotted,
                            capability,
                        )
                    })
                });
            let found: Vec<Line> = found.collect();
            if found.is_empty() && (!fits_node || label == OWN_LABEL) {
                continue;
            }
            lines.push(heading(label, node));
            lines.extend(found);
        }
        lines
    }

    /// The place of the chosen line; the first that can be chosen where none is.
    pub(crate) fn place(&self, lines: &[Line]) -> Option<usize> {
        let chosen = self.chosen.as_ref();
        let known = lines
            .iter()
            .position(|line| chosen == Some(&line.key) && !line.key.is_empty());
        known.or_else(|| lines.iter().position(|line| !line.key.is_empty()))
    }

    /// Chooses the line so many further down, or up.
    pub(crate) fn go(&mut self, lines: &[Line], by: isize) {
        let keys: Vec<&String> = lines
            .iter()
            .map(|line| &line.key)
            .filter(|key| !key.is_empty())
            .collect();
        let place = self.place(lines).map(|at| &lines[at].key);
        let Some(at) = keys.iter().position(|key| Some(*key) == place) else {
            return;
        };
        let to = at.saturating_add_signed(by).min(keys.len() - 1);
        self.chosen = Some(keys[to].clone());
    }
}

fn heading(label: &str, node: &Node) -> Line {
    let state = node
        .properties
        .get("State")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (word, kind) = match (node.left, state) {
        (Some(_), _) => ("has left", Kind::Dim),
        (None, "" | "ready") if label == OWN_LABEL => ("this bridge", Kind::Heading),
        (None, "" | "ready") if node.bus_name.is_empty() => ("speaks no ZOCP", Kind::Heading),
        (None, "" | "ready") => ("", Kind::Heading),
        (None, state) => (state, Kind::Bad),
    };
    let endpoint = node
        .properties
        .get("Endpoint")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Line {
        key: String::new(),
        cells: [node.name.as_str(), word, endpoint].map(printable).into(),
        kind,
    }
}

fn value(node: &Node, id: String, dotted: &str, capability: &Capability) -> Line {
    let shown = node.values.get(&id).map(plain).unwrap_or_default();
    Line {
        cells: [
            dotted,
            &shown,
            &range(capability),
            &capability.hint,
            &capability.access,
        ]
        .map(printable)
        .into(),
        kind: if node.left.is_some() {
            Kind::Dim
        } else {
            Kind::Plain
        },
        key: id,
    }
}

fn range(capability: &Capability) -> String {
    let part = |key: &str| capability.more.get(key).map(plain);
    match (part("Min"), part("Max")) {
        (Some(min), Some(max)) => format!("{min}..{max}"),
        (Some(min), None) => format!("{min}.."),
        (None, Some(max)) => format!("..{max}"),
        (None, None) => String::new(),
    }
}

fn wires(model: &Model) -> Vec<Line> {
    let line = |(number, wire): (&u32, &zocp_client::model::Wire)| {
        let state = wire.text("State");
        let lost = match wire.number("Lost") {
            0 => String::new(),
            lost => format!("{lost} lost"),
        };
        let last = wire
            .properties
            .get("LastValue")
            .map(plain)
            .unwrap_or_default();
        let cells = [
            wire.text("From"),
            wire.text("To"),
            state,
            &wire.number("Count").to_string(),
            &last,
            &lost,
            wire.text("LastError"),
        ];
        Line {
            key: number.to_string(),
            cells: cells.map(printable).into(),
            kind: match state {
                "failed" => Kind::Bad,
                "waiting" => Kind::Dim,
                _ => Kind::Plain,
            },
        }
    };
    model.wires().iter().map(line).collect()
}

fn traffic(model: &Model) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |kind, cells: [&str; 3]| {
        lines.push(Line {
            key: String::new(),
            cells: cells.map(printable).into(),
            kind,
        });
    };
    let part = |key: &str| model.statistics().get(key).and_then(Value::as_object);
    for (key, title) in [("Received", "received"), ("Sent", "sent")] {
        add(Kind::Heading, [title, "messages", "octets"]);
        for (verb, counts) in part(key).into_iter().flatten() {
            let count = |at: usize| counts.get(at).map(plain).unwrap_or_default();
            add(Kind::Plain, [verb, &count(0), &count(1)]);
        }
    }
    for (group, counts) in part("Counts").into_iter().flatten() {
        let is_bad = matches!(group.as_str(), "refused" | "turned away");
        add(Kind::Heading, [group, "times", ""]);
        for (name, count) in counts.as_object().into_iter().flatten() {
            let kind = if is_bad { Kind::Bad } else { Kind::Plain };
            add(kind, [name, &plain(count), ""]);
        }
    }
    lines
}

/// The number of a value that has a course.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        _ => None,
    }
}

/// Values with a course.
pub(crate) const COURSES_MAX: usize = 4096;
/// Numbers of a course: as many as a terminal shows.
pub(crate) const COURSE_LEN: usize = 60;
/// How often a number is noted.
const COURSE_STEP: Duration = Duration::from_millis(200);
/// How long counters that stay the same are believed.
const COUNT_STEP: Duration = Duration::from_millis(3900);
