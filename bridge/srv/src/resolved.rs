//! systemd-resolved, asked over D-Bus.
//!
//! Model: a connection to the system bus for each question, since questions are rare. systemd-resolved is not started by
//! a question: where it does not run it is not what this machine uses.
//! Limits: those of `lookup`.
//! Spec: org.freedesktop.resolve1(5), `ResolveService`.

use zbus::{Connection, fdo, names::BusName};

use crate::records::{LookupError, Records, SrvRecord};

/// A record: priority, weight, port, host, addresses of the host, its canonical name.
type Service = (u16, u16, u16, String, Vec<(i32, i32, Vec<u8>)>, String);
/// Records, texts, canonical name, type, domain, flags.
type Answer = (Vec<Service>, Vec<Vec<u8>>, String, String, String, u64);

#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1"
)]
trait Resolver {
    #[zbus(no_autostart)]
    #[allow(clippy::too_many_arguments, reason = "it is so declared")]
    fn resolve_service(
        &self,
        ifindex: i32,
        name: &str,
        r#type: &str,
        domain: &str,
        family: i32,
        flags: u64,
    ) -> zbus::Result<Answer>;
}

/// The records of a name; `None` where systemd-resolved does not run.
pub(crate) async fn look_up(domain: &str) -> Option<Result<Records, LookupError>> {
    let bus = Connection::system().await.ok()?;
    let names = fdo::DBusProxy::new(&bus).await.ok()?;
    let service = BusName::try_from(SERVICE).ok()?;
    if !names.name_has_owner(service).await.ok()? {
        return None;
    }
    let resolver = ResolverProxy::new(&bus).await.ok()?;
    let flags = NO_TXT | NO_ADDRESS;
    let answer = resolver
        .resolve_service(ANY_INTERFACE, "", "", domain, ANY_FAMILY, flags)
        .await;
    Some(match answer {
        Ok((services, ..)) if services.is_empty() => Err(LookupError::Missing),
        Ok((services, ..)) => Ok(Records {
            records: services.into_iter().map(record).collect(),
            holds: None,
        }),
        Err(error) => Err(of_error(&error)),
    })
}

fn record((priority, weight, port, target, ..): Service) -> SrvRecord {
    SrvRecord {
        priority,
        weight,
        target,
        port,
    }
}

fn of_error(error: &zbus::Error) -> LookupError {
    if let zbus::Error::MethodError(name, text, _) = error {
        if MISSING.contains(&name.as_str()) {
            return LookupError::Missing;
        }
        let text = text.clone().unwrap_or_default();
        return LookupError::Failed(format!("systemd-resolved: {text} ({name})"));
    }
    LookupError::Failed(format!("systemd-resolved: {error}"))
}

const SERVICE: &str = "org.freedesktop.resolve1";
/// Errors that say that there is nothing.
const MISSING: [&str; 3] = [
    "org.freedesktop.resolve1.DnsError.NXDOMAIN",
    "org.freedesktop.resolve1.NoSuchRR",
    "org.freedesktop.resolve1.NoSuchService",
];
const ANY_INTERFACE: i32 = 0;
const ANY_FAMILY: i32 = 0;
/// Only the records, neither texts nor the addresses of the hosts.
const NO_TXT: u64 = 1 << 6;
const NO_ADDRESS: u64 = 1 << 7;
