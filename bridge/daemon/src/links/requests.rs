//! What callers on the bus ask of the links: the methods of `org.z25.Zocp1.Links`.
//!
//! Limits: [`RELAYS_MAX`], [`CERTIFICATE_LEN_MAX`].

use futures_util::{FutureExt, future::BoxFuture};
use zbus::Variant;
use zocp_dbus::{
    errors::Refusal,
    server::{Answer, CallRequest, InterfaceHandler, unknown_method},
};

use super::Links;

impl InterfaceHandler for Links {
    fn call(&self, call: CallRequest) -> BoxFuture<'_, Answer> {
        async move {
            match &*call.member {
                "Add" => self.add(call.text(0)?, Vec::new(), None).await,
                "AddBy" => {
                    let options = Options::understand(call.arguments.get(1))?;
                    let Options {
                        relays,
                        certificate,
                    } = options;
                    self.add(call.text(0)?, relays, certificate).await
                }
                "Remove" => self.remove(call.text(0)?).await,
                "List" => self.list().await,
                _ => Err(unknown_method(&call)),
            }
        }
        .boxed()
    }
}

/// What a link by iroh needs beside its text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    relays: Vec<String>,
    certificate: Option<Vec<u8>>,
}

impl Options {
    /// Reads `a{sv}`.
    pub(super) fn understand(options: Option<&Variant<'_>>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        let Some(Variant::Dict(options)) = options else {
            return Ok(read);
        };
        for (key, value) in options.iter() {
            let (Variant::Str(key), Variant::Variant(value)) = (key, value) else {
                continue;
            };
            match (key.as_str(), &**value) {
                ("Relays", Variant::Array(relays)) if relays.len() <= RELAYS_MAX => {
                    let texts = relays.iter().map(|relay| match relay {
                        Variant::Str(text) => Ok(text.to_string()),
                        _ => Err(unknown("Relays")),
                    });
                    read.relays = texts.collect::<Result<_, _>>()?;
                }
                ("Relays", Variant::Array(_)) => {
                    let text = format!("more than {RELAYS_MAX} relays");
                    return Err(Refusal::LimitsExceeded(text));
                }
                ("RelayCertificate", Variant::Str(pem)) if pem.len() <= CERTIFICATE_LEN_MAX => {
                    read.certificate = Some(pem.as_bytes().to_vec());
                }
                ("RelayCertificate", Variant::Str(_)) => {
                    let text = format!("a certificate of more than {CERTIFICATE_LEN_MAX} octets");
                    return Err(Refusal::LimitsExceeded(text));
                }
                (key, _) => return Err(unknown(key)),
            }
        }
        Ok(read)
    }
}

fn unknown(key: &str) -> Refusal {
    Refusal::InvalidArgs(format!(
        "\"{key}\" is no option, or not of its type: there are Relays (as) and RelayCertificate (s)"
    ))
}

/// Relays of one link that is added by command.
pub(super) const RELAYS_MAX: usize = 16;
/// Octets of the certificates of its relays.
pub(super) const CERTIFICATE_LEN_MAX: usize = 64 << 10;
