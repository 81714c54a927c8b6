//! The handshake of the server: HELLO comes, WELCOME, INITIATE comes; then its owner decides.
//!
//! Invariant: between WELCOME and INITIATE the server keeps no transient key, only the key of the
//! cookie; that one is drawn for this connection, so a cookie opens nowhere else and only here.
//!
//! Spec: 26/CURVEZMQ "The HELLO Command" and those after it, as the server.

use crypto_box::SalsaBox;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use zeroize::Zeroizing;

use super::boxes::{self, TAG_LEN};
use super::client::{COOKIE_LEN, KEY_LEN, PADDING, SIGNATURE, VERSION, VOUCH_LEN};
use super::entropy::Entropy;
use super::nonce::{self, Counter, Rising, Use};
use super::session::{Role, Session};
use super::split;
use crate::command;
use crate::error::{Error, Forged, Malformed};
use crate::keys::{KeyPair, PublicKey};

/// Before HELLO.
pub(crate) struct Server {
    keys: KeyPair,
    entropy: Entropy,
}

/// WELCOME is sent: INITIATE is to come.
pub(crate) struct Welcomed {
    ours: PublicKey,
    cookie: XSalsa20Poly1305,
    numbers: Rising,
}

/// The client has proved who it is. Nothing has been said about it yet.
pub(crate) struct Introduced {
    /// `C`.
    pub(crate) client: PublicKey,
    /// What the client says of itself.
    pub(crate) metadata: Zeroizing<Vec<u8>>,
    shared: SalsaBox,
    numbers: Rising,
}

impl Server {
    pub(crate) fn new(keys: &KeyPair, entropy: Entropy) -> Self {
        Self {
            keys: keys.clone(),
            entropy,
        }
    }

    /// Takes HELLO and appends WELCOME.
    pub(crate) fn hello(self, data: &[u8], out: &mut Vec<u8>) -> Result<Welcomed, Error> {
        let hello = Hello::parse(data)?;
        let client = PublicKey::new(*hello.client).map_err(Malformed::from)?;
        let opening = self.keys.shared_with(client);
        let nonce = nonce::short(Use::Hello, hello.number);
        let signature = boxes::open(&opening, &nonce, hello.signature).ok_or(Forged::Hello)?;
        if *signature != SIGNATURE {
            return Err(Forged::Hello.into());
        }

        let [cookie_nonce, welcome_nonce] = &self.entropy.nonces;
        let transient = KeyPair::from_secret(&self.entropy.secret);
        let cookie = XSalsa20Poly1305::new((&*self.entropy.cookie_key).into());
        let mut sealed_cookie = Vec::with_capacity(COOKIE_LEN);
        sealed_cookie.extend_from_slice(cookie_nonce);
        let nonce = nonce::long(nonce::COOKIE, cookie_nonce);
        let secret = transient.secret_octets();
        let inside = [client.as_bytes().as_slice(), secret.as_slice()];
        boxes::seal(&cookie, &nonce, &inside, &mut sealed_cookie);

        let mut welcome = Vec::new();
        welcome.extend_from_slice(welcome_nonce);
        let nonce = nonce::long(nonce::WELCOME, welcome_nonce);
        let public = transient.public();
        let inside = [public.as_bytes().as_slice(), &sealed_cookie];
        boxes::seal(&opening, &nonce, &inside, &mut welcome);
        command::encode(command::WELCOME, &welcome, out);
        Ok(Welcomed {
            ours: self.keys.public(),
            cookie,
            numbers: Rising::after(hello.number),
        })
    }
}

/// The fields of HELLO.
struct Hello<'a> {
    client: &'a [u8; KEY_LEN],
    number: u64,
    signature: &'a [u8],
}

impl<'a> Hello<'a> {
    fn parse(mut data: &'a [u8]) -> Result<Self, Malformed> {
        let malformed = Malformed::Curve { command: "HELLO" };
        let mut fields = || -> Option<(&'a [u8; 2], &'a [u8; 72], Self)> {
            let (version, padding) = (split(&mut data)?, split(&mut data)?);
            let hello = Self {
                client: split(&mut data)?,
                number: u64::from_be_bytes(*split(&mut data)?),
                signature: data,
            };
            Some((version, padding, hello))
        };
        let (version, padding, hello) = fields().ok_or(malformed)?;
        let is_whole = hello.signature.len() == TAG_LEN + SIGNATURE.len();
        if *version != VERSION || *padding != PADDING || !is_whole {
            return Err(malformed);
        }
        Ok(hello)
    }
}

impl Welcomed {
    /// Takes INITIATE: who the client is, proved.
    pub(crate) fn initiate(mut self, mut data: &[u8]) -> Result<Introduced, Error> {
        let malformed = Malformed::Curve {
            command: "INITIATE",
        };
        let long = split(&mut data).ok_or(malformed)?;
        let cookie = split::<{ COOKIE_LEN - 16 }>(&mut data).ok_or(malformed)?;
        let number = split(&mut data).ok_or(malformed)?;
        let number = u64::from_be_bytes(*number);
        self.numbers.accept(number)?;

        let nonce = nonce::long(nonce::COOKIE, long);
        let inside = boxes::open(&self.cookie, &nonce, cookie).ok_or(Forged::Cookie)?;
        let mut inside = inside.as_slice();
        let client_transient = split(&mut inside).ok_or(Forged::Cookie)?;
        let client_transient = PublicKey::new(*client_transient).map_err(Malformed::from)?;
        let transient = KeyPair::from_secret(split(&mut inside).ok_or(Forged::Cookie)?);
        let shared = transient.shared_with(client_transient);

        let nonce = nonce::short(Use::Initiate, number);
        let text = boxes::open(&shared, &nonce, data).ok_or(Forged::Initiate)?;
        let mut rest = text.as_slice();
        let client = split(&mut rest).ok_or(malformed)?;
        let client = PublicKey::new(*client).map_err(Malformed::from)?;
        let vouch_nonce = split(&mut rest).ok_or(malformed)?;
        let vouch = split::<VOUCH_LEN>(&mut rest).ok_or(malformed)?;
        let nonce = nonce::long(nonce::VOUCH, vouch_nonce);
        let vouched = boxes::open(&transient.shared_with(client), &nonce, vouch);
        let expected = [client_transient.as_bytes().as_slice(), self.ours.as_bytes()];
        if *vouched.ok_or(Forged::Vouch)? != expected.concat() {
            return Err(Forged::Vouch.into());
        }
        Ok(Introduced {
            client,
            metadata: Zeroizing::new(rest.to_vec()),
            shared,
            numbers: self.numbers,
        })
    }
}

impl Introduced {
    /// Appends READY with our metadata, and goes on to what follows.
    pub(crate) fn ready(self, metadata: &[u8], out: &mut Vec<u8>) -> Session {
        let (number, counter) = Counter::begin();
        let mut ready = number.to_be_bytes().to_vec();
        let nonce = nonce::short(Use::Ready, number);
        boxes::seal(&self.shared, &nonce, &[metadata], &mut ready);
        command::encode(command::READY, &ready, out);
        Session::new(Role::Server, self.shared, counter, self.numbers)
    }
}
