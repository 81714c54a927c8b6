//! The picture: a line about the bridge, the page, a line about what can be done.
//!
//! Limits: with fewer columns the columns at the right go first, and with fewer lines than three only the page is shown.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line as Row, Span},
    widgets::{Block, Clear, Paragraph},
};
use serde_json::Value;
use zocp_client::{Model, text::printable};

use crate::view::{Kind, Line, Page, Typing, View};

/// Draws the whole.
pub(crate) fn draw(frame: &mut Frame<'_>, view: &View, model: &Model) {
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [top, middle, bottom] = rows.areas(frame.area());
    frame.render_widget(head(view, model, top.width), top);
    page(frame, view, model, middle);
    frame.render_widget(foot(view), bottom);
    if view.typing == Typing::Help {
        help(frame);
    }
}

fn head(view: &View, model: &Model, width: u16) -> Paragraph<'static> {
    let bridge = model.bridge();
    let name = bridge
        .properties
        .get("Name")
        .and_then(Value::as_str)
        .unwrap_or("zocp");
    let text = match bridge.is_present {
        false => " the bridge is not on the bus: start it with `zocp bridge`".to_owned(),
        true => {
            let there = model
                .nodes()
                .values()
                .filter(|it| it.left.is_none() && !it.bus_name.is_empty())
                .count();
            let (received, sent) = view.rates;
            format!(
                " {}  {} nodes  {} wires  {received}/s in  {sent}/s out",
                fitted(&printable(name), 30),
                // The bridge itself is among them.
                there.saturating_sub(1),
                model.wires().len()
            )
        }
    };
    let tabs = [
        (Page::Values, "1 values"),
        (Page::Wires, "2 wires"),
        (Page::Traffic, "3 traffic"),
    ];
    let mut spans = vec![Span::raw(text)];
    if width >= WIDE {
        spans.push(Span::raw("   "));
        for (page, title) in tabs {
            let style = match page == view.page {
                true => Style::new().add_modifier(Modifier::UNDERLINED | Modifier::BOLD),
                false => Style::new(),
            };
            spans.push(Span::styled(title, style));
            spans.push(Span::raw("  "));
        }
    }
    Paragraph::new(Row::from(spans)).style(Style::new().add_modifier(Modifier::REVERSED))
}

fn page(frame: &mut Frame<'_>, view: &View, model: &Model, area: Rect) {
    let lines = view.lines(model);
    if lines.is_empty() {
        let text = match (view.filter.is_empty(), view.page) {
            (false, _) => "nothing fits the filter; Esc shows all",
            (true, Page::Wires) => "there are no wires; press 1, then w on two values",
            (true, _) => "nobody is here yet",
        };
        frame.render_widget(Paragraph::new(format!("  {text}")), area);
        return;
    }
    let place = view.place(&lines).unwrap_or_default();
    let height = usize::from(area.height);
    // The chosen line is in the middle where there is more than fits.
    let first = place
        .saturating_sub(height / 2)
        .min(lines.len().saturating_sub(height));
    let widths = widths(view.page, area.width);
    let shown = lines.iter().enumerate().skip(first).take(height);
    let rows: Vec<Row<'static>> = shown
        .map(|(at, line)| row(view, line, &widths, at == place && !line.key.is_empty()))
        .collect();
    frame.render_widget(Paragraph::new(rows), area);
}

/// The widths of the columns: those at the right go first where there is no room.
fn widths(page: Page, width: u16) -> Vec<usize> {
    let wanted: &[usize] = match page {
        Page::Values => &[22, 14, 16, 12, 8, 6],
        Page::Wires => &[22, 22, 8, 8, 12, 9, 40],
        Page::Traffic => &[44, 14, 16],
    };
    let (mut widths, mut left) = (Vec::new(), usize::from(width).saturating_sub(2));
    for (at, column) in wanted.iter().enumerate() {
        if left < 4 && at > 0 {
            break;
        }
        let taken = (*column).min(left);
        widths.push(taken);
        left = left.saturating_sub(taken + 1);
    }
    // What is left is shared by the first three: names, values and courses.
    let first = widths.len().min(3);
    for column in widths.iter_mut().take(first) {
        *column += left / first;
    }
    widths
}

