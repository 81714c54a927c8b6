//! Names of files in messages, as paths.
//!
//! Model: a name is a URL `file://` or, where the interface allows that, a path.
//! Spec: RFC 8089, RFC 3986 section 2.1

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The path that a text names; `None` if it names no file of its own machine.
pub(super) fn path_of(text: &str) -> Option<PathBuf> {
    if text.len() > NAME_LEN_MAX {
        return None;
    }
    let octets = match text.strip_prefix("file://") {
        None => text.as_bytes().to_vec(),
        Some(rest) => decoded(rest.strip_prefix("localhost").unwrap_or(rest))?,
    };
    let is_path = octets.first() == Some(&b'/') && !octets.contains(&0);
    is_path.then(|| PathBuf::from(OsString::from_vec(octets)))
}

/// A path in the form of `like`.
pub(super) fn text_of(path: &Path, like: &str) -> String {
    let octets = path.as_os_str().as_bytes();
    if !like.starts_with("file://") {
        return String::from_utf8_lossy(octets).into_owned();
    }
    let mut text = "file://".to_owned();
    for octet in octets {
        match octet {
            b'/' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*octet)),
            octet if octet.is_ascii_alphanumeric() => text.push(char::from(*octet)),
            octet => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(octets)
}

/// Octets of the name of a file.
const NAME_LEN_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path_and_a_path_a_url() {
        for (text, path) in [
            ("file:///a/b.png", "/a/b.png"),
            ("file://localhost/a%20b/%C3%A9", "/a b/é"),
            ("/usr/share/icons/x.png", "/usr/share/icons/x.png"),
        ] {
            assert_eq!(path_of(text).as_deref(), Some(Path::new(path)), "{text}");
        }
        let long = format!("file:///{}", "a".repeat(NAME_LEN_MAX));
        for text in [
            "http://a/b.png",
            "file://other/a.png",
            "file:///a%00b",
            "file:///a%2",
            "file:///a%zz",
            "dialog-information",
            "",
            &long,
        ] {
            assert_eq!(path_of(text), None, "{text}");
        }
        let path = Path::new("/tmp/a é/b.png");
        let url = text_of(path, "file:///x");
        assert_eq!(url, "file:///tmp/a%20%C3%A9/b.png");
        assert_eq!(path_of(&url).as_deref(), Some(path));
        assert_eq!(text_of(path, "/x"), "/tmp/a é/b.png");
    }
}
