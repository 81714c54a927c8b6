//! What goes to stdout: text for people, JSON for programs.
//!
//! Invariants: OUTPUT-1. no colour when stdout is not a terminal or `NO_COLOR` is set. OUTPUT-2. each write is
//! flushed, so that a pipe's reader sees it at once. OUTPUT-3. a reader that is gone is no error: it comes
//! out as a quiet [`Failure`](crate::exit::Failure). OUTPUT-4. what peers named is printed without characters that
//! steer a terminal or turn the reading direction ([`printable`]): a node's name must not move the cursor.
//! JSON has them as `\u` escapes. A value alone goes into a pipe as it is, and to a terminal with its lines
//! and tabs.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use rustix::termios::tcgetwinsize;
use serde_json::Value;
use zocp_client::text::is_steering;

pub(crate) use zocp_client::text::printable;

/// Standard output and how to write to it.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    is_terminal: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_terminal = io::stdout().is_terminal();
        Self {
            json,
            is_terminal,
            colour: !plain && is_terminal,
        }
    }

    /// Prints text as it is; its lines end with a line feed already.
    pub(crate) fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Prints one line.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        self.text(&format!("{line}\n"))
    }

    /// A line in parts that fit a terminal behind `indent` columns; elsewhere as it is.
    pub(crate) fn wrapped(&self, line: &str, indent: usize) -> Vec<String> {
        let columns = match self.is_terminal {
            true => tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col)),
            false => 0,
        };
        let width = columns.saturating_sub(indent);
        if width < WRAPPED_MIN {
            return vec![line.to_owned()];
        }
        wrap(line, width)
    }

    /// Prints JSON for reading: with indentation.
    pub(crate) fn value(&self, value: &Value) -> io::Result<()> {
        self.line(&escaped(&format!("{value:#}")))
    }

    /// Prints JSON for programs: in one line.
    pub(crate) fn json_line(&self, json: &str) -> io::Result<()> {
        self.line(&escaped(json))
    }

    /// Prints a value alone, for a program to take or a person to look at.
    pub(crate) fn plain_value(&self, value: &str) -> io::Result<()> {
        match self.is_terminal {
            true => self.line(&printable_lines(value)),
            false => self.line(value),
        }
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }

    /// A state that somebody should do something about.
    pub(crate) fn bad(&self, text: &str) -> String {
        self.styled("1;31", text)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// As [`printable`], with its lines and tabs.
pub(crate) fn printable_lines(text: &str) -> String {
    let is_kept = |c: char| matches!(c, '\n' | '\t') || !is_steering(c);
    text.chars()
        .map(|c| if is_kept(c) { c } else { '\u{fffd}' })
        .collect()
}

/// A line in parts of at most this many characters, cut at spaces; a word that is longer stays whole.
fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((end, next)) = rest.char_indices().nth(width) {
        let (head, _) = rest.split_at(end);
        let fits = if next == ' ' {
            Some(end)
        } else {
            head.rfind(' ')
        };
        let Some(at) = fits.filter(|at| *at > 0) else {
            break;
        };
        let (part, behind) = rest.split_at(at);
        parts.push(part.trim_end().to_owned());
        rest = behind.trim_start();
    }
    parts.push(rest.to_owned());
    parts
}

/// JSON with the characters that steer a terminal as escapes. They stand in its strings alone; the lines
/// of its indentation stay.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c != '\n' && is_steering(c) => {
                // All of them are below U+10000.
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// What takes events of the log, each in one write with a line feed at its end: no text in an event begins
/// a line of its own, which would look like an event of ours. Escape sequences of texts are
/// escaped by the formatter.
pub(crate) struct OneLine<W>(pub(crate) W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        if !line.contains(is_breaking) {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let escaped: String = line
            .chars()
            .map(|c| match is_breaking(c) {
                true => c.escape_default().to_string(),
                false => c.to_string(),
            })
            .collect();
        self.0.write_all(escaped.as_bytes())?;
        self.0.write_all(end.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a character ends a line, or turns the direction in which it is read.
fn is_breaking(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}') || (!c.is_control() && is_steering(c))
}

/// Lines of columns, each as wide as its widest cell up to [`COLUMN_MAX`]; wider cells stick out. The last
/// is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .filter(|&width| width <= COLUMN_MAX)
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    rows.iter()
        .map(|row| {
            let last = row.len().saturating_sub(1);
            row.iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, &width))| {
                    if column == last {
                        cell.clone()
                    } else {
                        format!("{cell:width$}")
                    }
                })
                .collect()
        })
        .collect()
}

/// One endless name must not push the rest of every line off the screen.
const COLUMN_MAX: usize = 60;
/// Narrower than this nothing is cut: the terminal does it as well.
const WRAPPED_MIN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_cell_widens_nobody_elses() {
        let long = "x".repeat(COLUMN_MAX + 1);
        let rows = ["a", &long].map(|name| vec![name.to_owned(), "y".to_owned()]);
        let lines: Vec<String> = table(&rows).iter().map(|row| row.join("  ")).collect();
        assert_eq!(lines, ["a  y".to_owned(), format!("{long}  y")]);
    }

    #[test]
    fn a_line_is_cut_at_spaces_only_where_it_is_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 13), ["one two three"]);
        assert_eq!(wrap("unbreakable one", 5), ["unbreakable one"]);
        assert_eq!(wrap("\u{fc}\u{fc} \u{fc}", 2), ["\u{fc}\u{fc}", "\u{fc}"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let lines: Vec<String> = table(&[row("a", "x"), row("long", "yy")])
            .iter()
            .map(|row| row.join("  "))
            .collect();
        assert_eq!(lines, ["a     x", "long  yy"]);
    }

    #[test]
    fn control_characters_of_a_peer_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        // The control sequence introducer in one character, a line separator, a turned direction.
        assert_eq!(
            printable("\u{9b}2J\u{2028}\u{202e}\u{2067}"),
            "\u{fffd}2J\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(printable_lines("a\tb\n\x1b"), "a\tb\n\u{fffd}");
        for c in '\0'..=char::MAX {
            let shown = printable(&c.to_string());
            assert!(!shown.chars().any(char::is_control), "{c:?}");
        }
    }

    #[test]
    fn an_event_of_the_log_is_one_line_whatever_is_in_it() {
        let mut out = OneLine(Vec::new());
        out.write_all("\x1b[33m WARN\x1b[0m a\nWARN b\r\u{2028}\n".as_bytes())
            .unwrap();
        out.write_all(b"plain\n").unwrap();
        let said = String::from_utf8(out.0).unwrap();
        assert_eq!(said, "\x1b[33m WARN\x1b[0m a\\nWARN b\\r\\u{2028}\nplain\n");
    }

    #[test]
    fn json_says_the_same_with_escapes() {
        let text: String = ('\0'..='\u{20ff}').collect();
        let value = serde_json::json!({ text.as_str(): [text.as_str()] });
        let shown = escaped(&format!("{value:#}"));
        assert!(!shown.chars().any(|c| c != '\n' && is_steering(c)));
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
