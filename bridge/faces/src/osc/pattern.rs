//! Patterns of OSC addresses.
//!
//! Model: a [`Pattern`] is the segments between slashes; an empty one (`//`) stands for any number of segments. Within
//! a segment `?` is any character, `*` any number of them, `[a-c]` and `[!a-c]` one of a set, `{one,two}` one of some
//! texts. A text without any of these is an address.
//! Invariants: PATTERN-1. Matching keeps the set of all places where a match can have come to and goes on from all of
//! them at once: no pattern takes more steps than its length times that of the address (times the number of texts in braces).
//! Limits: those of an address; see `packet`.
//! Spec: OSC 1.0, and `//` of OSC 1.1 (as in XPath).

/// A pattern, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Any number of segments.
    Any,
    /// One segment that matches.
    One(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(char),
    Character,
    Characters,
    Set {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    Texts(Vec<Vec<char>>),
}

/// A bracket or a brace that is not closed, or an address that does not begin with a slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a pattern of addresses: a bracket or a brace is not closed, or no slash at its beginning"
)]
pub struct PatternError;

/// Whether a text is more than an address.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{']) || text.contains("//")
}

impl Pattern {
    /// Understands a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let below = text.strip_prefix('/').ok_or(PatternError)?;
        let parts: Vec<&str> = below.split('/').collect();
        let mut segments = Vec::with_capacity(parts.len());
        for part in parts {
            let segment = match part {
                "" => Segment::Any,
                part => Segment::One(tokens(part)?),
            };
            // Two in a row say no more than one.
            if segment != Segment::Any || segments.last() != Some(&Segment::Any) {
                segments.push(segment);
            }
        }
        Ok(Self(segments))
    }

    /// Whether an address matches.
    pub fn matches(&self, address: &str) -> bool {
        let Some(below) = address.strip_prefix('/') else {
            return false;
        };
        let names: Vec<Vec<char>> = below
            .split('/')
            .map(|name| name.chars().collect())
            .collect();
        // Where a match can be after the segments that were looked at: before the name of this number.
        let mut at = vec![false; names.len() + 1];
        at[0] = true;
        for segment in &self.0 {
            let mut next = vec![false; names.len() + 1];
            match segment {
                Segment::Any => {
                    let mut reached = false;
                    for (place, there) in at.iter().enumerate() {
                        reached |= there;
                        next[place] = reached;
                    }
                }
                Segment::One(tokens) => {
                    for (place, name) in names.iter().enumerate() {
                        next[place + 1] = at[place] && fits(tokens, name);
                    }
                }
            }
            at = next;
        }
        at[names.len()]
    }
}

fn tokens(segment: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut rest = segment.chars();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '?' => Token::Character,
            '*' => Token::Characters,
            '[' => set(until(&mut rest, ']')?),
            '{' => {
                let texts = until(&mut rest, '}')?;
                Token::Texts(
                    texts
                        .split(',')
                        .map(|text| text.chars().collect())
                        .collect(),
                )
            }
            other => Token::Literal(other),
        });
    }
    Ok(tokens)
}

fn until<'a>(rest: &mut std::str::Chars<'a>, end: char) -> Result<&'a str, PatternError> {
    let (within, behind) = rest.as_str().split_once(end).ok_or(PatternError)?;
    *rest = behind.chars();
    Ok(within)
}

fn set(text: &str) -> Token {
    let (negated, text) = match text.strip_prefix('!') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let characters: Vec<char> = text.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = characters.as_slice();
    loop {
        rest = match rest {
            [first, '-', last, rest @ ..] => {
                ranges.push((*first, *last));
                rest
            }
            [only, rest @ ..] => {
                ranges.push((*only, *only));
                rest
            }
            [] => return Token::Set { ranges, negated },
        };
    }
}

/// Whether a name is as the tokens of a segment say.
fn fits(tokens: &[Token], name: &[char]) -> bool {
    let mut at = vec![false; name.len() + 1];
    at[0] = true;
    for token in tokens {
        let mut next = vec![false; name.len() + 1];
        let places = (0..=name.len()).filter(|place| at[*place]);
        match token {
            Token::Characters => {
                if let Some(first) = places.min() {
                    next[first..].fill(true);
                }
            }
            Token::Texts(texts) => {
                for place in places {
                    for text in texts.iter().filter(|text| name[place..].starts_with(text)) {
                        next[place + text.len()] = true;
                    }
                }
            }
            one => {
                for place in places.filter(|place| *place < name.len()) {
                    next[place + 1] = is_one(one, name[place]);
                }
            }
        }
        at = next;
    }
    at[name.len()]
}

fn is_one(token: &Token, character: char) -> bool {
    match token {
        Token::Literal(literal) => *literal == character,
        Token::Character => true,
        Token::Set { ranges, negated } => {
            let mut ranges = ranges.iter();
            ranges.any(|(first, last)| (*first..=*last).contains(&character)) != *negated
        }
        Token::Characters | Token::Texts(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_the_specification_says() {
        let table = [
            ("/lamp/level", "/lamp/level", true),
            ("/lamp/level", "/lamp/levels", false),
            ("/lamp/?evel", "/lamp/level", true),
            ("/lamp/?", "/lamp/level", false),
            ("/*/level", "/lamp/level", true),
            ("/*", "/lamp/level", false),
            ("/lamp*/l*l", "/lamp2/level", true),
            ("/ch[1-3]/x", "/ch2/x", true),
            ("/ch[1-3]/x", "/ch4/x", false),
            ("/ch[!1-3]/x", "/ch4/x", true),
            ("/ch[abc-]/x", "/ch-/x", true),
            ("/{left,right}/x", "/right/x", true),
            ("/{left,right}/x", "/middle/x", false),
            ("/{l,left}/x", "/left/x", true),
            ("/{l,left}{eft,}/x", "/left/x", true),
            ("//level", "/lamp/level", true),
            ("//level", "/level", true),
            ("//level", "/a/b/c/level", true),
            ("/a//z", "/a/b/c/z", true),
            ("/a//z", "/a/z", true),
            ("/a//z", "/b/z", false),
            ("/a//*", "/a/b/c", true),
        ];
        for (pattern, address, expected) in table {
            let matches = Pattern::parse(pattern).unwrap().matches(address);
            assert_eq!(matches, expected, "{pattern} {address}");
        }
        for broken in ["/a[", "/a{b", "a"] {
            assert_eq!(Pattern::parse(broken), Err(PatternError), "{broken}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_ages_takes_none() {
        let pattern = Pattern::parse(&format!("/{}b", "*a".repeat(500))).unwrap();
        assert!(!pattern.matches(&format!("/{}", "a".repeat(1000))));
        let pattern = Pattern::parse(&format!("/{}", "{a,aa,aaa}".repeat(100))).unwrap();
        assert!(!pattern.matches(&format!("/{}b", "a".repeat(200))));
    }

    proptest! {
        #[test]
        fn an_address_matches_itself(address in "(/[a-z0-9_]{1,8}){1,5}") {
            prop_assert!(Pattern::parse(&address).unwrap().matches(&address));
            prop_assert!(!is_pattern(&address));
        }

        #[test]
        fn any_text_is_a_pattern_or_none(pattern in "/.{0,40}", address in "/.{0,40}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(&address);
            }
        }
    }
}
