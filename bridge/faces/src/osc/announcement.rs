//! Announces a face on its networks, through Avahi.
//!
//! Model: a task keeps an entry group at Avahi, on the system bus: `_oscjson._tcp` for OSCQuery, `_osc._udp` for OSC.
//! Avahi is the one that speaks mDNS here; without it nothing is announced, and when it comes the entries are made.
//! Invariants: ANNOUNCE-1. The entries go with the task, since they go with its connection.
//! Limits: [`NAMES_MAX`] names are tried when others have one.
//! Spec: RFC 6763; avahi's `org.freedesktop.Avahi.EntryGroup`.

use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, fdo::DBusProxy, names::BusName};

/// What is announced.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    /// The name that people see.
    pub(crate) name: String,
    /// The ports of OSCQuery and of OSC.
    pub(crate) query: u16,
    pub(crate) osc: u16,
}

impl Announcement {
    /// Keeps the announcement there, whether Avahi is there or comes later.
    pub(crate) async fn keep(self) {
        loop {
            if let Err(error) = self.once().await {
                tracing::info!(%error, "not announced: Avahi is not there");
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Announces, and waits until Avahi or the bus is gone.
    async fn once(&self) -> zbus::Result<()> {
        let bus = Connection::system().await?;
        let mut number = 1;
        loop {
            let name = match number {
                1 => self.name.clone(),
                number => format!("{} #{number}", self.name),
            };
            match self.announce(&bus, &name).await {
                Err(error) if is_taken(&error) && number < NAMES_MAX => number += 1,
                outcome => break outcome?,
            }
        }
        let names = DBusProxy::new(&bus).await?;
        let avahi = BusName::try_from(AVAHI)?;
        while names.name_has_owner(avahi.clone()).await? {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }

    async fn announce(&self, bus: &Connection, name: &str) -> zbus::Result<()> {
        let server = bus
            .call_method(Some(AVAHI), "/", Some(SERVER), "EntryGroupNew", &())
            .await?;
        let group: OwnedObjectPath = server.body().deserialize()?;
        for (kind, port) in [("_oscjson._tcp", self.query), ("_osc._udp", self.osc)] {
            let text: Vec<Vec<u8>> = vec![b"txtvers=1".to_vec()];
            let entry = (ANY, ANY, 0_u32, name, kind, "", "", port, text);
            bus.call_method(Some(AVAHI), &group, Some(GROUP), "AddService", &entry)
                .await?;
        }
        bus.call_method(Some(AVAHI), &group, Some(GROUP), "Commit", &())
            .await?;
        tracing::info!(name, "announced");
        Ok(())
    }
}

fn is_taken(error: &zbus::Error) -> bool {
    let zbus::Error::MethodError(name, ..) = error else {
        return false;
    };
    name.as_str() == "org.freedesktop.Avahi.CollisionError"
}

const AVAHI: &str = "org.freedesktop.Avahi";
const SERVER: &str = "org.freedesktop.Avahi.Server";
const GROUP: &str = "org.freedesktop.Avahi.EntryGroup";
/// Of interfaces and protocols.
const ANY: i32 = -1;
/// Names that are tried when others have one.
pub(crate) const NAMES_MAX: u32 = 20;
/// Before it is looked again whether Avahi is there.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
