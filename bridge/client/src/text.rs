//! Text of peers, safe on a terminal.

/// Text of a peer, without what steers a terminal or turns the direction in which text is read.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_steering(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Control characters, and those that end a line or turn the direction in which text is read.
#[must_use]
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}
