//! The properties that each end states of itself in the handshake, with every mechanism.
//!
//! Properties that are not known are skipped, names are compared without regard to case. Their number
//! is bounded by the length of a command.
//!
//! Spec: 23/ZMTP "Connection Metadata", "Socket Type Property".

use bytes::Bytes;

use crate::command::split_short;
use crate::error::{Error, Malformed, Unsupported, printable};
use crate::socket_kind::SocketKind;

/// Our properties.
pub(crate) fn encode(ours: SocketKind, identity: &[u8]) -> Vec<u8> {
    let mut properties = Vec::new();
    push_property(SOCKET_TYPE, ours.name().as_bytes(), &mut properties);
    push_property(IDENTITY, identity, &mut properties);
    properties
}

/// What the peer says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) socket_type: SocketKind,
    /// Empty if there was none.
    pub(crate) identity: Bytes,
}

/// Reads the peer's properties, and whether it can talk to us.
pub(crate) fn parse(ours: SocketKind, mut properties: &[u8]) -> Result<Peer, Error> {
    let (mut socket_type, mut identity) = (None, None);
    while !properties.is_empty() {
        let (name, value, rest) = split_property(properties).ok_or(Malformed::Property)?;
        if name.eq_ignore_ascii_case(SOCKET_TYPE.as_bytes()) {
            set_once(&mut socket_type, SOCKET_TYPE, value)?;
        } else if name.eq_ignore_ascii_case(IDENTITY.as_bytes()) {
            set_once(&mut identity, IDENTITY, value)?;
        }
        properties = rest;
    }
    let name = socket_type.ok_or(Malformed::SocketTypeMissing)?;
    let socket_type = SocketKind::from_name(name)
        .filter(|&peer| ours.talks_to(peer))
        .ok_or_else(|| Unsupported::SocketType {
            name: printable(name),
            ours,
        })?;
    let identity = identity.unwrap_or_default();
    if identity.len() > IDENTITY_LEN_MAX {
        let len = identity.len();
        return Err(Malformed::Identity { len }.into());
    }
    Ok(Peer {
        socket_type,
        identity: Bytes::copy_from_slice(identity),
    })
}

/// Name, value and what is behind them; `None` if that is not there or the name is empty.
fn split_property(octets: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_short(octets).filter(|(name, _)| !name.is_empty())?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    let (value, rest) = rest.split_at_checked(len)?;
    Some((name, value, rest))
}

fn set_once<'a>(
    slot: &mut Option<&'a [u8]>,
    name: &'static str,
    value: &'a [u8],
) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Malformed::PropertyTwice { name }),
    }
}

fn push_property(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

const SOCKET_TYPE: &str = "Socket-Type";
const IDENTITY: &str = "Identity";
/// The specification's.
const IDENTITY_LEN_MAX: usize = 255;
