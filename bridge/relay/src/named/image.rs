//! Whether octets are a picture.
//!
//! Spec: the signatures of PNG, JPEG, GIF, WebP, BMP, TIFF, ICO, AVIF and SVG

/// The customary ending of the name of a picture, by its first octets; `None` if they begin none.
pub(super) fn ending(octets: &[u8]) -> Option<&'static str> {
    let is_at = |at: usize, wanted: &[u8]| octets.get(at..at + wanted.len()) == Some(wanted);
    let signatures: [(usize, &[u8], &str); 9] = [
        (0, b"\x89PNG\r\n\x1a\n", "png"),
        (0, b"\xff\xd8\xff", "jpg"),
        (0, b"GIF8", "gif"),
        (8, b"WEBP", "webp"),
        (0, b"BM", "bmp"),
        (0, b"II*\0", "tif"),
        (0, b"MM\0*", "tif"),
        (0, b"\0\0\x01\0", "ico"),
        (4, b"ftypavif", "avif"),
    ];
    let found = signatures.iter().find(|(at, octets, _)| is_at(*at, octets));
    found.map(|(.., ending)| *ending).or_else(|| {
        let begin = &octets[..octets.len().min(SVG_BEGIN_MAX)];
        let is_svg = begin.first() == Some(&b'<') && begin.windows(4).any(|it| it == b"<svg");
        is_svg.then_some("svg")
    })
}

/// Octets within which the element of an SVG begins.
const SVG_BEGIN_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_told_by_their_first_octets() {
        assert_eq!(ending(b"\x89PNG\r\n\x1a\n...."), Some("png"));
        assert_eq!(ending(b"\xff\xd8\xff\xe0"), Some("jpg"));
        assert_eq!(ending(b"RIFF\0\0\0\0WEBPVP8 "), Some("webp"));
        assert_eq!(ending(b"<?xml version=\"1.0\"?>\n<svg/>"), Some("svg"));
        for text in [
            &b"root:x:0:0::/root:"[..],
            b"<?xml?><policy/>",
            b"",
            b"%PDF",
            b"x <svg",
        ] {
            assert_eq!(ending(text), None);
        }
    }
}
