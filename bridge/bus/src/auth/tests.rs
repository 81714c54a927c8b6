use super::*;

const GUID: &str = "0123456789abcdef0123456789abcdef";
const OK: &str = "OK 0123456789abcdef0123456789abcdef\r\n";

fn auth(anonymous: bool) -> Auth {
    let credentials = Credentials {
        user: Some(1000),
        ..Credentials::default()
    };
    let admitted = Admitted {
        users: vec![0, 1000],
        anonymous,
    };
    Auth::new(GUID, &credentials, admitted)
}

/// What is answered, whether it came to BEGIN, and what is left.
fn talk(auth: &mut Auth, said: &str) -> (String, bool, String) {
    let mut input = said.as_bytes();
    let has_begun = auth.input(&mut input).unwrap();
    let answer = String::from_utf8(auth.take_output()).unwrap();
    (
        answer,
        has_begun,
        String::from_utf8(input.to_vec()).unwrap(),
    )
}

#[test]
fn all_in_one_write_as_gdbus_does() {
    let said = "\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl...";
    let mut auth = auth(false);
    let (answer, has_begun, rest) = talk(&mut auth, said);
    assert_eq!(answer, format!("{OK}AGREE_UNIX_FD\r\n"));
    assert!(has_begun && auth.may_send_descriptors());
    assert_eq!(rest, "l...");
}

#[test]
fn split_anywhere_the_answers_are_the_same() {
    let said = "\0AUTH\r\nAUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
    let whole = talk(&mut auth(false), said).0;
    assert_eq!(
        whole,
        format!("REJECTED EXTERNAL\r\nDATA\r\n{OK}AGREE_UNIX_FD\r\n")
    );
    for at in 0..said.len() {
        let mut auth = auth(false);
        let mut answer = talk(&mut auth, &said[..at]).0;
        answer += &talk(&mut auth, &said[at..]).0;
        assert_eq!(answer, whole, "{at}");
    }
}

#[test]
fn without_an_initial_response_as_sd_bus_does() {
    let said = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
    assert_eq!(
        talk(&mut auth(false), said),
        (format!("DATA\r\n{OK}"), true, String::new())
    );
    let said = "\0AUTH EXTERNAL\r\nDATA 31303030\r\nBEGIN\r\n";
    assert_eq!(
        talk(&mut auth(false), said),
        (format!("DATA\r\n{OK}"), true, String::new())
    );
}

#[test]
fn who_is_somebody_else_is_refused() {
    // 1001, 0, a word.
    for identity in ["31303031", "30", "726f6f74"] {
        let said = format!("\0AUTH EXTERNAL {identity}\r\n");
        assert_eq!(talk(&mut auth(false), &said).0, "REJECTED EXTERNAL\r\n");
    }
    let mut stranger = auth(false);
    stranger.user = Some(1001);
    assert_eq!(
        talk(&mut stranger, "\0AUTH EXTERNAL 31303031\r\n").0,
        "REJECTED EXTERNAL\r\n"
    );
    let mut unknown = auth(false);
    unknown.user = None;
    assert_eq!(
        talk(&mut unknown, "\0AUTH EXTERNAL\r\nDATA\r\n").0,
        "DATA\r\nREJECTED EXTERNAL\r\n"
    );
}

#[test]
fn nobody_comes_anonymously_unless_that_is_allowed() {
    let said = "\0AUTH ANONYMOUS 616e79\r\n";
    assert_eq!(talk(&mut auth(false), said).0, "REJECTED EXTERNAL\r\n");
    assert_eq!(talk(&mut auth(true), said).0, OK);
    let said = "\0AUTH DBUS_COOKIE_SHA1 616e79\r\nAUTH NONE\r\n";
    let refused = "REJECTED EXTERNAL ANONYMOUS\r\n".repeat(2);
    assert_eq!(talk(&mut auth(true), said).0, refused);
}

#[test]
fn what_is_out_of_place_is_an_error_and_the_conversation_goes_on() {
    let said = "\0HELP\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nAUTH EXTERNAL 3x\r\nAUTH EXTERNAL\r\nAUTH EXTERNAL\r\nCANCEL\r\n\
        AUTH EXTERNAL 31303030\r\nCANCEL\r\nAUTH EXTERNAL 31303030\r\nAUTH EXTERNAL 31303030\r\n";
    let answer = talk(&mut auth(false), said).0;
    let kinds: Vec<&str> = answer
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let wanted = [
        "ERROR", "ERROR", "ERROR", "ERROR", "DATA", "ERROR", "REJECTED", "OK", "REJECTED", "OK",
        "ERROR",
    ];
    assert_eq!(kinds, wanted);
}

#[test]
fn a_conversation_that_fails_ends() {
    let fails = |said: &str| auth(false).input(&mut said.as_bytes()).is_err();
    assert!(fails("AUTH EXTERNAL\r\n"), "no zero octet");
    assert!(fails("\0BEGIN\r\n"));
    assert!(fails("\0AUTH EXTERNAL\r\nBEGIN\r\n"));
    assert!(fails(&format!("\0{}", "A".repeat(5000))));
    assert!(fails(&format!("\0{}", "AUTH\r\n".repeat(6))));
    assert!(!fails(&format!("\0{}", "AUTH\r\n".repeat(5))));
}