fn row(view: &View, line: &Line, widths: &[usize], is_chosen: bool) -> Row<'static> {
    let mut cells: Vec<String> = line.cells.clone();
    if view.page == Page::Values && line.kind != Kind::Heading && !line.key.is_empty() {
        let width = widths.get(2).copied().unwrap_or_default();
        cells.insert(2, course(view, &line.key, width));
    }
    let mark = match (
        is_chosen,
        view.from.as_ref() == Some(&line.key) && !line.key.is_empty(),
    ) {
        (_, true) => "* ",
        (true, false) => "> ",
        (false, false) if line.key.is_empty() => "",
        (false, false) => "  ",
    };
    let mut text = String::from(mark);
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(&padded(cell, *width));
        text.push(' ');
    }
    let style = match (line.kind, view.has_colour) {
        (Kind::Heading, true) => Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
        (Kind::Heading, false) => Style::new().add_modifier(Modifier::BOLD),
        (Kind::Dim, _) => Style::new().add_modifier(Modifier::DIM),
        (Kind::Bad, true) => Style::new().fg(Color::Red),
        (Kind::Bad | Kind::Plain, _) => Style::new(),
    };
    let style = match is_chosen {
        true => style.add_modifier(Modifier::REVERSED),
        false => style,
    };
    Row::styled(text, style)
}

/// The course of a value as blocks of eight heights.
fn course(view: &View, id: &str, width: usize) -> String {
    let Some(course) = view.courses.get(id) else {
        return String::new();
    };
    let (low, high) = course.iter().fold((f64::MAX, f64::MIN), |(low, high), it| {
        (low.min(*it), high.max(*it))
    });
    let first = course.len().saturating_sub(width);
    let block = |number: &f64| match high > low {
        // It is between 0 and 7.
        true => BLOCKS[((number - low) / (high - low) * 7.0).round() as usize % BLOCKS.len()],
        false => BLOCKS[0],
    };
    course.iter().skip(first).map(block).collect()
}

fn foot(view: &View) -> Paragraph<'static> {
    let text = match &view.typing {
        Typing::Filter(text) => format!("/{}_", printable(text)),
        Typing::Value(id, text) => format!("{} = {}_", printable(id), printable(text)),
        _ if !view.said.is_empty() => view.said.clone(),
        _ if view.page == Page::Wires => {
            "d remove  Tab next page  / filter  ? help  q end".to_owned()
        }
        _ => "Enter set  space switch  - + step  w wire  Tab next page  / filter  ? help  q end"
            .to_owned(),
    };
    let filter = match (&view.typing, view.filter.is_empty()) {
        (Typing::Nothing, false) => format!("[{}] ", printable(&view.filter)),
        _ => String::new(),
    };
    Paragraph::new(format!(" {filter}{text}"))
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let (width, height) = (
        area.width.min(62),
        area.height.min(HELP.lines().count() as u16 + 2),
    );
    let place = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(HELP).block(Block::bordered().title(" keys ")),
        place,
    );
}

fn padded(text: &str, width: usize) -> String {
    let text = fitted(text, width);
    let taken = Span::raw(text.as_str()).width();
    format!("{text}{}", " ".repeat(width.saturating_sub(taken)))
}

/// Text that fits: what is longer ends with an ellipsis.
fn fitted(text: &str, width: usize) -> String {
    // No letter is narrower than nothing, and names may have ten thousand of them.
    let letters: String = text.chars().take(width * 4 + 1).collect();
    if Span::raw(letters.as_str()).width() <= width && letters.len() == text.len() {
        return letters;
    }
    let mut fitted = String::new();
    for letter in letters.chars() {
        let mut longer = fitted.clone();
        longer.push(letter);
        if Span::raw(longer.as_str()).width() + 1 > width {
            break;
        }
        fitted = longer;
    }
    if width > 0 {
        fitted.push('…');
    }
    fitted
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// From so many columns on the pages are named in the first line.
const WIDE: u16 = 90;
const HELP: &str = "\
 Tab, 1 2 3    next page: values, wires, traffic
 up down       choose; also j k, PageUp, PageDown, Home, End
 /             show only what contains a text; Esc shows all
 Enter, s      set the chosen value
 space         switch what is true or false
 - +           a step down or up; also left and right
 w             wire: first on what emits, then on the target
 d, Delete     remove the chosen wire
 q, Ctrl-C     end";

#[cfg(test)]
mod tests;
