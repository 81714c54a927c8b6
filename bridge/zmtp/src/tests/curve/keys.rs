//! Keys: which are usable, what is shown of them, and their text form (Z85).

use proptest::prelude::*;

use super::{entropy, pair, server};
use crate::{KeyError, KeyPair, Limits, PublicKey, Z85Error};

// The test vectors of 32/Z85 and of libzmq's curve tests.
#[test]
fn keys_are_read_and_written_as_libzmq_does() {
    let secret = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";
    let public = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
    let pair = KeyPair::from_secret_text(secret).unwrap();
    assert_eq!(pair.public().to_string(), public);
    assert_eq!(public.parse(), Ok(pair.public()));
    assert_eq!(*pair.secret_text(), secret);
}

#[test]
fn a_text_that_is_no_key_says_where_it_goes_wrong() {
    let parse = |text: &str| text.parse::<PublicKey>().unwrap_err();
    let length = |len| KeyError::from(Z85Error::Length { len });
    assert_eq!(parse(""), length(0));
    assert_eq!(parse(&"0".repeat(41)), length(41));
    let character = |at| KeyError::from(Z85Error::Character { at });
    assert_eq!(parse(&format!("{}~", "0".repeat(39))), character(40));
    assert_eq!(
        parse(&format!("00000##### {}", "0".repeat(29))),
        character(10)
    );
    // 20 characters of two octets each.
    assert_eq!(parse(&"é".repeat(20)), character(1));
}

#[test]
fn the_keys_whose_secrets_everybody_knows_are_refused() {
    let order_8 = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for key in [[0; 32], one, order_8, minus_one] {
        assert_eq!(PublicKey::new(key), Err(KeyError::LowOrder), "{key:x?}");
    }
    assert!(PublicKey::new([9; 32]).is_ok());
}

// X25519 takes numbers modulo 2^255 - 19 and ignores the topmost bit.
#[test]
fn a_key_has_one_form() {
    let of = |low, middle, high| {
        let mut key = [middle; 32];
        (key[0], key[31]) = (low, high);
        PublicKey::new(key)
    };
    let mut topmost = *pair(1).public().as_bytes();
    topmost[31] |= 0x80;
    assert_eq!(PublicKey::new(topmost), Err(KeyError::NotCanonical));
    for low in [0xed, 0xf6, 0xff] {
        assert_eq!(of(low, 0xff, 0x7f), Err(KeyError::NotCanonical));
    }
    assert!(of(0xeb, 0xff, 0x7f).is_ok());
    assert!(of(0xff, 0xfe, 0x7f).is_ok());
}

#[test]
fn a_fingerprint_is_the_beginning_of_the_key() {
    let mut octets = [0x12; 32];
    octets[1] = 0x0f;
    let key = PublicKey::new(octets).unwrap();
    assert_eq!(key.fingerprint(), "120f-1212-1212-1212-1212");
}

#[test]
fn no_secret_is_in_what_is_printed() {
    let pair = pair(0xab);
    let secret = [&*pair.secret_text(), "171, 171", "abab", "ABAB"].map(str::to_owned);
    let shown = format!("{pair:?} {pair:#?} {:?}", entropy(0xab));
    assert!(shown.contains(&pair.public().to_string()));
    for text in &secret {
        assert!(!shown.contains(text.as_str()), "{shown}");
    }
    let (client, _) = super::met(&Limits::default());
    for connection in [client, server(&Limits::default())] {
        let shown = format!("{connection:?}");
        // The secrets of the two ends, and of their connection.
        for number in [1, 2, 0x40, 0x60] {
            let octets = format!("{number}, {number}, {number}, {number}");
            assert!(!shown.contains(&octets), "{shown}");
        }
    }
}

#[test]
fn a_drawn_pair_is_what_was_drawn_and_a_failing_source_is_told() {
    let drawn = KeyPair::draw(|octets| {
        octets.fill(7);
        Ok::<_, ()>(())
    });
    assert_eq!(drawn.unwrap().public(), pair(7).public());
    assert_eq!(KeyPair::draw(|_| Err("none")).unwrap_err(), "none");
}

proptest! {
    #[test]
    fn any_key_comes_back_from_its_text(secret in any::<[u8; 32]>()) {
        let pair = KeyPair::from_secret(&secret);
        let public = pair.public();
        prop_assert_eq!(public.to_string().parse(), Ok(public));
        prop_assert_eq!(KeyPair::from_secret_text(&pair.secret_text()).unwrap().public(), public);
    }

    #[test]
    fn any_text_is_a_key_or_an_error(text in "\\PC{0,45}") {
        if let Ok(key) = text.parse::<PublicKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}
