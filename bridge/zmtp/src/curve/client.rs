//! The handshake of the client: HELLO, then INITIATE, then READY comes.
//!
//! Spec: 26/CURVEZMQ "The HELLO Command" and those after it, as the client.

use crypto_box::SalsaBox;
use zeroize::Zeroizing;

use super::boxes::{self, TAG_LEN};
use super::entropy::Entropy;
use super::nonce::{self, Counter, Rising, Use};
use super::session::{Role, Session};
use super::split;
use crate::command;
use crate::error::{Error, Forged, Malformed};
use crate::keys::{KeyPair, PublicKey};

/// Before HELLO.
pub(crate) struct Client {
    keys: KeyPair,
    server: PublicKey,
    entropy: Entropy,
}

/// HELLO is sent: WELCOME is to come.
pub(crate) struct Hailed {
    keys: KeyPair,
    server: PublicKey,
    /// `C'`.
    transient: KeyPair,
    /// Between `C'` and `S`.
    opening: SalsaBox,
    vouch_nonce: [u8; 16],
    counter: Counter,
}

/// INITIATE is sent: READY is to come.
pub(crate) struct Initiated {
    /// Between `C'` and `S'`.
    shared: SalsaBox,
    counter: Counter,
}

impl Client {
    pub(crate) fn new(keys: &KeyPair, server: PublicKey, entropy: Entropy) -> Self {
        Self {
            keys: keys.clone(),
            server,
            entropy,
        }
    }

    /// Appends HELLO.
    pub(crate) fn hello(self, out: &mut Vec<u8>) -> Hailed {
        let transient = KeyPair::from_secret(&self.entropy.secret);
        let opening = transient.shared_with(self.server);
        let (number, counter) = Counter::begin();
        let mut hello = Vec::with_capacity(HELLO_LEN);
        hello.extend_from_slice(&VERSION);
        hello.extend_from_slice(&PADDING);
        hello.extend_from_slice(transient.public().as_bytes());
        hello.extend_from_slice(&number.to_be_bytes());
        let nonce = nonce::short(Use::Hello, number);
        boxes::seal(&opening, &nonce, &[&SIGNATURE], &mut hello);
        command::encode(command::HELLO, &hello, out);
        Hailed {
            keys: self.keys,
            server: self.server,
            transient,
            opening,
            vouch_nonce: self.entropy.nonces[0],
            counter,
        }
    }
}

impl Hailed {
    /// Takes WELCOME and appends INITIATE with our metadata.
    pub(crate) fn welcome(
        mut self,
        mut data: &[u8],
        metadata: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Initiated, Error> {
        let malformed = Malformed::Curve { command: "WELCOME" };
        let long = split::<16>(&mut data).ok_or(malformed)?;
        if data.len() != TAG_LEN + KEY_LEN + COOKIE_LEN {
            return Err(malformed.into());
        }
        let nonce = nonce::long(nonce::WELCOME, long);
        let text = boxes::open(&self.opening, &nonce, data).ok_or(Forged::Welcome)?;
        let mut cookie = text.as_slice();
        let server_transient = split::<KEY_LEN>(&mut cookie).ok_or(malformed)?;
        let server_transient = PublicKey::new(*server_transient).map_err(Malformed::from)?;
        let shared = self.transient.shared_with(server_transient);
        let vouch = self.vouch(server_transient);

        let number = self.counter.draw()?;
        let mut initiate = Vec::new();
        initiate.extend_from_slice(cookie);
        initiate.extend_from_slice(&number.to_be_bytes());
        let ours = self.keys.public();
        let parts: [&[u8]; 4] = [ours.as_bytes(), &self.vouch_nonce, &vouch, metadata];
        let nonce = nonce::short(Use::Initiate, number);
        boxes::seal(&shared, &nonce, &parts, &mut initiate);
        command::encode(command::INITIATE, &initiate, out);
        Ok(Initiated {
            shared,
            counter: self.counter,
        })
    }

    /// The box from `C` to `S'` which says that `C'` is ours and meant for `S`.
    fn vouch(&self, server_transient: PublicKey) -> Vec<u8> {
        let transient = self.transient.public();
        let nonce = nonce::long(nonce::VOUCH, &self.vouch_nonce);
        let mut vouch = Vec::with_capacity(VOUCH_LEN);
        boxes::seal(
            &self.keys.shared_with(server_transient),
            &nonce,
            &[transient.as_bytes(), self.server.as_bytes()],
            &mut vouch,
        );
        vouch
    }
}

impl Initiated {
    /// Takes READY: the server's metadata, and what follows.
    pub(crate) fn ready(self, mut data: &[u8]) -> Result<(Zeroizing<Vec<u8>>, Session), Error> {
        let number = split(&mut data).ok_or(Malformed::Curve { command: "READY" })?;
        let number = u64::from_be_bytes(*number);
        let nonce = nonce::short(Use::Ready, number);
        let metadata = boxes::open(&self.shared, &nonce, data).ok_or(Forged::Ready)?;
        let theirs = Rising::after(number);
        let session = Session::new(Role::Client, self.shared, self.counter, theirs);
        Ok((metadata, session))
    }
}

pub(super) const VERSION: [u8; 2] = [1, 0];
/// So that HELLO is longer than WELCOME.
pub(super) const PADDING: [u8; 72] = [0; 72];
pub(super) const SIGNATURE: [u8; 64] = [0; 64];
pub(super) const HELLO_LEN: usize = 194;
pub(super) const KEY_LEN: usize = 32;
pub(super) const COOKIE_LEN: usize = 96;
pub(super) const VOUCH_LEN: usize = TAG_LEN + 2 * KEY_LEN;
